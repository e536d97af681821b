"""The C++ kernels as differentiable torch functions (once: their gradients have no gradient)."""

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sciml_zoo.potentials.kernels.build import library
from sciml_zoo.potentials.kernels.tables import LANES, EdgeList, MessageTables, ProductTables, basis_tables, padded

__all__ = ["basis", "call", "density", "message", "product"]

_pointer = ctypes.c_void_p


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
