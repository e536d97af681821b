"""Training through the common trainer: what is reached, and that it goes on bit for bit."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from sciml_zoo.errors import InputError
from sciml_zoo.ising.model import BoltzmannMachine, BoltzmannMachineConfig, RBMConfig, RestrictedBoltzmannMachine
from sciml_zoo.ising.objectives import ObjectiveConfig, exact_likelihood
from sciml_zoo.ising.recipe import patterns
from sciml_zoo.ising.task import BoltzmannTask
from sciml_zoo.training import OptimizerConfig, Trainer, TrainerConfig
from tests.ising.machines import machine, visible_distribution

KINDS = (
    "exact_likelihood",
    "pseudo_likelihood",
    "contrastive_divergence",
    "persistent_contrastive_divergence",
    "minimum_probability_flow",
)


class StopAt:
    def __init__(self, step: int) -> None:
        self.step = step

    def on_fit_start(self, trainer, state) -> None:
        self.trainer = trainer

    def on_step_end(self, record) -> None:
        if record.step == self.step:
            self.trainer.request_stop()


def samples(n: int = 60, units: int = 5) -> np.ndarray:
    rng = np.random.default_rng(0)
    rows = (rng.random((n, units)) < 0.5).astype(float)
    rows[:, 1] = np.where(rng.random(n) < 0.8, rows[:, 0], 1 - rows[:, 0])
    return rows


def new_task(kind: str, hidden: int = 2) -> BoltzmannTask:
    torch.manual_seed(0)
    model = BoltzmannMachine(BoltzmannMachineConfig(5, hidden, "full", "binary"))
    return BoltzmannTask(model, ObjectiveConfig(kind=kind, k=2, chains=7))


def settings(max_steps: int, **more) -> TrainerConfig:
    values = {"batch_size": 16, "validate_every": 4, "monitor": "log_likelihood", "mode": "max", **more}
    return TrainerConfig(max_steps=max_steps, precision="64-true", accelerator="cpu", **values)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_is_resumed_equals_one_that_was_not(kind, tmp_path):
    task = new_task(kind)
    data = patterns(task.model, samples(), merge=False)
    config, optimizer = settings(10, ema_decay=0.9), OptimizerConfig("adam", 0.05)
    whole = Trainer(config, directory=tmp_path / "whole").fit(task, optimizer, data, data)
    cut = tmp_path / "cut"
    first = Trainer(config, directory=cut, callbacks=[StopAt(5)]).fit(new_task(kind), optimizer, data, data)
    assert first.step == 5
    again = new_task(kind)
    second = Trainer(config, directory=cut).fit(again, optimizer, data, data, resume=True)
    assert second.step == whole.step == 10
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name
    assert whole.metrics == second.metrics
    if kind == "persistent_contrastive_divergence":
        assert task.chains.shape == (7, 7)
        assert torch.equal(task.chains, again.chains)
    else:
        assert task.chains is None


def test_persistent_chains_go_on_and_sample_the_machine():
    """With parameters at rest the chains' mean gradient is the exact one."""
    m = machine("restricted", 3, "binary", scale=0.4)
    task = BoltzmannTask(m, ObjectiveConfig(k=3, chains=200))
    task.generator = torch.Generator().manual_seed(1)
    visible, _ = visible_distribution(m)
    batch = task.collate(patterns(m, visible.numpy(), merge=True))
    found, chains = [], []
    for _ in range(300):
        (output,) = task.steps(batch)
        found.append(torch.cat([g.flatten() for g in torch.autograd.grad(output.loss, list(m.parameters()))]))
        chains.append(task.chains)
    assert not torch.equal(chains[0], chains[1])
    weights = torch.full((16,), 1 / 16, dtype=torch.float64)
    exact = torch.cat(
        [g.flatten() for g in torch.autograd.grad(exact_likelihood(m, visible, weights), list(m.parameters()))]
    )
    blocks = torch.stack(found[20:]).reshape(28, 10, -1).mean(1)  # longer than the chains remember
    sigma = blocks.std(0) / math.sqrt(28)
    assert ((blocks.mean(0) - exact).abs() < 4.5 * sigma + 1e-12).all()


