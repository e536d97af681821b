"""What ``sciml-zoo potentials relax`` and ``phonons`` do."""

import argparse
import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ase.io
import numpy as np
from ase import Atoms

from sciml_zoo.cli.output import plain_console, progress_bar, save_figure, write_json
from sciml_zoo.cli.potentials_inputs import structure_with_calculator
from sciml_zoo.errors import InputError
from sciml_zoo.potentials.phonons import Phonons, crystal_phonons
from sciml_zoo.potentials.relaxation import Relaxation, relax
from sciml_zoo.potentials.vibrations import Vibrations, molecular_vibrations

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["compute_phonons", "relax_structure"]

_STATIONARITY = {
    "energy_ev": ("energy, eV", ".6f"),
    "largest_force_ev_per_a": ("largest force, eV/Å", ".3g"),
    "pressure_gpa": ("pressure, GPa", ".4g"),
    "largest_stress_gpa": ("largest stress, GPa", ".4g"),
    "volume_a3": ("volume, Å³", ".4f"),
}
_IMAGINARY_CM, _IMAGINARY_THZ = 10.0, 0.1


def relax_structure(args: argparse.Namespace) -> int:
    """Relaxes a structure and writes it, whether or not the forces fell below the limit.

    Args:
        args: of the verb.

    Returns:
        The exit status: 1 if they did not.

    Raises:
        InputError: naming what is wrong with the options, the structure or the weights.
    """
    if args.pressure is not None and not args.cell:
        raise InputError("--pressure: only with --cell")
    atoms = structure_with_calculator(args, double=True)
    _write_structure(args.out, atoms, trial=True)
    options = {
        "cell": args.cell,
        "pressure": args.pressure or 0.0,
        "optimizer": args.optimizer,
        "max_steps": args.steps,
    }
    found = _relaxed(atoms, fmax=args.fmax, **options)
    _write_structure(args.out, atoms)
    write_json(
        args.json,
        {"model": args.model, "file": str(args.file), "fmax": args.fmax, **options, **dataclasses.asdict(found)},
    )
    console = plain_console()
    _show_relaxation(console, found)
    console.print(f"written to {args.out}", soft_wrap=True)
    if not found.converged:
        plain_console(stderr=True).print(
            f"sciml-zoo: not converged after {found.steps} steps: the largest force is above {args.fmax:g} eV/Å; "
            f"give {args.out} and more --steps, or a larger --fmax",
            soft_wrap=True,
        )
    return 0 if found.converged else 1


def _relaxed(atoms: Atoms, **options: Any) -> Relaxation:
    with progress_bar("relaxing") as show:
        return relax(atoms, on_step=lambda step, _: show(step, options.get("max_steps", 1000)), **options)


def _show_relaxation(console: "Console", found: Relaxation) -> None:
    from rich.table import Table

    table = Table("", "before", "after", box=None, pad_edge=False, header_style="bold")
    before, after = dataclasses.asdict(found.before), dataclasses.asdict(found.after)
    for name, (text, digits) in _STATIONARITY.items():
        if before[name] is not None:
            table.add_row(text, f"{before[name]:{digits}}", f"{after[name]:{digits}}")
    console.print(table)
    reached = "converged" if found.converged else "NOT converged"
    console.print(f"{reached} in {found.steps} steps; no atom moved more than {found.largest_displacement_a:.3g} Å")


def compute_phonons(args: argparse.Namespace) -> int:
    """Computes the vibrations of a molecule, or the phonons of a crystal.

    Args:
        args: of the verb.

    Returns:
        The exit status: 0 also where modes are imaginary.

    Raises:
        InputError: naming what is wrong with the options, the structure or the weights.
    """
    atoms = structure_with_calculator(args, double=True)
    if not atoms.pbc.any() and args.supercell is not None:
        raise InputError("--supercell: the structure is a molecule (pbc=False)")
    if atoms.pbc.any() and not atoms.pbc.all():
        raise InputError(f"{args.file}: periodic in some directions only; give a crystal or a molecule")
    if args.as_is and args.cell:
        raise InputError("--cell: not with --as-is")
    console = plain_console()
    result: dict[str, Any] = {"model": args.model, "file": str(args.file), "displacement": args.displacement}
    if not args.as_is:
        found = _relaxed(atoms, fmax=args.fmax, cell=args.cell)
        _show_relaxation(console, found)
        result["relaxation"] = dataclasses.asdict(found)
    title = f"{args.file.name}, {args.model}"
    with progress_bar("displacing atoms") as show:
        if atoms.pbc.any():
            supercell = None if args.supercell is None else tuple(args.supercell)
            crystal = crystal_phonons(atoms, supercell=supercell, displacement=args.displacement, on_progress=show)
            result |= _phonon_result(crystal, _IMAGINARY_THZ if args.tolerance is None else args.tolerance)
        else:
            molecule = molecular_vibrations(atoms, displacement=args.displacement, on_progress=show)
            result |= _vibration_result(molecule, _IMAGINARY_CM if args.tolerance is None else args.tolerance)
    if args.figure is not None:
        from sciml_zoo.potentials.figures import phonon_figure, vibration_figure

        drawn = phonon_figure(crystal, title=title) if atoms.pbc.any() else vibration_figure(molecule, title=title)
        save_figure(args.figure, drawn)
    write_json(args.json, result)
    (_show_phonons if atoms.pbc.any() else _show_vibrations)(console, result)
    return 0


