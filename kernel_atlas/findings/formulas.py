"""Kernels that formulas explain."""

import numpy as np
import pandas as pd

from kernel_atlas.core.vocabulary import FITTED, KINDS, NAMED
from kernel_atlas.core.words import interval, joined, percent
from kernel_atlas.findings.parts import MANY

EXPLAINED = ["explained_share", "explained_low", "explained_high"]
LOOSE = 0.95  # cosine that noise exceeds in one fit of a hundred, above which being explained says little
MOST = 0.5  # share of fits at a bound from which on their parameters are those of the bounds


def find_fits(fit_explained: pd.DataFrame, fit_crosses: pd.DataFrame, fit_cardinal: pd.DataFrame) -> list[str]:
    """How many kernels the families explain, beside the same fits of the strongest control; crosses and directions."""
    listed, loose = {"more": [], "no more": []}, []
    for size, part in fit_explained[fit_explained["family"] == "all"].groupby("size", sort=False):
        rows = part.set_index("subject")
        others = rows.drop(index="real", errors="ignore")
        if "real" not in rows.index or others.empty:
            continue
        real, control = rows.loc["real"], others.loc[others["explained_share"].idxmax()]
        surest = real["explained_low"] if np.isfinite(real["explained_low"]) else real["explained_share"]
        listed["more" if surest > control["explained_share"] else "no more"].append(
            f"{size} ({percent(*real[EXPLAINED])} against {percent(*control[EXPLAINED])} with {KINDS[control.name]})"
        )
        if real["threshold"] > LOOSE:
            loose.append(size)
    parts = [
        f"{words} kernels than the strongest control at {joined(sizes)}" for words, sizes in listed.items() if sizes
    ]
    if not parts:
        return []
    said = [f"Formulas with a few free numbers fit {'; '.join(parts)}."]
    if loose:
        said.append(f"At {joined(loose)} that says little: kernels have hardly more taps than formulas have numbers.")
    said += _find_crosses(fit_crosses)
    cardinal = fit_cardinal[(fit_cardinal["which"] == "explained") & (fit_cardinal["subject"] == "real")]
    cardinal = cardinal[(cardinal["family"] == "first_derivative") & np.isfinite(cardinal["cardinal_low"])]
    listed = [
        f"{interval(row.cardinal, row.cardinal_low, row.cardinal_high)} at {row.size}" for row in cardinal.itertuples()
    ]
    if listed:
        said.append(
            "Direction of first derivatives, as the mean cosine of four times their angle (one along rows or columns, "
            f"minus one along diagonals): {', '.join(listed)}."
        )
    return said


def _find_crosses(crosses: pd.DataFrame) -> list[str]:
    free = crosses[(crosses["weight"].astype(str) == "free") & (crosses["kernels"] > 0)]
    ends = free[free["at_bounds"] >= MOST]
    said = []
    if len(ends):
        listed = joined([f"{percent(row.at_bounds)} at {row.size}" for row in ends.itertuples()])
        said.append(
            f"Of the fits of crosses, {listed} have a parameter at its bound: the family ends there, not the kernels, "
            "and no parameters can be told."
        )
    for _, row in free.drop(index=ends.index).iterrows():
        width = interval(*row[["sigma_median", "sigma_q10", "sigma_q90"]])
        said.append(
            f"Crosses at {row['size']} have a width (sigma, in taps) of {width}, median and middle four fifths; "
            f"{percent(row['at_bounds'])} of the fits have a parameter at its bound."
        )
    return said


def find_fit_labels(fit_labels: pd.DataFrame) -> list[str]:
    """Labels whose kernels another formula fits better than that of their name."""
    better = []
    for (size, label), rows in fit_labels.groupby(["size", "assigned"], sort=False):
        own = next((family for words, family in NAMED.items() if words in label), None)
        of = rows.set_index("family")
        shares, kernels = of["share"].drop("all"), of.at["all", "kernels"]
        best = shares.idxmax()
        if own and kernels >= MANY and shares[best] > shares[own]:
            better.append(f"{label} at {size} (a {FITTED[best][0]})")
    if not better:
        return []
    return [f"Free formulas of another family fit more kernels than those of the name: {', '.join(better)}."]
