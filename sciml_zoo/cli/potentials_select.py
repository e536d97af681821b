"""``sciml-zoo potentials calibrate`` and ``select``: how far a potential may be trusted, and what to label next."""

import argparse
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciml_zoo.cli.arguments import count, file_ending_in, positive
from sciml_zoo.cli.output import add_json_option, choose_device, plain_console, progress_bar, write_json, write_whole
from sciml_zoo.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from sciml_zoo.potentials.potential import Potential
    from sciml_zoo.potentials.selection import Selection

__all__ = ["add_calibrate", "add_select"]

_WEIGHTS = "weights of a potential (see `sciml-zoo list`), local-dir:PATH or hf-hub:ORG/REPO@REV"
_TO_MILLI = 1000.0


def add_calibrate(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds ``calibrate``.

    Args:
        verbs: of the group.
    """
    verb = verbs.add_parser(
        "calibrate",
        help="fit a potential's uncertainty",
        description="Fit the uncertainty of a potential that was trained without one, and save the potential with it. "
        "Energies and forces stay as they are.",
    )
    verb.add_argument("weights", metavar="WEIGHTS", help=_WEIGHTS)
    verb.add_argument("--train", required=True, metavar="FILE", help="the structures that it was trained on")
    verb.add_argument(
        "--validation", required=True, metavar="FILE", help="labelled structures that it was not trained on"
    )
    verb.add_argument("-o", "--out", type=Path, required=True, metavar="DIR", help="the checkpoint to write")
    verb.add_argument("--energy-key", default="energy", metavar="KEY", help="in --validation; default: energy")
    verb.add_argument("--forces-key", default="forces", metavar="KEY", help="in --validation; default: forces")
    verb.add_argument("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda, …")
    add_json_option(verb)
    verb.set_defaults(run=_calibrate)


def add_select(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds ``select``.

    Args:
        verbs: of the group.
    """
    verb = verbs.add_parser(
        "select",
        help="choose the structures to label next",
        description="Choose from a pool the structures whose labels would teach a potential most: uncertain ones, and "
        "not several of a kind. They are written in the order of choice, with the uncertainty of each atom's force.",
    )
    verb.add_argument("pool", metavar="POOL", help="structures, such as a trajectory; labels are not used")
    verb.add_argument("--model", required=True, metavar="NAME", help=_WEIGHTS)
    verb.add_argument("-n", "--n", type=count, default=50, metavar="N", help="how many; default: 50")
    verb.add_argument(
        "--out", type=file_ending_in(".extxyz", ".xyz"), required=True, metavar="FILE.extxyz", help="those chosen"
    )
    verb.add_argument(
        "--max-uncertainty",
        type=positive,
        metavar="S",
        help="choose no structure with an atom beyond S (eV/Å): it has fallen apart, and cannot be labelled",
    )
    verb.add_argument("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda, …")
    add_json_option(verb)
    verb.set_defaults(run=_select)


# The verbs import torch, which the command line itself must not.


def _potential(name: str, device: str) -> "Potential":
    from sciml_zoo.potentials.potential import Potential
    from sciml_zoo.zoo.resolve import load_model

    model = load_model(name, device=device)
    if not isinstance(model, Potential):
        raise InputError(f"{name}: not an interatomic potential; see `sciml-zoo list --domain potentials`")
    return model


def _calibrate(args: argparse.Namespace) -> int:
    from rich.table import Table

    from sciml_zoo.datasets import referenced_file
    from sciml_zoo.potentials.calibration import calibrate_uncertainty
    from sciml_zoo.potentials.data import read_structures, to_graph
    from sciml_zoo.zoo.checkpoint import read_checkpoint, save_model
    from sciml_zoo.zoo.resolve import resolve

    model = _potential(args.weights, choose_device(args.device))
    train, validation = referenced_file(args.train), referenced_file(args.validation)
    if train.exists() and validation.exists() and train.samefile(validation):
        raise InputError(
            f"--validation {args.validation}: the file of --train; errors of training structures are too small, give "
            "others"
        )
    keys = {"energy_key": args.energy_key, "forces_key": args.forces_key}
    known = read_structures(train)
    held_out = read_structures(validation, energy=True, forces=True, **keys)
    for path, structures in ((train, known), (validation, held_out)):
        for frame, atoms in enumerate(structures):
            model.check_elements(atoms.numbers, f"{path}, frame {frame}")
    with progress_bar("calibrating") as show:
        fit = calibrate_uncertainty(
            model,
            [to_graph(atoms, model.cutoff) for atoms in known],
            [to_graph(atoms, model.cutoff, labels=True, **keys) for atoms in held_out],
            on_progress=show,
        )
    metadata = read_checkpoint(resolve(args.weights)).config.metadata
    save_model(model, args.out, metadata={**metadata, "uncertainty": fit.as_dict()})
    write_json(args.json, {**fit.as_dict(), "out": str(args.out)})
    table = Table("uncertainty", "", box=None, pad_edge=False, header_style="bold")
    table.add_row("structures", f"{fit.n_training} of training, {fit.n_validation} of validation")
    table.add_row("exponent", f"{fit.exponent:.2f}")
    table.add_row("scales, eV/Å", ", ".join(f"{symbol} {scale:.3g}" for symbol, scale in fit.scales.items()))
    table.add_row("validation forces: rms error / expected", f"{fit.force_ratio:.2f}")
    table.add_row("validation forces: rank correlation", f"{fit.force_spearman:.2f}")
    table.add_row("extrapolation beyond", f"{_TO_MILLI * fit.threshold:.1f} meV/Å")
    console = plain_console()
    console.print(table)
    console.print(f"load it with sciml_zoo.load_model('local-dir:{args.out}')", soft_wrap=True)
    return 0


def _select(args: argparse.Namespace) -> int:
    from sciml_zoo.datasets import referenced_file
    from sciml_zoo.potentials.data import read_structures
    from sciml_zoo.potentials.selection import select_structures

    device = choose_device(args.device)
    model = _potential(args.model, device)
    model.uncertainty.require_calibrated()
    source = referenced_file(args.pool)
    if args.out.exists() and source.exists() and args.out.samefile(source):
        raise InputError(f"--out {args.out}: the output would overwrite the pool; choose another name")
    pool = read_structures(source)
    with progress_bar("evaluating the pool") as show:
        chosen = select_structures(
            model,
            pool,
            args.n,
            max_uncertainty=args.max_uncertainty,
            where=str(source),
            device=device,
            on_progress=show,
        )
    _write(args.out, pool, chosen)
    rows = [_row(frame, gain, pool[frame], chosen) for frame, gain in zip(chosen.frames, chosen.gains, strict=True)]
    extrapolated = chosen.extrapolated
    write_json(
        args.json,
        {
            "pool": len(pool),
            "extrapolated": int(extrapolated.sum()),
            "threshold": chosen.threshold,
            "chosen": rows,
            "max_uncertainties": [float(own.max()) for own in chosen.uncertainties],
            "out": str(args.out),
        },
    )
    _show(rows)
    beyond = f"an atom beyond {_TO_MILLI * chosen.threshold:.1f} meV/Å"
    plain_console().print(
        f"{extrapolated.sum()} of {len(pool)} structures extrapolate ({beyond}), "
        f"{extrapolated[chosen.frames].sum()} of the {len(rows)} chosen; those are in {args.out}",
        soft_wrap=True,
    )
    return 0


def _row(frame: int, gain: float, atoms: "Atoms", chosen: "Selection") -> dict[str, Any]:
    own = chosen.uncertainties[frame]
    worst = int(own.argmax())
    return {
        "frame": frame,
        "gain": gain,
        "max_uncertainty": float(own.max()),
        "mean_uncertainty": float(own.mean()),
        "atom": worst,
        "element": atoms.symbols[worst],
        "extrapolated": bool(own.max() > chosen.threshold),
    }


def _show(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(
        "frame", "gain, nats", "max, meV/Å", "mean, meV/Å", "atom", "", box=None, pad_edge=False, header_style="bold"
    )
    for row in rows:
        table.add_row(
            str(row["frame"]),
            f"{row['gain']:.2f}",
            f"{_TO_MILLI * row['max_uncertainty']:.1f}",
            f"{_TO_MILLI * row['mean_uncertainty']:.1f}",
            f"{row['element']}{row['atom']}",
            "extrapolates" if row["extrapolated"] else "",
        )
    plain_console().print(table)


def _write(path: Path, pool: "list[Atoms]", chosen: "Selection") -> None:
    """Writes the chosen structures with what they carried, ``pool_frame`` and ``force_uncertainty`` (eV/Å)."""
    import ase.io

    frames = []
    for index in chosen.frames:
        frame = pool[index].copy()
        frame.calc = pool[index].calc
        frame.info["pool_frame"] = index
        frame.arrays["force_uncertainty"] = chosen.uncertainties[index]
        frames.append(frame)
    text = io.StringIO()
    ase.io.write(text, frames, format="extxyz")
    write_whole(path, text.getvalue())
