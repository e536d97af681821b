"""The scores against their definitions, and the calibration against what it is fitted to."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml_zoo.splicing.calibration import Calibration
from sciml_zoo.splicing.metrics import (
    average_precision,
    expected_calibration_error,
    precision_at_recall,
    reliability_bins,
    top_k,
)


def test_top_k_by_hand() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.1])
    assert top_k(scores, np.array([1, 0, 1, 1, 0], bool)) == pytest.approx(2 / 3)
    assert top_k(scores, np.array([1, 1, 0, 0, 0], bool)) == 1
    assert np.isnan(top_k(scores, np.zeros(5, bool)))


def test_top_k_of_ties_is_the_expected_fraction() -> None:
    assert top_k(np.zeros(10), np.arange(10) < 3) == pytest.approx(0.3)
    assert top_k(np.array([1.0, 0, 0, 0]), np.array([1, 1, 0, 0], bool)) == pytest.approx((1 + 1 / 3) / 2)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 60))
def test_scores_depend_on_ranks_only(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    scores, truth = rng.normal(size=n), rng.random(n) < 0.4
    truth[0] = True
    for score in (top_k, average_precision, precision_at_recall):
        assert score(np.exp(3 * scores), truth) == pytest.approx(score(scores, truth))
        assert score(np.where(truth, 10 + scores, scores), truth) == pytest.approx(1)


def test_precision_at_recall_by_hand() -> None:
    scores, truth = np.array([5.0, 4, 3, 2, 1]), np.array([1, 0, 1, 1, 0], bool)
    assert precision_at_recall(scores, truth, 0.3) == 1
    assert precision_at_recall(scores, truth, 0.8) == pytest.approx(3 / 4)


def test_calibration_error_by_hand() -> None:
    p, y = np.array([0.05, 0.05, 0.95, 0.85, 1.0]), np.array([0, 1, 1, 1, 0], bool)
    bins = reliability_bins(p, y)
    np.testing.assert_allclose(bins, [[0.05, 0.5, 2], [0.85, 1, 1], [0.975, 0.5, 2]])
    assert expected_calibration_error(p, y) == pytest.approx((2 * 0.45 + 0.15 + 2 * 0.475) / 5)
    assert expected_calibration_error(p, y, least=0.5) == pytest.approx((0.15 + 2 * 0.475) / 3)
    assert np.isnan(expected_calibration_error(p, y, least=1.1))


def drawn(n: int = 40_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that are too large by 1.5 and shifted, and what they stand for."""
    generator = torch.Generator().manual_seed(0)
    truth = 2 * torch.randn(n, 2, generator=generator, dtype=torch.float64) - 2
    labels = torch.rand(n, 2, generator=generator) < truth.sigmoid()
    return 1.5 * truth + torch.tensor([1.0, -1.0]), labels


def test_fitted_calibration_undoes_what_was_done_to_the_logits() -> None:
    logits, labels = drawn()
    calibration = Calibration()
    calibration.fit(logits, labels)
    truth = ((logits - torch.tensor([1.0, -1.0])) / 1.5).sigmoid()
    assert (calibration(logits) - truth).abs().max() < 0.03
    for kind in range(2):
        p, y = calibration(logits)[:, kind].numpy(), labels[:, kind].numpy()
        assert expected_calibration_error(p, y) < 0.005
        assert np.mean(p) == pytest.approx(y.mean(), abs=1e-3)  # the likelihood's own condition for the offset


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_calibration_keeps_the_order(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    calibration = Calibration()
    calibration.fit(3 * torch.randn(50, 2, generator=rng), torch.rand(50, 2, generator=rng) < 0.5)  # labels of noise
    x = torch.linspace(-12, 12, 400, dtype=torch.float64)[:, None].expand(-1, 2)
    assert (calibration(x).diff(dim=0) > 0).all()


def test_a_kind_without_sites_is_left_as_it_is() -> None:
    calibration = Calibration()
    logits = torch.randn(20, 2)
    labels = torch.zeros(20, 2, dtype=torch.bool)
    labels[:5, 1] = True
    calibration.fit(logits, labels)
    torch.testing.assert_close(calibration(logits)[:, 0], logits[:, 0].double().sigmoid())
    assert not torch.allclose(calibration(logits)[:, 1], logits[:, 1].double().sigmoid())
