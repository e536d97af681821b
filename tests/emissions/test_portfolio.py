"""The formulas: PCAF's published examples, sums by hand, and the laws of attribution and scale."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml_zoo.emissions import portfolio

OUTSTANDING = np.array([522425, 187449, 82778, 108997, 67556, 54762])
SCORES = np.array([3, 5, 1, 1, 2, 5])

few = settings(max_examples=50, deadline=None)
amounts = st.lists(st.floats(1.0, 1e9), min_size=1, max_size=8)


def test_pcaf_box_8():
    assert round(float(portfolio.data_quality_score(OUTSTANDING, SCORES)), 2) == 3.03
    oil_and_gas = portfolio.data_quality_score(OUTSTANDING[:2], SCORES[:2])
    assert float(oil_and_gas) == pytest.approx((3 * 522425 + 5 * 187449) / 709874)
    assert round(float(oil_and_gas), 2) == 3.53


def test_pcaf_table_5_5():
    """Absolute emissions by scope of PCAF's forestry, industrial and energy companies."""
    scopes = np.array([[1000, 20000, 5000], [100, 5000, 0], [5000, 30000, 10000]])
    financed = portfolio.financed_emissions([0.10, 0.25, 0.20], scopes)
    np.testing.assert_allclose(portfolio.total_carbon_emissions(financed), [6100, 1260, 10000])


def test_evic_attributes_the_whole_company():
    """PCAF box 5: equity 50, debt 50, cash 20; without deducting the cash each half gets half."""
    np.testing.assert_array_equal(portfolio.attribution_factor([50, 50], [100, 100]), [0.5, 0.5])


def test_negative_equity_counts_as_zero():
    np.testing.assert_array_equal(portfolio.equity_and_debt([300, -50, 0], [500, 500, 0]), [800, 500, 0])
    assert portfolio.attribution_factor(100, portfolio.equity_and_debt(-50, 500)) == 0.2


# Two holdings of 10 and 30 million in companies worth 100 and 60 million: factors 0.1 and 0.5.
VALUE = np.array([10e6, 30e6])
FACTOR = portfolio.attribution_factor(VALUE, [100e6, 60e6])
EMISSIONS = np.array([2000.0, 400.0])
REVENUE = np.array([50e6, 20e6])
FINANCED = portfolio.financed_emissions(FACTOR, EMISSIONS)


def test_metrics_by_hand():
    np.testing.assert_allclose(FINANCED, [200, 200])
    assert portfolio.total_carbon_emissions(FINANCED) == pytest.approx(400)
    # 400 t on 40 million
    assert portfolio.carbon_footprint(FINANCED, VALUE) == pytest.approx(10)
    assert portfolio.economic_emission_intensity(FINANCED, VALUE) == pytest.approx(10)
    # 400 t on an owned revenue of 0.1 × 50 + 0.5 × 20 = 15 million
    assert portfolio.carbon_intensity(FINANCED, FACTOR, REVENUE) == pytest.approx(400 / 15)
    # a quarter of 2000 t on 50 million, three quarters of 400 t on 20 million
    assert portfolio.waci(VALUE, EMISSIONS, REVENUE) == pytest.approx(0.25 * 40 + 0.75 * 20)


def test_axes_before_the_holdings_are_kept():
    samples = np.random.default_rng(0).uniform(1, 2, (5, 3, 2)).astype(np.float32)
    financed = portfolio.financed_emissions(FACTOR, samples)
    for metric, single in (
        (portfolio.waci(VALUE, samples, REVENUE), lambda e: portfolio.waci(VALUE, e, REVENUE)),
        (
            portfolio.carbon_intensity(financed, FACTOR, REVENUE),
            lambda e: portfolio.carbon_intensity(FACTOR * e, FACTOR, REVENUE),
        ),
    ):
        assert metric.shape == (5, 3)
        np.testing.assert_allclose(metric[4, 2], single(samples[4, 2].astype(np.float64)))


@few
@given(amounts, amounts)
def test_owners_and_lenders_share_all_of_a_private_company(equity, loans):
    held = np.array(equity + loans)
    company = portfolio.equity_and_debt(sum(equity), sum(loans))
    assert portfolio.attribution_factor(held, company).sum() == pytest.approx(1)
    assert portfolio.attribution_factor(held[1:], company).sum() < 1


@few
@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_scale_laws(rate, times):
    """Another currency leaves tonnes and divides intensities by its rate; emissions enter all metrics linearly."""
    value, revenue = rate * VALUE, rate * REVENUE
    factor = portfolio.attribution_factor(value, rate * np.array([100e6, 60e6]))
    financed = portfolio.financed_emissions(factor, times * EMISSIONS)
    assert portfolio.total_carbon_emissions(financed) == pytest.approx(times * 400)
    assert portfolio.carbon_footprint(financed, value) == pytest.approx(times / rate * 10)
    assert portfolio.carbon_intensity(financed, factor, revenue) == pytest.approx(times / rate * 400 / 15)
    assert portfolio.waci(value, times * EMISSIONS, revenue) == pytest.approx(times / rate * 25)
    assert portfolio.data_quality_score(value, [1, 5]) == pytest.approx(4)
