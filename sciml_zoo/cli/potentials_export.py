"""``sciml-zoo potentials export``: a potential as a file for OpenMM or LAMMPS."""

import argparse
from pathlib import Path

from sciml_zoo.cli.arguments import file_ending_in
from sciml_zoo.cli.output import add_json_option, choose_device, write_json
from sciml_zoo.errors import InputError

__all__ = ["add_export"]

_OPENMM = """\
In OpenMM, with this package:

    from sciml_zoo.potentials import openmm_force
    system.addForce(openmm_force("{file}", periodic={periodic}))

or with the plugin OpenMM-Torch:

    from openmmtorch import TorchForce
    force = TorchForce("{file}")
    force.setUsesPeriodicBoundaryConditions({periodic})
    system.addForce(force)

With this package and OpenMM-ML, the potential itself is faster than its file:

    from openmmml import MLPotential
    from sciml_zoo.potentials import ZooCalculator
    system = MLPotential("ase").createSystem(topology, calculator=ZooCalculator("{weights}"))
"""
_LAMMPS = """\
In LAMMPS, built with the packages ML-IAP and PYTHON (cmake -D MLIAP_ENABLE_PYTHON=on), in whose Python this package is:

    units       metal
    atom_style  atomic
    newton      on
    pair_style  mliap unified {file} 0
    pair_coeff  * * {elements}

The last line names the element of each atom type.
"""


def add_export(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the verb ``export``.

    Args:
        verbs: of the group ``potentials``.
    """
    verb = verbs.add_parser(
        "export",
        help="write a potential for OpenMM or LAMMPS",
        description="Write a potential as a file that OpenMM or LAMMPS loads, and say how.",
    )
    verb.add_argument(
        "weights", metavar="NAME", help="of a potential (see `sciml-zoo list`), local-dir:PATH or hf-hub:ORG/REPO@REV"
    )
    verb.add_argument("--to", choices=("openmm", "lammps"), required=True, help="the program")
    verb.add_argument(
        "-o", "--out", type=file_ending_in(".pt"), required=True, metavar="FILE", help="the file to write, NAME.pt"
    )
    verb.add_argument(
        "--structure",
        type=Path,
        metavar="FILE",
        help="for OpenMM: the system's atoms, in its order (the first frame of any structure file)",
    )
    verb.add_argument(
        "--device",
        default="cpu",
        metavar="DEVICE",
        help="where the program is to compute: auto, cpu, cuda; default: cpu",
    )
    add_json_option(verb)
    verb.set_defaults(run=_export)


def _export(args: argparse.Namespace) -> int:
    from ase.data import chemical_symbols

    from sciml_zoo.potentials.potential import Potential
    from sciml_zoo.zoo.resolve import load_model

    if args.to == "openmm" and args.structure is None:
        raise InputError("--to openmm needs --structure FILE: a file for OpenMM is for the atoms of one system")
    if args.to == "lammps" and args.structure is not None:
        raise InputError("--structure is for OpenMM; a file for LAMMPS is for any atoms")
    model = load_model(args.weights, device=choose_device(args.device))
    if not isinstance(model, Potential):
        raise InputError(f"{args.weights} is not an interatomic potential; see `sciml-zoo list --domain potentials`")
    elements = [chemical_symbols[number] for number in model.elements]
    result = {"weights": args.weights, "to": args.to, "file": str(args.out), "elements": elements}
    if args.to == "openmm":
        from sciml_zoo.potentials.data import read_structures
        from sciml_zoo.potentials.openmm import export_openmm

        atoms = read_structures(args.structure)[0]
        export_openmm(model, atoms, args.out)
        result["atoms"] = len(atoms)
        usage = _OPENMM.format(file=args.out, weights=args.weights, periodic=bool(atoms.pbc.any()))
        content = f"for the {len(atoms)} atoms of {atoms.get_chemical_formula()}"
    else:
        from sciml_zoo.potentials.lammps import export_lammps

        export_lammps(model, args.out)
        usage = _LAMMPS.format(file=args.out, elements=" ".join(elements))
        content = f"for {', '.join(elements)}"
    write_json(args.json, result)
    print(f"{args.out}: {args.weights}, {content}\n\n{usage}", end="")
    return 0
