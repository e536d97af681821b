"""How the forecaster is trained and calibrated: the CRPS of sampled trajectories, through the recursion.

====================================================  ===================================================
y = exp(log ratio)                                    emissions relative to the last value
CRPS(h) = mean |y_s − y| − ½ mean |y_s − y_s'|        fair, over trajectories s ≠ s' (Ferro 2014)
loss = mean_h w [CRPS(ratios) + CRPS(log ratios)]     w = last value / mean absolute change so far
====================================================  ===================================================

In training the common shocks are those learned for the years of the future, so that a year which all companies share is
not taken for a law; sectors and countries are hidden at random, so that the network does without them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics import CatMetric

from sciml_zoo.emissions.model import EmissionsForecaster
from sciml_zoo.emissions.windows import PanelWindows, Window
from sciml_zoo.errors import InputError
from sciml_zoo.training.task import StepOutput, Task

__all__ = ["ForecastTask", "LossConfig", "fair_crps"]

_VALIDATION_SAMPLES = 99
_ROWS = 4096


@dataclass(frozen=True)
class LossConfig:
    """Loss and noise.

    Attributes:
        samples: trajectories of each history, at least 2 for each member of the ensemble.
        log_weight: of the CRPS of log ratios, against 1 for that of ratios.
        hide_statics: how often a sector or a country is hidden, in [0, 1].
        shock_penalty: of the squares of the common shocks learned.
    """

    samples: int = 8
    log_weight: float = 1.0
    hide_statics: float = 0.3
    shock_penalty: float = 0.01

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise InputError(f"samples: {self.samples} is not at least 2")
        if not 0 <= self.hide_statics <= 1:
            raise InputError(f"hide_statics: {self.hide_statics} is not in [0, 1]")
        for key in ("log_weight", "shock_penalty"):
            if getattr(self, key) < 0:
                raise InputError(f"{key}: {getattr(self, key)} is not zero or more")


def fair_crps(samples: Tensor, actual: Tensor) -> Tensor:
    """Returns the fair sample estimate of the continuous ranked probability score, differentiable.

    Args:
        samples: [n, samples, horizon].
        actual: [n, horizon].

    Returns:
        [n, horizon].
    """
    size = samples.shape[1]
    ordered = samples.sort(1).values
    weight = 2 * torch.arange(1, size + 1, dtype=samples.dtype, device=samples.device) - size - 1
    spread = (ordered * weight[:, None]).sum(1) / (size * (size - 1))
    return (samples - actual[:, None]).abs().mean(1) - spread


class ForecastTask(Task):
    """Trains an :class:`EmissionsForecaster` on :class:`PanelWindows`.

    Args:
        model: the network.
        loss: its weights and noise.
    """

    #: What :meth:`evaluate` returns.
    NAMES = ("crps", "mase", "relative_to_naive", "coverage_80", "coverage_95")

    model: EmissionsForecaster

    def __init__(self, model: EmissionsForecaster, loss: LossConfig | None = None) -> None:
        self.model = model
        self.loss = loss or LossConfig()

    def collate(self, samples: list[Window]) -> Window:
        """Stacks windows.

        Args:
            samples: the windows.

        Returns:
            The batch.
        """
        return PanelWindows.collate(samples)

    def steps(self, batch: Window) -> Iterator[StepOutput]:
        """Yields the loss of one step.

        Args:
            batch: windows.

        Yields:
            The mean over reported years; weight: their number.
        """
        config = self.model.config
        horizon = batch.future.shape[1]
        years = batch.year[:, None] + torch.arange(horizon, device=batch.year.device)
        shocks = self.model.shocks.of_years(years)[:, None]
        samples = self.loss.samples * config.members
        ratios = self.model.trajectories(
            batch.history,
            self._hidden(batch.sector),
            self._hidden(batch.country),
            shocks.expand(-1, samples, -1, -1),
            generator=self.generator,
        )
        seen = torch.isfinite(batch.future)
        future = batch.future.nan_to_num()
        each = future.new_zeros(future.shape)
        for member in range(config.members):
            mine = ratios[:, member :: config.members]
            each = each + fair_crps(mine.exp(), future.exp()) + self.loss.log_weight * fair_crps(mine, future)
        loss = (each * batch.weight[:, None] * seen).sum() / seen.sum().clamp(min=1) / config.members
        yield StepOutput(loss + self.loss.shock_penalty * self.model.shocks.past.square().sum(), float(seen.sum()))

    def _hidden(self, places: Tensor) -> Tensor:
        draw = torch.rand(places.shape, generator=self.generator, device=places.device)
        return torch.where(draw < self.loss.hide_statics, 0, places)

    @torch.no_grad()
    def evaluate(self, batches: Iterable[Window]) -> dict[str, float]:
        """Calibrates the model on windows of companies that it was not trained on, and scores it on the same.

        Args:
            batches: windows.

        Returns:
            ``crps`` and ``mase``, scaled by each history's mean absolute change; ``relative_to_naive``, of the MASE;
            coverage of the 80 % and 95 % intervals; all means over reported years.
        """
        generator = torch.Generator(self.device).manual_seed(0)
        horizon, samples = self.model.config.horizon, _VALIDATION_SAMPLES
        found = {name: CatMetric().to(self.device) for name in ("ratios", "future", "weight", "year", "level")}
        for batch in batches:
            for start in range(0, len(batch.weight), _ROWS):
                part = Window(*(field[start : start + _ROWS] for field in batch))
                shocks = self.model.shocks.draw(samples, horizon, generator=generator)[None]
                ratios = self.model.trajectories(part.history, part.sector, part.country, shocks, generator=generator)
                found["ratios"].update(ratios.flatten(1))
                found["future"].update(part.future.nan_to_num(nan=float("inf")))
                found["weight"].update(part.weight)
                found["year"].update(part.year.float())
                found["level"].update(part.history[:, -1])
        if not found["weight"].value:
            return {}
        ratios = found["ratios"].compute().view(-1, samples, horizon)
        future = found["future"].compute().view(-1, horizon)
        future = torch.where(torch.isinf(future), float("nan"), future)
        weight, year, level = (found[name].compute().view(-1) for name in ("weight", "year", "level"))
        year = year.long()
        drift = torch.randn(samples, generator=generator, device=self.device)
        calibration = self.model.calibration
        calibration.fit(ratios, future, weight, year, level, drift=drift)
        return _scores(calibration(ratios, drift, year, level), future, weight)


def _scores(ratios: Tensor, future: Tensor, weight: Tensor) -> dict[str, float]:
    seen = torch.isfinite(future)
    scaled = weight[:, None].expand_as(future)[seen]
    actual = future.nan_to_num()
    at = torch.tensor([0.025, 0.1, 0.5, 0.9, 0.975], dtype=ratios.dtype, device=ratios.device)
    quantiles = torch.quantile(ratios, at, dim=1)
    crps = fair_crps(ratios.exp(), actual.exp())[seen]
    error = (quantiles[2].exp() - actual.exp()).abs()[seen] * scaled
    naive = (1 - actual.exp()).abs()[seen] * scaled

    def inside(low: int, high: int) -> float:
        return float(((actual >= quantiles[low]) & (actual <= quantiles[high]))[seen].double().mean())

    return {
        "crps": float((crps * scaled).mean()),
        "mase": float(error.mean()),
        "relative_to_naive": float(error.mean() / naive.mean()),
        "coverage_80": inside(1, 3),
        "coverage_95": inside(0, 4),
    }
