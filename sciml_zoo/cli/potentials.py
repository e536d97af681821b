"""``sciml-zoo potentials``: dynamics, relaxation and phonons of a structure file with a potential of the zoo."""

import argparse
from pathlib import Path

from sciml_zoo.cli.arguments import count, file_ending_in, image_file, not_negative, positive, whole
from sciml_zoo.cli.output import add_json_option, output_file
from sciml_zoo.cli.potentials_export import add_export
from sciml_zoo.cli.potentials_select import add_calibrate, add_select

__all__ = ["add_parser"]

_ENSEMBLES = ("nve", "nvt", "npt")
_OPTIMIZERS = ("auto", "bfgs", "lbfgs", "fire")
_trajectory = file_ending_in(".extxyz", ".xyz")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the group ``potentials``; each of its verbs sets ``run``, a function of the parsed arguments.

    Args:
        subparsers: of the main parser.
    """
    parser = subparsers.add_parser(
        "potentials",
        help="simulate with an interatomic potential",
        description="Molecular dynamics, relaxation and phonons of a structure file, with a potential of the zoo.",
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    _add_md(verbs)
    _add_relax(verbs)
    _add_phonons(verbs)
    add_calibrate(verbs)
    add_select(verbs)
    add_export(verbs)


def _add_structure(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("file", type=Path, metavar="FILE", help="any structure file that ASE reads")
    verb.add_argument(
        "--model",
        required=True,
        metavar="NAME",
        help="weights of a potential (see `sciml-zoo list`), local-dir:PATH or hf-hub:ORG/REPO@REV",
    )
    verb.add_argument(
        "--frame", type=int, default=-1, metavar="I", help="of the file, from 0; negative: from the end; default: last"
    )
    verb.add_argument("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda, …")
    add_json_option(verb)


def _add_md(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "md",
        help="run molecular dynamics",
        description="Molecular dynamics: velocity Verlet (nve), or Langevin dynamics by the BAOAB splitting (nvt, npt: "
        "with a Langevin barostat). Velocities are drawn at the temperature. The trajectory grows by whole frames; "
        "beside it are a table of the samples (.csv) and what --resume needs (.restart.json).",
    )
    _add_structure(verb)
    verb.add_argument("--ensemble", choices=_ENSEMBLES, default="nvt", help="default: nvt")
    verb.add_argument("--temperature", type=positive, default=300.0, metavar="K", help="default: 300")
    verb.add_argument("--pressure", type=float, metavar="GPA", help="of npt; default: 0.0001, which is 1 bar")
    verb.add_argument("--flexible-cell", action="store_true", help="npt: the cell's shape changes too, as in a crystal")
    length = verb.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=count, metavar="N", help="in all, those before --resume included")
    length.add_argument("--picoseconds", type=positive, metavar="P", help="instead: as time")
    verb.add_argument("--timestep", type=positive, default=0.5, metavar="FS", help="default: 0.5")
    verb.add_argument(
        "--thermostat-time", type=positive, default=200.0, metavar="FS", help="1/friction of nvt, npt; default: 200"
    )
    verb.add_argument("--barostat-time", type=positive, default=2000.0, metavar="FS", help="of npt; default: 2000")
    verb.add_argument(
        "--keep-velocities", action="store_true", help="start with the file's velocities instead of drawing them"
    )
    verb.add_argument("--seed", type=whole, default=0, metavar="S", help="of all that is random; default: 0")
    verb.add_argument("--every", type=count, default=20, metavar="N", help="steps between two samples; default: 20")
    verb.add_argument(
        "--max-temperature",
        type=positive,
        metavar="K",
        help="stop where it is hotter; default: 10 times --temperature, at least 3000",
    )
    verb.add_argument(
        "--stop-on-extrapolation",
        action="store_true",
        help="stop where a force is less certain than the model's calibrated threshold",
    )
    verb.add_argument("--out", type=_trajectory, metavar="FILE", help="the trajectory, .extxyz")
    verb.add_argument(
        "--log", type=file_ending_in(".csv"), metavar="FILE.csv", help="the samples; default: beside --out, if any"
    )
    verb.add_argument("--resume", action="store_true", help="go on with --out where it ended; --steps may be more")
    verb.add_argument(
        "--figure", type=image_file, metavar="FILE", help="draw temperature and energies, to .png, .pdf or .svg"
    )
    verb.set_defaults(run=_md)


def _add_relax(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "relax",
        help="minimise the energy",
        description="Move atoms (and with --cell the cell) until no force is larger than --fmax. In float64.",
    )
    _add_structure(verb)
    verb.add_argument("-o", "--out", type=output_file, required=True, metavar="FILE", help="the relaxed structure")
    verb.add_argument("--fmax", type=positive, default=0.01, metavar="F", help="eV/Å; default: 0.01")
    verb.add_argument("--cell", action="store_true", help="relax the cell too")
    verb.add_argument("--pressure", type=float, metavar="GPA", help="with --cell; default: 0")
    verb.add_argument(
        "--optimizer", choices=_OPTIMIZERS, default="auto", help="default: bfgs, and lbfgs for more than 200 atoms"
    )
    verb.add_argument("--steps", type=count, default=1000, metavar="N", help="at most; default: 1000")
    verb.set_defaults(run=_relax)


def _add_phonons(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "phonons",
        help="compute the vibrations of a molecule or the phonons of a crystal",
        description="Frequencies of a molecule; band structure along the special path of a crystal's lattice, and "
        "density of states. The structure is relaxed first. In float64, by finite differences of forces.",
    )
    _add_structure(verb)
    verb.add_argument("--as-is", action="store_true", help="do not relax the structure first")
    verb.add_argument("--fmax", type=positive, default=1e-4, metavar="F", help="of relaxing, eV/Å; default: 0.0001")
    verb.add_argument("--cell", action="store_true", help="relax the cell too")
    verb.add_argument(
        "--supercell",
        type=count,
        nargs=3,
        metavar=("A", "B", "C"),
        help="repetitions of the crystal's cell; default: those that make it 12 Å long in each direction",
    )
    verb.add_argument(
        "--displacement", type=positive, default=0.01, metavar="D", help="of finite differences, Å; default: 0.01"
    )
    verb.add_argument(
        "--tolerance",
        type=not_negative,
        metavar="NU",
        help="a frequency below minus this is reported as imaginary; default: 10 cm⁻¹ or 0.1 THz",
    )
    verb.add_argument("--figure", type=image_file, metavar="FILE", help="draw them, to .png, .pdf or .svg")
    verb.set_defaults(run=_phonons)


# The verbs import torch, which the command line itself must not.


def _md(args: argparse.Namespace) -> int:
    from sciml_zoo.cli.potentials_md import run_dynamics

    return run_dynamics(args)


def _relax(args: argparse.Namespace) -> int:
    from sciml_zoo.cli.potentials_phonons import relax_structure

    return relax_structure(args)


def _phonons(args: argparse.Namespace) -> int:
    from sciml_zoo.cli.potentials_phonons import compute_phonons

    return compute_phonons(args)
