"""The domain's part of the demo: shipped machines, a solved magnet, a glass solved and sampled, and a glass learned."""

import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sciml_zoo.ising.draws import Samples, UnconvergedWarning
from sciml_zoo.ising.exact import enumerate_states, exact_ground_state
from sciml_zoo.ising.figures import energy_histogram, energy_ratio, exchange_rates, lattice, magnetisation_curve
from sciml_zoo.ising.generators import edwards_anderson, sherrington_kirkpatrick, square_lattice
from sciml_zoo.ising.ground_states import ground_state
from sciml_zoo.ising.hamiltonian import IsingModel
from sciml_zoo.ising.inference import evaluate
from sciml_zoo.ising.model import BoltzmannMachine
from sciml_zoo.ising.objectives import ObjectiveConfig
from sciml_zoo.ising.onsager import CRITICAL_TEMPERATURE, kaufman_energy
from sciml_zoo.ising.recipe import BoltzmannRecipe, SamplesConfig, prepare
from sciml_zoo.ising.sampling import sample
from sciml_zoo.report import Report, Say, Table
from sciml_zoo.training import OptimizerConfig, ProgressBar, Trainer, TrainerConfig
from sciml_zoo.zoo.registry import list_models
from sciml_zoo.zoo.resolve import load_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["demo"]

_ENUMERATED = 20
_MAGNET = 32
_TEMPERATURES = (1.6, 1.9, 2.1, 2.2, CRITICAL_TEMPERATURE, 2.35, 2.5, 2.8, 3.2)
_GLASS = 12
_SMALL_GLASS = 5
_LEARNED = 10
# Digits are scored with this many temperatures of annealed importance sampling: a few seconds.
_DIGIT_TEMPERATURES = 500


def demo(directory: Path, say: Say) -> Report:
    """Uses the shipped machines, holds a magnet against its exact solution, and solves, samples and learns glasses.

    Args:
        directory: where the training's run folder is put.
        say: told what is happening.

    Returns:
        The tables and figures.
    """
    shelf, digits = _machines(say)
    magnet, magnet_figures = _magnet(say)
    glass, glass_figures = _glass(say)
    learned, learned_figures = _learn(directory, say)
    text = (
        "A magnet and a neural network that learns probabilities are one object here: the same energy is mapped, "
        "sampled, minimised and learned, and each answer is held against an exact one where there is one."
    )
    tables = [shelf, magnet, glass, learned]
    return Report("Ising–Boltzmann machine", text, tables, [*digits, *magnet_figures, *glass_figures, *learned_figures])


def _machines(say: Say) -> tuple[Table, list[tuple[str, "Figure"]]]:
    """Returns what the shipped machines are as Ising models, and what the machine of digits has learned to draw."""
    rows, figures = [], []
    for name in list_models(pretrained=True, domain="ising"):
        machine = load_model(name)
        assert isinstance(machine, BoltzmannMachine)
        model = machine.to_ising()
        say(f"{name}: an Ising model of {model.n} spins")
        if model.n <= _ENUMERATED:
            exact = enumerate_states(model)
            state = "".join("+" if spin > 0 else "−" for spin in exact.ground_state.states[0])
            shown = f"entropy {exact.entropy / np.log(2):.4f} bits, likeliest state {state}"
        elif machine.n_visible == 64:
            scores = evaluate(machine, "sklearn:digits/test", temperatures=_DIGIT_TEMPERATURES)
            error = scores["log_likelihood_error"]
            shown = f"log-likelihood of {scores['n']} test digits {scores['log_likelihood']:.2f} ± {error:.2f} nats"
            drawn = _drawn(model, 1.0, n_sweeps=2000, n_replicas=8, method="heat_bath", seed=0, keep_spins=False)
            figures.append((f"digits drawn from {name}", lattice(drawn.final[:, :64], (8, 8))))
        else:
            shown = f"{model.n_edges} couplings"
        rows.append((name, f"{machine.n_visible} + {machine.n_hidden}", f"{_difference(machine, model):.1g}", shown))
    head = ("machine", "visible + hidden", "largest |E(machine) − E(Ising)|", "as an Ising model at β = 1")
    return Table("Shipped machines are Ising models", head, rows), figures


