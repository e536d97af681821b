"""Export for LAMMPS: ``pair_style mliap unified``, of a LAMMPS built with ML-IAP and Python.

LAMMPS gives each process the pairs from its own atoms i to all atoms j, ghosts among them, within a radius. A potential
of R rounds of messages with cutoff r_c sees R r_c far, because the energy of i depends on the neighbours of its
neighbours. So the pair style asks for pairs within R r_c, which also makes LAMMPS keep ghosts that far, and the pairs
of a ghost are put together here, from an own atom a near it. Nothing is communicated between the rounds, and results
do not depend on how the box is divided among processes.

=============================  ========================================================================
equation                       variable
=============================  ========================================================================
r⃗_jk = r⃗_ak − r⃗_aj             edge from a ghost j to k: pair ``plus`` (a, k) less pair ``minus`` (a, j)
F⃗_p = ∂E/∂r⃗_p                  what LAMMPS adds to i, and takes from j, of each pair p = (i, j)
=============================  ========================================================================
"""

import io
import tempfile
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from ase.data import chemical_symbols
from numpy.typing import NDArray

from sciml_zoo._files import write_atomically
from sciml_zoo.errors import InputError
from sciml_zoo.potentials.potential import Potential
from sciml_zoo.zoo.checkpoint import load_checkpoint, save_model

__all__ = ["MLIAPPotential", "export_lammps"]

_Indices = NDArray[np.int64]
_NONE = -1


def export_lammps(model: Potential, file: str | PathLike[str]) -> Path:
    """Writes a potential as the file that ``pair_style mliap unified FILE`` loads.

    Units are LAMMPS's ``metal`` (eV, Å). LAMMPS unpickles the file, as it does with each model of this pair style, in
    a Python that must have this package. The potential may compute on a GPU, but the pair style is the plain one: that
    of KOKKOS (``-suffix kk``) hands results over in another way.

    Args:
        model: the potential; LAMMPS evaluates it on its device.
        file: to write; its name ends in ``.pt``.

    Returns:
        The file.

    Raises:
        InputError: LAMMPS would not read a file of that name, or it cannot be written.
    """
    path = Path(file)
    if path.suffix != ".pt":
        raise InputError(f"{path}: LAMMPS reads models from files that end in .pt; rename it")
    buffer = io.BytesIO()
    torch.save(MLIAPPotential(model), buffer)
    try:
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}; choose another place") from error
    return path


class _Edges(NamedTuple):
    """Edges of own atoms and of the ghosts near them.

    Attributes:
        atoms: which of LAMMPS's atoms take part, own atoms first [n].
        ends: neighbours and central atoms, as positions in ``atoms`` [2, E].
        plus: pair whose vector counts [E], or -1.
        minus: pair whose vector is subtracted [E], or -1.
    """

    atoms: _Indices
    ends: _Indices
    plus: _Indices
    minus: _Indices


