"""Windows by hand, and what they must not see."""

import numpy as np
import pytest

from sciml_zoo.emissions.model import EmissionsForecasterConfig
from sciml_zoo.emissions.panel import Panel
from sciml_zoo.emissions.synthetic import synthetic_panel
from sciml_zoo.emissions.windows import PanelWindows, places

from .toy_panels import panel_of

NAN = float("nan")
CONFIG = EmissionsForecasterConfig(context=4, horizon=3, first_year=2017)
ROW = [NAN, 100, 110, 90, NAN, 0, 120]


def test_a_window_by_hand_with_a_late_start_a_gap_and_a_zero():
    (window,) = PanelWindows([panel_of([ROW])], CONFIG)
    np.testing.assert_allclose(window.history, np.log([NAN, 100, 110, 90]), rtol=1e-6)
    np.testing.assert_allclose(window.future, [NAN, NAN, np.log(120 / 90)], rtol=1e-5)
    assert window.weight == pytest.approx(90 / 15)
    assert (window.year, window.sector, window.country) == (2020 - 2017, 0, 0)


def test_an_open_end_adds_the_history_up_to_the_last_year():
    windows = PanelWindows([panel_of([ROW])], CONFIG, open_ended=True)
    assert len(windows) == 2
    np.testing.assert_allclose(windows[1].history, np.log([90, NAN, NAN, 120]), rtol=1e-6)
    assert np.isnan(windows[1].future).all()
    assert windows[1].weight == pytest.approx(120 / np.mean([10, 20, 120]))


@pytest.mark.parametrize(
    ("row", "count"),
    [([5, 5, 5, 5, 6], 0), ([5, 6, NAN, NAN, 7], 0), ([5, 6, 7, NAN, NAN], 0), ([5, 6, 7, 0, 0], 0), ([5, 6, 7, 8], 1)],
)
def test_a_history_needs_three_reports_that_differ_and_a_later_one(row, count):
    assert len(PanelWindows([panel_of([row])], CONFIG)) == count


def test_a_company_that_hardly_changed_weighs_no_more_than_the_limit():
    (window,) = PanelWindows([panel_of([[1000, 1001, 1000, 900]])], CONFIG)
    assert window.weight == 50


def test_no_window_depends_on_what_its_future_holds():
    panel = synthetic_panel(60, 12)
    origin = 2018
    noise = np.random.default_rng(0).lognormal(size=panel.emissions.shape)
    noise[:, : panel.years.index(origin) + 1] = 1.0
    other = Panel(panel.emissions * noise, panel.statics)
    windows, changed = PanelWindows([panel], CONFIG), PanelWindows([other], CONFIG)
    early = windows.tensor("year") <= origin + 1 - CONFIG.first_year
    assert early.any()
    assert not early.all()
    for name in ("history", "weight", "year"):
        np.testing.assert_array_equal(windows.tensor(name)[early], changed.tensor(name)[early])
    assert (windows.tensor("history")[~early] != changed.tensor("history")[~early]).any()


def test_only_a_number_is_a_code_and_the_first_of_two_names_counts():
    found = places(["Basic", "basic metals", " 7 ", "Glass"], ["Basic metals", "7 Glass", "8 Glass"])
    assert found.tolist() == [0, 1, 2, 2]


def test_a_sector_is_found_by_code_name_or_whole():
    vocabulary = ("20 Combustion of fuels", "Energy")
    found = places(["20", "combustion of fuels", "20 Combustion of fuels", "ENERGY", "", "other"], vocabulary)
    assert found.tolist() == [1, 1, 1, 2, 0, 0]