def _difference(machine: BoltzmannMachine, model: IsingModel) -> float:
    """Returns the largest difference of the energies of 1000 random states, computed in float64 on either side."""
    import torch

    bits = np.random.default_rng(0).integers(0, 2, (1000, model.n))
    units = machine.double().from_bits(torch.from_numpy(bits))
    with torch.no_grad():
        energies = machine.energy(units.double()).numpy()
    return float(np.abs(energies - model.energy(2 * bits - 1)).max())


def _drawn(model: IsingModel, beta: float, **options: Any) -> Samples:
    """Returns draws without the warning: the tables show the errors, and these runs are short on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnconvergedWarning)
        return sample(model, beta, **options)


def _magnet(say: Say) -> tuple[Table, list[tuple[str, "Figure"]]]:
    say(f"a {_MAGNET}×{_MAGNET} ferromagnet at {len(_TEMPERATURES)} temperatures, against its exact solution")
    model = square_lattice(_MAGNET)
    rows, magnetisations, states = [], [], []
    for temperature in _TEMPERATURES:
        drawn = _drawn(model, 1 / temperature, n_sweeps=800, n_replicas=8, method="wolff", seed=1, keep_spins=False)
        energy = drawn.estimate("energy")
        mean, error = energy.mean / model.n, energy.standard_error / model.n
        exact = kaufman_energy(_MAGNET, _MAGNET, 1 / temperature)
        cells = (f"{mean:.5f} ± {error:.5f}", f"{exact:.5f}", f"{(mean - exact) / error:+.1f}")
        rows.append((f"{temperature:.4f}", *cells))
        magnetisations.append(drawn.estimate("absolute_magnetisation"))
        states.append(drawn.final[0])
    head = ("temperature, J/k_B", "energy per spin", "Kaufman 1949", "difference, σ")
    shown = [0, _TEMPERATURES.index(CRITICAL_TEMPERATURE), len(_TEMPERATURES) - 1]
    titles = ", ".join(f"{_TEMPERATURES[k]:.3f}" for k in shown)
    label = f"Wolff's clusters, {_MAGNET}×{_MAGNET}"
    figures = [
        ("spontaneous magnetisation", magnetisation_curve(_TEMPERATURES, magnetisations, label=label)),
        (f"ferromagnet at T = {titles}", lattice(np.stack([states[k] for k in shown]), (_MAGNET, _MAGNET))),
    ]
    return Table(f"{_MAGNET}×{_MAGNET} ferromagnet", head, rows), figures


def _glass(say: Say) -> tuple[Table, list[tuple[str, "Figure"]]]:
    say("ground states of two ±J glasses, and draws from the larger one")
    small = edwards_anderson((_SMALL_GLASS, _SMALL_GLASS), "pm1", seed=1)
    large = edwards_anderson((_GLASS, _GLASS), "pm1", seed=2)
    exact = exact_ground_state(small)
    rows = []
    for name, model in ((f"{_SMALL_GLASS}×{_SMALL_GLASS}", small), (f"{_GLASS}×{_GLASS}", large)):
        found = ground_state(model, method="annealing", n_sweeps=2000, seed=0)
        reference = f"{exact.energy:g} ({exact.count} states)" if model is small else "–"
        seconds = f"{found.seconds_to_best:.3f}"
        rows.append((f"±J glass {name}: annealing", f"{found.energy:g}", reference, seconds))
    beta = 1.5
    started = time.monotonic()
    drawn = _drawn(large, beta, n_sweeps=4000, n_replicas=16, method="tempering", seed=0, keep_spins=False)
    seconds = f"{time.monotonic() - started:.1f}"
    ladder = drawn.ladder
    assert ladder is not None
    group = 2 if drawn.paired else 1
    # Neighbours that are neither too alike to tell apart nor too far to overlap.
    k = len(ladder.betas) // 2
    betas = (float(ladder.betas[k]), float(ladder.betas[k + 1]))
    energies = (ladder.energies[..., k], ladder.energies[..., k + 1])
    fit = energy_ratio(betas, energies, group=group)
    lowest = float(drawn.energies.min())
    rows.append((f"lowest draw of tempering at β = {beta:g}", f"{lowest:g}", rows[-1][1], seconds))
    slope = f"{fit.slope:.4f} ± {fit.standard_error:.4f}"
    rows.append(
        (f"slope of the log ratio of histograms, β = {betas[0]:.3f}, {betas[1]:.3f}", slope, f"{fit.expected:.4f}", "")
    )
    figures = [
        ("energies of the larger glass", energy_histogram(betas, energies, group=group)),
        ("parallel tempering of the larger glass", exchange_rates(ladder)),
    ]
    return Table("Spin glasses", ("what", "found", "reference", "seconds"), rows), figures


def _learn(directory: Path, say: Say) -> tuple[Table, list[tuple[str, "Figure"]]]:
    say("learning a glass back from its own draws, through the common trainer")
    model = sherrington_kirkpatrick(_LEARNED, seed=3)
    exact = enumerate_states(model)
    drawn = _drawn(model, 1.0, n_sweeps=1000, n_replicas=20, method="heat_bath", seed=4)
    assert drawn.spins is not None
    with tempfile.TemporaryDirectory(dir=directory) as aside:
        file = Path(aside) / "draws.npy"
        np.save(file, drawn.spins.reshape(-1, model.n))
        recipe = BoltzmannRecipe(
            "boltzmann_machine",
            SamplesConfig(str(file), validation_fraction=0.0),
            objective=ObjectiveConfig("exact_likelihood"),
            optimizer=OptimizerConfig("adam", learning_rate=0.05, schedule="cosine"),
            trainer=TrainerConfig(
                max_steps=300,
                validate_every=300,
                monitor="log_likelihood",
                mode="max",
                precision="64-true",
                accelerator="cpu",
            ),
        )
        prepared = prepare(recipe)
        trainer = Trainer(
            prepared.recipe.trainer, directory=Path(aside) / "run", callbacks=[ProgressBar()], recipe=prepared.recipe
        )
        result = trainer.fit(prepared.task, prepared.recipe.optimizer, prepared.train, prepared.validation)
    assert isinstance(result.model, BoltzmannMachine)
    upper = np.triu_indices(model.n, 1)
    true, learned = (one.dense()[upper] for one in (model, result.model.to_ising()))
    difference = float(np.sqrt(np.mean((learned - true) ** 2)))
    rows = [
        ("draws", f"{drawn.energies.size}"),
        ("root mean square error of the couplings", f"{difference:.4f}"),
        ("root mean square coupling", f"{float(np.sqrt(np.mean(true**2))):.4f}"),
        ("log-likelihood, nats a draw", f"{result.metrics['log_likelihood']:.4f}"),
        ("that of the glass itself, expected: −entropy", f"{-exact.entropy:.4f}"),
        ("seconds of training", f"{result.seconds:.1f}"),
    ]
    caption = f"couplings of a glass of {model.n} spins, learned from {drawn.energies.size} draws"
    return Table("A glass learned from its draws", ("", ""), rows), [(caption, _couplings(true, learned))]


def _couplings(true: np.ndarray, learned: np.ndarray) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 3.8), layout="constrained")
    axes = figure.add_subplot()
    ends = [float(true.min()), float(true.max())]
    axes.plot(ends, ends, color="0.7", linewidth=1)
    axes.plot(true, learned, "o", markersize=4)
    axes.set_xlabel("coupling")
    axes.set_ylabel("learned coupling")
    return figure
