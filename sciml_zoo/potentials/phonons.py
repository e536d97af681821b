"""Phonons of a crystal in the harmonic approximation, by finite displacements (phonopy)."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.cell import Cell

from sciml_zoo.errors import InputError

__all__ = ["Phonons", "crystal_phonons", "default_supercell"]

# Å, of a supercell, of positions that symmetry makes equal, and (inverse) between points of the path.
_LENGTH = 12.0
_SYMMETRY = 1e-4
_PATH_DENSITY = 20.0
# Å: the mesh of the density of states has the points of a crystal so large.
_MESH = 100.0


@dataclass(frozen=True)
class Phonons:
    """Phonons of the primitive cell, n atoms.

    Attributes:
        path: special points of the lattice, in ASE's notation.
        distances: along the path [Q], 1/Å.
        ticks: where the special points are, 1/Å.
        labels: their names.
        wave_vectors: in units of the primitive reciprocal cell [Q, 3].
        frequencies: rising at each wave vector [Q, 3n], THz; imaginary ones negative.
        gamma: at Γ [3n], THz.
        dos_frequencies: THz [D].
        dos: states per THz and primitive cell [D]; its integral is 3n.
        lowest: the lowest frequency of the mesh and the path, THz.
        lowest_at: its wave vector [3].
        acoustic_violation: largest frequency that the acoustic modes at Γ had before the sum rule was imposed, THz.
        primitive: the primitive cell.
        supercell: repetitions of the cell that was given.
        n_displacements: calculations of forces.
    """

    path: str
    distances: np.ndarray
    ticks: np.ndarray
    labels: Sequence[str]
    wave_vectors: np.ndarray
    frequencies: np.ndarray
    gamma: np.ndarray
    dos_frequencies: np.ndarray
    dos: np.ndarray
    lowest: float
    lowest_at: np.ndarray
    acoustic_violation: float
    primitive: Atoms
    supercell: tuple[int, int, int]
    n_displacements: int


def default_supercell(atoms: Atoms) -> tuple[int, int, int]:
    """Returns the repetitions that make a cell at least 12 Å long in each direction.

    Args:
        atoms: the crystal.
    """
    a, b, c = (max(1, int(np.ceil(_LENGTH / length - 1e-6))) for length in atoms.cell.lengths())
    return a, b, c


def crystal_phonons(
    atoms: Atoms,
    *,
    supercell: tuple[int, int, int] | None = None,
    displacement: float = 0.01,
    on_progress: Callable[[int, int], None] | None = None,
) -> Phonons:
    """Computes the phonons of a crystal.

    Args:
        atoms: the relaxed crystal with its calculator.
        supercell: repetitions of its cell; None: :func:`default_supercell`.
        displacement: of finite differences, Å.
        on_progress: called with the number of displacements done and in all.

    Returns:
        Band structure along the special path of the primitive cell's lattice, and density of states.

    Raises:
        InputError: the structure is not a crystal, fixes atoms, or phonopy is not installed.
    """
    if not atoms.pbc.all():
        raise InputError("phonons: the structure is not periodic in all three directions; a molecule has vibrations")
    if atoms.constraints:
        raise InputError("phonons: atoms of the structure are fixed; remove the constraints")
    try:
        from phonopy import Phonopy
        from phonopy.structure.atoms import PhonopyAtoms
    except ImportError as error:
        raise InputError("phonons of crystals need phonopy: pip install 'sciml-zoo[phonons]'") from error
    supercell = default_supercell(atoms) if supercell is None else supercell
    cell = PhonopyAtoms(
        numbers=atoms.numbers, cell=atoms.cell.array, positions=atoms.positions, masses=atoms.get_masses()
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="primitive_matrix defaulted")  # said also where it is asked for
        found = Phonopy(cell, supercell_matrix=np.diag(supercell), primitive_matrix="auto", symprec=_SYMMETRY)
    found.generate_displacements(distance=displacement, is_plusminus=True)
    displaced = found.supercells_with_displacements or []
    forces = []
    for done, one in enumerate(displaced, 1):
        moved = Atoms(numbers=one.numbers, positions=one.positions, cell=one.cell, pbc=True)
        moved.calc = atoms.calc
        forces.append(moved.get_forces())
        if on_progress is not None:
            on_progress(done, len(displaced))
    found.forces = np.array(forces)
    found.produce_force_constants(show_drift=False)
    raw = found.run_qpoints([[0, 0, 0]]).frequencies[0]
    found.symmetrize_force_constants(level=3, show_drift=False)
    primitive = Atoms(
        numbers=found.primitive.numbers,
        scaled_positions=found.primitive.scaled_positions,
        cell=found.primitive.cell,
        pbc=True,
    )
    path = Cell(found.primitive.cell).bandpath(density=_PATH_DENSITY)
    distances, ticks, labels = path.get_linear_kpoint_axis()
    frequencies = found.run_qpoints(path.kpts).frequencies
    mesh = found.run_mesh(_MESH)
    dos = found.run_total_dos()
    assert dos.dos is not None
    wave_vectors = np.concatenate([path.kpts, mesh.qpoints])
    lowest = np.concatenate([frequencies[:, 0], mesh.frequencies.min(axis=1)])
    return Phonons(
        path=path.path,
        distances=distances,
        ticks=ticks,
        labels=labels,
        wave_vectors=path.kpts,
        frequencies=frequencies,
        gamma=found.run_qpoints([[0, 0, 0]]).frequencies[0],
        dos_frequencies=dos.frequency_points,
        dos=dos.dos,
        lowest=float(lowest.min()),
        lowest_at=wave_vectors[int(lowest.argmin())],
        acoustic_violation=float(np.sort(abs(raw))[:3].max()),
        primitive=primitive,
        supercell=supercell,
        n_displacements=len(displaced),
    )
