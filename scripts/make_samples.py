"""Makes the quantum-chemistry samples under ``data/samples``: geometries from two samplers, labels from PySCF.

The level of theory is that of rMD17: PBE/def2-SVP, all electrons, no dispersion correction, no density fitting.
Energies are total energies in eV, forces are in eV/Å, and every file is extended XYZ that ``ase.io.read`` understands.
Beside ``NAME.xyz`` lies ``NAME.json`` with the method, versions, seed and command. A killed run goes on where it
stopped when the same command is given again; frame ``i`` depends only on the minimum, the seed and ``i``.

    python scripts/make_samples.py modes CH3OH --frames 240 -o data/samples/methanol.xyz
    python scripts/make_samples.py md CH3CH2OH --model gto_potential.rmd17_ethanol --frames 24 -o runs/ethanol_md.xyz
    python scripts/make_samples.py label runs/ethanol_md.xyz -o data/samples/ethanol_md.xyz
    python scripts/make_samples.py atoms H C N O -o data/samples/isolated_atoms.xyz
    python scripts/make_samples.py check data/samples/methanol.xyz --frame 3

``md`` needs the package (torch); every other verb needs PySCF and ASE only. They may live in different environments.

Equations of ``modes``, classical harmonic sampling at temperature T:

    ==================================  =======================================================================
    σ_i = √(k T) / max(ω_i, ω_cap)      ``spreads``, the standard deviation of mass-weighted normal coordinate i
    Q_i = σ_i ξ_i,  ξ_i ~ N(0, 1)       ``coordinates`` (a Rayleigh amplitude times the cosine of a random phase)
    Δx = Σ_i Q_i u_i / √m               ``minimum.modes`` holds u_i / √m
    V(x) − V(x₀) ≤ k T (n/2 + 5 √(n/2))  ``energy_bound``: mean + 5 σ of the potential energy of n harmonic modes
    ==================================  =======================================================================

Modes below ω_cap = 400 cm⁻¹ are torsions, which a straight line describes badly. Their amplitude is capped at that
of ω_cap, and after they are applied (before the other modes) every bond is put back to its length at the minimum.
Each frame is finally turned to a random orientation.
"""

import argparse
import itertools
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.singlepoint import SinglePointCalculator
from ase.collections import g2
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.neighborlist import natural_cutoffs, neighbor_list
from ase.optimize import BFGS
from scipy.spatial.transform import Rotation

BASIS, FUNCTIONAL, SCF_TOLERANCE, GRID_LEVEL = "def2-svp", "pbe", 1e-10, 4
CAP_WAVENUMBER = 400.0  # cm⁻¹: above the OH torsion of methanol (341 cm⁻¹), below every bend
GROUND_STATE_SPIN = {"H": 1, "C": 2, "N": 3, "O": 2}  # unpaired electrons (Hund)


class LevelOfTheory(Calculator):
    """PBE/def2-SVP by PySCF as an ASE calculator.

    Closed shells are treated spin-restricted, others (``spin`` > 0) spin-unrestricted. The forces include the
    response of the integration grid, which makes them the derivative of the energy and their sum zero.
    """

    implemented_properties = ("energy", "forces")

    def __init__(self, spin: int = 0) -> None:
        super().__init__()
        self.spin = spin

    def solve(self, atoms: Atoms) -> Any:
        """Solves the Kohn–Sham equations.

        Args:
            atoms: an isolated, neutral molecule.

        Returns:
            PySCF's converged mean-field object.

        Raises:
            ArithmeticError: if the self-consistent field does not converge.
        """
        from pyscf import dft, gto

        geometry = list(zip(atoms.get_chemical_symbols(), atoms.positions, strict=True))
        mole = gto.M(atom=geometry, unit="Angstrom", basis=BASIS, spin=self.spin, verbose=0)
        mean_field = (dft.UKS if self.spin else dft.RKS)(mole, xc=FUNCTIONAL)
        mean_field.conv_tol = SCF_TOLERANCE
        mean_field.grids.level = GRID_LEVEL
        mean_field.kernel()
        if not mean_field.converged:
            raise ArithmeticError(f"the self-consistent field of {atoms.get_chemical_formula()} did not converge")
        return mean_field

    def calculate(
        self, atoms: Atoms | None = None, properties: Iterable[str] = (), system_changes: list[str] = all_changes
    ) -> None:
        """Computes the energy (eV) and, if asked for, the forces (eV/Å); called by ASE."""
        super().calculate(atoms, properties, system_changes)
        mean_field = self.solve(self.atoms)
        self.results = {"energy": float(mean_field.e_tot) * units.Hartree}
        if "forces" in properties:
            gradient = mean_field.nuc_grad_method()
            gradient.grid_response = True
            self.results["forces"] = -gradient.kernel() * (units.Hartree / units.Bohr)


