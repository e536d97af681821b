"""Rows of tables, as JSON holds them."""

from typing import Any

import pandas as pd

__all__ = ["records"]


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Returns the rows of a table for JSON; what is missing is None.

    Args:
        table: any.
    """
    return [
        {str(name): None if pd.isna(cell) else cell for name, cell in row.items()} for row in table.to_dict("records")
    ]
