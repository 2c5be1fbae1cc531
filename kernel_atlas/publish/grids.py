"""Tables of results as a page shows them: words to read, numbers to sort and to download by."""

from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from kernel_atlas.core.vocabulary import FITTED, KINDS, MEASURES, METHODS
from kernel_atlas.core.words import NOTHING, interval, number, percent, points
from kernel_atlas.findings.parts import Grid
from kernel_atlas.findings.shares import side_of
from kernel_atlas.training import map_summaries
from kernel_atlas.training.summaries import NAMES

WORDS = {  # column -> what its values are called
    "control": KINDS,
    "subject": KINDS,
    "encoder": {"main": "of the run", "posed": "of the run, in one pose", "own": "trained on these"},
    "method": METHODS,
    "family": {name: words for name, (words, *_) in FITTED.items()},
    "measure": MEASURES | map_summaries.MEASURES,
    "replacement": NAMES,
}


def describe_grid(grid: Grid, table: pd.DataFrame, about: str = "") -> dict[str, Any]:
    """A table of results as the page shows it.

    Parameters
    ----------
    grid : Grid
    table : DataFrame
    about : str
        Added to the id, where a page has several of the same table.

    Returns
    -------
    dict
        id, caption, heads (words, name of the column, is a number, is only downloaded) and rows of cells (words, value
        to sort and to download by).
    """
    rows = table.query(grid.rows) if grid.rows else table
    heads, columns = [], []
    for head, column in grid.columns.items():
        unit = next((unit for unit in UNITS if unit and column.endswith(f" {unit}")), "")
        names = column.removesuffix(unit).split()
        first, *ends = names
        heads.append((head, first, is_numeric_dtype(rows[first]) and not is_bool_dtype(rows[first]), False))
        columns.append([_cell(first, unit, *values) for values in rows[names].itertuples(index=False)])
        for name in ends:
            heads.append(("", name, True, True))
            columns.append([("", _raw(value)) for value in rows[name]])
    return {
        "id": f"{grid.table}{about}",
        "caption": grid.caption,
        "heads": heads,
        "rows": list(zip(*columns, strict=True)),
    }


def _cell(name: str, unit: str, value: Any, low: float = np.nan, high: float = np.nan) -> tuple[str, Any]:
    if pd.isna(value):
        return NOTHING, ""
    if isinstance(value, str):
        return WORDS.get(name, {}).get(value, value), side_of(value) if name == "size" and value != "all" else value
    if isinstance(value, bool | np.bool_):
        return ("yes" if value else "no"), bool(value)
    return UNITS[unit](value, low, high), _raw(value)


def _raw(value: float) -> str:
    return "" if pd.isna(value) else str(int(value)) if float(value).is_integer() else f"{value:.6g}"


def _plain(value: float, low: float = np.nan, high: float = np.nan) -> str:
    """Whole numbers as such, others to two decimals with an interval, else to four digits."""
    if np.isfinite(low):
        return interval(value, low, high)
    return number(value) if float(value).is_integer() else f"{value:z.4g}"


UNITS = {"%": percent, "points": points, "": _plain}
