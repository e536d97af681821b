"""What the C++ kernels read beside weights: edges, and sparse coefficients of products and messages."""

import ctypes
import functools
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = [
    "CHANNELS",
    "LANES",
    "CouplingStruct",
    "EdgeList",
    "MessageTables",
    "ProductStruct",
    "ProductTables",
    "basis_tables",
    "padded",
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
