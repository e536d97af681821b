"""Panels and networks made by hand, for the tests of the network."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from sciml_zoo.emissions.model import EmissionsForecaster, EmissionsForecasterConfig
from sciml_zoo.emissions.panel import Panel


def panel_of(values: Sequence[Sequence[float]] | np.ndarray, *, last_year: int = 2022) -> Panel:
    """A panel of tonnes [companies, years]; companies are called c0, c1, …"""
    table = np.asarray(values, dtype=np.float64)
    names = pd.Index([f"c{row}" for row in range(len(table))], name="company")
    emissions = pd.DataFrame(table, names, columns=range(last_year - table.shape[1] + 1, last_year + 1))
    return Panel(emissions, pd.DataFrame({"sector": "", "country": ""}, names))


def scrambled(**shape: object) -> EmissionsForecaster:
    """A network whose weights are anything but those that it starts with."""
    torch.manual_seed(1)
    model = EmissionsForecaster(EmissionsForecasterConfig(**{"members": 1, "hidden": 4, **shape})).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return model
