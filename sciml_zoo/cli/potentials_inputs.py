"""The structure and the potential that the verbs of ``sciml-zoo potentials`` simulate with."""

import argparse

from ase import Atoms

from sciml_zoo.cli.output import choose_device
from sciml_zoo.errors import InputError
from sciml_zoo.potentials.calculator import ZooCalculator
from sciml_zoo.potentials.data import read_structures
from sciml_zoo.potentials.potential import Potential
from sciml_zoo.zoo.resolve import load_model

__all__ = ["structure_with_calculator"]


def structure_with_calculator(args: argparse.Namespace, *, double: bool = False) -> Atoms:
    """Reads the frame that was asked for, and loads the potential.

    Args:
        args: of the verb: ``file``, ``frame``, ``model`` and ``device``.
        double: compute in float64.

    Returns:
        The structure with its calculator.

    Raises:
        InputError: naming what is wrong with any of them.
    """
    frames = read_structures(args.file)
    if not -len(frames) <= args.frame < len(frames):
        raise InputError(f"--frame {args.frame}: {args.file} has {len(frames)} frames, from 0")
    device = choose_device(args.device)
    model = load_model(args.model, device=device)
    if not isinstance(model, Potential):
        raise InputError(f"{args.model}: not an interatomic potential; see `sciml-zoo list --domain potentials`")
    atoms = frames[args.frame]
    model.check_elements(atoms.numbers, f"{args.file}, frame {args.frame % len(frames)}")
    atoms.calc = ZooCalculator(model.double() if double else model, device=device)
    return atoms
