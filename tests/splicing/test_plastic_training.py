"""Plasticity through the common trainer: κ = 0 is the plain run, rates lie where they should."""

import dataclasses

import numpy as np
import pytest
import torch

from sciml_zoo.errors import InputError
from sciml_zoo.optim import Plasticity
from sciml_zoo.splicing.data import cover
from sciml_zoo.splicing.labels import Region, Window
from sciml_zoo.splicing.model import SpliceRNN, SpliceRNNConfig
from sciml_zoo.splicing.plastic_training import PlasticityConfig, PlasticRates, of_base_pairs
from sciml_zoo.splicing.synthetic import synthetic_genome
from sciml_zoo.splicing.task import LossConfig, SpliceTask
from sciml_zoo.training import OptimizerConfig, Trainer, TrainerConfig

SHAPE = SpliceRNNConfig(channels=6, states=8, blocks=2, stem=9, memory=32)


def windows(level: float | None = None) -> list[Window]:
    """Windows whose cytosines carry random methylation, or all bases the same."""
    genome = synthetic_genome(6, seed=1)
    made = []
    rng = np.random.default_rng(0)
    for window in cover(genome, [Region("synthetic", 0, 4000)], 400):
        track = np.full((400, 2), np.nan, np.float32)
        for strand, base in enumerate((1, 2)):
            place = window.codes == base
            track[place, strand] = rng.random(place.sum())
        if level is not None:
            track[:] = level
        made.append(dataclasses.replace(window, methylation=track))
    return made


def trained(plasticity: PlasticityConfig | None, callbacks: list = (), samples: list[Window] | None = None):  # type: ignore[assignment]
    torch.manual_seed(0)
    task = SpliceTask(SpliceRNN(SHAPE), LossConfig(segment=128), plasticity=plasticity)
    config = TrainerConfig(max_steps=8, batch_size=4, accelerator="cpu")
    trainer = Trainer(config, callbacks=list(callbacks))
    return trainer.fit(task, OptimizerConfig("adamw", 1e-2), samples or windows()).model


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("definition", ["per_step", "per_connection"])
def test_without_kappa_it_is_the_plain_run_bit_for_bit(definition: str) -> None:
    callbacks = [PlasticRates()] if definition == "per_connection" else []
    assert same(trained(None), trained(PlasticityConfig(0.0, definition), callbacks))  # type: ignore[arg-type]


@pytest.mark.parametrize("definition", ["per_step", "per_connection"])
def test_with_kappa_it_is_another_run_and_the_same_again(definition: str) -> None:
    config = PlasticityConfig(0.8, definition)  # type: ignore[arg-type]

    def again() -> torch.nn.Module:
        return trained(config, [PlasticRates()] if definition == "per_connection" else [])

    assert not same(trained(None), again())
    assert same(again(), again())


def test_rates_lie_between_one_minus_kappa_and_one_and_reach_the_optimizer() -> None:
    rates = PlasticRates()
    model = trained(PlasticityConfig(0.5, "per_connection"), [rates])
    assert {id(p) for p in rates.last} >= {id(p) for block in model.blocks for p in block.inward.parameters()}
    values = torch.cat([alpha.flatten() for alpha in rates.last.values()])
    assert values.min() >= 0.5
    assert values.max() <= 1
    assert values.std() > 0.01


def test_full_methylation_everywhere_freezes_the_plastic_connections() -> None:
    rates = PlasticRates()
    model = trained(PlasticityConfig(1.0, "per_connection"), [rates], windows(level=1.0))
    torch.manual_seed(0)
    before = SpliceRNN(SHAPE)
    for one, other in zip(model.blocks, before.blocks, strict=True):
        assert torch.equal(one.inward.weight, other.inward.weight)
        assert torch.equal(one.outward.bias, other.outward.bias)
    assert not torch.equal(model.stem, before.stem)  # which is not plastic


def test_controls_are_made_from_the_raw_track() -> None:
    raw = torch.from_numpy(np.stack([w.methylation for w in windows()[:3]]))  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    real, shuffled, uniform = (
        PlasticityConfig(0.5, control=control).modulation(raw, generator)  # type: ignore[arg-type]
        for control in ("none", "shuffled", "uniform")
    )
    known = ~of_base_pairs(raw).isnan()
    torch.testing.assert_close(shuffled.sum(1), real.nan_to_num().sum(1))
    torch.testing.assert_close(uniform.mean(1), real.nan_to_num().mean(1))
    assert (shuffled[~known] == 0).all()
    assert not torch.equal(shuffled, real.nan_to_num())
    assert (uniform == uniform[:, :1]).all()


def test_a_base_pair_has_the_methylation_of_its_cytosine() -> None:
    track = torch.tensor([[0.2, torch.nan], [torch.nan, 0.7], [torch.nan, torch.nan]])
    torch.testing.assert_close(of_base_pairs(track), torch.tensor([0.2, 0.7, torch.nan]), equal_nan=True)


def test_what_is_missing_is_said() -> None:
    with pytest.raises(InputError, match="carry no methylation"):
        trained(PlasticityConfig(0.5), samples=[dataclasses.replace(w, methylation=None) for w in windows()])
    with pytest.raises(InputError, match="add PlasticRates"):
        trained(PlasticityConfig(0.5, "per_connection"))
    for changes, words in (({"kappa": 2.0}, "kappa"), ({"kappa": 0.5, "control": "x"}, "control: 'x'")):
        with pytest.raises(InputError, match=words):
            PlasticityConfig(**changes)


def test_the_optimizer_is_wrapped_once() -> None:
    seen = []

    class Look:
        def on_step_end(self, record: object) -> None:
            seen.append(record)

        def on_fit_start(self, trainer: Trainer, state: object) -> None:
            seen.append(state.optimizer)  # type: ignore[attr-defined]

    trained(PlasticityConfig(0.5, "per_connection"), [PlasticRates(), Look()])
    assert isinstance(seen[0], Plasticity)
    assert not isinstance(seen[0].optimizer, Plasticity)
