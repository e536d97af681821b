"""The made-up portfolio in data/samples: what README shows works on it."""

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sciml_zoo.datasets import dataset_file
from sciml_zoo.emissions.footprint import footprint
from sciml_zoo.emissions.panel import read_panel

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_portfolio_sample.py"


def sample(name):
    return dataset_file("samples", f"portfolio/{name}.csv")


def test_the_panel_is_read_whole_and_the_portfolio_has_the_gaps_that_are_promised():
    panel = read_panel(sample("companies"))
    assert (len(panel.companies), panel.years[0], panel.years[-1]) == (60, 2005, 2022)
    assert panel.rejected.empty
    assert all(key.startswith("made-up ") for key in panel.companies)
    found = footprint(*map(sample, ("holdings", "financials", "emissions")))
    assert {"matches no company", "no EVIC"} < set(found.uncovered["reason"])
    assert np.isfinite(found.metric("1", "waci"))
    assert np.isfinite(found.metric("2", "carbon_footprint"))
    assert np.isnan(found.metric("3", "financed_emissions"))


@pytest.mark.parametrize("name", ["companies", "holdings", "financials", "emissions"])
def test_the_script_makes_the_files(name):
    made = runpy.run_path(str(SCRIPT))["tables"](0)[name]
    kept = pd.read_csv(sample(name), dtype=str, keep_default_na=False)
    pd.testing.assert_frame_equal(made.astype(str).reset_index(drop=True), kept, check_dtype=False)
