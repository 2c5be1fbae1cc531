"""The autoencoder beside other methods."""

import pandas as pd

from kernel_atlas.core.words import joined, percent

HELD_OUT = ["held_out_share", "held_out_low", "held_out_high"]
WORDS = ("more than", "as many, within the interval, as", "fewer than")


def find_baselines(baselines: pd.DataFrame) -> list[str]:
    """Whether a code of one number clusters more than ten centres of k-means, of kernels that neither was fitted on."""
    verdicts = {words: [] for words in WORDS}
    for size, rows in baselines.dropna(subset="held_out_low").groupby("size", sort=False):
        known = rows.set_index(["method", "k"])
        if {("retrained", 1), ("kmeans", 10)} <= set(known.index):
            one, ten = known.loc[("retrained", 1)], known.loc[("kmeans", 10)]
            words = WORDS[0 if ten["difference_low"] > 0 else 2 if ten["difference_high"] < 0 else 1]
            verdicts[words].append(f"{size} ({percent(*one[HELD_OUT])} against {percent(*ten[HELD_OUT])})")
    said = [f"{words} ten means at {joined(sizes)}" for words, sizes in verdicts.items() if sizes]
    return [f"Of kernels that neither was fitted on, a code of one number clusters {'; '.join(said)}."] if said else []
