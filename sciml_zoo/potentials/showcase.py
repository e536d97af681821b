"""The potentials' part of the demo: shipped weights on real quantum chemistry, and a small training."""

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms, units
from ase.md.velocitydistribution import Stationary
from ase.md.verlet import VelocityVerlet

from sciml_zoo.datasets import dataset_file
from sciml_zoo.potentials.calculator import ZooCalculator
from sciml_zoo.potentials.data import energy_of, forces_of, read_structures
from sciml_zoo.potentials.inference import evaluate, predict_structures
from sciml_zoo.potentials.model import GTOConfig
from sciml_zoo.potentials.potential import Potential
from sciml_zoo.potentials.recipe import DataConfig, GTORecipe, prepare
from sciml_zoo.report import Report, Say, Table
from sciml_zoo.training import OptimizerConfig, ProgressBar, Trainer, TrainerConfig
from sciml_zoo.zoo.manifest import get_weights
from sciml_zoo.zoo.registry import list_models
from sciml_zoo.zoo.resolve import load_model

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["demo"]

# Each shipped potential is shown on the sample that it is meant for.
_SAMPLE_OF = {"gto_potential.rmd17_ethanol": "ethanol.xyz"}
_CARD_HEAD = ("model", "data set", "force MAE", "command")
_HEAD = ("model", "structures", "energy MAE, meV", "force MAE, meV/Å", "seconds")

# About a minute on one core.
_SMALL = GTORecipe(
    architecture="gto_potential",
    data=DataConfig("dataset:samples/methanol.xyz", validation_fraction=0.2),
    model=GTOConfig(n_radial=8, n_channels=16, n_hidden=32, l_message=1),
    optimizer=OptimizerConfig("muon", learning_rate=6e-3, momentum=0.95, betas=(0.9, 0.99), schedule="cosine"),
    trainer=TrainerConfig(
        max_steps=1000,
        batch_size=5,
        ema_decay=0.99,
        clip_factor=3.0,
        validate_every=100,
        monitor="force_mae_mev_per_a",
        accelerator="cpu",
    ),
)


def demo(directory: Path, say: Say) -> Report:
    """Scores the shipped potentials on this project's own DFT samples, runs dynamics, and trains a small potential.

    Args:
        directory: where the small potential's run folder is put.
        say: told what is happening.

    Returns:
        The tables and figures.
    """
    rows: list[tuple[str, ...]] = []
    figures: list[tuple[str, Figure]] = []
    for name in list_models(pretrained=True, domain="potentials"):
        if name not in _SAMPLE_OF:
            continue
        path = dataset_file("samples", _SAMPLE_OF[name])
        say(f"{name} on {path.name}: forces of quantum chemistry, then dynamics")
        model = load_model(name)
        assert isinstance(model, Potential)
        rows.append(_score(name, model, path))
        caption = f"{name} against PBE/def2-SVP, {path.name}; the constant shift of energies is between the two codes"
        figures.append((caption, _scatter(model, path)))
        figures.append((f"{name}: total energy in 0.2 ps of NVE dynamics at 300 K", _dynamics(model, path)))
    say("training a small potential on methanol.xyz (about a minute)")
    prepared = prepare(_SMALL)
    with tempfile.TemporaryDirectory(dir=directory) as aside:
        trainer = Trainer(_SMALL.trainer, directory=Path(aside) / "run", callbacks=[ProgressBar()], recipe=_SMALL)
        result = trainer.fit(prepared.task, _SMALL.optimizer, prepared.train, prepared.validation)
        log = [json.loads(line) for line in (Path(aside) / "run" / "metrics.jsonl").read_text().splitlines()]
    scores = result.metrics
    rows.append(
        (
            "small GTO potential, methanol (validation)",
            f"{scores['n']:.0f}",
            f"{scores['energy_mae_mev']:.1f}",
            f"{scores['force_mae_mev_per_a']:.1f}",
            f"{result.seconds:.0f}",
        )
    )
    figures.append(("learning curve of the small potential", _learning_curve(log)))
    text = (
        "Energies and forces of molecules at a millionth of the cost of the quantum chemistry that they were learned "
        "from. The reference values here were computed by this project with another code than the training data."
    )
    tables = [
        Table("Errors against DFT", _HEAD, rows),
        Table("Errors on the data sets, from the cards", _CARD_HEAD, _cards()),
    ]
    return Report("Interatomic potentials", text, tables, figures)


