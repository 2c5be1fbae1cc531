"""Findings on the maps of kernels."""

import numpy as np
import pandas as pd

from kernel_atlas.core.words import interval, joined
from kernel_atlas.training.map_summaries import CONTROLS, shown_sizes

SAID = {  # measure: how its sentence begins, and the controls that it is held against
    "absolute_relative_mean": ("|mean| / sd of the output maps of {size} kernels", ("noise", "phase", "free")),
    "skewness": ("Skewness of these maps", ("noise", "phase")),
    "variance_ratio": ("Share of the variance of their layer, times an equal share", ("noise", "phase")),
    "unit_variance_ratio": ("The same for kernels of norm 1", ("noise", "phase")),
}
LABEL = "First-Derivative"  # of which it is asked whether maps have mean 0


def find_maps(summary: pd.DataFrame) -> list[str]:
    """Sentences on the maps of each family of labels; their numbers are cells of summary.csv.

    Parameters
    ----------
    summary : DataFrame
        maps/summary.csv.
    """
    said = []
    for size in shown_sizes(summary):
        part = summary[summary["size"] == size]
        first = part[(part["label"] == LABEL) & (part["measure"] == "absolute_relative_mean")]
        for row in first.itertuples():
            controls = joined([f"{getattr(row, name):.2f} by {words}" for name, words in CONTROLS.items()])
            said.append(
                f"Maps of {size} first derivatives have |mean| / sd {_value(row, 'value')} (median of the kernels of a "
                f"layer, mean over {_networks(row)}); other kernels of their norm on the same input have {controls}."
            )
        for measure, (words, controls) in SAID.items():
            rows = list(part[part["measure"] == measure].itertuples())
            listed = "; ".join(f"{row.label} {_value(row, 'value')}" for row in rows)
            said.append(f"{words.format(size=size)}: {listed}. {_against(rows, controls)}")
    return said


def _against(rows: list, controls: tuple[str, ...]) -> str:
    """Labels whose difference from a control leaves out 0, by the interval or, where there is none, in all networks."""
    found = []
    for name in controls:
        apart = [row for row in rows if _is_apart(row, f"{name}_difference")]
        listed = "; ".join(f"{row.label} {_value(row, f'{name}_difference')}" for row in apart)
        found.append(f"Unlike {CONTROLS[name]}, by: {listed}." if apart else f"None is told from {CONTROLS[name]}.")
    return " ".join(found)


def _is_apart(row: tuple, name: str) -> bool:
    """Whether an interval, or all of two units or more, lie on one side of 0 and not so near that 0.00 is written."""
    ends = ("_low", "_high") if np.isfinite(getattr(row, f"{name}_low")) else ("_lowest", "_highest")
    low, high = (getattr(row, f"{name}{end}") for end in ends)
    return row.units > 1 and (low > 0 or high < 0) and f"{abs(getattr(row, name)):.2f}" != "0.00"


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
