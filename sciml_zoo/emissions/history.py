"""What the network sees of a history: running features that a forecast carries on in the same way.

==================  ======================================================================
change              log ratio to the last report, 0 in a year without one
deviation           log level − running mean, in which a report weighs 1/n, and 1/5 from the fifth on
below peak          log level − log of the highest report so far
volatility          running mean of 0.2 and all |change|, in which a change weighs 1/9 or more
reports             log(1 + their number)
level               (log level − center) / spread, of the companies trained on
gap                 years since the last report
surprise            |change| / volatility
growth              mean log change a year since the first report, times 10
slope               mean change a year since the first report / last report, times 10
==================  ======================================================================
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

__all__ = ["N_FEATURES", "History"]

N_FEATURES = 10

_MEAN_OVER, _VOLATILITY_OVER = 5, 8
_FIRST_VOLATILITY = 0.2
_NO_PEAK = -1e9


@dataclass(frozen=True)
class History:
    """Running statistics of many companies up to some year; all [n].

    Attributes:
        level: log of the last report, NaN before the first.
        mean: running mean of log levels.
        peak: highest log level.
        volatility: running mean of absolute changes.
        change: the last log ratio.
        reports: how many there were.
        gap: years since the last one.
        first: log of the first report.
        years: from the first report to the last.
    """

    level: Tensor
    mean: Tensor
    peak: Tensor
    volatility: Tensor
    change: Tensor
    reports: Tensor
    gap: Tensor
    first: Tensor
    years: Tensor

    @classmethod
    def empty(cls, like: Tensor) -> "History":
        """Returns the history before any report.

        Args:
            like: gives the number of companies, the dtype and the device, [n].
        """
        zero = torch.zeros_like(like)
        return cls(
            level=torch.full_like(like, float("nan")),
            mean=zero,
            peak=torch.full_like(like, _NO_PEAK),
            volatility=torch.full_like(like, _FIRST_VOLATILITY),
            change=zero,
            reports=zero,
            gap=zero,
            first=torch.full_like(like, float("nan")),
            years=zero,
        )

    def repeated(self, times: int) -> "History":
        """Returns each company ``times`` times in a row, [n · times]."""
        return History(*(getattr(self, field.name).repeat_interleave(times, 0) for field in fields(self)))

    def part(self, rows: slice) -> "History":
        """Returns some of the companies."""
        return History(*(getattr(self, field.name)[rows] for field in fields(self)))

    def observed(self, level: Tensor) -> "History":
        """Returns the history one year on, where a year may be without a report.

        Args:
            level: log emissions, NaN where nothing was reported, [n].
        """
        seen, before = torch.isfinite(level), torch.isfinite(self.level)
        known = level.nan_to_num()
        both = seen & before
        after = self._after(known, torch.where(both, known - self.level.nan_to_num(), 0.0))
        return History(
            level=torch.where(seen, level, self.level),
            mean=torch.where(seen, after.mean, self.mean),
            peak=torch.where(seen, after.peak, self.peak),
            volatility=torch.where(both, after.volatility, self.volatility),
            change=after.change,
            reports=torch.where(seen, after.reports, self.reports),
            gap=torch.where(seen, 0.0, self.gap + before),
            first=torch.where(seen & ~before, level, self.first),
            years=torch.where(both, after.years, self.years),
        )

    def advanced(self, change: Tensor) -> "History":
        """Returns the history one year on, when every company has reported and reports again.

        Args:
            change: log ratio to the last report, [n].
        """
        return self._after(self.level + change, change)

    def _after(self, level: Tensor, change: Tensor) -> "History":
        reports = self.reports + 1
        size = change.abs().clamp(max=2.0)
        return History(
            level=level,
            mean=self.mean + (level - self.mean) / reports.clamp(max=_MEAN_OVER),
            peak=torch.maximum(self.peak, level),
            volatility=self.volatility + (size - self.volatility) / (reports - 1).clamp(1, _VOLATILITY_OVER).add(1),
            change=change,
            reports=reports,
            gap=torch.zeros_like(change),
            first=self.first,
            years=self.years + self.gap + 1,
        )

    def features(self, center: float, spread: float) -> Tensor:
        """Returns what the network reads, all of order one, [n, N_FEATURES].

        Args:
            center: typical log level.
            spread: of log levels.
        """
        ago = self.years.clamp(min=1)
        columns = [
            2 * self.change.clamp(-2, 2),
            2 * (self.level - self.mean).clamp(-3, 3),
            (self.level - self.peak).clamp(-3, 0),
            torch.log(self.volatility + 0.02) + 2,
            torch.log1p(self.reports) - 1.5,
            ((self.level - center) / spread).clamp(-3, 3),
            self.gap.clamp(max=5),
            (self.change.abs() / (self.volatility + 0.02)).clamp(max=5) / 2,
            10 * ((self.level - self.first) / ago).clamp(-0.3, 0.3),
            10 * ((1 - torch.exp((self.first - self.level).clamp(max=3))) / ago).clamp(-0.3, 0.3),
        ]
        return torch.stack(columns, -1).nan_to_num()
