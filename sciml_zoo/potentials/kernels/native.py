"""The C++ kernels as differentiable torch functions (once: their gradients have no gradient)."""

import ctypes
import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sciml_zoo.potentials.kernels.build import library

__all__ = [
    "CHANNELS",
    "LANES",
    "CouplingStruct",
    "EdgeList",
    "MessageTables",
    "ProductStruct",
    "ProductTables",
    "basis",
    "basis_tables",
    "call",
    "density",
    "message",
    "padded",
    "product",
]

#: Floats in a vector register: primitives are padded to it, and channels must be a multiple of it.
LANES = 16
#: Numbers of channels for which kernels are compiled.
CHANNELS = (16, 32, 48, 64)
_pointer = ctypes.c_void_p


class EdgeList:
    """Edges sorted by central atom, as the kernels read them.

    Args:
        edge_index: neighbour (row 0) and central atom (row 1) of every edge, sorted by row 1 [2, E].
        species: position in the model's elements of every atom [N].
        n_elements: number of elements.
    """

    class _Struct(ctypes.Structure):
        _fields_ = (
            ("start", _pointer),
            ("neighbour", _pointer),
            ("species", _pointer),
            ("atoms", ctypes.c_int64),
            ("elements", ctypes.c_int64),
        )

    def __init__(self, edge_index: Tensor, species: Tensor, n_elements: int) -> None:
        self.neighbour, self.centre = edge_index[0].contiguous(), edge_index[1]
        self.species = species.contiguous()
        self.pair = species[self.centre] * n_elements + species[self.neighbour]
        self.n_atoms, self.n_elements = len(species), n_elements

    @functools.cached_property
    def start(self) -> Tensor:
        """First edge of every atom, and the end of the last [N + 1]."""
        start = torch.zeros(self.n_atoms + 1, dtype=torch.long)
        torch.cumsum(torch.bincount(self.centre, minlength=self.n_atoms), 0, out=start[1:])
        return start

    def struct(self) -> ctypes.Structure:
        """Returns pointers to the edges, which must outlive them."""
        pointers = (self.start.data_ptr(), self.neighbour.data_ptr(), self.species.data_ptr())
        return self._Struct(*pointers, self.n_atoms, self.n_elements)


class ProductStruct(ctypes.Structure):
    """``Products`` of gto.cpp."""

    _fields_ = (
        ("rows", ctypes.c_int64),
        ("terms", ctypes.c_int64),
        ("path", _pointer),
        ("component", _pointer),
        ("start", _pointer),
        ("left", _pointer),
        ("right", _pointer),
        ("coefficient", _pointer),
    )


class CouplingStruct(ctypes.Structure):
    """``Couplings`` of gto.cpp."""

    _fields_ = (
        ("paths", ctypes.c_int64),
        ("rows", ctypes.c_int64),
        ("links", ctypes.c_int64),
        ("terms", ctypes.c_int64),
        ("path", _pointer),
        ("link_start", _pointer),
        ("source", _pointer),
        ("term_start", _pointer),
        ("harmonic", _pointer),
        ("coefficient", _pointer),
    )


