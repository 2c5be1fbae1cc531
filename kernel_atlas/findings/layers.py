"""Measures of layers."""

import pandas as pd

from kernel_atlas.core.words import interval, joined, percent
from kernel_atlas.stats.shares import FIFTHS

MEAN = ["mean", "low", "high"]


def find_layers(layer_depths: pd.DataFrame, banding: pd.DataFrame, covariance_thirds: pd.DataFrame) -> list[str]:
    """Where layers are noise, whether rows and columns differ in the last, whether covariances are shared."""
    noisy = layer_depths[(layer_depths["subject"] == "real") & (layer_depths["measure"] == "noisy")]
    listed = []
    for size, part in noisy.dropna(subset=["low"]).groupby("size", sort=False):
        fifths = part.set_index("depth")
        if FIFTHS[0] in fifths.index and FIFTHS[-1] in fifths.index:
            last, first = (percent(*fifths.loc[end, MEAN]) for end in (FIFTHS[-1], FIFTHS[0]))
            listed.append(f"{last} against {first} at {size}")
    said = []
    if listed:
        said.append(
            "Kernels that no template fits better than noise, in the last fifth of the depth against the first: "
            f"{'; '.join(listed)}."
        )
    banded = banding[banding["subject"] == "real"].dropna(subset=["low"])
    listed = [f"{interval(row.difference, row.low, row.high)} at {row.size}" for row in banded.itertuples()]
    if listed:
        said.append(
            f"Banding, the log2 ratio of row to column energy in the last fifth less that before: {'; '.join(listed)}."
        )
    thirds = covariance_thirds[(covariance_thirds["third"] == "all") & (covariance_thirds["subject"] == "real")]
    listed = [
        f"{interval(row.similarity, row.similarity_low, row.similarity_high)} at {row.size}, with shuffled taps "
        f"{interval(row.shuffled, row.shuffled_low, row.shuffled_high)}"
        for row in thirds.dropna(subset=["similarity_low"]).itertuples()
    ]
    if listed:
        said.append(f"Cosine of the covariances of layers of different networks at one depth: {joined(listed)}.")
    return said
