"""Measures of layers."""

import pandas as pd

from kernel_atlas.core.words import interval, joined, percent
from kernel_atlas.stats.shares import FIFTHS

MEAN = ["mean", "low", "high"]


def find_layers(layer_depths: pd.DataFrame, banding: pd.DataFrame, covariance_thirds: pd.DataFrame) -> list[str]:
    """Where layers are like noise, whether rows and columns differ in the last, whether covariances are shared."""
    return [*_find_noise(layer_depths), *_find_banding(banding), *_find_covariance(covariance_thirds)]


def _find_noise(layer_depths: pd.DataFrame) -> list[str]:
    noisy = layer_depths[(layer_depths["subject"] == "real") & (layer_depths["measure"] == "noisy")]
    told = {"more": [], "fewer": [], "as many, within the intervals,": []}
    for size, part in noisy.dropna(subset=["low"]).groupby("size", sort=False):
        fifths = part.set_index("depth")[MEAN]
        if {FIFTHS[0], FIFTHS[-1]} <= set(fifths.index):
            first, last = fifths.loc[FIFTHS[0]], fifths.loc[FIFTHS[-1]]
            words = list(told)[0 if last["low"] > first["high"] else 1 if last["high"] < first["low"] else 2]
            told[words].append(f"{size} ({percent(*last)} against {percent(*first)})")
    listed = [f"{words} at {joined(sizes)}" for words, sizes in told.items() if sizes]
    if not listed:
        return []
    return [
        f"Kernels that no template fits better than noise are, in the last fifth of the depth against the first, "
        f"{'; '.join(listed)}."
    ]


def _find_banding(banding: pd.DataFrame) -> list[str]:
    rows = banding[banding["subject"] == "real"].dropna(subset=["low"])
    apart = (rows["low"] > 0) | (rows["high"] < 0)
    said = []
    for words, part in (("is", rows[apart]), ("is not told to be", rows[~apart])):
        listed = [f"{row.size} ({interval(row.difference, row.low, row.high)})" for row in part.itertuples()]
        if listed:
            said.append(f"{words} another at {joined(listed)}")
    return [f"Banding in the last fifth {'; it '.join(said)}, as log2 of row to column energy."] if said else []


def _find_covariance(covariance_thirds: pd.DataFrame) -> list[str]:
    rows = covariance_thirds[(covariance_thirds["third"] == "all") & (covariance_thirds["subject"] == "real")]
    listed = [
        f"{interval(row.similarity, row.similarity_low, row.similarity_high)} against "
        f"{interval(row.shuffled, row.shuffled_low, row.shuffled_high)} at {row.size}"
        for row in rows.dropna(subset=["similarity_low"]).itertuples()
    ]
    if not listed:
        return []
    return [
        f"Covariances of layers of different networks at one depth have a cosine, against shuffled taps, of "
        f"{'; '.join(listed)}."
    ]