@dataclass(frozen=True)
class ProductTables:
    """Sparse coefficients of a product, as the kernels read them: int32 but for ``coefficient``.

    Attributes:
        path: of every row.
        component: of the result that a row adds to.
        start: first term of every row, and the end of the last.
        left: component of the left factor in every term.
        right: component of the right factor.
        coefficient: of every term, float32.
    """

    path: Tensor
    component: Tensor
    start: Tensor
    left: Tensor
    right: Tensor
    coefficient: Tensor

    @classmethod
    def of(cls, dense: Tensor, path: Tensor, component: Tensor, *, same: bool) -> "ProductTables":
        """Reads them off dense coefficients.

        Args:
            dense: [rows, components, components].
            path: [rows].
            component: [rows].
            same: the factors are the same, so that two terms that differ by their order are one.

        Returns:
            The tables.
        """
        if same:
            upper = torch.triu(torch.ones_like(dense[0]))
            dense = (dense + dense.mT * (1 - torch.eye(len(upper), dtype=dense.dtype))) * upper
        row, left, right = dense.nonzero(as_tuple=True)
        start = torch.zeros(len(dense) + 1, dtype=torch.long)
        start[1:] = torch.bincount(row, minlength=len(dense)).cumsum(0)
        coefficient = dense[row, left, right].float()
        return cls(path.int(), component.int(), start.int(), left.int(), right.int(), coefficient)

    def struct(self) -> ProductStruct:
        """Returns pointers to the tables, which must outlive them."""
        names = ("path", "component", "start", "left", "right", "coefficient")
        return ProductStruct(len(self.path), len(self.left), *(getattr(self, name).data_ptr() for name in names))


@dataclass(frozen=True)
class MessageTables:
    """Sparse coefficients of messages, as the kernels read them: int32 but for ``coefficient``.

    Attributes:
        n_paths: number of paths.
        path: of every row.
        link_start: first link of every row, and the end of the last.
        source: component of the neighbour's features of every link.
        term_start: first term of every link, and the end of the last.
        harmonic: component of the harmonics in every term.
        coefficient: of every term, float32.
    """

    n_paths: int
    path: Tensor
    link_start: Tensor
    source: Tensor
    term_start: Tensor
    harmonic: Tensor
    coefficient: Tensor

    @classmethod
    def of(cls, dense: Tensor, path: Tensor) -> "MessageTables":
        """Reads them off dense coefficients.

        Args:
            dense: [rows, components of the features, harmonics].
            path: [rows].

        Returns:
            The tables.
        """
        linked = (dense != 0).any(dim=2)
        row, source = linked.nonzero(as_tuple=True)
        link, harmonic = dense[row, source].nonzero(as_tuple=True)
        starts = []
        for index, size in ((row, len(dense)), (link, len(row))):
            start = torch.zeros(size + 1, dtype=torch.int32)
            start[1:] = torch.bincount(index, minlength=size).cumsum(0)
            starts.append(start)
        coefficient = dense[row, source][link, harmonic].float()
        return cls(int(path.max()) + 1, path.int(), starts[0], source.int(), starts[1], harmonic.int(), coefficient)

    @property
    def n_rows(self) -> int:
        """Components of a message."""
        return len(self.path)

    def struct(self) -> CouplingStruct:
        """Returns pointers to the tables, which must outlive them."""
        names = ("path", "link_start", "source", "term_start", "harmonic", "coefficient")
        counts = (self.n_paths, len(self.path), len(self.source), len(self.harmonic))
        return CouplingStruct(*counts, *(getattr(self, name).data_ptr() for name in names))


def call(name: str, *arguments: Any) -> None:
    """Calls a kernel; tensors become pointers, None a null pointer."""
    kernels = library()
    assert kernels is not None
    plain = [
        _pointer(a.data_ptr())
        if isinstance(a, Tensor)
        else _pointer()
        if a is None
        else ctypes.c_int64(a)
        if isinstance(a, int)
        else a
        for a in arguments
    ]
    if getattr(kernels, name)(*plain, torch.get_num_threads()) and name.startswith("gto_"):
        raise RuntimeError(f"{name}: this number of channels has no kernel")


