"""Shocks that all companies share in a year: learned for past years, drawn for coming ones.

===========================  ===================================================================
u_t = B d_t + r_t            the shocks of a year; d: the drivers' standardised growth
B = (DᵀD + κ)⁻¹ Dᵀ U         ridge regression over past years
r ~ N(0, cov(U − D B))       what drivers do not explain
===========================  ===================================================================

Shocks are centred: what the years had in common, the drift, is estimated, and shrunk towards none, by
:mod:`sciml_zoo.emissions.calibration`.
"""

import torch
from torch import Tensor, nn

from sciml_zoo.emissions.drivers import LOWEST_LEVEL

__all__ = ["CommonShocks"]

# As many years of no effect as count against a driver's response.
_RIDGE_YEARS = 5.0


class CommonShocks(nn.Module):
    """The common shocks of past years, and their relation to the drivers.

    Args:
        years: how many past years there are.
        factors: shocks in a year.
        drivers: how many there are.

    Attributes:
        past: learned with the network, [years, factors].
        used: whether a year's shocks were learned, [years].
        levels: of the drivers, from the year before the first on, 0 where unknown, [years + 1, drivers].
        known: which of them are known, bool: a checkpoint holds no NaN.
    """

    used: Tensor
    levels: Tensor
    known: Tensor

    def __init__(self, years: int, factors: int, drivers: int) -> None:
        super().__init__()
        self.past = nn.Parameter(0.003 * torch.randn(years, factors))
        self.register_buffer("used", torch.zeros(years, dtype=torch.bool))
        self.register_buffer("levels", torch.zeros(years + 1, drivers, dtype=torch.float64))
        self.register_buffer("known", torch.zeros(years + 1, drivers, dtype=torch.bool))

    def remember(self, levels: Tensor) -> None:
        """Keeps the drivers' past.

        Args:
            levels: from the year before the first on, NaN where unknown, [years + 1, drivers].
        """
        self.known.copy_(torch.isfinite(levels))
        self.levels.copy_(levels.nan_to_num())

    @property
    def past_levels(self) -> Tensor:
        """What :meth:`remember` was given, [years + 1, drivers]."""
        return torch.where(self.known, self.levels, float("nan"))

    @property
    def growth(self) -> Tensor:
        """Log growth of the drivers in the past years, NaN where unknown, [years, drivers]."""
        return self.past_levels.clamp(min=LOWEST_LEVEL).log().diff(dim=0)

    def of_years(self, index: Tensor) -> Tensor:
        """Returns the shocks learned for past years.

        Args:
            index: int64 of any shape; beyond the last year the value is that of the last, and of no meaning.

        Returns:
            [..., factors].
        """
        return self.past[index.clamp(0, len(self.past) - 1)]

    def response(self) -> tuple[Tensor, Tensor]:
        """Returns the shocks' response to a driver that grows by one standard deviation more, and what it leaves.

        Returns:
            B [drivers, factors], and the covariance of the residuals [factors, factors], float64.
        """
        past = self.past.detach().double()[self.used]
        past = past - past.mean(0)
        known = self._standardised(self.growth)[self.used].nan_to_num()
        eye = torch.eye(known.shape[1], dtype=past.dtype, device=past.device)
        response = torch.linalg.solve(known.T @ known + _RIDGE_YEARS * eye, known.T @ past)
        residual = past - known @ response
        return response, residual.T @ residual / max(len(past) - 1, 1)

    def _standardised(self, growth: Tensor) -> Tensor:
        own = self.growth[self.used]
        seen = torch.isfinite(own)
        count = seen.sum(0).clamp(min=2)
        mean = own.nan_to_num().sum(0) / count
        spread = (torch.where(seen, own - mean, 0.0).square().sum(0) / (count - 1)).sqrt().clamp(min=1e-6)
        return (growth.double() - mean) / spread

    def draw(
        self, samples: int, horizon: int, *, generator: torch.Generator | None = None, growth: Tensor | None = None
    ) -> Tensor:
        """Draws the shocks of coming years.

        Args:
            samples: trajectories.
            horizon: years.
            generator: of the draws.
            growth: the drivers' log growth in those years, NaN where it is to be drawn, [horizon, drivers]; None:
                all is.

        Returns:
            [samples, horizon, factors], in the dtype of the network.
        """
        like = self.past
        response, covariance = self.response()
        shape = (samples, horizon)
        drivers, factors = response.shape
        own = torch.randn(*shape, factors, generator=generator, device=like.device, dtype=torch.float64)
        values, vectors = torch.linalg.eigh(covariance)
        residual = own * values.clamp(min=0).sqrt() @ vectors.T
        drawn = torch.randn(*shape, drivers, generator=generator, device=like.device, dtype=torch.float64)
        if drivers and int(self.used.sum()) > 1:
            drawn = drawn @ self._correlation()
        if growth is not None:
            given = self._standardised(growth.to(like.device))
            drawn = torch.where(torch.isfinite(given), given, drawn)
        return (drawn @ response + residual).to(like.dtype)

    def _correlation(self) -> Tensor:
        known = self._standardised(self.growth)[self.used].nan_to_num()
        values, vectors = torch.linalg.eigh(known.T @ known / max(len(known) - 1, 1))
        return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
