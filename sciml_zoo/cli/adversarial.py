"""``sciml-zoo adversarial``: attacks as trajectories, their work, and whether a gradient is that of its loss."""

import argparse

from sciml_zoo.cli.arguments import count, file_ending_in, image_file, positive, whole
from sciml_zoo.cli.output import add_json_option

__all__ = ["ATTACKS", "add_parser"]

#: Names of attacks, without importing them.
ATTACKS = ("pgd_l2", "pgd_linf", "fgsm", "momentum", "deepfool", "minnorm_l2", "minnorm_linf", "cw_l2", "flow")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the group ``adversarial``; each of its verbs sets ``run``, a function of the parsed arguments.

    Args:
        subparsers: of the main parser.
    """
    parser = subparsers.add_parser(
        "adversarial",
        help="measure the work of attacks on a classifier, and audit gradients",
        description="Record attacks as trajectories, measure the work along them, and audit gradients.",
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    _add_work(verbs)
    _add_barrier(verbs)
    _add_audit(verbs)


def _add_work(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "work",
        help="attack images, and measure the work along the way",
        description="Attack images of a data set in float64, integrate the loss's gradient along each path, and "
        "compare with the difference of the loss.",
    )
    _add_attack(verb)
    _add_drawing(verb, "the work of all images, and force and landscape along one path", "fooled")
    verb.set_defaults(run=_work)


def _add_barrier(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "barrier",
        help="find the barriers between images and their adversarial twins",
        description="Attack images, relax both ends in V(x) = -log(sum of squared probabilities) + k/2 |x - middle|^2, "
        "and find the saddle between the two minima. The network must be smooth.",
    )
    _add_attack(verb)
    _add_drawing(verb, "the landscape and the energy along the paths of one pair", "whose saddle was found")
    verb.add_argument("--stiffness", type=positive, default=1.0, metavar="K", help="k; default: 1")
    verb.add_argument("--method", choices=("band", "string"), default="band", help="default: %(default)s")
    verb.set_defaults(run=_barrier)


def _add_attack(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("weights", metavar="NAME", help="of a classifier, such as digits_cnn.standard_gelu")
    verb.add_argument("--attack", choices=ATTACKS, default="pgd_l2", help="default: %(default)s")
    verb.add_argument(
        "--epsilon",
        type=positive,
        metavar="R",
        help="radius of the ball, of attacks within one; default: 1 for pgd_l2, 0.1 for the others (L-infinity)",
    )
    verb.add_argument(
        "--steps", type=count, metavar="N", help="of each run, of attacks within a ball; default: 40, 10 for momentum"
    )
    verb.add_argument(
        "--restarts",
        type=count,
        metavar="N",
        help="runs in all, of attacks within a ball: the others start at random; default: 1",
    )
    verb.add_argument(
        "--budget",
        type=count,
        metavar="N",
        help="gradients of each image, at most, of attacks without a ball; default: 100; 500 for cw_l2, 301 for flow",
    )
    verb.add_argument("--n", type=count, default=100, metavar="N", help="images, or pairs with barriers; default: 100")
    verb.add_argument(
        "--data",
        default="sklearn:digits/test",
        metavar="FILE",
        help="images with labels (.npz, .csv); default: %(default)s",
    )
    verb.add_argument("--seed", type=whole, default=0, metavar="S", help="of the attack's draws; default: 0")
    verb.add_argument("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda, …")
    add_json_option(verb)


def _add_drawing(verb: argparse.ArgumentParser, what: str, first: str) -> None:
    verb.add_argument(
        "--table", type=file_ending_in(".csv"), metavar="FILE.csv", help="also write the rows of all images"
    )
    verb.add_argument("--figure", type=image_file, metavar="FILE", help=f"also draw {what}, to .png, .pdf or .svg")
    verb.add_argument(
        "--sample", type=whole, metavar="I", help=f"the image to draw, from 0; default: the first {first}"
    )


def _add_audit(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "audit",
        help="test whether a model's gradient is that of its loss",
        description="Integrate a model's gradient along lines and compare with its loss: where they differ, robustness "
        "to gradient attacks says nothing. The exit status is 0 whatever is found.",
    )
    verb.add_argument(
        "target",
        metavar="MODULE:CALLABLE",
        help="takes nothing and returns (model, inputs, labels), or these and a loss in place of the cross-entropy",
    )
    verb.add_argument(
        "--samples",
        type=count,
        default=16,
        metavar="N",
        help="inputs looked at, the first; fewer are faster; default: 16",
    )
    verb.add_argument("--seed", type=whole, default=0, metavar="S", help="of the lines; default: 0")
    add_json_option(verb)
    verb.set_defaults(run=_audit)


# The verbs import torch, which the command line itself must not.


def _work(args: argparse.Namespace) -> int:
    from sciml_zoo.cli.adversarial_verbs import measure_work

    return measure_work(args)


def _barrier(args: argparse.Namespace) -> int:
    from sciml_zoo.cli.adversarial_verbs import find_barriers

    return find_barriers(args)


def _audit(args: argparse.Namespace) -> int:
    from sciml_zoo.cli.adversarial_verbs import audit_gradient

    return audit_gradient(args)
