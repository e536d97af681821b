"""A potential over flat vectors, with its curvature: what searches for minima, bands and saddles work on.

=============================  =======================================================================
H = ∂²V/∂x∂x                   :meth:`FlatPotential.hessian`, by derivatives of the gradient
H u                            :meth:`FlatPotential.hessian_product`, without H
=============================  =======================================================================
"""

from collections.abc import Callable

import torch
from torch import Tensor

from sciml_zoo.adversarial.potential import LossPotential
from sciml_zoo.errors import InputError

__all__ = ["CountedPotential", "FlatPotential", "secant_curvature"]

#: Backward passes of single samples at a time, while a Hessian is computed.
_CHUNK = 16384
#: Gradients that a product of the Hessian with a vector is worth: as many as a central difference takes.
_PRODUCT_COST = 2


class FlatPotential:
    """A potential whose inputs are flattened, some of its samples.

    Args:
        potential: over inputs [n, *shape].
        like: inputs of that shape, [n, *shape].
        rows: to which sample of the potential each input belongs, int64 [n]; None: in order.

    Attributes:
        rows: as given, int64 [n]; methods take indices into it.

    Raises:
        InputError: a potential in another precision than float64.
    """

    def __init__(self, potential: LossPotential, like: Tensor, rows: Tensor | None = None) -> None:
        if potential.dtype not in (None, torch.float64):
            raise InputError(
                f"a potential in {potential.dtype}: minima and saddles are sought in float64; give it "
                "dtype=torch.float64"
            )
        self.potential = potential
        self.shape = like.shape[1:]
        self.rows = torch.arange(len(like), device=like.device) if rows is None else rows.to(like.device)

    def flat(self, inputs: Tensor) -> Tensor:
        """Returns a copy of inputs [n, *shape], vectors [n, d] in float64."""
        return inputs.detach().to(torch.float64, copy=True).flatten(1)

    def shaped(self, points: Tensor) -> Tensor:
        """Returns vectors [..., d] as inputs [..., *shape]."""
        return points.view(*points.shape[:-1], *self.shape)

    def value(self, points: Tensor, index: Tensor) -> Tensor:
        """Returns the potential, [n].

        Args:
            points: [n, d].
            index: into the rows, int64 [n].
        """
        return self.potential.value(self.shaped(points), self.rows[index]).to(points.dtype)

    def value_and_gradient(self, points: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the potential [n] and its gradient [n, d].

        Args:
            points: [n, d].
            index: into the rows, int64 [n].
        """
        value, gradient = self.potential.value_and_gradient(self.shaped(points), self.rows[index])
        return value.to(points.dtype), gradient.flatten(1).to(points.dtype)

    def of_images(self, images: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the potential [images, n] and its gradient [images, n, d] of all images of bands, in one call.

        Args:
            images: [images, n, d].
            index: into the rows, int64 [n].
        """
        count, pairs, size = images.shape
        value, gradient = self.value_and_gradient(images.reshape(-1, size), index.repeat(count))
        return value.view(count, pairs), gradient.view(count, pairs, size)

    def hessian(self, points: Tensor, index: Tensor) -> Tensor:
        """Returns the matrices of second derivatives, symmetric, [n, d, d].

        Args:
            points: [n, d].
            index: into the rows, int64 [n].
        """
        size = points.shape[1]
        basis = torch.eye(size, dtype=points.dtype, device=points.device)
        found = []
        samples = max(1, _CHUNK // size)
        for chunk, at in zip(points.split(samples), index.split(samples), strict=True):
            product = self.hessian_product(chunk, at)
            columns = product(basis[:, None].expand(size, len(chunk), size))
            found.append(columns.transpose(0, 1))
        stacked = torch.cat(found)
        return (stacked + stacked.mT) / 2

    def hessian_product(self, points: Tensor, index: Tensor) -> Callable[[Tensor], Tensor]:
        """Returns a function that multiplies Hessians with vectors [..., n, d], at no memory for the Hessians.

        Args:
            points: [n, d].
            index: into the rows, int64 [n].
        """
        points = points.detach().requires_grad_()
        with torch.enable_grad():
            value = self.potential._value(self.shaped(points), self.rows[index])
            (gradient,) = torch.autograd.grad(value.sum(), points, create_graph=True)
        self._count(index, 1)

        def product(vectors: Tensor) -> Tensor:
            self._count(index, _PRODUCT_COST * vectors.shape[:-2].numel())
            if not gradient.requires_grad:
                return torch.zeros_like(vectors)
            many = vectors.dim() > 2
            (found,) = torch.autograd.grad(
                gradient, points, vectors, retain_graph=True, is_grads_batched=many, allow_unused=True
            )
            return torch.zeros_like(vectors) if found is None else found

        return product

    def _count(self, index: Tensor, times: int) -> None:
        if isinstance(self.potential, CountedPotential):
            self.potential.count(self.rows[index], times)
            self.potential.original.gradients += times * len(index)
        else:
            self.potential.gradients += times * len(index)


class CountedPotential(LossPotential):
    """A potential that counts the gradients of each sample of its batch; those of the original go up too.

    Args:
        potential: the original.
        batch: number of its samples.
        device: where counts are kept.

    Attributes:
        spent: gradients of each sample, int64 [batch].
    """

    def __init__(self, potential: LossPotential, batch: int, device: torch.device) -> None:
        self.original = potential
        self.model, self.labels, self.loss = potential.model, potential.labels, potential.loss
        self.dtype = potential.dtype
        self.evaluations = self.gradients = 0
        self.spent = torch.zeros(batch, dtype=torch.int64, device=device)

    def value_and_gradient(self, inputs: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns what the original does."""
        self.count(torch.arange(len(inputs), device=inputs.device) if rows is None else rows, 1)
        return self.original.value_and_gradient(inputs, rows)

    def count(self, rows: Tensor, times: int) -> None:
        """Adds gradients.

        Args:
            rows: samples, int64 [n].
            times: how many of each.
        """
        self.spent += times * torch.bincount(rows.to(self.spent.device), minlength=len(self.spent))

    def _value(self, inputs: Tensor, rows: Tensor | None) -> Tensor:
        return self.original._value(inputs, rows)


def secant_curvature(moves: Tensor, turns: Tensor) -> Tensor:
    """Returns the largest change of the gradient for a unit of way among the images of each band, [n].

    Args:
        moves: differences of points, [images, n, d].
        turns: differences of their gradients, likewise.
    """
    ways = torch.linalg.vector_norm(moves, dim=2)
    slopes = torch.linalg.vector_norm(turns, dim=2) / ways.clamp_min(1e-300)
    return torch.where(ways > 1e-12, slopes, 0.0).amax(0).clamp_min(1e-12)
