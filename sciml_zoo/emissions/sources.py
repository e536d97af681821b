"""Panels and drivers by name: the catalogue's data sets, or a user's file."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from sciml_zoo.datasets import dataset_file, dataset_path, referenced_file
from sciml_zoo.emissions.data import (
    read_eutl,
    read_gcb,
    read_ghgrp_facilities,
    read_ghgrp_firms,
    read_us_drivers,
    read_world_drivers,
)
from sciml_zoo.emissions.drivers import Drivers, read_drivers
from sciml_zoo.emissions.panel import Panel, read_panel
from sciml_zoo.errors import InputError, nearest

__all__ = ["PANELS", "open_drivers", "open_panel"]

#: The panels of the catalogue.
PANELS: dict[str, Callable[[], Panel]] = {
    "eutl": lambda: read_eutl(dataset_path("eutl")),
    "gcb": lambda: read_gcb(dataset_file("gcb", "GCB2025v15_MtCO2_flat.csv")),
    "ghgrp_facilities": lambda: read_ghgrp_facilities(dataset_path("ghgrp")),
    "ghgrp_firms": lambda: read_ghgrp_firms(dataset_path("ghgrp")),
}


def open_panel(reference: str | Path, *, drivers: str | Path | None = None, origin: int | None = None) -> Panel:
    """Opens a panel.

    Args:
        reference: a CSV file, ``dataset:NAME/FILE``, or a name in :data:`PANELS`.
        drivers: as for :func:`open_drivers`; None: none.
        origin: companies come in the order in which a file names them up to this year, so that its later rows do not
            even decide who draws which random numbers; None: up to the last.

    Returns:
        The panel.

    Raises:
        InputError: there is no such panel, or it cannot be read.
    """
    name = str(reference)
    if name in PANELS:
        panel = PANELS[name]()
    else:
        file = referenced_file(name)
        if not file.exists():
            hint = "" if file.suffix else f"; of the catalogue's panels, {nearest(name, PANELS)}"
            raise InputError(f"{name}: no such file{hint}")
        panel = read_panel(file)
        if origin is not None and panel.years[0] <= origin < panel.years[-1]:
            known = read_panel(file, until=origin).companies
            there = set(known)
            panel = panel.select([*known, *(key for key in panel.companies if key not in there)])
    return panel if drivers is None else dataclasses.replace(panel, drivers=open_drivers(drivers))


def open_drivers(reference: str | Path) -> Drivers:
    """Opens economic drivers.

    Args:
        reference: a CSV file ``year,<driver>,…`` or ``company,year,<driver>,…``; ``world``: world GDP, the oil price
            and the EU's carbon price; or ``us``: the macro-economic series of the United States.

    Returns:
        The drivers.

    Raises:
        InputError: they cannot be read.
    """
    readers = {"world": read_world_drivers, "us": read_us_drivers}
    if str(reference) in readers:
        return readers[str(reference)](dataset_path("drivers"))
    return read_drivers(referenced_file(str(reference)))
