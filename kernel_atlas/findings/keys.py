"""Residuals of small sets of keys."""

import pandas as pd

from kernel_atlas.core.words import interval, number, percent
from kernel_atlas.findings.parts import SHARE


def find_master_keys(key_sets: pd.DataFrame, greedy_sets: pd.DataFrame) -> list[str]:
    """Residuals after the best key, of sets of keys that were chosen on other networks."""
    found = []
    sets = key_sets.dropna(subset="mean_low").set_index(["set", "subject"])
    if ("published", "real") in sets.index:
        real, noise, phase = (sets.loc[("published", name)] for name in ("real", "gaussian", "phase"))
        found.append(
            f"The best of the eight published master key filters leaves a mean relative residual of {_left(real)} of "
            f"{number(real['kernels'])} kernels of {real['models']} networks, {_left(noise)} of Gaussian noise, and "
            f"{_left(phase)} of kernels with random phases."
        )
    if ("greedy", "real") in sets.index:
        words = {
            "greedy": "chosen greedily",
            "k-means": "that are centres of k-means",
            "greedy prototypes": "chosen greedily from the prototypes",
            "random kernels": "that are random kernels",
        }
        rows = {chosen: sets.loc[(name, "real")] for name, chosen in words.items() if (name, "real") in sets.index}
        listed = ", ".join(f"{row['keys']} keys {chosen} leave {_left(row)}" for chosen, row in rows.items())
        found.append(f"Of kernels of networks that a set was not chosen on, {listed}.")
    greedy = greedy_sets.dropna(subset="residual_low")
    if len(greedy):
        row, largest = greedy[greedy["within_tolerance"]].iloc[0], greedy.iloc[-1]
        left = interval(row["residual"], row["residual_low"], row["residual_high"])
        found.append(
            f"{row['keys']} greedily chosen {'key leaves' if row['keys'] == 1 else 'keys leave'} {left}; fewer are not "
            f"within the tolerance of the {largest['residual']:.2f} that {largest['keys']} leave."
        )
    return found


def find_key_shares(master_key_shares: pd.DataFrame) -> list[str]:
    """Which published filter is the best for most kernels."""
    rows = master_key_shares.query("subject == 'real' and depth == 'all' and filter != 'all'").dropna(
        subset="share_low"
    )
    return [
        f"Master key filter {row['filter']} is the best for more kernels than any other, for {percent(*row[SHARE])}."
        for _, row in rows.dropna(subset="share_low").sort_values("share").tail(1).iterrows()
    ]


def _left(row: pd.Series) -> str:
    return interval(row["mean"], row["mean_low"], row["mean_high"])