def test_exact_likelihood_reaches_the_moments_of_the_samples():
    rows = samples(400)
    task = new_task("exact_likelihood", hidden=0)
    data = patterns(task.model, rows, merge=True)
    config = settings(1500, batch_size=len(data), validate_every=1500)
    Trainer(config).fit(task, OptimizerConfig("adam", 0.05, schedule="cosine"), data, data)
    m = task.model
    visible, chance = visible_distribution(m)
    empirical = rows.T @ rows / len(rows)
    np.testing.assert_allclose((visible.T * chance @ visible).numpy(), empirical, atol=1e-6)


def test_scores_are_the_exact_ones_and_entropy_is_cross_entropy_at_the_optimum():
    rows = samples(400)
    task = new_task("exact_likelihood", hidden=2)
    task.generator = torch.Generator()
    m = task.model
    data = patterns(m, rows, merge=True)
    metrics = task.evaluate([task.collate(data[:9]), task.collate(data[9:])])
    visible, chance = visible_distribution(m)
    index = {tuple(row): k for k, row in enumerate(visible.int().tolist())}
    expected = np.mean([chance[index[tuple(row)]].log().item() for row in rows.astype(int).tolist()])
    assert metrics["log_likelihood"] == pytest.approx(expected, abs=1e-12)
    assert metrics["bits"] == pytest.approx(-expected / math.log(2), abs=1e-12)


def test_merged_and_repeated_samples_give_the_same_loss():
    for kind in ("exact_likelihood", "pseudo_likelihood", "minimum_probability_flow"):
        task = new_task(kind)
        rows = samples(200)
        losses = [
            next(iter(task.steps(task.collate(patterns(task.model, rows, merge=merge))))) for merge in (False, True)
        ]
        assert losses[0].weight == losses[1].weight == 200
        assert losses[0].loss.item() == pytest.approx(losses[1].loss.item(), abs=1e-12)


def test_contrastive_divergence_learns_hidden_structure(tmp_path: Path):
    """Bars: all four visible units equal, nine times of ten. A machine of independent units cannot get below 4 bits."""
    rng = np.random.default_rng(1)
    rows = np.repeat((rng.random(500) < 0.5)[:, None], 4, axis=1).astype(float)
    flips = rng.random(500) < 0.1
    rows[flips, rng.integers(0, 4, flips.sum())] = 0.0
    torch.manual_seed(1)
    task = BoltzmannTask(
        RestrictedBoltzmannMachine(RBMConfig(4, 2, "binary")),
        ObjectiveConfig("persistent_contrastive_divergence", k=2, chains=100),
    )
    data = patterns(task.model, rows, merge=False)
    config = settings(1200, batch_size=50, validate_every=1200)
    result = Trainer(config).fit(task, OptimizerConfig("adam", 0.02, schedule="cosine"), data, data)
    states, counts = np.unique(rows, axis=0, return_counts=True)
    entropy = -np.sum(counts / 500 * np.log2(counts / 500))
    assert len(states) < 16
    assert entropy <= result.metrics["bits"] < entropy + 0.15


def test_machines_without_free_energies_train_by_contrast_only():
    model = BoltzmannMachine(BoltzmannMachineConfig(3, 17))
    with pytest.raises(InputError, match="pseudo_likelihood needs free energies"):
        BoltzmannTask(model, ObjectiveConfig("pseudo_likelihood"))
    task = BoltzmannTask(model, ObjectiveConfig("contrastive_divergence"))
    task.generator = torch.Generator().manual_seed(0)
    data = task.collate(patterns(model, samples(10, 3), merge=False))
    before = model.couplings.detach().clone()
    (output,) = task.steps(data)
    output.loss.backward()
    assert model.couplings.grad.abs().max() > 0
    assert torch.equal(before, model.couplings)
    assert list(task.evaluate([data])) == ["reconstruction_error"]