def method() -> dict[str, Any]:
    """Returns the level of theory and the versions, for the metadata file."""
    import pyscf

    return {
        "functional": FUNCTIONAL,
        "basis": BASIS,
        "electrons": "all, spin-restricted for closed shells, spin-unrestricted for atoms",
        "dispersion": None,
        "density_fitting": False,
        "scf_tolerance_hartree": SCF_TOLERANCE,
        "grid_level": GRID_LEVEL,
        "grid_response": True,
        "units": {"energy": "eV", "forces": "eV/Å", "positions": "Å"},
        "pyscf": pyscf.__version__,
        "ase": ase.__version__,
    }


@dataclass(frozen=True)
class Minimum:
    """A minimum of the potential energy surface and its normal modes.

    Attributes:
        symbols: chemical symbols, n_atoms of them.
        positions: [n_atoms, 3] in Å.
        energy: in eV.
        wavenumbers: [n_modes] in cm⁻¹, without translations and rotations.
        modes: [n_modes, n_atoms, 3], orthonormal in mass-weighted coordinates, divided by √m: amu^(−1/2).
    """

    symbols: list[str]
    positions: list[list[float]]
    energy: float
    wavenumbers: list[float]
    modes: list[list[list[float]]]


def find_minimum(name: str) -> Minimum:
    """Optimises a molecule of ASE's G2 collection and computes its analytic Hessian.

    Args:
        name: its name there, such as ``"CH3OH"``.

    Returns:
        The minimum, with a residual force below 0.001 eV/Å.

    Raises:
        ArithmeticError: if the optimisation fails or ends at a saddle point.
    """
    from pyscf.hessian import thermo

    atoms = molecule(name)
    atoms.calc = LevelOfTheory()
    if not BFGS(atoms).run(fmax=0.001, steps=200):
        raise ArithmeticError(f"{name}: the geometry optimisation did not converge in 200 steps")
    mean_field = atoms.calc.solve(atoms)
    analysis = thermo.harmonic_analysis(mean_field.mol, mean_field.Hessian().kernel(), imaginary_freq=False)
    wavenumbers = np.asarray(analysis["freq_wavenumber"])
    if wavenumbers.min() <= 0:
        raise ArithmeticError(f"{name}: a saddle point, not a minimum: {wavenumbers.min():.0f} cm⁻¹")
    return Minimum(
        symbols=atoms.get_chemical_symbols(),
        positions=atoms.positions.round(10).tolist(),
        energy=atoms.get_potential_energy(),
        wavenumbers=wavenumbers.round(4).tolist(),
        modes=np.asarray(analysis["norm_mode"]).round(8).tolist(),
    )


def restore_bonds(atoms: Atoms, reference: Atoms, tolerance: float = 1e-6) -> None:
    """Moves bonded atoms along their bonds until every bond has its length in the reference (SHAKE).

    Args:
        atoms: changed in place, without moving the centre of mass.
        reference: says which atoms are bonded, and at which distances.
        tolerance: in Å.

    Raises:
        ArithmeticError: if 1000 sweeps over the bonds do not suffice.
    """
    first, second, lengths = neighbor_list("ijd", reference, natural_cutoffs(reference, mult=1.2))
    bonds = [(i, j, d) for i, j, d in zip(first, second, lengths, strict=True) if i < j]
    masses = atoms.get_masses()
    for _ in range(1000):
        error = 0.0
        for i, j, target in bonds:
            bond = atoms.positions[j] - atoms.positions[i]
            length = np.linalg.norm(bond)
            error = max(error, abs(length - target))
            shift = bond * ((target - length) / length / (masses[i] + masses[j]))
            atoms.positions[i] -= masses[j] * shift
            atoms.positions[j] += masses[i] * shift
        if error < tolerance:
            return
    raise ArithmeticError("the bond lengths could not be restored")


