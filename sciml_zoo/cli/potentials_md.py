"""What ``sciml-zoo potentials md`` does."""

import argparse
import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ase import Atoms

from sciml_zoo.cli.output import plain_console, progress_bar, save_figure, write_json
from sciml_zoo.cli.potentials_inputs import structure_with_calculator
from sciml_zoo.errors import InputError
from sciml_zoo.potentials.averages import averages, energy_drift
from sciml_zoo.potentials.calculator import ZooCalculator
from sciml_zoo.potentials.dynamics import DynamicsConfig, Sample, Simulation
from sciml_zoo.potentials.trajectory import SimulationFiles

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["run_dynamics"]

# Seconds between two states that --resume could go on from.
_SAVE_EVERY = 10.0
_AVERAGES = {
    "temperature_k": ("temperature, K", ".1f"),
    "potential_ev": ("potential energy, eV", ".4f"),
    "pressure_gpa": ("pressure, GPa", ".4f"),
    "volume_a3": ("volume, Å³", ".2f"),
    "density_g_per_cm3": ("density, g/cm³", ".4f"),
}


def run_dynamics(args: argparse.Namespace) -> int:
    """Runs molecular dynamics.

    Args:
        args: of the verb.

    Returns:
        The exit status.

    Raises:
        InputError: naming what is wrong with the options, the structure or the weights.
    """
    config = _dynamics_config(args)
    steps = args.steps if args.picoseconds is None else math.ceil(1000 * args.picoseconds / args.timestep - 1e-9)
    if args.out is None and (args.log or args.resume):
        raise InputError(
            f"--{'log' if args.log else 'resume'}: a simulation with such files has a trajectory; add --out"
        )
    atoms = structure_with_calculator(args)
    simulation = Simulation(atoms, config)
    limit = _uncertainty_limit(args, atoms.calc)
    samples: list[Sample] = []
    files = None
    if args.out is not None:
        settings = {"model": args.model, "file": str(args.file), "frame": args.frame, **dataclasses.asdict(config)}
        settings |= {"numbers": atoms.numbers.tolist(), "max_temperature": None}  # which may change
        files = SimulationFiles(args.out, args.log, settings)
        if args.resume:
            simulation.load_state_dict(files.resume())
            samples = files.log.read()
            if simulation.step > steps:
                raise InputError(f"--resume: {simulation.step} steps have been done already, more than {steps}")
        else:
            files.begin()
            files.save(simulation.state_dict())
    start, begun = simulation.step, time.monotonic()
    saved = begun

    def take(sample: Sample) -> None:
        nonlocal saved
        samples.append(sample)
        if files is not None:
            files.add(atoms, sample)
            if time.monotonic() - saved > _SAVE_EVERY:
                files.save(simulation.state_dict())
                saved = time.monotonic()

    with progress_bar("simulating") as show:
        simulation.run(steps, on_sample=take, on_progress=show, max_force_uncertainty=limit)
    seconds = time.monotonic() - begun
    if files is not None:
        files.save(simulation.state_dict())
    result = {
        "model": args.model,
        "file": str(args.file),
        "n_atoms": len(atoms),
        "steps": simulation.step,
        "picoseconds": simulation.step * config.timestep / 1000,
        **dataclasses.asdict(config),
        **_summary(samples, atoms, config),
        "ms_per_step": 1000 * seconds / (simulation.step - start) if simulation.step > start else None,
        "neighbour_searches": atoms.calc.neighbours.searches,
    }
    if args.figure is not None:
        from sciml_zoo.potentials.figures import dynamics_figure

        title = f"{args.file.name}, {args.model}, {config.ensemble}"
        temperature = None if config.ensemble == "nve" else config.temperature
        save_figure(args.figure, dynamics_figure(samples, temperature=temperature, title=title))
    write_json(args.json, result)
    _show_dynamics(plain_console(), result, files)
    return 0


def _dynamics_config(args: argparse.Namespace) -> DynamicsConfig:
    if args.ensemble != "npt":
        for name, given in (("--pressure", args.pressure is not None), ("--flexible-cell", args.flexible_cell)):
            if given:
                raise InputError(f"{name}: only with --ensemble npt")
    names = [field.name for field in dataclasses.fields(DynamicsConfig)]
    options = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return DynamicsConfig(**options)


def _uncertainty_limit(args: argparse.Namespace, calculator: ZooCalculator) -> float:
    if not args.stop_on_extrapolation:
        return math.inf
    if not calculator.model.uncertainty.calibrated:
        raise InputError(
            f"--stop-on-extrapolation: the uncertainty of {args.model} has not been calibrated; "
            "see `sciml-zoo potentials calibrate`"
        )
    return calculator.model.uncertainty.threshold


def _summary(samples: Sequence[Sample], atoms: Atoms, config: DynamicsConfig) -> dict[str, Any]:
    """Returns averages over the second half, and what is conserved."""
    found: dict[str, Any] = {}
    for name, (mean, error) in averages(samples, atoms.get_masses().sum()).items():
        found[f"mean_{name}"], found[f"error_{name}"] = mean, error
    if config.ensemble == "nve" and len(samples) > 2:
        drift, deviation = energy_drift(samples, len(atoms))
        found["drift_mev_per_atom_per_ps"] = drift
        found["fluctuation_mev_per_atom"] = deviation
    uncertain = [s.force_uncertainty_ev_per_a for s in samples if s.force_uncertainty_ev_per_a is not None]
    if uncertain:
        found["largest_force_uncertainty_ev_per_a"] = max(uncertain)
    return found


def _show_dynamics(console: "Console", result: Mapping[str, Any], files: SimulationFiles | None) -> None:
    from rich.table import Table

    console.print(
        f"{result['n_atoms']} atoms, {result['ensemble']}, {result['picoseconds']:g} ps; means of the second half"
    )
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, (text, digits) in _AVERAGES.items():
        if f"mean_{name}" in result:
            error = result[f"error_{name}"]
            table.add_row(text, f"{result[f'mean_{name}']:{digits}}", "" if error is None else f"± {error:{digits}}")
    for name, text in (
        ("drift_mev_per_atom_per_ps", "drift of the total energy, meV/atom/ps"),
        ("fluctuation_mev_per_atom", "its fluctuation, meV/atom"),
        ("largest_force_uncertainty_ev_per_a", "largest force uncertainty, eV/Å"),
        ("ms_per_step", "milliseconds a step"),
    ):
        if result.get(name) is not None:
            table.add_row(text, f"{result[name]:.4g}")
    console.print(table)
    if files is not None:
        console.print(f"trajectory: {files.trajectory.path}; samples: {files.log.path}", soft_wrap=True)
