"""The loss against its closed form, and what training must and must not use."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from sciml_zoo.emissions.model import EmissionsForecaster, EmissionsForecasterConfig
from sciml_zoo.emissions.task import ForecastTask, LossConfig, fair_crps
from sciml_zoo.emissions.windows import PanelWindows, Window
from sciml_zoo.errors import InputError

from .toy_panels import panel_of, scrambled

CONFIG = EmissionsForecasterConfig(first_year=2004, horizon=3, members=1, hidden=8, dropout=0.0, level_spread=1.0)


def reverting(companies: int = 300, years: int = 19) -> PanelWindows:
    """Windows of companies that take back most of last year's change."""
    rng = np.random.default_rng(0)
    changes = rng.normal(scale=0.15, size=(companies, years))
    for year in range(1, years):
        changes[:, year] -= 0.8 * changes[:, year - 1]
    return PanelWindows([panel_of(np.exp(10 + changes.cumsum(1)))], CONFIG)


def whole(windows: PanelWindows) -> Window:
    return PanelWindows.collate([windows[index] for index in range(len(windows))])


def task_of(model: EmissionsForecaster, **loss: float) -> ForecastTask:
    task = ForecastTask(model, LossConfig(**loss))
    task.generator = torch.Generator().manual_seed(0)
    return task


def loss_of(task: ForecastTask, batch: Window) -> torch.Tensor:
    task.generator.manual_seed(0)
    (step,) = task.steps(batch)
    return step.loss


def test_the_crps_of_normal_samples_is_that_of_the_normal_distribution():
    samples = torch.randn(1, 200000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z = np.array([[-1.0, 0.0, 2.0]])
    expected = z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi)
    torch.testing.assert_close(fair_crps(samples, torch.from_numpy(z)), torch.from_numpy(expected), atol=0.005, rtol=0)


def test_the_loss_is_the_weighted_mean_over_reported_years():
    model, batch = scrambled(horizon=3, first_year=2004), whole(reverting(5))
    task = task_of(model, shock_penalty=0.0)
    holes = torch.rand(batch.future.shape, generator=torch.Generator().manual_seed(0)) < 0.4
    batch = batch._replace(future=batch.future.masked_fill(holes, float("nan")))
    task.generator.manual_seed(0)
    (step,) = task.steps(batch)
    assert step.weight == float(torch.isfinite(batch.future).sum())
    doubled = loss_of(task, batch._replace(weight=2 * batch.weight))
    torch.testing.assert_close(doubled, 2 * step.loss)


def test_training_finds_that_changes_are_taken_back_and_calibration_lets_it():
    torch.manual_seed(0)
    model, windows = EmissionsForecaster(CONFIG), reverting()
    batch, task = whole(windows), task_of(model)
    model.calibration.has_drift.fill_(True)
    before = task.evaluate([batch])
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(40):
        optimizer.zero_grad()
        (step,) = task.steps(batch)
        step.loss.backward()
        optimizer.step()
    after = task.evaluate([batch])
    assert before["relative_to_naive"] == pytest.approx(1.0, abs=0.02)
    assert after["relative_to_naive"] < 0.85
    assert after["crps"] < before["crps"]
    assert model.calibration.belief[0] > 0.8
    assert after["coverage_80"] == pytest.approx(0.8, abs=0.02)
    assert after["coverage_95"] == pytest.approx(0.95, abs=0.02)


def test_sectors_that_are_always_hidden_have_no_part_in_the_loss():
    model, batch = scrambled(horizon=3, first_year=2004, sectors=("a", "b"), countries=("x",)), whole(reverting(20))
    other = batch._replace(sector=batch.sector + 2, country=batch.country + 1)
    hidden, shown = task_of(model, hide_statics=1.0), task_of(model, hide_statics=0.0)
    torch.testing.assert_close(loss_of(hidden, other), loss_of(hidden, batch), rtol=0, atol=0)
    assert loss_of(shown, other) != loss_of(shown, batch)
    model.zero_grad()
    loss_of(hidden, other).backward()
    table = model.members[0].sector.weight.grad
    assert (table[1:] == 0).all()
    assert (table[0] != 0).any()


def test_an_evaluation_calibrates_and_is_repeatable_whatever_the_batches():
    model, batch = scrambled(horizon=3, first_year=2004), whole(reverting(60))
    task = task_of(model)
    first = task.evaluate([batch])
    state = {name: value.clone() for name, value in model.calibration.state_dict().items()}
    assert (state["stretch"] != 1).any()
    assert task.evaluate([batch]) == first
    torch.testing.assert_close(dict(model.calibration.state_dict()), state, rtol=0, atol=0)
    assert task.evaluate([]) == {}


@pytest.mark.parametrize(("key", "value"), [("samples", 1), ("hide_statics", 1.5), ("shock_penalty", -1.0)])
def test_an_impossible_loss_is_refused_by_name(key, value):
    with pytest.raises(InputError, match=f"{key}: {value}"):
        LossConfig(**{key: value})


def test_the_crps_counts_all_pairs_of_samples():
    samples, actual = torch.randn(3, 6, 2, dtype=torch.float64), torch.randn(3, 2, dtype=torch.float64)
    pairs = (samples[:, :, None] - samples[:, None]).abs().sum((1, 2)) / (6 * 5)
    torch.testing.assert_close(fair_crps(samples, actual), (samples - actual[:, None]).abs().mean(1) - pairs / 2)
