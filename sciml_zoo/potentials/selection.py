"""Chooses structures to label: those that teach a potential most, and not the same thing twice.

The features of a structure's atoms, whitened by the Gram matrices G of the training data (see
:mod:`sciml_zoo.potentials.uncertainty`), are the rows of Z. Adding the structure multiplies det G by det(I + Z Zᵀ), and
the information that its labels give about the last layer is half the logarithm of that (D-optimal design). Each step
takes the structure with the largest gain, given those already taken: a second one like the first gains little. The gain
of a structure only falls as others are taken (log det is submodular), so that an old value is an upper bound, and only
those at the top of the list are computed anew: exactly the greedy choice, at a small part of its cost (Minoux, 1978).

==================================  ==================================================================================
equation                            variable
==================================  ==================================================================================
gain(t) = ½ Σ_Z log det(I + Z A Zᵀ)  :meth:`_Design.gain`, nats, over the elements Z of structure t
A ← A − A Zᵀ (I + Z A Zᵀ)⁻¹ Z A      :meth:`_Design.add`, ``inverse`` [S, F, F], at first I
==================================  ==================================================================================
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from torch import Tensor
from torch_geometric.data import Batch

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.batches import batches
from sciml_zoo.potentials.data import model_inputs, to_graph
from sciml_zoo.potentials.potential import Potential

__all__ = ["Selection", "select_structures"]


@dataclass(frozen=True)
class Selection:
    """What :func:`select_structures` chose, and how uncertain the whole pool is.

    Attributes:
        frames: positions in the pool of the chosen structures, in the order of choice [n].
        gains: information that each gives beyond those before it, nats [n].
        uncertainties: of the forces on all atoms of every structure of the pool, eV/Å [pool][N].
        threshold: eV/Å; an atom beyond it is extrapolated.
    """

    frames: list[int]
    gains: list[float]
    uncertainties: list[np.ndarray]
    threshold: float

    @property
    def extrapolated(self) -> np.ndarray:
        """Whether any atom of each structure of the pool is beyond the threshold [pool]."""
        return np.array([own.max() > self.threshold for own in self.uncertainties])


def select_structures(
    model: Potential,
    pool: Sequence[Atoms],
    n: int,
    *,
    max_uncertainty: float | None = None,
    where: str = "pool",
    device: str | torch.device = "cpu",
    on_progress: Callable[[int, int], None] | None = None,
) -> Selection:
    """Chooses the structures of a pool whose labels would teach a potential most.

    Larger structures have more atoms to learn from: where labels cost more the more atoms there are, keep pools of one
    size each.

    Args:
        model: a potential with a calibrated uncertainty.
        pool: structures without labels, or whose labels are not used.
        n: how many to choose.
        max_uncertainty: structures with an atom beyond it (eV/Å) are not chosen: they have fallen apart.
        where: names the pool in messages.
        device: where to compute.
        on_progress: called with the number of structures evaluated, and in total.

    Returns:
        The choice.

    Raises:
        InputError: an uncertainty that is not calibrated, an element that the model has not seen, or fewer structures
            than ``n`` to choose from.
    """
    if n < 1:
        raise InputError(f"{n} structures cannot be chosen; give a number of 1 or more")
    for frame, atoms in enumerate(pool):
        model.check_elements(atoms.numbers, f"{where}, frame {frame}")
    model = model.to(device).eval()
    model.uncertainty.require_calibrated()
    design = _Design(model)
    uncertainties: list[np.ndarray] = []
    for batch in batches((to_graph(atoms, model.cutoff) for atoms in pool), device):
        uncertainties += design.read(batch)
        if on_progress is not None:
            on_progress(len(uncertainties), len(pool))
    most = np.inf if max_uncertainty is None else max_uncertainty
    candidates = [frame for frame, own in enumerate(uncertainties) if own.max() <= most]
    if len(candidates) < n:
        left = f" with no atom beyond {max_uncertainty} eV/Å" if max_uncertainty is not None else ""
        raise InputError(f"{where}: {n} structures cannot be chosen of {len(candidates)}{left}; ask for fewer")
    frames, gains = _greedy(design, candidates, n)
    return Selection(frames, gains, uncertainties, model.uncertainty.threshold)


def _greedy(design: "_Design", candidates: Sequence[int], n: int) -> tuple[list[int], list[float]]:
    """Returns the greedy choice of ``n`` candidates and their gains; of equal ones, the first."""
    bounds = [(-design.gain(frame), frame, 0) for frame in candidates]
    heapq.heapify(bounds)
    frames: list[int] = []
    gains: list[float] = []
    while len(frames) < n:
        bound, frame, known = bounds[0]
        if known == len(frames):
            heapq.heappop(bounds)
            design.add(frame)
            frames.append(frame)
            gains.append(-bound)
        else:
            heapq.heapreplace(bounds, (-design.gain(frame), frame, len(frames)))
    return frames, gains


class _Design:
    """The whitened features of a pool, and the inverse Gram matrices of training data and chosen structures."""

    def __init__(self, model: Potential) -> None:
        self.model = model
        n_species, n_features, _ = model.uncertainty.factor.shape
        eye = torch.eye(n_features, dtype=torch.float64, device=model.uncertainty.factor.device)
        self.inverse = eye.repeat(n_species, 1, 1)
        self.blocks: list[dict[int, Tensor]] = []

    def read(self, batch: Batch) -> list[np.ndarray]:
        """Adds structures to the pool.

        Args:
            batch: of them.

        Returns:
            The uncertainties of their atoms, eV/Å [structures][N].
        """
        features = self.model(**model_inputs(batch), features=True)["features"]
        species = self.model.species_of[batch.z]
        measure = self.model.uncertainty
        sigma = measure(features, species, batch.pos, batch.edge_index, batch.edge_shift)
        sizes = batch.ptr.diff().tolist()
        rows = measure.whitened(features, species)
        for own, kinds in zip(rows.split(sizes), species.split(sizes), strict=True):
            self.blocks.append({kind: _triangle(own[kinds == kind]) for kind in kinds.unique().tolist()})
        return [own.double().cpu().numpy() for own in sigma.split(sizes)]

    def gain(self, frame: int) -> float:
        """Returns the information of a structure beyond what is known, nats."""
        return (
            sum(
                float(torch.linalg.slogdet(self._capacitance(kind, block.double()))[1])
                for kind, block in self.blocks[frame].items()
            )
            / 2
        )

    def add(self, frame: int) -> None:
        """Counts a structure among those known."""
        for kind, block in self.blocks[frame].items():
            rows = block.double()
            projected = rows @ self.inverse[kind]
            self.inverse[kind] -= projected.T @ torch.linalg.solve(self._capacitance(kind, rows), projected)

    def _capacitance(self, kind: int, rows: Tensor) -> Tensor:
        inner = rows @ self.inverse[kind] @ rows.T
        return inner + torch.eye(len(rows), dtype=rows.dtype, device=rows.device)


def _triangle(rows: Tensor) -> Tensor:
    """Returns at most F rows with the same Gram matrix."""
    return rows if rows.shape[0] <= rows.shape[1] else torch.linalg.qr(rows, mode="r").R
