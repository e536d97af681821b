"""What rolling origins correct: drift, belief in differences between companies, and the width of intervals.

======================================  =====================================================================
m ← P + g (m − P) + (D − P)             median of a company; P: the typical median forecast at the same origin
D(h) = k h c                            drift of the medians; c: weighted median of all yearly changes
G(h) = k' · mean over years of c(t, h)  drift of the total; c(t, h): its log growth in the h years from year t on
k, k' = τ² / (τ² + s²/n)                how far a drift is believed; s: spread of the change from year to year,
                                        n: number of years
g(h) = mean_t b − spread_t b            b: slope of actual on forecast differences, in the h years from t on
stretch(h, level)                       of the distance from the median, so that the quantiles cover
======================================  =====================================================================

The expected total drifts by G: from the size of the median company to that of the median tonne, distances from the
median are more and more stretched on one side and shrunk on the other (skew). The drift's prior is N(0, τ²): the
forecast shrinks to the last value where years are few or contradict each other. What is left of its uncertainty,
τ √(1 − k) a year, is shared by all companies and years of a trajectory. Where no prior is given, the network's own
medians stand. The stretches are those of split conformal prediction, asymmetric and by horizon (Romano, Patterson &
Candès, "Conformalized quantile regression", 2019), fitted on companies that the network was not trained on.
"""

import torch
from torch import Tensor, nn

__all__ = ["LEVELS", "TrajectoryCalibration", "weighted_median"]

#: Where the stretches are fitted.
LEVELS = (0.025, 0.1, 0.9, 0.975)

# Newton's steps towards the expected total, each of at most so much.
_SKEW_STEPS, _LARGEST_STEP, _LARGEST_SKEW = 4, 0.3, 0.8
_LEAST_STRETCH, _LARGEST_STRETCH = 0.5, 2.5
# Fewer companies than this tell neither a typical change nor a slope, nor a quantile.
_FEWEST, _FEWEST_FOR_QUANTILES = 10, 100
# Differences beyond this log ratio would decide a slope alone.
_LARGEST_DIFFERENCE = 0.5


def weighted_median(values: Tensor, weights: Tensor) -> Tensor:
    """Returns the weighted median along the first dimension.

    Args:
        values: [n, ...], NaN ignored.
        weights: zero or more, [n].

    Returns:
        [...]; NaN where nothing is known.
    """
    seen = torch.isfinite(values)
    weights = torch.where(seen, weights.view(-1, *[1] * (values.dim() - 1)), 0.0)
    order = torch.where(seen, values, float("inf")).argsort(0)
    passed = weights.gather(0, order).cumsum(0)
    half = (passed >= passed[-1:] / 2).to(torch.int8).argmax(0, keepdim=True)
    found = values.gather(0, order).gather(0, half)[0]
    return torch.where(seen.any(0), found, float("nan"))