def _cards() -> list[tuple[str, ...]]:
    """Returns what the card of every potential says about the errors of its forces."""
    return [
        (name, metric.dataset, f"{metric.value:.1f} {metric.unit}", metric.command)
        for name in list_models(pretrained=True, domain="potentials")
        for metric in get_weights(name).metrics
        if metric.name == "force_mae_mev_per_a"
    ]


def _score(name: str, model: Potential, path: Path) -> tuple[str, ...]:
    started = time.monotonic()
    scores = evaluate(model, path)
    seconds = time.monotonic() - started
    return (
        f"{name} on {path.name}",
        f"{scores['n']}",
        f"{scores['energy_mae_mev']:.1f}",
        f"{scores['force_mae_mev_per_a']:.1f}",
        f"{seconds:.1f}",
    )


def _scatter(model: Potential, path: Path) -> "Figure":
    structures = read_structures(path, energy=True, forces=True)
    predictions = predict_structures(model, structures)
    energy = np.array([energy_of(atoms, path.name) for atoms in structures])
    forces = np.concatenate([forces_of(atoms, path.name).ravel() for atoms in structures])
    figure, (left, right) = _axes(2)
    reference = energy.min()
    _identity(left, energy - reference, [p["energy"] - reference for p in predictions], "energy, eV")
    _identity(right, forces, np.concatenate([p["forces"].ravel() for p in predictions]), "force component, eV/Å")
    return figure


def _identity(axes: "Axes", reference: np.ndarray, predicted: Sequence[float] | np.ndarray, label: str) -> None:
    limits = [float(reference.min()), float(reference.max())]
    axes.plot(limits, limits, color="0.7", linewidth=1)
    axes.plot(reference, predicted, ".", markersize=4)
    axes.set_xlabel(f"DFT {label}")
    axes.set_ylabel(f"predicted {label}")


def _dynamics(model: Potential, path: Path) -> "Figure":
    atoms: Atoms = read_structures(path)[0]
    atoms.calc = ZooCalculator(model)
    rng = np.random.default_rng(0)
    atoms.set_momenta(np.sqrt(units.kB * 300 * atoms.get_masses())[:, None] * rng.normal(size=(len(atoms), 3)))
    Stationary(atoms)
    dynamics = VelocityVerlet(atoms, timestep=0.5 * units.fs)
    total, potential = [], []
    for _ in range(400):
        total.append(atoms.get_total_energy())
        potential.append(atoms.get_potential_energy())
        dynamics.run(1)
    figure, (axes,) = _axes(1)
    time_fs = 0.5 * np.arange(400)
    axes.plot(time_fs, np.array(potential) - potential[0], label="potential")
    axes.plot(time_fs, np.array(total) - total[0], label="total")
    axes.set_xlabel("time, fs")
    axes.set_ylabel("energy change, eV")
    axes.legend()
    return figure


def _learning_curve(log: Sequence[dict[str, float]]) -> "Figure":
    validations = [entry for entry in log if entry["event"] == "validation"]
    figure, (axes,) = _axes(1)
    axes.semilogy([v["step"] for v in validations], [v["force_mae_mev_per_a"] for v in validations], "o-")
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("validation force MAE, meV/Å")
    return figure


def _axes(n: int) -> tuple["Figure", list["Axes"]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * n, 3.6), layout="constrained")
    return figure, [figure.add_subplot(1, n, i + 1) for i in range(n)]
