"""The autoencoder beside other methods."""

import numpy as np
import pandas as pd

from kernel_atlas.core.vocabulary import METHODS
from kernel_atlas.core.words import number, percent


def find_baselines(baselines: pd.DataFrame, agreement: pd.DataFrame) -> list[str]:
    """How a code of one number compares with other methods on kernels that neither was fitted on, and agrees with them.

    Parameters
    ----------
    baselines, agreement : DataFrame
        The rows of one size.
    """
    rows = baselines.set_index(["method", "k"])
    if not {("retrained", 1), ("kmeans", 10)} <= set(rows.index):
        return []
    if np.isnan(rows.loc[("retrained", 1), "held_out_low"]):
        return []
    one, ten = rows.loc[("retrained", 1)], rows.loc[("kmeans", 10)]
    others = {"k-means with k = 10": ten, "one principal component": rows.loc[("pca", 1)]}
    starts = f"the best of {number(one['starts'])} starts" if one["starts"] > 1 else "one start"
    others |= {
        words: rows.loc[rows.index.get_level_values("method") == method].iloc[0]
        for method, words in (("codebook", "a codebook of five in 16 poses"), ("patterns", "the reference patterns"))
        if method in rows.index.get_level_values("method")
    }
    longer = {"a code of two": ("retrained", 2), "a code of three": ("retrained", 3)}
    others |= {words: rows.loc[key] for words, key in longer.items() if key in rows.index}
    splits = f"means over {one['splits']} random splits" if one["splits"] > 1 else "one random split"
    said = [
        f"Of kernels of {one['units']} that a method was not fitted on ({splits}), an autoencoder with a code of one "
        f"number ({starts}) clusters {_held_out(one)}, "
        f"{', '.join(f'{words} {_held_out(row)}' for words, row in others.items())}; "
        f"of Gaussian noise the code of one {percent(one['noise_share'])}, k-means {percent(ten['noise_share'])}."
    ]
    means = baselines[baselines["method"] == "kmeans"]
    fewer, more = means["difference_low"] > 0, means["difference_high"] < 0
    parts = {
        "fewer than": means[fewer],
        "as many, within the interval, as": means[~fewer & ~more],
        "more than": means[more],
    }
    listed = [f"{words} the code of one with k = {_listed(part['k'])}" for words, part in parts.items() if len(part)]
    said.append(f"k-means clusters {'; '.join(listed)}. These intervals do not cover what another start would change.")
    pairs = agreement[(agreement["method_a"] == "autoencoder") & agreement["low"].notna()]
    if len(pairs):
        best = pairs.loc[pairs["adjusted_rand"].idxmax()]
        name = ("a " if best["method_b"] == "gaussian_mixture" else "") + METHODS[best["method_b"]][0]
        said.append(
            f"The clusters of the code agree most with {name}, k = {best['k_b']}: adjusted Rand "
            f"index {best['adjusted_rand']:.2f} [{best['low']:.2f}, {best['high']:.2f}] over "
            f"{number(best['kernels'])} kernels, where chance has zero and equals have one."
        )
    return said


def _held_out(row: pd.Series) -> str:
    said = percent(*row[["held_out_share", "held_out_low", "held_out_high"]])
    if row["splits"] > 1:
        said += f" (by split {percent(row['held_out_lowest'])} to {percent(row['held_out_highest'])})"
    return said


def _listed(values: pd.Series) -> str:
    return ", ".join(str(value) for value in values)
