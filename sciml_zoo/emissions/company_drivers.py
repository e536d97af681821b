"""Drivers of a company of its own, such as its output or its free allowances: how its emissions respond to them.

=====================================  ==================================================================
y_it = β · (x_it − x̄) + ε_it           yearly log change of emissions, against the median of all companies
x_it = clip(log v_it / v_i,t−1)        growth of the company's drivers; x̄: its median over all
β = (XᵀX + κ n/T)⁻¹ Xᵀ y               ridge regression over n company-years in T years, as of κ years more
shift(h) = Σ_{k ≤ h} β · (x_ik − x̄)    of a forecast's log ratio, where the drivers' future is known
=====================================  ==================================================================

Where the future of such a driver is unknown, the forecast is the network's, whose intervals hold what drivers do too.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sciml_zoo.emissions.drivers import Drivers
from sciml_zoo.emissions.panel import Panel

__all__ = ["CompanyResponse", "company_growth"]

# As many years of no effect as count against a response.
_RIDGE_YEARS = 5.0
# Larger changes of emissions, and of drivers, are closures, takeovers and errors of units: they would decide alone.
_LARGEST_CHANGE, _LARGEST_GROWTH = 0.5, 1.0


def company_growth(
    drivers: Drivers, names: Sequence[str], companies: Sequence[str], years: Sequence[int]
) -> NDArray[np.float64]:
    """Returns the clipped log growth of companies' own drivers.

    Args:
        drivers: levels.
        names: of those wanted.
        companies: keys.
        years: consecutive.

    Returns:
        float64 [companies, years, names], NaN where a level, or that of the year before, is not known.
    """
    found = np.full((len(companies), len(years), len(names)), np.nan)
    for place, name in enumerate(names):
        if name in drivers.by_company:
            wanted = drivers.by_company[name].reindex(index=list(companies), columns=range(years[0] - 1, years[-1] + 1))
            found[..., place] = Drivers(wanted.T).growth().to_numpy()[1:].T
    return np.clip(found, -_LARGEST_GROWTH, _LARGEST_GROWTH)


class CompanyResponse(nn.Module):
    """How a company's emissions follow its own drivers; none until it is fitted.

    Args:
        drivers: how many there are.

    Attributes:
        slope: β, log emissions by log driver, [drivers].
        typical: x̄, [drivers].
    """

    slope: Tensor
    typical: Tensor

    def __init__(self, drivers: int) -> None:
        super().__init__()
        self.register_buffer("slope", torch.zeros(drivers, dtype=torch.float64))
        self.register_buffer("typical", torch.zeros(drivers, dtype=torch.float64))

    def fit(self, panel: Panel, names: Sequence[str]) -> None:
        """Fits the response to the years of a panel.

        Args:
            panel: all of it history.
            names: of the drivers, which are among the panel's.
        """
        assert panel.drivers is not None
        growth = company_growth(panel.drivers, names, panel.companies, panel.years)[:, 1:]
        with np.errstate(divide="ignore", invalid="ignore"):
            change = np.diff(np.log(np.where(panel.values > 0, panel.values, np.nan)), axis=1)
        known = np.isfinite(growth).all(-1) & np.isfinite(change)
        if not known.any():
            return
        typical = np.median(growth[known], axis=0)
        # What a year did to all companies is not the doing of one's own driver.
        common = np.ma.median(np.ma.masked_array(change, ~known), axis=0).filled(0.0)
        effect = np.clip(change - common, -_LARGEST_CHANGE, _LARGEST_CHANGE)[known]
        cause = growth[known] - typical
        ridge = _RIDGE_YEARS * len(cause) / known.any(axis=0).sum() * np.diag(cause.var(axis=0) + 1e-12)
        self.slope.copy_(torch.from_numpy(np.linalg.solve(cause.T @ cause + ridge, cause.T @ effect)))
        self.typical.copy_(torch.from_numpy(typical))

    def shift(self, growth: Tensor) -> Tensor:
        """Returns by what known drivers shift log ratios to the last value, [n, horizon].

        Args:
            growth: as :func:`company_growth` gives it, of the coming years, [n, horizon, drivers].
        """
        return ((growth - self.typical).nan_to_num() @ self.slope).cumsum(1)