def _vibration_result(found: Vibrations, tolerance: float) -> dict[str, Any]:
    return {
        "frequencies_cm": found.frequencies.tolist(),
        "rigid_frequencies_cm": found.rigid_frequencies.tolist(),
        "imaginary_cm": [f for f in found.frequencies.tolist() if f < -tolerance],
        "zero_point_energy_ev": found.zero_point_energy,
        "modes": found.modes.tolist(),
    }


def _show_vibrations(console: "Console", result: Mapping[str, Any]) -> None:
    shown = "  ".join(f"{frequency:.1f}" for frequency in result["frequencies_cm"])
    console.print(f"frequencies, cm⁻¹ (imaginary: negative):\n{shown}")
    rigid = max(map(abs, result["rigid_frequencies_cm"]))
    console.print(f"translations and rotations (removed): at most {rigid:.3g} cm⁻¹")
    console.print(f"zero-point energy: {result['zero_point_energy_ev']:.4f} eV")
    if result["imaginary_cm"]:
        n = len(result["imaginary_cm"])
        console.print(f"IMAGINARY: {n} mode{'s' * (n > 1)}: not a minimum; move the atoms along and relax again")


def _phonon_result(found: Phonons, tolerance: float) -> dict[str, Any]:
    return {
        "supercell": list(found.supercell),
        "n_displacements": found.n_displacements,
        "primitive_cell": found.primitive.cell.array.tolist(),
        "path": found.path,
        "special_points": [
            {"label": label, "distance": place} for label, place in zip(found.labels, found.ticks.tolist(), strict=True)
        ],
        "wave_vectors": found.wave_vectors.tolist(),
        "distances": found.distances.tolist(),
        "frequencies_thz": found.frequencies.tolist(),
        "gamma_thz": found.gamma.tolist(),
        "acoustic_violation_thz": found.acoustic_violation,
        "dos_frequencies_thz": found.dos_frequencies.tolist(),
        "dos_per_thz": found.dos.tolist(),
        "lowest_thz": found.lowest,
        "lowest_at": found.lowest_at.tolist(),
        "imaginary": found.lowest < -tolerance,
    }


def _show_phonons(console: "Console", result: Mapping[str, Any]) -> None:
    from rich.table import Table

    size = " × ".join(map(str, result["supercell"]))
    console.print(
        f"supercell {size}, {result['n_displacements']} displacements; frequencies in THz (imaginary: negative)"
    )
    places = {point["label"]: point["distance"] for point in reversed(result["special_points"])}
    distances = np.array(result["distances"])
    table = Table("", "frequencies", box=None, pad_edge=False, header_style="bold")
    for label, place in reversed(places.items()):
        row = result["frequencies_thz"][int(abs(distances - place).argmin())]
        table.add_row("Γ" if label == "G" else label, "  ".join(f"{frequency:.3f}" for frequency in row))
    console.print(table)
    console.print(f"acoustic sum rule: modes at Γ were at most {result['acoustic_violation_thz']:.2g} THz before it")
    if result["imaginary"]:
        place = ", ".join(f"{x:.3g}" for x in result["lowest_at"])
        console.print(
            f"IMAGINARY: down to {result['lowest_thz']:.3f} THz, at ({place}): the structure is not a minimum"
        )


def _write_structure(path: Path, atoms: Atoms, *, trial: bool = False) -> None:
    """Writes a structure, or finds out whether its format can hold it."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as aside:
        written = Path(aside) / path.name
        try:
            ase.io.write(written, atoms)
        except Exception as error:  # each of ASE's many writers fails in its own way
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"{path}: cannot be written ({reason}); a name that ends in .extxyz always can") from None
        if not trial:
            written.replace(path)
