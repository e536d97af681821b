"""Structures with energies and forces: files → checked ASE structures → graphs.

Units are those of ASE: Å, eV, eV/Å, eV/Å³. ``energy``, ``forces`` and ``stress`` are looked up in the frame's
calculator results first, then in ``info`` and ``arrays`` under the same key.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import vesin
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress
from torch import Tensor
from torch_geometric.data import Batch, Data

from sciml_zoo.errors import InputError
from sciml_zoo.potentials.formats import LabelKeys, read_frames

__all__ = [
    "check_structure",
    "collate",
    "energy_of",
    "forces_of",
    "has_forces",
    "model_inputs",
    "neighbours",
    "read_structures",
    "stress_of",
    "to_graph",
]

# Nuclei closer than this are the same atom written twice: no chemistry is that short (H2 has 0.74 Å).
_SAME_PLACE = 0.1
# Å and Å³: a tenth of a millimetre is a wrong unit, and no cell of a hydrogen atom is that small.
_FARTHEST = 1e6
_SMALLEST_VOLUME = 0.1
# vesin searches in at most this many cells; where it needs more, and the structure is thin, it divides by zero. A
# larger radius needs fewer; one as large as this (Å) takes long and finds nothing but vacuum.
_SEARCH_CELLS = 1e5
_SEARCH_RADIUS = 50.0


def read_structures(
    path: str | Path,
    *,
    energy: bool = False,
    forces: bool = False,
    forces_optional: bool = False,
    energy_key: str = "energy",
    forces_key: str = "forces",
    stress_key: str = "stress",
) -> list[Atoms]:
    """Reads and checks every frame of a structure file.

    Args:
        path: extxyz and any other format of ``ase.io``, ASE data bases, pymatgen JSON, DeePMD folders, npz of MD17, or
            HDF5; see :mod:`sciml_zoo.potentials.formats`.
        energy: require an energy for each frame.
        forces: require forces for each frame.
        forces_optional: check the forces of those frames that have any, in place of requiring them.
        energy_key: name of the energy (eV, of the whole structure).
        forces_key: name of the forces (eV/Å).
        stress_key: name of the stress (eV/Å³).

    Returns:
        The frames, with at least one atom each, finite positions, known elements and no two atoms at one place.

    Raises:
        InputError: naming the file, the frame and the atom, if anything is missing, damaged or not finite.
    """
    path = Path(path)
    structures = []
    for where, atoms in read_frames(path, LabelKeys(energy_key, forces_key, stress_key)):
        check_structure(atoms, where)
        if energy and not np.isfinite(energy_of(atoms, where, energy_key)):
            raise InputError(f"{where}: the energy is not finite")
        if (forces and not forces_optional) or (forces_optional and has_forces(atoms, forces_key)):
            _require_finite(forces_of(atoms, where, forces_key), where, "force")
        structures.append(atoms)
    if not structures:
        raise InputError(f"{path}: the file holds no structure")
    return structures


def check_structure(atoms: Atoms, where: str) -> None:
    """Refuses a structure that no potential can describe.

    Args:
        atoms: the structure.
        where: names it in the message, such as ``"file.xyz, frame 3"``.

    Raises:
        InputError: no atoms, positions not finite or not in Å, a dummy element, a periodic direction without a cell
            vector, or two atoms at one place.
    """
    if len(atoms) == 0:
        raise InputError(f"{where}: no atoms")
    _require_finite(atoms.positions, where, "position")
    far = np.flatnonzero((abs(atoms.positions) > _FARTHEST).any(axis=1))
    if len(far):
        raise InputError(f"{where}, atom {far[0]}: {atoms.positions[far[0]]} is too far away; positions are in Å")
    dummies = np.flatnonzero(atoms.numbers == 0)
    if len(dummies):
        raise InputError(f"{where}, atom {dummies[0]}: 'X' is not an element")
    if not (abs(atoms.cell.array) <= _FARTHEST).all():
        raise InputError(f"{where}: the cell is not finite, or not in Å: {atoms.cell.array.tolist()}")
    if atoms.pbc.any() and abs(atoms.cell.complete().volume) < _SMALLEST_VOLUME:
        raise InputError(f"{where}: periodic, but the cell has no volume; set the cell or pbc=False")
    for axis in np.flatnonzero(atoms.pbc):
        if not np.any(atoms.cell[axis]):
            raise InputError(f"{where}: periodic along axis {axis}, but that cell vector is zero; set it or pbc=False")
    if _search_radius(atoms, 1.0) > _SEARCH_RADIUS:
        extent = " × ".join(f"{length:.3g}" for length in np.ptp(atoms.positions, axis=0))
        raise InputError(f"{where}: {len(atoms)} atoms far apart ({extent} Å), or the cell too large; lengths are in Å")
    # The search cell is 1 Å because a finer grid would cost more than the pairs.
    i, j, distance = neighbours(atoms, 1.0, "ijd")
    close = np.flatnonzero(distance < _SAME_PLACE)
    if len(close):
        first, second = sorted((i[close[0]], j[close[0]]))
        pair = f"atoms {first} and {second}" if first != second else f"atom {first} and its periodic image"
        raise InputError(f"{where}: {pair} are at one place ({distance[close[0]]:.4f} Å apart)")


def _require_finite(values: np.ndarray, where: str, what: str) -> None:
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise InputError(f"{where}, atom {bad[0]}: the {what} is not finite ({values[bad[0]]})")


def energy_of(atoms: Atoms, where: str, key: str = "energy") -> float:
    """Returns a frame's reference energy.

    Args:
        atoms: the frame.
        where: names it in the message.
        key: name of the energy.

    Returns:
        eV, of the whole structure.

    Raises:
        InputError: if the frame has none, or what it has is not a number.
    """
    results = atoms.calc.results if atoms.calc is not None else {}
    value = results.get(key, atoms.info.get(key))
    if value is None:
        found = sorted({*results, *atoms.info})
        raise InputError(f"{where}: no {key!r} (eV); found {', '.join(found) or 'no labels'}")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(f"{where}: {key!r} is {value!r}, not a number (eV)") from None


def forces_of(atoms: Atoms, where: str, key: str = "forces") -> np.ndarray:
    """Returns a frame's reference forces.

    Args:
        atoms: the frame.
        where: names it in the message.
        key: name of the forces.

    Returns:
        [N, 3], eV/Å.

    Raises:
        InputError: if the frame has none, or what it has is not three numbers for each atom.
    """
    results = atoms.calc.results if atoms.calc is not None else {}
    value = results.get(key, atoms.arrays.get(key))
    if value is None:
        found = sorted({*results, *atoms.arrays} - {"numbers", "positions"})
        raise InputError(f"{where}: no {key!r} (eV/Å); found {', '.join(found) or 'no labels'}")
    try:
        forces = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{where}: {key!r} are not numbers (eV/Å)") from None
    if forces.shape != (len(atoms), 3):
        raise InputError(
            f"{where}: {key!r} are {list(forces.shape)} numbers, not 3 (eV/Å) for each of {len(atoms)} atoms"
        )
    return forces


def has_forces(atoms: Atoms, key: str = "forces") -> bool:
    """Returns whether a frame has reference forces under a name."""
    return key in atoms.arrays or (atoms.calc is not None and atoms.calc.results.get(key) is not None)


def stress_of(atoms: Atoms, where: str, key: str = "stress") -> np.ndarray:
    """Returns a frame's reference stress.

    Args:
        atoms: the frame.
        where: names it in the message.
        key: name of the stress; where there is none, ``virial`` (eV, −V times the stress, as extxyz defines it).

    Returns:
        [3, 3], eV/Å³, positive under tension; NaN if the frame has none, or is not periodic in all directions.

    Raises:
        InputError: if what it has is not six numbers (Voigt) or nine.
    """
    results = atoms.calc.results if atoms.calc is not None else {}
    value = results.get(key, atoms.info.get(key))
    factor = 1.0
    if value is None and "virial" in atoms.info:
        key, value = "virial", atoms.info["virial"]
        factor = -1.0 / atoms.cell.volume if atoms.cell.volume else np.nan
    if value is None or not atoms.pbc.all():
        return np.full((3, 3), np.nan)
    try:
        stress = factor * np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{where}: {key!r} is not numbers") from None
    if stress.size == 9:
        return stress.reshape(3, 3)
    if stress.size == 6:
        return voigt_6_to_full_3x3_stress(stress.ravel())
    raise InputError(f"{where}: {key!r} is {stress.size} numbers, not 6 (Voigt: xx yy zz yz xz xy) or 9")


def neighbours(atoms: Atoms, cutoff: float, quantities: str) -> list[np.ndarray]:
    """Finds all ordered pairs of atoms within a cutoff, periodic images included.

    Args:
        atoms: the structure.
        cutoff: Å.
        quantities: vesin's letters: ``i`` and ``j`` atom indices, ``S`` cell shifts, ``d`` distances.

    Returns:
        One array for each letter, sorted by i, then j.
    """
    radius = _search_radius(atoms, cutoff)
    finder = vesin.NeighborList(cutoff=radius, full_list=True, sorted=True, n_threads=1)
    box = atoms.cell.complete().array if atoms.pbc.any() else np.zeros((3, 3))
    if radius == cutoff:
        return finder.compute(atoms.positions, box=box, periodic=atoms.pbc, quantities=quantities)
    *found, distance = finder.compute(atoms.positions, box=box, periodic=atoms.pbc, quantities=f"{quantities}d")
    return [values[distance < cutoff] for values in found]


def _search_radius(atoms: Atoms, cutoff: float) -> float:
    """Returns the cutoff, or for a structure of too many search cells a radius that needs fewer."""
    cell = atoms.cell.complete().array if atoms.pbc.any() else np.eye(3)
    inverse = np.linalg.inv(cell)
    heights = 1.0 / np.linalg.norm(inverse, axis=0)
    extents = heights * np.ptp(atoms.positions @ inverse, axis=0)
    lengths = np.where(atoms.pbc, heights, np.maximum(heights, extents))
    radius = cutoff
    while np.prod(np.floor(lengths / radius) + 1.0) > _SEARCH_CELLS:
        radius *= 1.25
    return radius


def to_graph(
    atoms: Atoms,
    cutoff: float,
    *,
    labels: bool = False,
    where: str = "structure",
    forces_optional: bool = False,
    energy_key: str = "energy",
    forces_key: str = "forces",
    stress_key: str = "stress",
) -> Data:
    """Turns a structure into a graph of all pairs within the cutoff, periodic images included.

    Args:
        atoms: the structure.
        cutoff: Å.
        labels: also store the reference energy, forces and stress.
        where: names the structure in messages.
        forces_optional: accept a structure without forces; they are stored as NaN.
        energy_key: name of the energy.
        forces_key: name of the forces.
        stress_key: name of the stress.

    Returns:
        ``z`` [N], ``pos`` [N, 3] float64, ``edge_index`` [2, E] (neighbour, central atom), ``edge_shift`` [E, 3],
        ``cell`` [1, 3, 3] (zeros for a molecule), and with labels ``energy`` [1], ``forces`` [N, 3] and ``stress``
        [1, 3, 3] (eV/Å³; NaN where there is none), float64.
    """
    centre, neighbour, shifts = neighbours(atoms, cutoff, "ijS")
    cell = atoms.cell.complete().array if atoms.pbc.any() else np.zeros((3, 3))
    edge_index = np.stack([neighbour, centre]).astype(np.int64)
    graph = Data(
        z=torch.from_numpy(atoms.numbers.astype(np.int64)),
        pos=torch.from_numpy(atoms.positions.copy()),
        edge_index=torch.from_numpy(edge_index),
        edge_shift=torch.from_numpy(shifts.astype(np.float64) @ cell),
        cell=torch.from_numpy(cell[None].copy()),
    )
    if labels:
        graph.energy = torch.tensor([energy_of(atoms, where, energy_key)], dtype=torch.float64)
        missing = forces_optional and not has_forces(atoms, forces_key)
        forces = np.full((len(atoms), 3), np.nan) if missing else forces_of(atoms, where, forces_key)
        graph.forces = torch.from_numpy(forces.copy())
        graph.stress = torch.from_numpy(stress_of(atoms, where, stress_key)[None].copy())
    return graph


def collate(graphs: Sequence[Data]) -> Batch:
    """Returns one graph of several; no edge crosses from one structure to another.

    The result is what ``Batch.from_data_list`` gives, in a tenth of its time.
    """
    sizes = torch.tensor([0, *(graph.num_nodes for graph in graphs)])
    ptr = sizes.cumsum(0)
    offsets = zip(graphs, ptr.tolist(), strict=False)
    joined = {name: torch.cat([graph[name] for graph in graphs]) for name in graphs[0].keys() if name != "edge_index"}  # noqa: SIM118
    joined["edge_index"] = torch.cat([graph["edge_index"] + offset for graph, offset in offsets], dim=1)
    return Batch(ptr=ptr, batch=torch.arange(len(graphs)).repeat_interleave(sizes[1:]), **joined)


def model_inputs(batch: Batch) -> dict[str, Tensor]:
    """Returns what a potential's ``forward`` takes from a batch of graphs."""
    return {name: batch[name] for name in ("z", "pos", "edge_index", "edge_shift", "batch", "cell")}