def thermal_frames(minimum: Minimum, temperature: float, seed: int) -> Iterator[Atoms]:
    """Draws geometries from the classical harmonic distribution around a minimum; see the head of this file.

    Args:
        minimum: the minimum and its modes.
        temperature: in K.
        seed: frame i is drawn by the generator seeded with (seed, i).

    Yields:
        Geometries without end.
    """
    wavenumbers, modes = np.array(minimum.wavenumbers), np.array(minimum.modes)
    angular = 2 * np.pi * units._c * 100 * np.maximum(wavenumbers, CAP_WAVENUMBER)  # rad/s
    spreads = np.sqrt(units._k * temperature / units._amu) / angular * 1e10  # Å amu^½
    torsions = wavenumbers < CAP_WAVENUMBER
    reference = Atoms(minimum.symbols, minimum.positions)
    for index in itertools.count():
        rng = np.random.default_rng((seed, index))
        coordinates = spreads * rng.standard_normal(len(spreads))
        atoms = reference.copy()
        atoms.positions += np.einsum("i,ijx->jx", coordinates[torsions], modes[torsions])
        restore_bonds(atoms, reference)
        atoms.positions += np.einsum("i,ijx->jx", coordinates[~torsions], modes[~torsions])
        atoms.positions = Rotation.random(rng=rng).apply(atoms.positions)
        yield atoms


def energy_bound(minimum: Minimum, temperature: float) -> float:
    """Returns the total energy (eV) above which a frame is rejected: see the head of this file."""
    half = len(minimum.wavenumbers) / 2
    return minimum.energy + units.kB * temperature * (half + 5 * half**0.5)


def langevin_frames(atoms: Atoms, temperature: float, seed: int) -> Iterator[Atoms]:
    """Yields a geometry every 250 fs of Langevin dynamics (0.5 fs, 0.01/fs), after relaxation and 2 ps of heating."""
    rng = np.random.default_rng(seed)
    BFGS(atoms, logfile=None).run(fmax=0.05, steps=200)
    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature, rng=rng)
    options = {"temperature_K": temperature, "friction": 0.01 / units.fs, "rng": rng, "fixcm": False}
    dynamics = Langevin(atoms, timestep=0.5 * units.fs, **options)
    dynamics.run(4000)
    while True:
        dynamics.run(500)
        yield Atoms(atoms.numbers, atoms.positions)


def write_frames(path: Path, frames: list[Atoms]) -> None:
    """Replaces an extended XYZ file in one step, so that a killed run never leaves half a frame."""
    ase.io.write(path.with_suffix(".partial"), frames, format="extxyz")
    path.with_suffix(".partial").replace(path)


def label_frames(candidates: Iterable[Atoms], path: Path, wanted: int | None = None, bound: float = np.inf) -> None:
    """Labels geometries with energies and forces and writes each frame as soon as it is done.

    Args:
        candidates: the geometries; the same ones in the same order when a killed run goes on.
        path: the file; frames that it holds are not computed again.
        wanted: frames to label, all candidates if None.
        bound: a frame with a higher energy (eV) is rejected.
    """
    frames = ase.io.read(path, index=":") if path.exists() else []
    done = frames[-1].info["candidate"] + 1 if frames else 0
    calculator = LevelOfTheory()
    for index, candidate in itertools.islice(enumerate(candidates), done, None):
        if wanted is not None and len(frames) >= wanted:
            return
        start = time.perf_counter()
        frame = Atoms(candidate.numbers, candidate.positions.round(8))  # the digits that the file keeps
        frame.info = {"config_type": path.stem, "candidate": index}
        energy = calculator.get_potential_energy(frame)
        if energy > bound:
            print(f"{path.name}: candidate {index} rejected, {energy - bound:.3f} eV above the bound", flush=True)
            continue
        forces = calculator.get_property("forces", frame)
        frame.calc = SinglePointCalculator(frame, energy=energy, forces=forces)
        frames.append(frame)
        write_frames(path, frames)
        print(f"{path.name}: frame {len(frames)}, {energy:.4f} eV, {time.perf_counter() - start:.1f} s", flush=True)


def label_atoms(symbols: list[str], path: Path) -> None:
    """Writes the energies of isolated atoms in their ground states (spin-unrestricted)."""
    frames = []
    for symbol in symbols:
        spin = GROUND_STATE_SPIN[symbol]
        atom = Atoms(symbol, info={"config_type": "isolated_atom", "multiplicity": spin + 1})
        energy = LevelOfTheory(spin).get_potential_energy(atom)
        atom.calc = SinglePointCalculator(atom, energy=energy, forces=np.zeros((1, 3)))
        frames.append(atom)
        print(f"{symbol}: {energy:.6f} eV, multiplicity {spin + 1}", flush=True)
    write_frames(path, frames)


