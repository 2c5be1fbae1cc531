"""Findings on the maps of kernels."""

import numpy as np
import pandas as pd

from kernel_atlas.core.words import interval, joined
from kernel_atlas.training.map_summaries import CONTROLS, shown

LABEL = "First-Derivative"  # of which the paper asks whether maps have mean 0
ASKED = {  # of these
    "absolute_relative_mean": "|mean| / sd of the output maps",
    "unit_variance_ratio": "Share of the variance of their layer at unit norm, times an equal share,",
}
WAYS = {"absolute_relative_mean": "median of a layer", "unit_variance_ratio": "mean of a layer"}
SAID = {  # measure: how its sentence begins, and the controls that it is held against
    "absolute_relative_mean": ("|mean| / sd of the output maps", ("noise", "phase")),
    "skewness": ("Skewness of the output maps", ("noise", "phase")),
    "variance_ratio": ("Share of the variance of their layer, times an equal share,", ()),
    "unit_variance_ratio": ("The same at unit norm", ("noise", "phase")),
}


def find_maps(summary: pd.DataFrame) -> list[str]:
    """Sentences on the maps of each family of labels; their numbers are cells of summary.csv.

    Parameters
    ----------
    summary : DataFrame
        maps/summary.csv.
    """
    said = []
    for size, part in shown(summary).groupby("size", sort=False):
        for measure, words in ASKED.items():
            for row in part[(part["label"] == LABEL) & (part["measure"] == measure)].itertuples():
                apart = joined([f"{_value(row, f'{name}_difference')} from {CONTROLS[name]}" for name in CONTROLS])
                said.append(
                    f"{words} of {size} first derivatives: {_value(row, 'value')}, {WAYS[measure]}, mean over "
                    f"{_networks(row)}; the difference from other kernels of their norm on the same input is {apart}."
                )
        for measure, (words, controls) in SAID.items():
            rows = list(part[part["measure"] == measure].itertuples())
            listed = "; ".join(f"{row.label} {_value(row, 'value')}" for row in rows)
            said.append(" ".join([f"{words} of {size} kernels by label: {listed}.", *_against(rows, controls)]))
    return said


def _against(rows: list, controls: tuple[str, ...]) -> list[str]:
    """Labels whose difference from a control has an interval that leaves out 0; nothing without intervals."""
    said = []
    for name in controls:
        known = [row for row in rows if np.isfinite(getattr(row, f"{name}_difference_low"))]
        apart = [row for row in known if _is_apart(row, f"{name}_difference")]
        listed = "; ".join(f"{row.label} {_value(row, f'{name}_difference')}" for row in apart)
        if known:
            said.append(
                f"Told from {CONTROLS[name]}, by: {listed}." if apart else f"None is told from {CONTROLS[name]}."
            )
    return said


def _is_apart(row: tuple, name: str) -> bool:
    """Whether an interval leaves out 0, also as written."""
    low, high = (round(getattr(row, f"{name}{end}"), 2) for end in ("_low", "_high"))
    return low > 0 or high < 0


def _value(row: tuple, name: str) -> str:
    """`0.12 [0.05, 0.20]` with an interval, else `0.12 (0.05 to 0.20)` from lowest to highest of several units."""
    value, low, high, lowest, highest = (
        getattr(row, f"{name}{end}") for end in ("", "_low", "_high", "_lowest", "_highest")
    )
    if np.isfinite(low) or row.units == 1:
        return interval(value, low, high)
    return f"{value:z.2f} ({lowest:z.2f} to {highest:z.2f})"


def _networks(row: tuple) -> str:
    if row.units < row.networks:
        return f"{row.networks} networks, {row.units} independent"
    return f"{row.networks} networks" if row.networks > 1 else "1 network"
