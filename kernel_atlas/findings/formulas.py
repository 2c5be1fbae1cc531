"""Kernels that formulas explain."""

import numpy as np
import pandas as pd

from kernel_atlas.core.vocabulary import FITTED, KINDS, NAMED
from kernel_atlas.core.words import interval, number, percent
from kernel_atlas.findings.parts import MANY

EXPLAINED = ["explained_share", "explained_low", "explained_high"]
LOOSE = 0.95  # cosine that noise exceeds in one fit of a hundred, above which being explained says little
MOST = 0.5  # share of fits at a bound from which on their parameters are those of the bounds


def find_fits(fit_explained: pd.DataFrame, fit_crosses: pd.DataFrame, fit_cardinal: pd.DataFrame) -> list[str]:
    """How many kernels the families explain, against the same fit of controls, and what crosses and directions are."""
    rows = fit_explained.set_index(["subject", "family"])
    if ("real", "all") not in rows.index:
        return []
    real, noise = rows.loc[("real", "all")], rows.loc[("gaussian", "all")]
    others = {kind: rows.loc[(kind, "all")] for kind in KINDS if kind != "real" and (kind, "all") in rows.index}
    listed = ", ".join(f"{KINDS[kind]} {percent(*row[EXPLAINED])}" for kind, row in others.items())
    families = rows.loc["real"].drop("all")
    said = [
        f"{percent(*real[EXPLAINED])} of {number(real['kernels'])} kernels are explained by a difference of Gaussians, "
        f"a first or second derivative or a cross: their best cosine is above the {real['threshold']:.3f} that one in "
        f"a hundred Gaussian-noise kernels exceeds (the median of all is {real['cosine_median']:.3f}). Of controls: "
        f"{listed}."
    ]
    if real["explained_share"] > 0:
        most = families["explained_share"].idxmax()
        said.append(
            f"The formula that explains most is the {FITTED[most][0]}, {percent(*families.loc[most, EXPLAINED])}."
        )
    if real["threshold"] > LOOSE:
        said.append(
            f"As noise is fitted to {noise['cosine_median']:.3f} in the median, with hardly more taps than parameters, "
            "a good fit says little at this size."
        )
    crosses = fit_crosses.astype({"weight": str}).set_index("weight")
    if len(crosses) and crosses.loc["free", "kernels"]:
        free, none = crosses.loc["free"], crosses.loc["0"]
        what = (
            f"Crosses ({number(free['kernels'])} kernels) are two elongated Gaussians at right angles and a round one"
        )
        error = (
            f"The error (one less cosine) is {free['error_median']:.3f} in the median, without the round one "
            f"{none['error_median']:.3f}. {percent(free['at_bounds'])} of these fits have a parameter at its bound"
        )
        if free["at_bounds"] < MOST:
            parts = ", ".join(
                f"{words} {interval(*free[[f'{name}_median', f'{name}_q10', f'{name}_q90']])}"
                for name, words in (
                    ("sigma", "width (sigma, in taps)"),
                    ("elongation", "elongation"),
                    ("centre_weight", "weight"),
                )
            )
            said.append(
                f"{what} of their width with a weight: {parts}, each the median and the middle four fifths. {error}."
            )
        else:
            said.append(f"{what}. {error}: the families end there, not the kernels, and no parameters can be told.")
    cardinal = fit_cardinal[fit_cardinal["which"] == "explained"].set_index(["subject", "family"])
    key = "real", "first_derivative"
    if key in cardinal.index and np.isfinite(cardinal.loc[key, "cardinal_low"]):
        mean, low, high = cardinal.loc[key, ["cardinal", "cardinal_low", "cardinal_high"]]
        where = "rows and columns" if low > 0 else "diagonals" if high < 0 else "no direction of the grid"
        said.append(
            f"First derivatives prefer {where}: the mean cosine of four times their angle, one along rows or columns "
            f"and minus one along diagonals, is {interval(mean, low, high)}."
        )
    return said


def find_fit_labels(fit_labels: pd.DataFrame) -> list[str]:
    """Labels whose kernels another formula fits better than that of their name."""
    better = []
    for label, rows in fit_labels.groupby("assigned", sort=False):
        own = next((family for words, family in NAMED.items() if words in label), None)
        of = rows.set_index("family")
        shares, kernels = of["share"].drop("all"), of.at["all", "kernels"]
        best = shares.idxmax()
        if own and kernels >= MANY and shares[best] > shares[own]:
            best_share, own_share = percent(shares[best]), percent(shares[own])
            better.append(f"{label} ({best_share} by a {FITTED[best][0]}, {own_share} by a {FITTED[own][0]})")
    if not better:
        return []
    return [
        f"Free formulas of another family fit more kernels of a label than those of its own do for {', '.join(better)}."
    ]