class MLIAPPotential:
    """A potential as LAMMPS's ``MLIAPUnified`` interface wants it.

    A LAMMPS that Python itself started takes it without a file: ``lammps.mliap.load_unified(MLIAPPotential(model))``,
    then ``pair_style mliap unified EXISTS``.

    Args:
        model: the potential.
    """

    def __init__(self, model: Potential) -> None:
        self.model = model.eval()
        self.rounds = int(getattr(model.config, "n_rounds", 1))
        # What LAMMPS asks for.
        self.interface: Any = None
        self.element_types = [chemical_symbols[number] for number in model.elements]
        self.ndescriptors = 1
        self.nparams = 1
        self.rcutfac = 0.5 * self.rounds * model.cutoff

    def compute_descriptors(self, data: Any) -> None:
        """Does nothing: a unified model has no descriptors of its own.

        Args:
            data: of LAMMPS.
        """

    def compute_gradients(self, data: Any) -> None:
        """Does nothing: all is done in :meth:`compute_forces`.

        Args:
            data: of LAMMPS.
        """

    def compute_forces(self, data: Any) -> None:
        """Computes the energies of a process's own atoms, and the force of each pair; called by LAMMPS.

        Args:
            data: LAMMPS's ``MLIAPDataPy``: elements, pairs and where the results go.
        """
        own = np.array(data.iatoms[: data.nlistatoms], dtype=np.int64)
        n_pairs = int(data.npairs)
        first, second, vectors = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty((0, 3))
        if n_pairs:
            first, second = np.array(data.pair_i, dtype=np.int64), np.array(data.pair_j, dtype=np.int64)
            vectors = np.array(data.rij, dtype=np.float64)
        edges = _edges(own, first, second, vectors, self.model.cutoff, self.rounds)
        energies, forces = self._evaluate(edges, len(own), np.array(data.elems), vectors)
        data.eatoms = energies
        data.energy = float(energies.sum())
        if n_pairs:
            data.update_pair_forces(forces)

    def _evaluate(
        self, edges: _Edges, n_own: int, elements: NDArray[np.int32], vectors: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns energies of own atoms [L] (eV), and derivatives of their sum by the pairs' vectors [P, 3] (eV/Å)."""
        device = self.model.shifts.device
        pairs = torch.tensor(vectors, device=device)
        plus, minus = torch.from_numpy(edges.plus).to(device), torch.from_numpy(edges.minus).to(device)
        plain = torch.cat([pairs, pairs.new_zeros(1, 3)])  # the last stands for no pair: index -1
        arrows = (plain[plus] - plain[minus]).requires_grad_()
        z = torch.tensor(self.model.elements, device=device)[torch.from_numpy(elements[edges.atoms]).to(device).long()]
        n_atoms = len(z)
        energies = self.model(
            z=z,
            pos=arrows.new_zeros(n_atoms, 3),
            edge_index=torch.from_numpy(edges.ends).to(device),
            edge_shift=arrows,
            batch=torch.arange(n_atoms, device=device),
            cell=arrows.new_zeros(n_atoms, 3, 3),
            forces=False,
        )["energy"]
        energies = energies[:n_own]
        (gradient,) = torch.autograd.grad(energies.sum(), arrows)
        forces = torch.zeros_like(plain).index_add(0, plus % len(plain), gradient)
        forces = forces.index_add(0, minus % len(plain), -gradient)[: len(pairs)]
        return energies.detach().cpu().numpy(), forces.cpu().numpy()

    def __getstate__(self) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            saved = save_model(self.model, Path(folder, "model"))
            files = {path.name: path.read_bytes() for path in saved.iterdir()}
        return {"checkpoint": files, "device": str(self.model.shifts.device)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name, content in state["checkpoint"].items():
                Path(folder, name).write_bytes(content)
            model = load_checkpoint(Path(folder), device=state["device"])
        MLIAPPotential.__init__(self, cast(Potential, model))


def _edges(
    own: _Indices, first: _Indices, second: _Indices, vectors: NDArray[np.float64], cutoff: float, rounds: int
) -> _Edges:
    """Finds the edges that the energies of own atoms depend on.

    Args:
        own: a process's own atoms [L].
        first: own atom of every pair [P].
        second: other atom, own or ghost, of every pair [P].
        vectors: from the first to the second [P, 3], Å; all pairs within ``rounds`` cutoffs.
        cutoff: Å.
        rounds: of messages.

    Returns:
        The edges; own atoms come first in ``atoms``.
    """
    lengths = np.linalg.norm(vectors, axis=1)
    direct = np.flatnonzero(lengths < cutoff)
    found = [(second[direct], first[direct], direct, np.full(len(direct), _NONE))]
    if rounds > 1:
        found.extend(_ghost_edges(own, first, second, vectors, lengths, cutoff, rounds))
    neighbour, centre, plus, minus = (np.concatenate(column) for column in zip(*found, strict=True))
    others = np.setdiff1d(np.union1d(neighbour, centre), own)
    atoms = np.concatenate([own, others])
    place = np.empty(int(atoms.max(initial=0)) + 1, dtype=np.int64)
    place[atoms] = np.arange(len(atoms))
    return _Edges(atoms, np.stack([place[neighbour], place[centre]]), plus, minus)


def _ghost_edges(
    own: _Indices,
    first: _Indices,
    second: _Indices,
    vectors: NDArray[np.float64],
    lengths: NDArray[np.float64],
    cutoff: float,
    rounds: int,
) -> list[tuple[_Indices, _Indices, _Indices, _Indices]]:
    """Returns neighbours, centres, plus and minus of the edges of ghosts whose messages reach own atoms."""
    near = np.flatnonzero((lengths < (rounds - 1) * cutoff) & ~np.isin(second, own))
    near = near[np.argsort(lengths[near], kind="stable")]
    ghosts, shortest = np.unique(second[near], return_index=True)
    anchored = near[shortest]  # the shortest pair of each ghost: all its neighbours are in the list of that own atom
    anchors = first[anchored]
    by_first = np.argsort(first, kind="stable")
    starts = np.searchsorted(first[by_first], anchors, side="left")
    counts = np.searchsorted(first[by_first], anchors, side="right") - starts
    ghost = np.repeat(np.arange(len(ghosts)), counts)
    rank = np.arange(len(ghost)) - np.repeat(np.cumsum(counts) - counts, counts)
    plus, minus = by_first[starts[ghost] + rank], anchored[ghost]
    squared = np.square(vectors[plus] - vectors[minus]).sum(1)
    kept = np.flatnonzero((squared < cutoff**2) & (plus != minus))
    to_anchor = np.flatnonzero(lengths[anchored] < cutoff)
    return [
        (second[plus[kept]], ghosts[ghost[kept]], plus[kept], minus[kept]),
        (anchors[to_anchor], ghosts[to_anchor], np.full(len(to_anchor), _NONE), anchored[to_anchor]),
    ]
