"""Simulations of any length, in stages: what a stage leaves on disk, the next goes on from."""

import hashlib
import time
from dataclasses import asdict
from pathlib import Path

from ase import Atoms

from benchmarks.potentials._weights import short_name
from sciml_zoo.errors import InputError
from sciml_zoo.potentials.dynamics import DynamicsConfig, Sample, Simulation
from sciml_zoo.potentials.potential import Potential
from sciml_zoo.potentials.trajectory import SimulationFiles

__all__ = ["fingerprint", "in_stages"]

#: Where stages leave their state; git ignores it.
FOLDER = Path(__file__).parents[2] / "runs" / "benchmarks"
#: Seconds between states on disk.
SAVE_EVERY = 30.0


def fingerprint(model: Potential) -> str:
    """Returns a hash of all that a potential's predictions depend on."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def in_stages(
    name: str, weights: str, atoms: Atoms, config: DynamicsConfig, picoseconds: float, minutes: float
) -> tuple[list[Sample], SimulationFiles, float | None] | None:
    """Runs a simulation, or goes on with it, for as long as there is time.

    It begins again if the weights, the structure or the settings have changed.

    Args:
        name: of the simulation.
        weights: whose potential the structure's calculator has.
        atoms: the structure; it moves.
        config: what is simulated.
        picoseconds: in all.
        minutes: after which this stage ends.

    Returns:
        All samples, the files, and seconds per step of this stage (None if nothing was left to do); None if the
        simulation is not finished.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    steps = round(1000 * picoseconds / config.timestep)
    settings = {
        "potential": fingerprint(atoms.calc.model),
        "numbers": atoms.numbers.tolist(),
        "positions": hashlib.sha256(atoms.positions.round(6).tobytes()).hexdigest()[:16],
        **asdict(config),
    }
    simulation = Simulation(atoms, config)
    files = SimulationFiles(FOLDER / f"{name}_{short_name(weights)}.extxyz", None, settings)
    try:
        simulation.load_state_dict(files.resume())
        print(f"{name}: goes on from {simulation.step * config.timestep / 1000:g} ps", flush=True)
    except InputError as reason:
        if files.restart.exists():
            print(f"{name}: begins again ({reason})", flush=True)
        for path in (files.trajectory.path, files.log.path, files.restart):
            path.unlink(missing_ok=True)
        files.save(simulation.state_dict())
    begun, first = time.monotonic(), simulation.step
    saved = begun
    while simulation.step < steps and time.monotonic() - begun < 60 * minutes:
        simulation.run(min(steps, simulation.step + config.every), on_sample=lambda sample: files.add(atoms, sample))
        if time.monotonic() - saved > SAVE_EVERY:
            files.save(simulation.state_dict())
            saved = time.monotonic()
            print(f"{name}: {simulation.step * config.timestep / 1000:.2f} of {picoseconds:g} ps", flush=True)
    seconds = time.monotonic() - begun
    files.save(simulation.state_dict())
    if simulation.step < steps:
        done = simulation.step * config.timestep / 1000
        print(f"{name}: {done:.2f} of {picoseconds:g} ps done; the same command goes on", flush=True)
        return None
    # A trajectory that was asked to be longer before is cut.
    samples = [sample for sample in files.log.read() if sample.step <= steps]
    return samples, files, seconds / (simulation.step - first) if simulation.step > first else None
