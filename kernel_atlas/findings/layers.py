"""Measures of layers."""

import pandas as pd

from kernel_atlas.core.words import interval, percent
from kernel_atlas.stats.shares import FIFTHS

MEAN = ["mean", "low", "high"]


def find_layers(layer_depths: pd.DataFrame, banding: pd.DataFrame, covariance_thirds: pd.DataFrame) -> list[str]:
    """Dead and noisy kernels, entropy and orthogonality, banding, covariance; each only with an interval."""
    words = []
    means = layer_depths[layer_depths["subject"] == "real"].dropna(subset=["low"]).set_index(["measure", "depth"])
    if {("dead", "all"), ("noisy", "all")} <= set(means.index):
        dead, noisy = means.loc[("dead", "all")], means.loc["noisy"]
        words.append(f"Of the kernels of a layer, {percent(*dead[MEAN])} are dead on average.")
        text = f"{percent(*noisy.loc['all', MEAN])} of its live kernels are no more like a template than noise is"
        fifths = noisy.drop(index="all")
        if len(fifths) > 1:
            names = dict(zip(FIFTHS, ("first", "second", "third", "fourth", "last"), strict=True))
            ends = (f"{percent(*fifths.loc[end, MEAN])} in the {names[end]} fifth" for end in fifths.index[[0, -1]])
            text += f", {' and '.join(ends)} of the depth"
        words.append(f"{text}; of Gaussian kernels {percent(noisy.loc['all', 'chance'])} are.")
    for measure, name in (("variance_entropy", "variance entropy"), ("orthogonality", "orthogonality")):
        if (measure, "all") in means.index:
            row = means.loc[(measure, "all")]
            words.append(f"The {name} of a layer is {interval(*row[MEAN])}, of Gaussian layers {row['chance']:.2f}.")
    for row in banding[banding["subject"] == "real"].dropna(subset=["low"]).itertuples():
        words.append(
            f"The log2 ratio of row to column energy is {row.last:.2f} in the last fifth of the depth and "
            f"{row.others:.2f} before, a difference of {interval(row.difference, row.low, row.high)} over "
            f"{row.models} networks."
        )
    thirds = covariance_thirds[(covariance_thirds["third"] == "all") & (covariance_thirds["subject"] == "real")]
    for row in thirds.dropna(subset=["similarity_low"]).itertuples():
        words.append(
            "The covariance of a layer and that of other networks at the same third of the depth have a cosine of "
            f"{interval(row.similarity, row.similarity_low, row.similarity_high)}, with the taps of its kernels "
            f"shuffled {interval(row.shuffled, row.shuffled_low, row.shuffled_high)}."
        )
    return words
