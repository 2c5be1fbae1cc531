"""Residuals of small sets of keys."""

import pandas as pd

from kernel_atlas.core.words import interval


def find_master_keys(key_sets: pd.DataFrame) -> list[str]:
    """Mean residuals after the best key of a set, on networks that the set was not chosen on, beside controls."""
    published, chosen = [], []
    for size, part in key_sets.dropna(subset="mean_low").groupby("size", sort=False):
        sets = part.set_index(["set", "subject"])
        left = {key: interval(*sets.loc[key, ["mean", "mean_low", "mean_high"]]) for key in sets.index}
        known = [left.get(("published", subject)) for subject in ("real", "phase")]
        if all(known):
            published.append(f"{known[0]} of {size} kernels against {known[1]} with random phases")
        known = [left.get((name, "real")) for name in ("greedy", "random kernels")]
        if all(known):
            chosen.append(f"{known[0]} against {known[1]} at {size}")
    said = []
    if published:
        said.append(f"The best of the eight published master keys leaves a residual of {'; '.join(published)}.")
    if chosen:
        said.append(
            "Residual on held-out networks after the best of a few greedily chosen keys, against as many random "
            f"kernels: {'; '.join(chosen)}."
        )
    return said
