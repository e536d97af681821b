"""Other simulation programs against the ASE calculator: energies, forces and stresses, and the time of a step.

    python -m benchmarks.potentials.engines [--lammps lmp [--mpirun mpirun]]

torch-sim and OpenMM are those of the project's environment. LAMMPS needs ``pair_style mliap unified``, which its wheel
on PyPI lacks: give an executable, built for this Python with

    cmake cmake -D PKG_ML-IAP=on -D PKG_ML-SNAP=on -D PKG_PYTHON=on -D MLIAP_ENABLE_PYTHON=on -D BUILD_SHARED_LIBS=on

and with its Python module ``lammps`` in PYTHONPATH; and, to divide the box among processes, its MPI. The molecule is
ethanol; the crystal is silicon with the weights of ``--periodic``, or with a small untrained potential as long as there
are none. Errors are parts of the largest force, of the largest component of the stress, and of the energy. All on one
thread.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import openmm
import torch
import torch_sim
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.md.verlet import VelocityVerlet
from rich.console import Console
from rich.table import Table

import sciml_zoo as sz
from benchmarks._results import machine, write_results
from sciml_zoo.potentials import TorchSimModel, ZooCalculator, export_lammps, export_openmm, openmm_force
from sciml_zoo.potentials.data import collate, model_inputs, to_graph
from sciml_zoo.potentials.potential import Potential

ALLOWED = 1e-5  # relative, float32
STEPS = 20
COPIES = 8
STEP = 0.5  # fs
KJ_PER_MOL = units.mol / units.kJ


@dataclass(frozen=True)
class Found:
    """What a program says of a structure: eV, eV/Å, eV/Å³ (ASE's sign) and ms for a step of it."""

    energy: float
    forces: np.ndarray
    stress: np.ndarray | None
    milliseconds: float


def systems(weights: str, periodic: str) -> list[tuple[str, Potential, Atoms]]:
    """Returns names, models and structures."""
    ethanol = molecule("CH3CH2OH")
    ethanol.rattle(0.03, seed=0)
    silicon = bulk("Si", "diamond", a=5.43, cubic=True).repeat(2)
    silicon.rattle(0.05, seed=0)
    if periodic in sz.list_models(pretrained=True):
        return [(weights, sz.load_model(weights), ethanol), (periodic, sz.load_model(periodic), silicon)]
    torch.manual_seed(0)
    untrained = sz.create_model("gto_potential", elements=(14,), cutoff=5.0, n_channels=16).eval()
    untrained.calibrate(**model_inputs(collate([to_graph(silicon, untrained.cutoff)])))
    return [(weights, sz.load_model(weights), ethanol), ("untrained gto_potential", untrained, silicon)]


def in_ase(model: Potential, atoms: Atoms) -> Found:
    """Returns what the ASE calculator says."""
    atoms = atoms.copy()
    atoms.calc = ZooCalculator(model)
    stress = atoms.get_stress(voigt=False) if atoms.pbc.all() else None
    energy, forces = atoms.get_potential_energy(), atoms.get_forces().copy()
    dynamics = VelocityVerlet(atoms, STEP * units.fs)
    return Found(energy, forces, stress, timed(dynamics.run))


def in_torch_sim(model: Potential, atoms: Atoms) -> Found:
    """Returns what torch-sim says of copies in one batch; the time of a step is for each copy."""
    wrapped = TorchSimModel(model, device="cpu")
    state = torch_sim.initialize_state([atoms] * COPIES, wrapped.device, wrapped.dtype)
    output = wrapped(state)
    init, advance = torch_sim.integrators.nve(wrapped, dt=torch.tensor(STEP * units.fs), kT=torch.tensor(1e-6), seed=0)
    moving = init(state)

    def run(steps: int) -> None:
        nonlocal moving
        for _ in range(steps):
            moving = advance(moving)

    stress = output["stress"][-1].numpy() if atoms.pbc.all() else None
    forces = output["forces"][-len(atoms) :].numpy()
    return Found(output["energy"][-1].item(), forces, stress, timed(run) / COPIES)


def in_openmm(model: Potential, atoms: Atoms, folder: Path) -> Found:
    """Returns what OpenMM says with the exported file."""
    periodic = bool(atoms.pbc.all())
    system = openmm.System()
    for mass in atoms.get_masses():
        system.addParticle(mass)
    if periodic:
        system.setDefaultPeriodicBoxVectors(*(openmm.Vec3(*vector) for vector in atoms.cell.array / 10))
    system.addForce(openmm_force(export_openmm(model, atoms, folder / "openmm.pt"), periodic=periodic))
    integrator = openmm.VerletIntegrator(STEP / 1000)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(atoms.positions / 10)
    state = context.getState(energy=True, forces=True)
    kilojoule, nm = openmm.unit.kilojoule_per_mole, openmm.unit.nanometer
    energy = state.getPotentialEnergy().value_in_unit(kilojoule) / KJ_PER_MOL
    forces = state.getForces(asNumpy=True).value_in_unit(kilojoule / nm) / KJ_PER_MOL / 10
    return Found(energy, np.array(forces), None, timed(integrator.step))


_INPUT = """
units metal
atom_style atomic
atom_modify map yes
newton on
boundary {boundary}
read_data {data}
pair_style mliap unified {model} 0
pair_coeff * * {elements}
neighbor 1.0 bin
timestep {step}
thermo_style custom step pe pxx pyy pzz pyz pxz pxy
thermo_modify format float %.16g norm no
dump forces all custom 1 {forces} id fx fy fz
dump_modify forces sort id format float %.16g
fix nve all nve
run 0
undump forces
run {warm}
run {steps}
"""


def in_lammps(model: Potential, atoms: Atoms, folder: Path, command: list[str]) -> Found:
    """Returns what LAMMPS says with the exported file."""
    atoms = atoms.copy()
    boundary = "p p p" if atoms.pbc.all() else "f f f"
    if not atoms.pbc.any():
        atoms.center(vacuum=6.0)
    elements = sorted(set(atoms.symbols))
    data, forces, script = folder / "data", folder / "forces", folder / "in.lammps"
    ase.io.write(data, atoms, format="lammps-data", specorder=elements, masses=True, units="metal", atom_style="atomic")
    script.write_text(
        _INPUT.format(
            boundary=boundary,
            data=data,
            model=export_lammps(model, folder / "lammps.pt"),
            elements=" ".join(elements),
            step=STEP / 1000,
            forces=forces,
            warm=5,
            steps=STEPS,
        )
    )
    places = [str(Path(__file__).parents[2]), *filter(None, sys.path)]  # those of PYTHONPATH included
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(places)}
    finished = subprocess.run(
        [*command, "-in", script, "-log", "none"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise SystemExit(f"{' '.join(command)}:\n{finished.stdout[-3000:]}\n{finished.stderr[-3000:]}")
    lines = finished.stdout.splitlines()
    heading = next(index for index, line in enumerate(lines) if line.split()[:2] == ["Step", "PotEng"])
    _, energy, xx, yy, zz, yz, xz, xy = map(float, lines[heading + 1].split())
    found = np.loadtxt(forces, skiprows=9)[:, 1:]
    pressure = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    seconds = float(re.findall(r"Loop time of (\S+)", finished.stdout)[-1])
    return Found(energy, found, -pressure * 1e-4 * units.GPa, 1000 * seconds / STEPS)


def timed(run: Callable[[int], Any]) -> float:
    """Returns the time of a step, ms."""
    run(5)
    begun = time.perf_counter()
    run(STEPS)
    return 1000 * (time.perf_counter() - begun) / STEPS


def compared(found: Found, expected: Found) -> dict[str, float]:
    """Returns relative errors and times."""
    row = {
        "energy": abs(found.energy - expected.energy) / abs(expected.energy),
        "forces": float(np.abs(found.forces - expected.forces).max() / np.abs(expected.forces).max()),
    }
    if found.stress is not None and expected.stress is not None:
        row["stress"] = float(np.abs(found.stress - expected.stress).max() / np.abs(expected.stress).max())
    return row | {"ms_per_step": found.milliseconds, "ase_ms_per_step": expected.milliseconds}


def main() -> int:
    """Returns 0 where all programs agree with the calculator; prints a table, writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="gto_potential.rmd17_ethanol", help="of the molecule")
    parser.add_argument("--periodic", default="gto_potential.si", help="weights of the crystal")
    parser.add_argument("--lammps", type=Path, metavar="EXECUTABLE", help="with pair_style mliap unified")
    parser.add_argument("--mpirun", type=Path, metavar="EXECUTABLE", help="of the MPI that LAMMPS was built with")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    versions = {"torch-sim-atomistic": version("torch-sim-atomistic"), "openmm": openmm.__version__}
    programs: dict[str, Callable[[Potential, Atoms, Path], Found]] = {
        f"torch-sim, {COPIES} copies": lambda model, atoms, _: in_torch_sim(model, atoms),
        "OpenMM": in_openmm,
    }
    if chosen.lammps:
        lammps = str(chosen.lammps)
        told = subprocess.run([lammps, "-h"], capture_output=True, text=True, check=True).stdout
        versions["lammps"] = re.findall(r"Simulator - (.*)", told)[0].strip()
        programs["LAMMPS"] = lambda model, atoms, folder: in_lammps(model, atoms, folder, [lammps])
        if chosen.mpirun:
            parts = [str(chosen.mpirun), "-n", "2", lammps]
            programs["LAMMPS, 2 processes"] = lambda model, atoms, folder: in_lammps(model, atoms, folder, parts)
    table = Table("program", "potential", "atoms", "energy", "forces", "stress", "ms/step", "ASE", box=None)
    rows = []
    for name, model, atoms in systems(chosen.weights, chosen.periodic):
        expected = in_ase(model, atoms)
        for program, run in programs.items():
            with tempfile.TemporaryDirectory() as folder:
                row = compared(run(model, atoms, Path(folder)), expected)
            rows.append({"program": program, "potential": name, "atoms": len(atoms), **row})
            print(f"{program}, {name}: forces within {row['forces']:.1e}", flush=True)
            errors = (f"{row[key]:.1e}" if key in row else "" for key in ("energy", "forces", "stress"))
            times = (f"{row[key]:.2f}" for key in ("ms_per_step", "ase_ms_per_step"))
            table.add_row(program, name, str(len(atoms)), *errors, *times)
    worst = max(row[key] for row in rows for key in ("energy", "forces", "stress") if key in row)
    Console().print(table)
    print(f"largest error: {worst:.1e}, allowed {ALLOWED:.0e}")
    if not chosen.lammps:
        print("LAMMPS: not run; give --lammps")
    name = "potentials.engines_lammps" if chosen.lammps else "potentials.engines"
    write_results(name, {"machine": machine(**versions), "allowed": ALLOWED, "programs": rows})
    return int(worst > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
