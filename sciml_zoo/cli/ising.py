"""``sciml-zoo ising``: ground states of files of problems, draws from their distributions, machines from samples."""

import argparse
import json
import math
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciml_zoo.cli import train
from sciml_zoo.cli.arguments import count, file_ending_in, image_file, not_negative, positive, whole
from sciml_zoo.cli.output import add_json_option, plain_console, progress_bar, write_json
from sciml_zoo.errors import InputError

if TYPE_CHECKING:
    from sciml_zoo.ising.data import Instance
    from sciml_zoo.ising.draws import Samples
    from sciml_zoo.ising.ground_states import GroundState

__all__ = ["add_parser"]

_FORMATS = ("gset", "maxcut", "biqmac", "qubo", "ea", "chimera")
_SOLVERS = ("auto", "enumeration", "tempering", "annealing", "local_search", "relaxation")
_SAMPLERS = ("auto", "heat_bath", "metropolis", "tempering", "wolff", "swendsen_wang")
_OBJECTIVES = {
    "exact": "exact_likelihood",
    "pseudo_likelihood": "pseudo_likelihood",
    "cd": "contrastive_divergence",
    "pcd": "persistent_contrastive_divergence",
    "mpf": "minimum_probability_flow",
}
_SAMPLED_OBJECTIVES = ("cd", "pcd")
_SHOWN_COUPLINGS = 10
_PIPE_WIDTH = 200


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the group ``ising``; each of its verbs sets ``run``, a function of the parsed arguments.

    Args:
        subparsers: of the main parser.
    """
    parser = subparsers.add_parser("ising", help="solve, sample and learn Ising models", description=__doc__)
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    verb = verbs.add_parser("ground-state", help="find the states of lowest energy of a file's problems")
    _add_problem(verb)
    verb.add_argument("--method", choices=_SOLVERS, default="auto", help="default: auto")
    limit = verb.add_mutually_exclusive_group()
    limit.add_argument("--time-limit", type=positive, metavar="S", help="seconds for each problem; default: 10")
    limit.add_argument("--sweeps", type=count, metavar="N", help="instead: so many sweeps, and the same result again")
    verb.set_defaults(run=_ground_state)
    verb = verbs.add_parser("sample", help="draw states at a temperature, with error bars and diagnostics")
    _add_problem(verb)
    place = verb.add_mutually_exclusive_group(required=True)
    place.add_argument("--temperature", type=positive, metavar="T", help="in units of the couplings")
    place.add_argument("--beta", type=not_negative, metavar="B", help="or its inverse")
    verb.add_argument("--sweeps", type=count, default=10_000, metavar="N", help="measured; default: 10000")
    verb.add_argument("--replicas", type=count, default=16, metavar="R", help="independent chains; default: 16")
    verb.add_argument("--burn-in", type=whole, metavar="N", help="sweeps before; default: half of --sweeps")
    verb.add_argument("--thin", type=count, default=1, metavar="N", help="sweeps between two draws; default: 1")
    verb.add_argument("--method", choices=_SAMPLERS, default="auto", help="default: auto")
    verb.add_argument(
        "--output", type=file_ending_in(".npz", ".csv"), metavar="FILE", help="write the states, to .npz or .csv"
    )
    verb.add_argument("--figure", type=image_file, metavar="FILE", help="draw energies, to .png, .pdf or .svg")
    verb.set_defaults(run=_sample)
    verb = verbs.add_parser(
        "learn",
        help="fit a Boltzmann machine to samples",
        description="Fit a Boltzmann machine to samples: `sciml-zoo train` with a recipe made for them. Any value of "
        "that recipe can be changed, such as --trainer.max_steps 5000 or --model.units binary.",
    )
    verb.add_argument("samples", metavar="SAMPLES", help="0/1 or ±1, one a line, or .npy; dataset:NAME/FILE")
    verb.add_argument(
        "--objective", choices=tuple(_OBJECTIVES), default="pseudo_likelihood", help="default: %(default)s"
    )
    verb.add_argument("--hidden", type=whole, default=0, metavar="N", help="hidden units; default: none")
    verb.add_argument("--restricted", action="store_true", help="couple only visible with hidden units")
    verb.add_argument("--steps", type=count, default=2000, metavar="N", help="of the optimizer; default: 2000")
    verb.add_argument("--seed", type=whole, default=0, metavar="N", help="default: 0")
    verb.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run folder")
    verb.add_argument("--resume", action="store_true", help="go on from DIR/last")
    add_json_option(verb)
    verb.set_defaults(run=_learn, takes_options=True)


def _add_problem(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("file", metavar="FILE", help="Gset, Biq Mac, Edwards–Anderson or Chimera; dataset:NAME/FILE")
    verb.add_argument("--format", choices=_FORMATS, help="default: told by the content")
    verb.add_argument("--seed", type=whole, default=0, metavar="N", help="default: 0")
    add_json_option(verb)


def _ground_state(args: argparse.Namespace) -> int:
    from rich.table import Table

    from sciml_zoo.ising.data import read_instances
    from sciml_zoo.ising.ground_states import ground_state

    instances = read_instances(args.file, args.format)
    limits = {"time_limit": args.time_limit, "n_sweeps": args.sweeps}
    table = Table(
        "instance", "spins", "energy", "kind", "objective", "best known", "method", "seconds", "",
        box=None, pad_edge=False, header_style="bold",
    )  # fmt: skip
    rows = []
    with progress_bar("solving") as show:
        show(0, len(instances))
        for done, instance in enumerate(instances, 1):
            found = ground_state(instance.model, method=args.method, seed=args.seed, **limits)
            rows.append(_solution(instance, found))
            known = "" if instance.best_known is None else f"{instance.best_known:.10g}"
            table.add_row(
                instance.name,
                str(instance.model.n),
                f"{found.energy:.10g}",
                instance.kind,
                f"{instance.objective(found.energy):.10g}",
                known,
                found.method,
                f"{found.seconds_to_best:.3g}",
                "proven" if found.proven else "best found",
            )
            show(done, len(instances))
    write_json(args.json, rows[0] if len(rows) == 1 else rows)
    # A file or a pipe is no screen whose width a row must fit.
    plain_console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)
    return 0


def _solution(instance: "Instance", found: "GroundState") -> dict[str, Any]:
    wait = found.time_to_solution
    return {
        "instance": instance.name,
        "objective": instance.objective(found.energy),
        "kind": instance.kind,
        **vars(found),
        "spins": found.spins.tolist(),
        "time_to_solution": None if wait is None else _finite(wait),
    }


def _sample(args: argparse.Namespace) -> int:
    from sciml_zoo.ising.data import read_instances
    from sciml_zoo.ising.draws import UnconvergedWarning
    from sciml_zoo.ising.sampling import sample

    instances = read_instances(args.file, args.format)
    if len(instances) > 1 and (args.output or args.figure):
        raise InputError(f"{args.file} holds {len(instances)} problems: --output and --figure are for files with one")
    beta = 1 / args.temperature if args.beta is None else args.beta
    console, stderr = plain_console(), plain_console(stderr=True)
    rows = []
    with progress_bar("sampling", shown=len(instances) > 1) as show:
        for done, instance in enumerate(instances, 1):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", UnconvergedWarning)
                drawn = sample(
                    instance.model,
                    beta,
                    n_sweeps=args.sweeps,
                    n_replicas=args.replicas,
                    method=None if args.method == "auto" else args.method,
                    burn_in=args.burn_in,
                    thin=args.thin,
                    seed=args.seed,
                    keep_spins=args.output is not None,
                )
            rows.append(_estimates(instance, drawn, args.sweeps))
            _show_estimates(console, rows[-1])
            for warning in caught:
                if issubclass(warning.category, UnconvergedWarning):
                    stderr.print(f"sciml-zoo: warning: {instance.name}: {warning.message}", soft_wrap=True)
                else:
                    warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
            show(done, len(instances))
    if args.output is not None:
        _write_states(args.output, drawn)
    if args.figure is not None:
        _draw(args.figure, drawn)
    write_json(args.json, rows[0] if len(rows) == 1 else rows)
    return 0


def _estimates(instance: "Instance", drawn: "Samples", n_sweeps: int) -> dict[str, Any]:
    """Returns what is known about the draws; energies are per spin, autocorrelation times in sweeps."""
    from sciml_zoo.ising.diagnostics import diagnose

    # Where E(s) = E(−s) the magnetisation is zero, and how often its sign turns says nothing about the rest.
    names = ("energy", *(() if drawn.symmetric else ("magnetisation",)), "absolute_magnetisation", "probe")
    quantities = {}
    for name in names:
        one = diagnose(drawn.series(name))
        scale = 1 / instance.model.n if name in {"energy", "probe"} else 1.0
        quantities[f"{name}_per_spin" if name in {"energy", "probe"} else name] = {
            "mean": _finite(scale * one.mean),
            "standard_error": _finite(scale * one.standard_error),
            "autocorrelation_time": _finite(drawn.thin * one.autocorrelation_time),
            "effective_sample_size": _finite(one.effective_samples),
            "rhat": _finite(one.rhat),
        }
    ladder = drawn.ladder
    return {
        "instance": instance.name,
        "n_spins": instance.model.n,
        "beta": drawn.beta,
        "temperature": 1 / drawn.beta if drawn.beta else None,
        "method": drawn.method,
        "sweeps": n_sweeps,
        "replicas": len(drawn.final),
        "seed": drawn.seed,
        "converged": not drawn.unconverged,
        "unconverged": drawn.unconverged,
        "acceptance": drawn.acceptance,
        "quantities": quantities,
        "ladder": None
        if ladder is None
        else {
            "betas": ladder.betas.tolist(),
            "exchange_rates": ladder.exchange_rates.tolist(),
            "round_trips": int(ladder.round_trips.sum()),
        },
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None  # JSON has no NaN


def _show_estimates(console: Any, row: dict[str, Any]) -> None:
    from rich.table import Table

    hot = "∞" if row["temperature"] is None else f"{row['temperature']:.6g}"
    console.print(
        f"{row['instance']}: {row['n_spins']} spins at T = {hot}, {row['method']}, {row['replicas']} replicas"
    )
    table = Table("", "mean", "error", "τ, sweeps", "ESS", "R-hat", box=None, pad_edge=False, header_style="bold")
    for name, one in row["quantities"].items():
        formats = zip(one.values(), (".6f", ".2g", ".3g", ".0f", ".4f"), strict=True)
        table.add_row(name.replace("_", " "), *("–" if value is None else format(value, how) for value, how in formats))
    console.print(table)


def _write_states(path: Path, drawn: "Samples") -> None:
    import io

    import numpy as np

    from sciml_zoo._files import write_atomically

    assert drawn.spins is not None
    if path.suffix == ".csv":
        n = drawn.spins.shape[-1]
        text = io.StringIO()
        np.savetxt(text, drawn.spins.reshape(-1, n), fmt="%d", delimiter=",")
        content: str | bytes = text.getvalue()
    else:
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            spins=drawn.spins,
            energies=drawn.energies,
            magnetisation=drawn.magnetisation,
            beta=np.array(drawn.beta),
        )
        content = buffer.getvalue()
    try:
        write_atomically(path, content)
    except OSError as error:
        raise InputError(f"--output {path}: cannot be written: {error.strerror}") from error


def _draw(path: Path, drawn: "Samples") -> None:
    from sciml_zoo.ising.figures import energy_histogram

    group = 2 if drawn.paired else 1
    ladder = drawn.ladder
    if ladder is None:
        figure = energy_histogram([drawn.beta], [drawn.energies])
    else:  # the law that draws at two temperatures obey can be checked at no cost
        energies = [ladder.energies[..., -2], ladder.energies[..., -1]]
        figure = energy_histogram(ladder.betas[-2:].tolist(), energies, group=group)
    try:
        figure.savefig(path)
    except OSError as error:
        raise InputError(f"--figure {path}: cannot be written: {error.strerror}") from error


def _learn(args: argparse.Namespace) -> int:
    if args.restricted and args.hidden == 0:
        raise InputError("--restricted: a restricted machine has hidden units; add --hidden N")
    with tempfile.TemporaryDirectory() as aside:
        recipe, summary = Path(aside) / "recipe.yaml", Path(aside) / "summary.json"
        recipe.write_text(_recipe(args), encoding="utf-8")
        verbs = argparse.ArgumentParser().add_subparsers()
        train.add_parser(verbs)
        words = [str(recipe), "--out", str(args.out), "--json", str(summary), *["--resume"][: args.resume]]
        given = verbs.choices["train"].parse_args(words)
        given.extra = args.extra
        status = int(given.run(given))
        if not summary.is_file():  # not the first rank of torchrun
            return status
        result = json.loads(summary.read_text(encoding="utf-8"))
    if result["checkpoint"] is not None:
        result["couplings"] = _show_couplings(args, Path(result["checkpoint"]))
    write_json(args.json, result)
    return status


def _recipe(args: argparse.Namespace) -> str:
    """Returns the recipe in YAML, of which JSON is a part."""
    sampled = args.objective in _SAMPLED_OBJECTIVES
    model: dict[str, Any] = {"n_hidden": args.hidden}
    if not args.restricted:
        model["connectivity"] = "full"
    recipe = {
        "architecture": "rbm" if args.restricted else "boltzmann_machine",
        "seed": args.seed,
        # A fit that sees all samples in every step is judged on them, as fits of small machines are.
        "data": {"train": str(args.samples), "validation_fraction": 0.1 if sampled else 0.0},
        "model": model,
        "objective": {"kind": _OBJECTIVES[args.objective]},
        "optimizer": {"name": "adam", "learning_rate": 0.01 if sampled else 0.05, "schedule": "cosine"},
        "trainer": {
            "max_steps": args.steps,
            "batch_size": 100,
            "validate_every": max(1, args.steps // 4),
            "log_every": max(1, min(50, args.steps)),
            "seed": args.seed,
            "monitor": "pseudo_log_likelihood",
            "mode": "max",
            "precision": "64-true",
        },
    }
    return json.dumps(recipe)


def _show_couplings(args: argparse.Namespace, checkpoint: Path) -> list[dict[str, Any]]:
    """Returns the largest couplings J (of ±1 units, at β = 1), after printing them."""
    import numpy as np
    from rich.table import Table

    from sciml_zoo.ising.metrics import divergent_pairs
    from sciml_zoo.ising.model import BoltzmannMachine
    from sciml_zoo.ising.observations import load_samples
    from sciml_zoo.zoo.resolve import load_model

    machine = load_model(f"local-dir:{checkpoint}")
    assert isinstance(machine, BoltzmannMachine)
    rows, columns, values = machine.to_ising().edges
    infinite = {(pair.i, pair.j) for pair in divergent_pairs(load_samples(args.samples))}
    table = Table("coupling", "J", "", box=None, pad_edge=False, header_style="bold")
    found = []
    for k in np.argsort(-np.abs(values), kind="stable")[:_SHOWN_COUPLINGS]:
        i, j = int(rows[k]), int(columns[k])
        diverges = (i, j) in infinite
        found.append({"i": i, "j": j, "coupling": float(values[k]), "at_infinity": diverges})
        table.add_row(
            f"{_unit(i, machine.n_visible)} – {_unit(j, machine.n_visible)}",
            f"{values[k]:+.4f}",
            "at infinity: grows as long as training lasts" if diverges else "",
        )
    plain_console().print(table)
    return found


def _unit(index: int, n_visible: int) -> str:
    return f"{index + 1}" if index < n_visible else f"hidden {index - n_visible + 1}"