def check(path: Path, index: int, step: float = 1e-3) -> None:
    """Prints the largest net force, and how far a frame's forces are from central differences (``step`` in Å)."""
    frames = ase.io.read(path, index=":")
    net = max(np.abs(frame.get_forces().sum(axis=0)).max() for frame in frames)
    print(f"{path.name}: {len(frames)} frames, largest net force {net * 1e3:.2e} meV/Å")
    frame, calculator = frames[index], LevelOfTheory()
    difference = np.zeros_like(frame.positions)
    for atom, axis in np.ndindex(*difference.shape):
        for sign in (1, -1):
            moved = frame.copy()
            moved.positions[atom, axis] += sign * step
            difference[atom, axis] -= sign * calculator.get_potential_energy(moved) / (2 * step)
    largest = np.abs(difference - frame.get_forces()).max()
    print(f"{path.name}: frame {index}, largest |F + ΔE/Δx| {largest * 1e3:.2e} meV/Å")


def keep_record(path: Path, settings: dict[str, Any], compute: Callable[[], dict[str, Any]] = dict) -> dict[str, Any]:
    """Keeps the metadata file of a run, with the command that is running.

    Args:
        path: the metadata file; if it exists, the run goes on.
        settings: what must agree for a run to go on: sampler, seed, temperature, level of theory.
        compute: returns what only a new run has to compute.

    Returns:
        The metadata, with what was computed.
    """
    if path.exists():
        metadata = json.loads(path.read_text(encoding="utf-8"))
        different = [key for key, value in settings.items() if metadata.get(key) != value]
        if different:
            sys.exit(f"error: {path} was made with another {', '.join(different)}: choose another -o or delete it")
    else:
        metadata = settings | compute()
    metadata = metadata | {"command": shlex.join(["python", *sys.argv])}
    path.write_text(json.dumps(metadata, ensure_ascii=False) + "\n", encoding="utf-8")
    return metadata


def parse() -> argparse.Namespace:
    """Returns the verb and its options."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    modes = verbs.add_parser("modes", help="sample normal modes and label the frames")
    md = verbs.add_parser("md", help="sample Langevin dynamics of a model of the zoo; writes unlabelled geometries")
    for verb in (modes, md):
        verb.add_argument("molecule", help="name in ASE's G2 collection, such as CH3OH")
        verb.add_argument("--frames", type=int, default=100)
        verb.add_argument("--seed", type=int, default=0)
        verb.add_argument("--temperature", type=float, default=500.0, help="in K")
    md.add_argument("--model", required=True, help="weights name or checkpoint, such as gto_potential.rmd17_ethanol")
    label = verbs.add_parser("label", help="label the frames of any file that ASE reads")
    label.add_argument("file", type=Path)
    atoms = verbs.add_parser("atoms", help="energies of isolated atoms")
    atoms.add_argument("symbols", nargs="+", choices=sorted(GROUND_STATE_SPIN))
    for verb in (modes, md, label, atoms):
        verb.add_argument("-o", "--output", type=Path, required=True, help="extended XYZ file")
    checking = verbs.add_parser("check", help="compare stored forces with central differences of the energy")
    checking.add_argument("file", type=Path)
    checking.add_argument("--frame", type=int, default=0)
    options = parser.parse_args()
    if options.verb in {"modes", "md"} and options.molecule not in g2.names:
        parser.error(f"molecule: {options.molecule!r} is not in ASE's G2 collection ({', '.join(g2.names)})")
    if options.verb in {"label", "check"} and not options.file.is_file():
        parser.error(f"{options.file}: no such file")
    return options


def main(options: argparse.Namespace) -> None:
    """Runs one verb."""
    if options.verb == "check":
        check(options.file, options.frame)
        return
    options.output.parent.mkdir(parents=True, exist_ok=True)
    metadata = options.output.with_suffix(".json")
    if options.verb == "modes":
        settings = {"molecule": options.molecule, "sampler": "normal modes", "seed": options.seed}
        settings |= {"temperature_kelvin": options.temperature} | method()
        started = keep_record(metadata, settings, lambda: {"minimum": asdict(find_minimum(options.molecule))})
        minimum = Minimum(**started["minimum"])
        frames = thermal_frames(minimum, options.temperature, options.seed)
        label_frames(frames, options.output, options.frames, energy_bound(minimum, options.temperature))
    elif options.verb == "md":
        from sciml_zoo.potentials import ZooCalculator

        atoms = molecule(options.molecule)
        atoms.calc = ZooCalculator(options.model)
        frames = langevin_frames(atoms, options.temperature, options.seed)
        write_frames(options.output, list(itertools.islice(frames, options.frames)))
    elif options.verb == "label":
        keep_record(metadata, {"geometries": options.file.name} | method())
        label_frames(ase.io.read(options.file, index=":"), options.output)
    else:
        keep_record(metadata, method())
        label_atoms(options.symbols, options.output)


if __name__ == "__main__":
    main(parse())
