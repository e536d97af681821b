"""What is drawn: the numbers in the figures, in the unit on the axis."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from sciml_zoo.emissions.figures import fan_chart, portfolio_fan_chart, waterfall
from sciml_zoo.emissions.forecast import Forecast
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.errors import InputError

# The k-th of 1001 equally spaced values is their quantile k / 1000.
EVEN = np.linspace(0, 1000, 1001)


def drawn(figure: Figure) -> bytes:
    """Draws it: errors of text and layout come up only then."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=50)
    return buffer.getvalue()


def lines(figure: Figure) -> dict[str, tuple[list[float], list[float]]]:
    return {str(line.get_label()): (list(line.get_xdata()), list(line.get_ydata())) for line in figure.axes[0].lines}


def bands(figure: Figure) -> dict[str, np.ndarray]:
    return {str(band.get_label()): band.get_paths()[0].vertices for band in figure.axes[0].collections}


def test_a_fan_shows_history_median_and_bands_in_one_unit() -> None:
    samples = np.stack([2000 + EVEN, 3000 + 2 * EVEN], axis=1)
    figure = portfolio_fan_chart([2019, 2020, 2021], [1000.0, np.nan, 1500.0], samples, 2021, "Fund")
    axes = figure.axes[0]
    assert axes.get_ylabel() == "kt CO2e"
    assert axes.get_title() == "Fund"
    assert axes.get_ylim()[0] == 0
    found = lines(figure)
    np.testing.assert_array_equal(found["reported up to 2021"], ([2019, 2020, 2021], [1.0, np.nan, 1.5]))
    np.testing.assert_allclose(found["median of the futures"], ([2021, 2022, 2023], [1.5, 2.5, 4.0]))
    assert set(found) == {"reported up to 2021", "median of the futures"}
    expected = {"50 %": (0.25, 0.75), "80 %": (0.1, 0.9), "95 %": (0.025, 0.975)}
    for share, (low, high) in expected.items():
        corners = bands(figure)[f"{share.replace(' %', '%')} of the futures"]
        for year, bottom, scale in ((2022, 2, 1), (2023, 3, 2)):
            edges = np.unique(corners[corners[:, 0] == year, 1].round(9))
            np.testing.assert_allclose(edges, [bottom + scale * low, bottom + scale * high])
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {*found, *bands(figure)}


@pytest.mark.parametrize(("tonnes", "unit"), [(999.0, "t"), (1e3, "kt"), (2e6, "Mt"), (3e9, "Gt"), (0.0, "t")])
def test_tonnes_are_shown_in_a_unit_that_reads_well(tonnes: float, unit: str) -> None:
    figure = portfolio_fan_chart([2020], [tonnes], np.full((4, 1), tonnes), 2020)
    assert figure.axes[0].get_ylabel() == f"{unit} CO2e"
    assert drawn(figure)


def test_another_unit_is_left_as_it_is() -> None:
    figure = portfolio_fan_chart([2020], [5e6], np.full((4, 1), 6e6), 2020, unit="t CO2e / EUR million")
    assert figure.axes[0].get_ylabel() == "t CO2e / EUR million"
    assert lines(figure)["median of the futures"][1] == [5e6, 6e6]


def test_a_company_with_gaps_is_continued_from_its_last_report_and_compared_with_what_came_true() -> None:
    key = "A$B$ & co_1"
    emissions = pd.DataFrame([[7.0, np.nan, 5.0, np.nan, np.nan, 4.0]], [key], range(2017, 2023))
    panel = Panel(emissions, pd.DataFrame({"sector": "", "country": ""}, [key]))
    forecast = Forecast(["other", key], 2020, np.stack([np.full((3, 2), 9.0), np.full((3, 2), 6.0)], axis=1))
    figure = fan_chart(panel, forecast, key)
    found = lines(figure)
    assert found["median of the futures"] == ([2019, 2021, 2022], [5, 6, 6])
    np.testing.assert_array_equal(found["reported up to 2020"][1], [7, np.nan, 5, np.nan])
    np.testing.assert_array_equal(found["reported afterwards"], ([2021, 2022], [np.nan, 4]))
    # A key is no formula.
    assert figure.axes[0].get_title() == key
    assert drawn(figure)
    with pytest.raises(InputError, match="'other' in the panel"):
        fan_chart(panel, forecast, "other")
    with pytest.raises(InputError, match=r"'A\$B\$ & co_1' in the forecast"):
        fan_chart(panel, Forecast(["other"], 2020, np.ones((3, 1, 2))), key)


def test_a_forecast_without_any_history_is_drawn() -> None:
    figure = portfolio_fan_chart([2020], [np.nan], np.full((4, 2), 3.0), 2020)
    assert lines(figure)["median of the futures"] == ([2021, 2022], [3, 3])
    assert drawn(figure)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="history of shape"):
        portfolio_fan_chart([2020, 2021], [1.0], np.ones((4, 1)), 2021)
    for samples in (np.ones(4), np.ones((0, 2)), np.full((4, 1), np.nan)):
        with pytest.raises(InputError, match=r"\[samples, horizon\]"):
            portfolio_fan_chart([2020], [1.0], samples, 2020)


def steps(*rows: tuple[str, float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["driver", "contribution", "before", "after"])


def test_a_waterfall_leads_from_the_baseline_to_the_scenario() -> None:
    table = steps(("carbon_price", -900e3, 1200e3, 300e3), ("gdp", 100e3, 300e3, 400e3))
    figure = waterfall(table, title="2027")
    axes = figure.axes[0]
    baseline, scenario, *between = [(bar.get_y(), bar.get_height()) for bar in axes.patches]
    np.testing.assert_allclose([baseline, scenario], [(0, 1.2), (0, 0.4)])
    np.testing.assert_allclose(between, [(1.2, -0.9), (0.3, 0.1)])
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["baseline", "carbon_price", "gdp", "scenario"]
    assert [text.get_text() for text in axes.texts] == ["-0.9", "+0.1"]
    assert axes.get_ylabel() == "Mt CO2e"
    assert axes.get_ylim()[0] == 0
    down, up = (bar.get_facecolor() for bar in axes.patches[2:])
    assert down != up
    assert drawn(figure)


def test_small_steps_are_seen_on_an_axis_that_is_said_to_be_cut() -> None:
    figure = waterfall(steps(("oil", 1.0, 500.0, 501.0)))
    axes = figure.axes[0]
    assert axes.get_ylabel() == "t CO2e (axis cut)"
    bottom, top = axes.get_ylim()
    assert bottom < 500 < 501 < top
    assert top - bottom < 4
    heights = [bar.get_y() + bar.get_height() for bar in axes.patches]
    np.testing.assert_allclose(heights, [500, 501, 501])


def test_a_waterfall_of_nothing() -> None:
    assert drawn(waterfall(steps(("oil", 0.0, 5.0, 5.0))))
    with pytest.raises(InputError, match="no driver"):
        waterfall(steps())
    with pytest.raises(InputError, match="no column 'before'"):
        waterfall(pd.DataFrame({"driver": ["oil"], "contribution": [1.0], "after": [1.0]}))
