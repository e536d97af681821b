"""Footprint metrics of a portfolio, each with its formula.

| symbol | variable | meaning, unit |
|---|---|---|
| Vᵢ | ``outstanding`` | amount of holding i: market value or book value of debt, currency |
| Cᵢ | ``company_value`` | EVIC, or equity + debt, of its company, currency |
| αᵢ | ``attribution`` | attribution factor Vᵢ / Cᵢ, 1 |
| Eᵢ | ``emissions`` | of its company in one scope, tonnes of CO2 equivalent a year |
| Rᵢ | ``revenue`` | of its company, currency a year |
| Fᵢ | ``financed`` | financed emissions αᵢ Eᵢ, tonnes a year |

All amounts of money share one currency. The last axis of every array runs over holdings; emissions may have axes
before it, such as samples and years, and then so do the results.

Sources: PCAF (2022), The Global GHG Accounting and Reporting Standard Part A: Financed Emissions, second edition,
chapters 5.1, 5.2 and 6; TCFD (2021), Implementing the Recommendations of the Task Force on Climate-related Financial
Disclosures, chapter D.5. TCFD's formulas divide by market capitalisation for listed equity and allow the whole capital
structure, debt and equity, for portfolios that hold both; here they use PCAF's αᵢ throughout.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "attribution_factor",
    "carbon_footprint",
    "carbon_intensity",
    "data_quality_score",
    "economic_emission_intensity",
    "equity_and_debt",
    "financed_emissions",
    "total_carbon_emissions",
    "waci",
]

Array: TypeAlias = NDArray[np.float64]

# Intensities are stated per million of a currency.
_MILLION = 1e6


def equity_and_debt(equity: ArrayLike, debt: ArrayLike) -> Array:
    """Company value of a private company: max(equity, 0) + debt.

    Args:
        equity: total equity of the balance sheet; where it is negative it counts as 0, so that all emissions are
            attributed to debt (PCAF 5.2, footnote 90), currency [holdings].
        debt: total debt of the balance sheet, current and long-term, currency [holdings].

    Returns:
        Currency [holdings].
    """
    return np.maximum(np.asarray(equity, dtype=np.float64), 0.0) + np.asarray(debt, dtype=np.float64)


def attribution_factor(outstanding: ArrayLike, company_value: ArrayLike) -> Array:
    """The share of a company that a holding finances: αᵢ = Vᵢ / Cᵢ (PCAF 5.1 and 5.2).

    Args:
        outstanding: amounts, currency [holdings].
        company_value: EVIC of a listed company, whatever is held of it; :func:`equity_and_debt` of a private one; above
            0, currency [holdings].

    Returns:
        1, [holdings]. Over all owners and lenders of a company they add up to 1.
    """
    return np.asarray(outstanding, dtype=np.float64) / np.asarray(company_value, dtype=np.float64)


def financed_emissions(attribution: ArrayLike, emissions: ArrayLike) -> Array:
    """Emissions attributed to each holding: Fᵢ = αᵢ Eᵢ (PCAF 5.1 and 5.2).

    Args:
        attribution: factors, [holdings].
        emissions: of the companies, tonnes [..., holdings].

    Returns:
        Tonnes, [..., holdings].
    """
    return np.asarray(attribution, dtype=np.float64) * np.asarray(emissions)


def total_carbon_emissions(financed: ArrayLike) -> Array:
    """All emissions attributed to the portfolio: Σᵢ Fᵢ (TCFD: total carbon emissions; PCAF: absolute emissions).

    Args:
        financed: financed emissions, tonnes [..., holdings].

    Returns:
        Tonnes, [...].
    """
    return np.sum(financed, axis=-1, dtype=np.float64)


def carbon_footprint(financed: ArrayLike, value: ArrayLike) -> Array:
    """Emissions per million invested: 10⁶ Σᵢ Fᵢ / Σᵢ Vᵢ (TCFD: carbon footprint).

    Args:
        financed: financed emissions, tonnes [..., holdings].
        value: current value of the same holdings, currency [holdings].

    Returns:
        Tonnes per million of the currency, [...].
    """
    return _MILLION * total_carbon_emissions(financed) / np.sum(value)


def economic_emission_intensity(financed: ArrayLike, outstanding: ArrayLike) -> Array:
    """Emissions per million lent or invested: 10⁶ Σᵢ Fᵢ / Σᵢ Vᵢ (PCAF 5.1 and 6).

    The same quotient as TCFD's :func:`carbon_footprint`; the two differ where a portfolio's market value is not its
    amount outstanding.

    Args:
        financed: financed emissions, tonnes [..., holdings].
        outstanding: amount outstanding of the same holdings, currency [holdings].

    Returns:
        Tonnes per million of the currency, [...].
    """
    return carbon_footprint(financed, outstanding)


def carbon_intensity(financed: ArrayLike, attribution: ArrayLike, revenue: ArrayLike) -> Array:
    """Emissions per million of revenue, both as owned: 10⁶ Σᵢ Fᵢ / Σᵢ αᵢ Rᵢ (TCFD: carbon intensity).

    Args:
        financed: financed emissions, tonnes [..., holdings].
        attribution: factors, [holdings].
        revenue: of the companies, currency [holdings].

    Returns:
        Tonnes per million of the currency, [...].
    """
    return _MILLION * total_carbon_emissions(financed) / np.dot(attribution, revenue)


def waci(value: ArrayLike, emissions: ArrayLike, revenue: ArrayLike) -> Array:
    """Weighted average carbon intensity: 10⁶ Σᵢ (Vᵢ / Σⱼ Vⱼ) Eᵢ / Rᵢ (TCFD).

    Args:
        value: current values of holdings, currency [holdings].
        emissions: of the companies, tonnes [..., holdings].
        revenue: of the companies, above 0, currency [holdings].

    Returns:
        Tonnes per million of revenue in the currency, [...].
    """
    weights = np.asarray(value, dtype=np.float64) / np.sum(value)
    return np.asarray(emissions) @ (_MILLION * weights / np.asarray(revenue, dtype=np.float64))


def data_quality_score(outstanding: ArrayLike, score: ArrayLike) -> Array:
    """Weighted data quality: Σᵢ Vᵢ sᵢ / Σᵢ Vᵢ (PCAF 6, box 8); of scope 3 it is stated apart from scopes 1 and 2.

    Args:
        outstanding: amounts, currency [holdings].
        score: sᵢ from 1 (reported and verified) to 5 (estimated from averages), [holdings].

    Returns:
        From 1 to 5, a single number.
    """
    return np.dot(score, outstanding) / np.sum(outstanding)
