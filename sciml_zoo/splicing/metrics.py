"""The scores of splice-site prediction.

| score | definition |
|---|---|
| top-k | with k true sites, the fraction of true ones among the k highest scores (Jaganathan et al., Cell 176, 2019) |
| AP | average precision, the area under the precision–recall curve (scikit-learn) |
| precision at a recall | the largest precision at any threshold that reaches the recall |
| ECE | Σ_b n_b/n · mean p − frequency in bin b, in absolute value (Naeini et al., AAAI 2015) |
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["average_precision", "expected_calibration_error", "precision_at_recall", "reliability_bins", "top_k"]

Scores = NDArray[np.floating]
Truth = NDArray[np.bool_]


def top_k(scores: Scores, truth: Truth) -> float:
    """Returns the fraction of true sites among the k highest scores, k being their number; NaN without any.

    Args:
        scores: [n], higher is likelier; among equal scores the expected fraction is taken.
        truth: [n].
    """
    k = int(truth.sum())
    if k == 0:
        return float("nan")
    threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
    above, at = scores > threshold, scores == threshold
    room = k - int(above.sum())
    return float((truth[above].sum() + truth[at].sum() * room / at.sum()) / k)


def average_precision(scores: Scores, truth: Truth) -> float:
    """Returns the average precision; NaN without any true site.

    Args:
        scores: [n], higher is likelier.
        truth: [n].
    """
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(truth, scores)) if truth.any() else float("nan")


def precision_at_recall(scores: Scores, truth: Truth, recall: float = 0.8) -> float:
    """Returns the largest precision at thresholds whose recall is at least the one given; NaN without any true site.

    Args:
        scores: [n], higher is likelier.
        truth: [n].
        recall: in (0, 1].
    """
    from sklearn.metrics import precision_recall_curve

    if not truth.any():
        return float("nan")
    precision, reached, _ = precision_recall_curve(truth, scores)
    return float(precision[reached >= recall].max())


def reliability_bins(probabilities: Scores, truth: Truth, n_bins: int = 10, least: float = 0.0) -> NDArray[np.float64]:
    """Compares probabilities with frequencies in bins of equal width.

    Args:
        probabilities: [n].
        truth: [n].
        n_bins: between ``least`` and 1.
        least: where the first bin starts; lower probabilities are left out.

    Returns:
        Rows of mean probability, frequency and number, of the bins that are not empty, [m, 3].
    """
    inside = probabilities >= least
    p, y = probabilities[inside].astype(np.float64), truth[inside]
    which = np.minimum(((p - least) / (1 - least) * n_bins).astype(int), n_bins - 1)
    counts = np.bincount(which, minlength=n_bins)
    sums = np.bincount(which, weights=p, minlength=n_bins), np.bincount(which, weights=y, minlength=n_bins)
    full = counts > 0
    return np.stack([sums[0][full] / counts[full], sums[1][full] / counts[full], counts[full]], 1)


def expected_calibration_error(probabilities: Scores, truth: Truth, n_bins: int = 10, least: float = 0.0) -> float:
    """Returns the expected calibration error over probabilities of at least ``least``; NaN without any.

    Args:
        probabilities: [n].
        truth: [n].
        n_bins: between ``least`` and 1.
        least: lower probabilities are left out.
    """
    bins = reliability_bins(probabilities, truth, n_bins, least)
    if not len(bins):
        return float("nan")
    return float(np.sum(bins[:, 2] * np.abs(bins[:, 0] - bins[:, 1])) / bins[:, 2].sum())
