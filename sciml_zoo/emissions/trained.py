"""Forecasts of a panel by a trained network."""

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from sciml_zoo.emissions._history import shifted
from sciml_zoo.emissions.company_drivers import company_growth
from sciml_zoo.emissions.drivers import Drivers
from sciml_zoo.emissions.forecast import Forecast
from sciml_zoo.emissions.model import EmissionsForecaster, Past
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.emissions.windows import log_emissions, places
from sciml_zoo.errors import InputError, nearest

__all__ = ["TrainedForecaster", "driver_growth"]

# Trajectories computed together: their states stay in the processor's cache.
_ROWS = 16384
# A driver that changes by more in a year is probably in another unit.
_LARGEST_RATIO = 100.0
# An older last report is treated as if it were of so many years ago.
_OLDEST = 5


class TrainedForecaster:
    """A trained network, as a :class:`~sciml_zoo.emissions.forecast.Forecaster` of any panel.

    Args:
        model: the network.
        device: where to compute.

    Attributes:
        model: the network.
    """

    def __init__(self, model: EmissionsForecaster, *, device: str | torch.device = "cpu") -> None:
        if not isinstance(model, EmissionsForecaster):
            raise InputError(f"a {type(model).__name__} does not forecast emissions; load emissions_rnn weights")
        self.model = model.to(device).eval()
        self._device = torch.device(device)

    def fit(self, panel: Panel) -> "TrainedForecaster":
        """Learns nothing: the network is trained.

        Args:
            panel: ignored.

        Returns:
            Itself.
        """
        return self

    @torch.inference_mode()
    def predict(
        self,
        panel: Panel,
        horizon: int,
        *,
        samples: int = 200,
        seed: int = 0,
        drivers: Drivers | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Forecast:
        """Forecasts the years after a panel's last.

        A company whose last report is zero stays at zero. One whose last report is older is forecast from there.
        What ``drivers`` shift a company's median by, against a forecast in which they are drawn, is not calibrated:
        past origins, at which they were not known, say nothing of it.

        Args:
            panel: histories.
            horizon: years, at least 1.
            samples: joint trajectories: sample s of all companies shares the common shocks and the drift.
            seed: of the draws.
            drivers: what they will be; the years and drivers that it lacks are drawn. None: those of the panel's
                drivers whose future is known.
            on_progress: called with the number of companies done, and their total.

        Returns:
            The forecast; the same for the same seed and companies.

        Raises:
            InputError: a horizon or number of samples below one, a company without a report, or unknown drivers.
        """
        for name, value in (("horizon", horizon), ("samples", samples)):
            if value < 1:
                raise InputError(f"{name}: {value} is not at least 1")
        values = panel.values
        reported = np.isfinite(values)
        if not reported.any(axis=1).all():
            silent = panel.companies[int(np.argmin(reported.any(axis=1)))]
            raise InputError(f"company {silent!r} has no report up to {panel.years[-1]}; leave it out of the panel")
        age = np.argmax(reported[:, ::-1], axis=1)
        last = values[np.arange(len(values)), values.shape[1] - 1 - age]
        generator = torch.Generator(self._device).manual_seed(seed)
        drivers = self._known_future(panel, horizon) if drivers is None else drivers
        growth = None if drivers is None else driver_growth(self.model, drivers, panel.years[-1], horizon)
        if growth is not None and not np.isfinite(growth).any():
            growth = None  # companies' own alone, of which the common shocks know nothing
        own = self._own_shift(panel, horizon, drivers)
        lead = min(int(age.max()), _OLDEST)
        shocks = self._shocks(samples, lead, horizon, generator, None)
        assumed = None
        if growth is not None:
            assumed = self._shocks(samples, lead, horizon, generator.manual_seed(seed), torch.tensor(growth))
        drift = torch.randn(samples, generator=generator, device=self._device)
        found = np.zeros((samples, len(values), horizon), dtype=np.float32)
        logs, statics = log_emissions(values), self._statics(panel)
        first, done = panel.years[-1] + 1 - self.model.config.first_year, 0
        for years_ago in np.unique(np.minimum(age, _OLDEST)):
            group = np.flatnonzero((np.minimum(age, _OLDEST) == years_ago) & (last > 0))
            steps = shocks[None, :, lead - years_ago :]
            driven = None if assumed is None else assumed[None, :, lead - years_ago :]
            pasts = self.model.read(
                torch.from_numpy(shifted(logs[group], age[group])).to(self._device),
                statics[0][group].to(self._device),
                statics[1][group].to(self._device),
            )
            rows = max(_ROWS // samples, 1)
            for start in range(0, len(group), rows):
                part = group[start : start + rows]
                here = [past.part(slice(start, start + rows)) for past in pasts]
                ratios, shift = self._log_ratios(here, steps, driven, generator)
                origin = torch.full((len(part),), first - years_ago, device=self._device)
                level = torch.from_numpy(last[part]).to(self._device)
                ratios = self.model.calibration(ratios, drift, origin, level.log().float()) + shift
                ratios = ratios[..., years_ago:] + own[part][:, None]
                found[:, part] = (ratios.double().exp() * level[:, None, None]).float().transpose(0, 1).cpu().numpy()
                done += len(part)
                if on_progress is not None:
                    on_progress(done, int((last > 0).sum()))
        return Forecast(panel.companies, panel.years[-1], found)

    def _known_future(self, panel: Panel, horizon: int) -> Drivers | None:
        """Returns the panel's drivers that the network knows and whose future is known."""
        if panel.drivers is None:
            return None
        config, origin = self.model.config, panel.years[-1]
        known = panel.drivers.select(panel.drivers.known_future & {*config.drivers, *config.company_drivers})
        given = known.given(range(origin + 1, origin + 1 + horizon))
        return known.select(given) if given else None

    def _own_shift(self, panel: Panel, horizon: int, drivers: Drivers | None) -> torch.Tensor:
        """Returns by what companies' own drivers shift their log ratios, [companies, horizon]."""
        response, names = self.model.response, self.model.config.company_drivers
        if response is None or drivers is None:
            return torch.zeros(len(panel.companies), horizon, device=self._device)
        years = range(panel.years[-1] + 1, panel.years[-1] + 1 + horizon)
        growth = company_growth(drivers, names, panel.companies, years)
        return response.shift(torch.from_numpy(growth).to(self._device)).float()

    def _log_ratios(
        self, pasts: list[Past], shocks: torch.Tensor, assumed: torch.Tensor | None, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns sampled log ratios, [n, samples, horizon], and by what assumed drivers shift their medians."""
        state = generator.get_state()
        ratios = self.model.continued(pasts, shocks, generator=generator)
        if assumed is None:
            return ratios, ratios.new_zeros(())
        drawn = ratios.median(1, keepdim=True).values
        generator.set_state(state)
        ratios = self.model.continued(pasts, assumed, generator=generator)
        shift = ratios.median(1, keepdim=True).values - drawn
        return ratios - shift, shift

    def _statics(self, panel: Panel) -> tuple[torch.Tensor, torch.Tensor]:
        config = self.model.config
        sector, country = (list(panel.statics[name]) for name in ("sector", "country"))
        return torch.from_numpy(places(sector, config.sectors)), torch.from_numpy(places(country, config.countries))

    def _shocks(
        self, samples: int, lead: int, horizon: int, generator: torch.Generator, growth: torch.Tensor | None
    ) -> torch.Tensor:
        if growth is not None:
            before = torch.full((lead, growth.shape[1]), float("nan"), dtype=growth.dtype)
            growth = torch.cat([before, growth])
        return self.model.shocks.draw(samples, lead + horizon, generator=generator, growth=growth)


def driver_growth(model: EmissionsForecaster, drivers: Drivers, origin: int, horizon: int) -> np.ndarray:
    """Returns the log growth, in coming years, of the drivers that a network's companies share.

    The level of the origin year comes from the weights where ``drivers`` lacks it.

    Args:
        model: the network.
        drivers: levels by year.
        origin: the last year known.
        horizon: years.

    Returns:
        float64 [horizon, drivers of the network], NaN where nothing is said.

    Raises:
        InputError: no driver, one that the network does not know, or whose first change is not known.
    """
    config = model.config
    known = {**dict.fromkeys(config.drivers, False), **dict.fromkeys(config.company_drivers, True)}
    unknown = [name for name in drivers.names if known.get(name) != (name in drivers.by_company)]
    if unknown or not drivers.names:
        named = unknown[0] if unknown else ""
        hint = nearest(named, known) if known else "they know none"
        if named in known:
            hint = "they know it " + ("of each company: give a column company" if known[named] else "as one for all")
        raise InputError(f"driver {named!r}: the weights do not know it; {hint}")
    years = range(origin, origin + horizon + 1)
    levels = drivers.values.reindex(index=years, columns=list(config.drivers))
    past, own = model.shocks.past_levels, origin - (config.first_year - 1)
    if 0 <= own < len(past):
        levels.loc[origin] = levels.loc[origin].fillna(pd.Series(past[own].cpu().numpy(), levels.columns))
    for name in drivers.values.columns:
        first = levels[name].iloc[1]
        if not np.isfinite(first):
            continue
        before = levels[name].iloc[0]
        if not np.isfinite(before):
            raise InputError(
                f"driver {name!r} is given in {origin + 1} and not in {origin}, which the weights do not know either, "
                f"so that its change is unknown; add a row for {origin}"
            )
        if not 1 / _LARGEST_RATIO < max(first, 1.0) / max(before, 1.0) < _LARGEST_RATIO:
            warnings.warn(
                f"driver {name!r} goes from {before:g} in {origin} to {first:g} in {origin + 1}: is it in the unit of "
                "the weights?",
                stacklevel=3,
            )
    return Drivers(levels).growth().to_numpy()[1:]
