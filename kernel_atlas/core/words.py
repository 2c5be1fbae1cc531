"""How numbers are written, in sentences and in tables of the report."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

NOTHING = "\N{EN DASH}"


def percent(share: float, low: float = np.nan, high: float = np.nan) -> str:
    """`62.7 % [58.1, 66.9]`, without the brackets where there is no interval, a dash where there is no share."""
    if not np.isfinite(share):
        return NOTHING
    interval = f" [{100 * low:.1f}, {100 * high:.1f}]" if np.isfinite(low) else ""
    return f"{100 * share:.1f} %{interval}"


def points(difference: float, low: float = np.nan, high: float = np.nan) -> str:
    """`-4.6 points [-7.1, -2.0]`, of a difference of shares; without the brackets where there is no interval."""
    if not np.isfinite(difference):
        return NOTHING
    interval = f" [{100 * low:z.1f}, {100 * high:z.1f}]" if np.isfinite(low) else ""
    return f"{100 * difference:z.1f} points{interval}"


def number(value: float) -> str:
    """`6012` -> `6,012`; a dash where it is missing."""
    return NOTHING if pd.isna(value) else f"{value:,.0f}"


def interval(value: float, low: float = np.nan, high: float = np.nan) -> str:
    """`0.85 [0.52, 1.00]`, without the brackets where there is no interval."""
    return f"{value:z.2f} [{low:z.2f}, {high:z.2f}]" if np.isfinite(low) else f"{value:z.2f}"


def joined(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
