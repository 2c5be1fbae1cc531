"""Findings on the maps of kernels."""

import numpy as np
import pandas as pd

from kernel_atlas.core.words import interval, joined
from kernel_atlas.training.map_summaries import CONTROLS, shown

LABEL = "First-Derivative"  # of which the paper asks whether maps have mean 0
ASKED = "absolute_relative_mean"
JUDGED = {"skewness": "skewness", "unit_variance_ratio": "their share of variance at unit norm"}


def find_maps(summary: pd.DataFrame) -> list[str]:
    """Whether maps of first derivatives have mean 0, and which labels are told from random phases.

    Parameters
    ----------
    summary : DataFrame
        maps/summary.csv.
    """
    table = shown(summary)
    rows = table[(table["label"] == LABEL) & (table["measure"] == ASKED)]
    listed = [
        f"{_value(row, 'value')} at {row.size} ({_value(row, 'phase_difference')} beyond {CONTROLS['phase']})"
        for row in rows.itertuples()
    ]
    said = []
    if listed:
        said.append(f"Maps of first derivatives are off mean 0: |mean| / sd is {'; '.join(listed)}.")
    for measure, words in JUDGED.items():
        part = table[(table["measure"] == measure) & table["phase_difference_low"].notna()]
        apart = part[(part["phase_difference_low"].round(2) > 0) | (part["phase_difference_high"].round(2) < 0)]
        names = joined(list(apart["label"] + " at " + apart["size"]))
        if len(part):
            said.append(f"Told from {CONTROLS['phase']} by {words}: {names or 'none'}.")
    return said


def _value(row: tuple, name: str) -> str:
    """`0.12 [0.05, 0.20]` with an interval, else `0.12 (0.05 to 0.20)` from lowest to highest of several units."""
    value, low, high, lowest, highest = (
        getattr(row, f"{name}{end}") for end in ("", "_low", "_high", "_lowest", "_highest")
    )
    if np.isfinite(low) or row.units == 1:
        return interval(value, low, high)
    return f"{value:z.2f} ({lowest:z.2f} to {highest:z.2f})"
