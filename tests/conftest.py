"""Settings for all tests."""

import os

# Small tensors on two cores: threads would wait for each other, in this process and in those that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the tests that need the real data sets where there are none."""
    if os.environ.get("SCIML_ZOO_DATA"):
        return
    needs_data = [item for item in items if item.get_closest_marker("data")]
    if needs_data:
        config.hook.pytest_deselected(items=needs_data)
        items[:] = [item for item in items if not item.get_closest_marker("data")]


def pytest_report_header() -> str:
    """Says where the real data sets are."""
    return f"SCIML_ZOO_DATA: {os.environ.get('SCIML_ZOO_DATA') or 'not set: tests marked `data` are left out'}"
