"""The running features against the table that defines them, worked out from the whole history each time."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from sciml_zoo.emissions.history import N_FEATURES, History

CENTER, SPREAD = 0.5, 2.0


def walks(n: int = 40, years: int = 15) -> torch.Tensor:
    """Log levels with gaps and late starts, float64."""
    generator = torch.Generator().manual_seed(0)
    levels = torch.randn(n, years, generator=generator, dtype=torch.float64).cumsum(1) / 3
    levels[torch.rand(n, years, generator=generator) < 0.25] = float("nan")
    return levels


def read(levels: torch.Tensor) -> History:
    history = History.empty(levels[:, 0])
    for level in levels.unbind(1):
        history = history.observed(level)
    return history


def by_the_table(row: list[float]) -> list[float]:
    """Features of one company, written without tensors."""
    reports = [(year, level) for year, level in enumerate(row) if not math.isnan(level)]
    (began, first), (ended, last) = reports[0], reports[-1]
    changes = [b - a for (_, a), (_, b) in itertools.pairwise(reports)]
    mean, volatility = 0.0, 0.2
    for count, (_, level) in enumerate(reports, start=1):
        mean += (level - mean) / min(count, 5)
    for count, change in enumerate(changes, start=1):
        volatility += (min(abs(change), 2.0) - volatility) / (min(count, 8) + 1)
    now = changes[-1] if changes and ended == len(row) - 1 else 0.0
    ago = max(ended - began, 1)
    slope = 1 - math.exp(min(first - last, 3.0))
    return [
        2 * np.clip(now, -2, 2),
        2 * np.clip(last - mean, -3, 3),
        max(last - max(level for _, level in reports), -3),
        math.log(volatility + 0.02) + 2,
        math.log(1 + len(reports)) - 1.5,
        np.clip((last - CENTER) / SPREAD, -3, 3),
        min(len(row) - 1 - ended, 5),
        min(abs(now) / (volatility + 0.02), 5) / 2,
        10 * np.clip((last - first) / ago, -0.3, 0.3),
        10 * np.clip(slope / ago, -0.3, 0.3),
    ]


@pytest.mark.parametrize("years", range(1, 16))
def test_features_are_those_of_the_table(years):
    levels = walks()[:, :years]
    found = read(levels).features(CENTER, SPREAD)
    begun = torch.isfinite(levels).any(1)
    expected = [by_the_table(row) for row in levels[begun].tolist()]
    np.testing.assert_allclose(found[begun].numpy(), expected, atol=1e-12)
    assert torch.isfinite(found).all()
    assert found.shape[1] == N_FEATURES


def test_years_before_the_first_report_leave_no_trace():
    levels = walks()
    padded = torch.cat([torch.full((len(levels), 4), float("nan"), dtype=levels.dtype), levels], 1)
    torch.testing.assert_close(dataclasses.asdict(read(padded)), dataclasses.asdict(read(levels)), equal_nan=True)


def test_a_sampled_year_counts_as_an_observed_one_after_gaps_too():
    levels = walks()
    history = read(levels[torch.isfinite(levels).any(1)])
    assert (history.gap > 0).any()
    for change in torch.randn(3, len(history.level), dtype=torch.float64):
        sampled, observed = history.advanced(change), history.observed(history.level + change)
        torch.testing.assert_close(dataclasses.asdict(sampled), dataclasses.asdict(observed))
        history = sampled