def basis_tables(log_exponent: Tensor, power: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns what the basis is made of, padded: k [LANES], log N and α [pairs, LANES].

    Args:
        log_exponent: log α [pairs, P].
        power: k [P].
    """
    n_pairs, primitives = log_exponent.shape
    exponent, log_norm, powers = torch.zeros(n_pairs, LANES), torch.zeros(n_pairs, LANES), torch.zeros(LANES)
    exponent[:, :primitives] = log_exponent.exp()
    powers[:primitives] = power
    log_norm[:, :primitives] = power * (1.0 + log_exponent - power.log())
    return powers, log_norm, exponent


def padded(weights: Tensor) -> Tensor:
    """Returns contractions [pairs, blocks, P, C] with P filled up to LANES.

    Args:
        weights: the contractions.
    """
    filled = weights.new_zeros(*weights.shape[:2], LANES, weights.shape[3])
    filled[:, :, : weights.shape[2]] = weights
    return filled


class _Basis(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, log_exponent: Tensor, power: Tensor, pair: Tensor, cutoff: float) -> Any:
        vectors = vectors.contiguous()
        primitives = len(power)
        powers, log_norm, exponent = basis_tables(log_exponent, power)
        n_edges = len(vectors)
        g, harmonics = torch.empty(n_edges, LANES), torch.empty(n_edges, LANES)
        call(
            "basis_forward", n_edges, ctypes.c_int(primitives), ctypes.c_float(cutoff), vectors, pair, powers, log_norm,
            exponent, g, harmonics,
        )  # fmt: skip
        ctx.save_for_backward(vectors, pair, powers, exponent, g)
        ctx.primitives, ctx.cutoff = primitives, cutoff
        return g, harmonics

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_g: Tensor, d_harmonics: Tensor) -> Any:
        vectors, pair, powers, exponent, g = ctx.saved_tensors
        d_vectors = torch.empty_like(vectors)
        d_log_exponent = torch.empty_like(exponent) if ctx.needs_input_grad[1] else None
        call(
            "basis_backward", len(vectors), len(exponent), ctypes.c_int(ctx.primitives), ctypes.c_float(ctx.cutoff),
            vectors, pair, powers, exponent, g, d_g.contiguous(), d_harmonics.contiguous(), d_vectors, d_log_exponent,
        )  # fmt: skip
        return d_vectors, None if d_log_exponent is None else d_log_exponent[:, : ctx.primitives], None, None, None


def basis(vectors: Tensor, log_exponent: Tensor, power: Tensor, pair: Tensor, cutoff: float) -> tuple[Tensor, Tensor]:
    """Evaluates primitives times cutoff, and solid harmonics up to degree 3.

    Args:
        vectors: [E, 3], Å.
        log_exponent: log α [pairs, P].
        power: k [P].
        pair: of every edge [E].
        cutoff: Å.

    Returns:
        g [E, LANES], zero beyond P, and Y [E, 16].
    """
    return _Basis.apply(vectors, log_exponent, power, pair, cutoff)


class _Density(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, g: Tensor, harmonics: Tensor, weights: Tensor, edges: EdgeList) -> Tensor:
        primitives, channels = weights.shape[2:]
        filled = padded(weights)
        out = g.new_empty(edges.n_atoms, 16, channels)
        call(
            "gto_density_forward",
            ctypes.c_int(channels),
            edges.struct(),
            ctypes.c_int(primitives),
            g,
            harmonics,
            filled,
            out,
        )
        ctx.save_for_backward(g, harmonics, filled)
        ctx.edges, ctx.primitives = edges, primitives
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> Any:
        g, harmonics, filled = ctx.saved_tensors
        d_g, d_harmonics = torch.empty_like(g), torch.empty_like(harmonics)
        d_weights = torch.empty_like(filled) if ctx.needs_input_grad[2] else None
        call(
            "gto_density_backward", ctypes.c_int(filled.shape[3]), ctx.edges.struct(), ctypes.c_int(ctx.primitives), g,
            harmonics, filled.mT.contiguous(), d_out.contiguous(), d_g, d_harmonics, d_weights,
        )  # fmt: skip
        return d_g, d_harmonics, None if d_weights is None else d_weights[:, :, : ctx.primitives], None


def density(g: Tensor, harmonics: Tensor, weights: Tensor, edges: EdgeList) -> Tensor:
    """Sums contracted primitives over neighbours.

    Args:
        g: [E, LANES].
        harmonics: [E, 16].
        weights: [pairs, 4, P, C].
        edges: the edges.

    Returns:
        [N, 16, C].
    """
    return _Density.apply(g, harmonics, weights, edges)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, weights: Tensor, tables: ProductTables, n_out: int) -> Tensor:
        a, b, weights = a.contiguous(), b.contiguous(), weights.contiguous()
        n_atoms, n_a, channels = a.shape
        out = a.new_empty(n_atoms, n_out, channels)
        call(
            "gto_product_forward",
            ctypes.c_int(channels),
            tables.struct(),
            n_atoms,
            n_a,
            b.shape[1],
            n_out,
            a,
            b,
            weights,
            out,
        )
        ctx.save_for_backward(a, b, weights)
        ctx.tables, ctx.n_out = tables, n_out
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> Any:
        a, b, weights = ctx.saved_tensors
        same = a.data_ptr() == b.data_ptr()
        d_a = torch.zeros_like(a)
        d_b = d_a if same else torch.zeros_like(b)
        d_weights = torch.empty_like(weights) if ctx.needs_input_grad[2] else None
        call(
            "gto_product_backward", ctypes.c_int(a.shape[2]), ctx.tables.struct(), a.shape[0], len(weights), a.shape[1],
            b.shape[1], ctx.n_out, a, b, weights, d_out.contiguous(), d_a, d_b, d_weights,
        )  # fmt: skip
        return d_a, None if same else d_b, d_weights, None, None


def product(a: Tensor, b: Tensor, weights: Tensor, tables: ProductTables, n_out: int) -> Tensor:
    """Multiplies components channel by channel.

    Args:
        a: [N, components, C].
        b: [N, components, C].
        weights: [paths, C].
        tables: the coefficients.
        n_out: components of the product.

    Returns:
        [N, n_out, C].
    """
    return _Product.apply(a, b, weights, tables, n_out)


class _Message(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, g: Tensor, harmonics: Tensor, h: Tensor, weights: Tensor, edges: EdgeList, tables: MessageTables
    ) -> Tensor:
        h = h.contiguous()
        primitives, channels = weights.shape[2:]
        filled = padded(weights)
        out = g.new_empty(edges.n_atoms, tables.n_rows, channels)
        call(
            "gto_message_forward", ctypes.c_int(channels), edges.struct(), tables.struct(), ctypes.c_int(primitives),
            h.shape[1], g, harmonics, h, filled, out,
        )  # fmt: skip
        ctx.save_for_backward(g, harmonics, h, filled)
        ctx.edges, ctx.tables, ctx.primitives = edges, tables, primitives
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> Any:
        g, harmonics, h, filled = ctx.saved_tensors
        d_g, d_harmonics, d_h = torch.empty_like(g), torch.empty_like(harmonics), torch.empty_like(h)
        d_weights = torch.empty_like(filled) if ctx.needs_input_grad[3] else None
        call(
            "gto_message_backward", ctypes.c_int(filled.shape[3]), ctx.edges.struct(), ctx.tables.struct(),
            ctypes.c_int(ctx.primitives), h.shape[1], g, harmonics, h, filled, d_out.contiguous(), d_g, d_harmonics,
            d_h, d_weights,
        )  # fmt: skip
        return d_g, d_harmonics, d_h, None if d_weights is None else d_weights[:, :, : ctx.primitives], None, None


def message(g: Tensor, harmonics: Tensor, h: Tensor, weights: Tensor, edges: EdgeList, tables: MessageTables) -> Tensor:
    """Sums couplings of harmonics with what neighbours show.

    Args:
        g: [E, LANES].
        harmonics: [E, 16].
        h: [N, components, C].
        weights: [pairs, paths, P, C].
        edges: the edges.
        tables: the coefficients.

    Returns:
        [N, rows, C].
    """
    return _Message.apply(g, harmonics, h, weights, edges, tables)