class TrajectoryCalibration(nn.Module):
    """Corrects sampled log ratios; does nothing until it is fitted.

    Args:
        years: of the common shocks; an origin is known by the place of the year after it.
        horizon: years ahead that it is fitted for; later years go on in the same way.

    Attributes:
        typical: the median forecast before correction, [years + 1, horizon].
        has_drift: whether there is a drift of its own; if not, the network's medians stand, bool scalar.
        drift: D, [horizon].
        growth: G, [horizon].
        size: log emissions of the median company and of the company of the median tonne, [2].
        skew: relative, of the distances from the median at the larger size; positive: upwards, [horizon].
        belief: g, [horizon].
        stretch: of the distance from the median at :data:`LEVELS`, [horizon, 4].
        drift_spread: of the drift, a year, scalar.
    """

    typical: Tensor
    has_drift: Tensor
    drift: Tensor
    growth: Tensor
    size: Tensor
    skew: Tensor
    belief: Tensor
    stretch: Tensor
    drift_spread: Tensor

    def __init__(self, years: int, horizon: int) -> None:
        super().__init__()
        self.register_buffer("typical", torch.zeros(years + 1, horizon))
        self.register_buffer("has_drift", torch.tensor(False))
        self.register_buffer("drift", torch.zeros(horizon))
        self.register_buffer("growth", torch.zeros(horizon))
        self.register_buffer("size", torch.tensor([0.0, 1.0]))
        self.register_buffer("skew", torch.zeros(horizon))
        self.register_buffer("belief", torch.ones(horizon))
        self.register_buffer("stretch", torch.ones(horizon, len(LEVELS)))
        self.register_buffer("drift_spread", torch.zeros(()))

    def forward(self, ratios: Tensor, drift: Tensor, origin: Tensor, level: Tensor) -> Tensor:
        """Corrects trajectories; sample s of all companies shares one drift.

        Args:
            ratios: log ratios to the last value, [n, samples, horizon].
            drift: standard normal, [samples].
            origin: the first year forecast, counted from the first of the common shocks, int64 [n].
            level: log of the last value, [n].

        Returns:
            The same shape.
        """
        years = torch.arange(1, ratios.shape[2] + 1, device=ratios.device)
        fitted = (years - 1).clamp(max=len(self.belief) - 1)
        beyond = years / (fitted + 1)
        order = ratios.argsort(1)
        ordered = ratios.gather(1, order)
        samples = ratios.shape[1]
        middle = ordered[:, (samples - 1) // 2 : samples // 2 + 1].mean(1, keepdim=True)
        typical = self.typical[origin.clamp(0, len(self.typical) - 1)][:, None, fitted] * beyond
        common = self.drift[fitted] * beyond if self.has_drift else typical
        centre = common + self.belief[fitted] * (middle - typical)
        away = (ordered - middle) * self._factors(samples, fitted).to(ratios.dtype)
        skew = self._place(level)[:, None, None] * self.skew[fitted]
        moved = centre + away * torch.where(away > 0, 1 + skew, 1 - skew)
        spread = drift[:, None] * self.drift_spread * years
        return torch.empty_like(ratios).scatter_(1, order, moved) + spread.to(ratios.dtype)

    def _place(self, level: Tensor) -> Tensor:
        """Returns where companies lie between the median company, 0, and that of the median tonne, 1, [n]."""
        return ((level - self.size[0]) / (self.size[1] - self.size[0])).clamp(0, 1)

    def _factors(self, samples: int, fitted: Tensor) -> Tensor:
        """Returns the stretch at each rank, between the levels interpolated, [samples, horizon]."""
        rank = (torch.arange(samples, device=fitted.device, dtype=torch.float32) + 0.5) / samples
        levels = torch.tensor(LEVELS, device=fitted.device)
        right = torch.bucketize(rank, levels).clamp(1, len(LEVELS) - 1)
        part = ((rank - levels[right - 1]) / (levels[right] - levels[right - 1])).clamp(0, 1)[:, None]
        stretch = self.stretch[fitted].T
        return stretch[right - 1] * (1 - part) + stretch[right] * part

    @torch.no_grad()
    def fit(
        self,
        ratios: Tensor,
        actual: Tensor,
        weights: Tensor,
        origin: Tensor,
        level: Tensor,
        *,
        drift: Tensor,
    ) -> None:
        """Fits all but the drift to forecasts from rolling origins.

        Args:
            ratios: uncorrected forecasts, log ratios, [n, samples, horizon].
            actual: what happened, NaN where nothing was reported, [n, horizon].
            weights: of the companies, [n].
            origin: as for :meth:`forward`.
            level: likewise.
            drift: standard normal, [samples].
        """
        self.belief.fill_(1.0)
        self.stretch.fill_(1.0)
        self.skew.zero_()
        predicted = ratios.median(1).values
        self._fit_typical(predicted, weights, origin)
        if self.has_drift:
            self._fit_belief(predicted, actual, weights, origin)
        self._fit_stretch(self(ratios, drift, origin, level), actual)
        if self.has_drift:
            self._fit_skew(ratios, origin, level, drift)

    @torch.no_grad()
    def fit_drift(self, actual: Tensor, weights: Tensor, origin: Tensor, level: Tensor, prior: float) -> None:
        """Fits the drift to what happened from rolling origins; with fewer than two years there is none.

        Args:
            actual: log ratios, NaN where nothing was reported, [n, horizon].
            weights: of the companies, [n].
            origin: as for :meth:`forward`.
            level: likewise.
            prior: τ, a year.
        """
        self.has_drift.fill_(True)
        self.drift.zero_()
        self.growth.zero_()
        self.drift_spread.fill_(prior)
        years = [y for y in origin.unique() if torch.isfinite(actual[origin == y, 0]).sum() >= _FEWEST]
        if len(years) < 2:
            return
        tonnes = level.double().exp()
        typical = torch.stack([weighted_median(actual[origin == y, :1], weights[origin == y]) for y in years])
        total = torch.stack([_growth(actual[origin == y], tonnes[origin == y]) for y in years])
        steps = torch.arange(1, len(self.belief) + 1, device=actual.device)
        growth = total.nanmean(0)
        for step in range(1, len(steps)):
            if torch.isnan(growth[step]):
                growth[step] = growth[step - 1] * (step + 1) / step
        belief, belief_total = (prior**2 / (prior**2 + c[:, 0].var() / len(c)) for c in (typical, total))
        self.drift.copy_(belief * weighted_median(actual[:, 0], weights) * steps)
        self.growth.copy_(belief_total * growth)
        self.drift_spread.copy_(prior * (1 - belief).sqrt())
        smaller, larger = weighted_median(level, weights), weighted_median(level, tonnes.to(level))
        self.size.copy_(torch.stack([smaller, torch.maximum(larger, smaller + 0.1)]))

    def _fit_typical(self, predicted: Tensor, weights: Tensor, origin: Tensor) -> None:
        self.typical[:] = weighted_median(predicted, weights)
        for year in origin.unique():
            here = origin == year
            if here.sum() >= _FEWEST:
                self.typical[year] = weighted_median(predicted[here], weights[here])

    def _fit_belief(self, predicted: Tensor, actual: Tensor, weights: Tensor, origin: Tensor) -> None:
        slopes = []
        for year in origin.unique():
            here = origin == year
            difference = predicted[here] - self.typical[year]
            outcome = (actual[here] - weighted_median(actual[here], weights[here])).clamp(
                -_LARGEST_DIFFERENCE, _LARGEST_DIFFERENCE
            )
            seen = torch.isfinite(outcome)
            weight = weights[here][:, None] * seen
            slope = (weight * difference * outcome.nan_to_num()).sum(0) / (weight * difference.square()).sum(0)
            slopes.append(torch.where(seen.sum(0) >= _FEWEST, slope, float("nan")))
        for step in range(len(self.belief)):
            known = torch.stack(slopes)[:, step]
            known = known[torch.isfinite(known)]
            # One year alone says nothing of how stable a slope is.
            self.belief[step] = (known.mean() - known.std()).clamp(0, 1) if len(known) > 1 else 0.0

    def _fit_skew(self, ratios: Tensor, origin: Tensor, level: Tensor, drift: Tensor) -> None:
        place, tonnes = self._place(level)[:, None], level.double().exp()[:, None]
        for _ in range(_SKEW_STEPS):
            moved = self(ratios, drift, origin, level)
            expected = moved.double().exp().mean(1) * tonnes
            excess = (expected.sum(0) / tonnes.sum()).log() - self.growth
            distance = (moved - moved.median(1, keepdim=True).values).abs().double().mean(1)
            slope = (distance * place * expected).sum(0) / expected.sum(0)
            step = (excess / slope.clamp(min=1e-3)).clamp(-_LARGEST_STEP, _LARGEST_STEP)
            self.skew.copy_((self.skew - step.to(self.skew)).clamp(-_LARGEST_SKEW, _LARGEST_SKEW))

    def _fit_stretch(self, ratios: Tensor, actual: Tensor) -> None:
        at = torch.tensor([*LEVELS, 0.5], dtype=ratios.dtype, device=ratios.device)
        quantiles = torch.quantile(ratios, at, dim=1)
        for step in range(actual.shape[1]):
            seen = torch.isfinite(actual[:, step])
            if seen.sum() < _FEWEST_FOR_QUANTILES:
                self.stretch[step] = self.stretch[max(step - 1, 0)]
                continue
            middle = quantiles[-1, seen, step]
            for index, level in enumerate(LEVELS):
                half = (quantiles[index, seen, step] - middle).abs().clamp(min=1e-6)
                sign = 1.0 if level > 0.5 else -1.0
                needed = torch.quantile(sign * (actual[seen, step] - middle) / half, max(level, 1 - level))
                self.stretch[step, index] = needed.clamp(_LEAST_STRETCH, _LARGEST_STRETCH)


def _growth(actual: Tensor, tonnes: Tensor) -> Tensor:
    """Returns the log growth of the total of those that report, [horizon]."""
    seen = torch.isfinite(actual)
    later = torch.where(seen, actual, 0.0).double().exp() * tonnes[:, None]
    return ((later * seen).sum(0) / (tonnes[:, None] * seen).sum(0)).log().to(actual)
