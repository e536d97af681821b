"""A recurrent network for a panel: from what companies have emitted to joint trajectories of what they may emit.

==================================================  =====================================================
h ← GRU(features(history), h)                       one step a year, over at most ``context`` years
μ, η, a, δ, λ = head(h, statics, features)          median, scale, skewness and tail weight; common loadings
ε = η [sinh((asinh z + a)/δ) − sinh(a/δ)]           own shock, z ~ N(0, 1); median zero, heavy tails for δ < 1
x = μ + ε + λ · u                                   log ratio to the last value; u: the year's common shocks
history ← history with x                            each sampled year feeds the next
==================================================  =====================================================

The own shock is a sinh-arcsinh normal (Jones & Pewsey, Biometrika 96, 2009). The common shocks u of past years are
parameters, learned with the weights, so that a crisis year is explained as such and not as a law; those of coming
years are drawn (:mod:`sciml_zoo.emissions.common_shocks`). The output layer for μ starts at zero: the untrained
network forecasts the last value.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sciml_zoo.emissions.calibration import TrajectoryCalibration
from sciml_zoo.emissions.common_shocks import CommonShocks
from sciml_zoo.emissions.company_drivers import CompanyResponse
from sciml_zoo.emissions.history import N_FEATURES, History
from sciml_zoo.errors import InputError
from sciml_zoo.zoo.registry import register_model

__all__ = ["EmissionsForecaster", "EmissionsForecasterConfig", "Past", "YearAhead"]

# What a year may change, and how far above its highest year a company may come: e³ and e times.
_LARGEST_CHANGE = 3.0
_ABOVE_PEAK = 1.0
_LARGEST_MEDIAN = 0.3


@dataclass(frozen=True)
class EmissionsForecasterConfig:
    """Shape of an :class:`EmissionsForecaster`.

    Attributes:
        sectors: those that it tells apart; a panel's other sectors count as unknown.
        countries: likewise.
        drivers: names of the economic drivers that its common shocks are explained by.
        company_drivers: names of the drivers of each company's own that it responds to.
        first_year: of the common shocks learned.
        last_year: the last year of which anything was learned.
        level_center: typical log of emissions, in tonnes.
        level_spread: spread of it.
        hidden: units of the recurrent layer.
        embedding: numbers by which a sector or a country is known.
        factors: common shocks in a year; 0: companies are independent.
        members: networks in the ensemble; trajectories are dealt out to them.
        dropout: in training.
        context: years of history read, at most.
        horizon: years ahead that it is trained and calibrated on.
        prior_drift: spread, a year, of the prior of the drift that all companies share, around none; None: the
            network's own drift stands.
    """

    sectors: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()
    company_drivers: tuple[str, ...] = ()
    first_year: int = 2005
    last_year: int = 2022
    level_center: float = 10.0
    level_spread: float = 3.0
    hidden: int = 16
    embedding: int = 4
    factors: int = 3
    members: int = 2
    dropout: float = 0.2
    context: int = 20
    horizon: int = 5
    prior_drift: float | None = 0.02

    def __post_init__(self) -> None:
        for key in ("hidden", "embedding", "members", "context", "horizon"):
            if getattr(self, key) < 1:
                raise InputError(f"{key}: {getattr(self, key)} is not at least 1")
        if self.factors < 0:
            raise InputError(f"factors: {self.factors} is not zero or more")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout: {self.dropout} is not in [0, 1)")
        if self.last_year < self.first_year:
            raise InputError(f"last_year: {self.last_year} lies before first_year, {self.first_year}")
        if self.prior_drift is not None and self.prior_drift <= 0:
            raise InputError(f"prior_drift: {self.prior_drift} is not positive")
        if self.level_spread <= 0:
            raise InputError(f"level_spread: {self.level_spread} is not positive")


@dataclass(frozen=True)
class YearAhead:
    """The distribution of the next log ratio; all [n], but loadings [n, factors].

    Attributes:
        median: at common shocks of zero.
        scale: of the own shock.
        skewness: of it.
        tail: 1: normal; less: heavier.
        loadings: on the common shocks.
    """

    median: Tensor
    scale: Tensor
    skewness: Tensor
    tail: Tensor
    loadings: Tensor

    def change(self, noise: Tensor, shocks: Tensor) -> Tensor:
        """Returns log ratios.

        Args:
            noise: standard normal, [n].
            shocks: common ones of the year, [n, factors].
        """
        own = torch.sinh((torch.asinh(noise) + self.skewness) / self.tail) - torch.sinh(self.skewness / self.tail)
        change = self.median + self.scale * own + (self.loadings * shocks).sum(-1)
        return change.clamp(-_LARGEST_CHANGE, _LARGEST_CHANGE)


class Past(NamedTuple):
    """What a network makes of histories; all of n companies.

    Attributes:
        history: running statistics.
        state: the recurrent one, [n, hidden].
        statics: [n, 2 · embedding].
    """

    history: History
    state: Tensor
    statics: Tensor

    def part(self, rows: slice) -> "Past":
        """Returns that of some companies."""
        return Past(self.history.part(rows), self.state[rows], self.statics[rows])


class Member(nn.Module):
    """One network of the ensemble."""

    def __init__(self, config: EmissionsForecasterConfig) -> None:
        super().__init__()
        self.config = config
        self.sector = nn.Embedding(len(config.sectors) + 1, config.embedding)
        self.country = nn.Embedding(len(config.countries) + 1, config.embedding)
        for table in (self.sector, self.country):
            nn.init.zeros_(table.weight)
        self.cell = nn.GRUCell(N_FEATURES, config.hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.middle = nn.Sequential(
            nn.Linear(config.hidden + N_FEATURES, config.hidden),
            nn.SiLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, 1),
        )
        self.spread = nn.Sequential(
            nn.Linear(config.hidden + 2 * config.embedding + N_FEATURES, config.hidden),
            nn.SiLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, 3 + config.factors),
        )
        with torch.no_grad():
            middle, spread = self.middle[-1], self.spread[-1]
            assert isinstance(middle, nn.Linear)
            assert isinstance(spread, nn.Linear)
            for layer, kept in ((middle, 1), (spread, 3)):
                layer.weight[:kept] = 0.0
                layer.bias[:] = 0.0
            spread.bias[0], spread.bias[2] = -2.0, -0.7
            spread.bias[3:4] = 1.0

    def read(self, levels: Tensor) -> tuple[History, Tensor]:
        """Reads histories.

        Args:
            levels: log emissions, NaN where nothing was reported, [n, years].

        Returns:
            The history and the recurrent state [n, hidden] after the last year.
        """
        history = History.empty(levels[:, 0])
        state = levels.new_zeros(len(levels), self.config.hidden)
        for level in levels.unbind(1):
            history = history.observed(level)
            begun = torch.isfinite(history.level)
            state = torch.where(begun[:, None], self.step(history, state), state)
        return history, state

    def step(self, history: History, state: Tensor) -> Tensor:
        """Returns the state [n, hidden] one year on."""
        stepped: Tensor = self.cell(self._features(history), state)
        return stepped

    def _features(self, history: History) -> Tensor:
        return history.features(self.config.level_center, self.config.level_spread)

    def statics(self, sector: Tensor, country: Tensor) -> Tensor:
        """Returns what is known of companies beside their emissions, [n, 2 · embedding]."""
        return torch.cat([self.sector(sector), self.country(country)], -1)

    def year_ahead(self, history: History, state: Tensor, statics: Tensor) -> YearAhead:
        """Returns the distribution of the next log ratio.

        Args:
            history: of n companies.
            state: after its last year, [n, hidden].
            statics: as :meth:`statics` gives them.

        Returns:
            The distribution.
        """
        seen = torch.cat([self.dropout(state), self._features(history)], -1)
        out = self.spread(torch.cat([seen, statics], -1))
        return YearAhead(
            median=_LARGEST_MEDIAN * torch.tanh(self.middle(seen)[:, 0] / _LARGEST_MEDIAN),
            scale=F.softplus(out[:, 0]) + 1e-3,
            skewness=torch.tanh(out[:, 1]),
            tail=0.2 + 0.8 * torch.sigmoid(out[:, 2]),
            loadings=out[:, 3:],
        )


@register_model("emissions_rnn", config=EmissionsForecasterConfig, domain="emissions", golden_tolerance=(1e-4, 1e-5))
class EmissionsForecaster(nn.Module):
    """Forecasts all companies of a panel together, by sampled trajectories.

    Attributes:
        members: the ensemble.
        shocks: the years' common shocks.
        calibration: what rolling origins have corrected.
        response: to companies' own drivers; None: it knows none.
    """

    def __init__(self, config: EmissionsForecasterConfig | None = None) -> None:
        super().__init__()
        self.config = config or EmissionsForecasterConfig()
        self.members = nn.ModuleList(Member(self.config) for _ in range(self.config.members))
        years = self.config.last_year - self.config.first_year + 1
        self.shocks = CommonShocks(years, self.config.factors, len(self.config.drivers))
        self.calibration = TrajectoryCalibration(years, self.config.horizon)
        own = len(self.config.company_drivers)
        self.response = CompanyResponse(own) if own else None

    def forward(self, history: Tensor, sector: Tensor, country: Tensor) -> dict[str, Tensor]:
        """Gives the distribution of the first year ahead, at common shocks of zero.

        Args:
            history: natural logarithm of emissions in tonnes, NaN where nothing was reported, [n, years].
            sector: place in ``config.sectors`` plus one, 0: unknown, int64 [n].
            country: likewise in ``config.countries``.

        Returns:
            ``median``, ``scale``, ``skewness`` and ``tail`` of the log ratio to the last value, [members, n], and
            ``loadings`` on the common shocks, [members, n, factors].
        """
        heads = []
        for member, past in zip(self.members, self.read(history, sector, country), strict=True):
            assert isinstance(member, Member)
            heads.append(member.year_ahead(*past))
        names = ("median", "scale", "skewness", "tail", "loadings")
        return {name: torch.stack([getattr(head, name) for head in heads]) for name in names}

    def read(self, history: Tensor, sector: Tensor, country: Tensor) -> list[Past]:
        """Reads histories, once for all trajectories.

        Args:
            history: as for :meth:`forward`.
            sector: likewise.
            country: likewise.

        Returns:
            What each member makes of them.
        """
        found = []
        for member in self.members:
            assert isinstance(member, Member)
            read, state = member.read(history[:, -self.config.context :])
            found.append(Past(read, state, member.statics(sector, country)))
        return found

    def trajectories(
        self, history: Tensor, sector: Tensor, country: Tensor, shocks: Tensor, *, generator: torch.Generator | None
    ) -> Tensor:
        """Samples log ratios to the last value, not yet calibrated; each sampled year feeds the next.

        Args:
            history: as for :meth:`forward`; every company must have reported at least once.
            sector: likewise.
            country: likewise.
            shocks: common shocks of the coming years, [n or 1, samples, horizon, factors].
            generator: of the own shocks.

        Returns:
            [n, samples, horizon]; sample s was drawn by member s mod ``members``.
        """
        return self.continued(self.read(history, sector, country), shocks, generator=generator)

    def continued(self, pasts: list[Past], shocks: Tensor, *, generator: torch.Generator | None) -> Tensor:
        """Samples log ratios as :meth:`trajectories` does.

        Args:
            pasts: as :meth:`read` gives them, of n companies.
            shocks: as for :meth:`trajectories`.
            generator: likewise.

        Returns:
            [n, samples, horizon].
        """
        n, samples = len(pasts[0].state), shocks.shape[1]
        out = shocks.new_empty(n, samples, shocks.shape[2])
        for index, (member, past) in enumerate(zip(self.members, pasts, strict=True)):
            mine = shocks[:, index :: len(self.members)]
            if mine.shape[1]:
                assert isinstance(member, Member)
                out[:, index :: len(self.members)] = self._of_member(member, past, mine, generator)
        return out

    def _of_member(self, member: Member, past: Past, shocks: Tensor, generator: torch.Generator | None) -> Tensor:
        n, (_, samples, horizon, factors) = len(past.state), shocks.shape
        history = past.history.repeated(samples)
        state, statics = (each.repeat_interleave(samples, 0) for each in (past.state, past.statics))
        shocks = shocks.expand(n, samples, horizon, factors).reshape(n * samples, horizon, factors)
        start, roof, found = history.level, history.peak + _ABOVE_PEAK, []
        for year in range(horizon):
            noise = torch.randn(n * samples, generator=generator, device=start.device, dtype=start.dtype)
            change = member.year_ahead(history, state, statics).change(noise.clamp(-4, 4), shocks[:, year])
            history = history.advanced(torch.minimum(change, roof - history.level))
            found.append(history.level - start)
            if year + 1 < horizon:
                state = member.step(history, state)
        return torch.stack(found, 1).view(n, samples, horizon)

    def example_inputs(self) -> dict[str, Tensor]:
        """Returns three histories, with a gap and a late start."""
        generator = torch.Generator().manual_seed(0)
        history = 10 + torch.randn(3, 8, generator=generator).cumsum(1) / 5
        history[1, :4], history[2, 5] = float("nan"), float("nan")
        zeros = torch.zeros(3, dtype=torch.int64)
        return {"history": history, "sector": zeros, "country": zeros}
