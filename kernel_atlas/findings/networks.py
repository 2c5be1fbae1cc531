"""Shares across networks, depths and thresholds."""

import numpy as np
import pandas as pd

from kernel_atlas.core.words import interval, joined, percent, points
from kernel_atlas.findings.parts import MANY


def find_comparisons(correlation: pd.DataFrame) -> list[str]:
    """Correlations of the share with a pattern, over ten networks or more."""
    names = {
        "top1": "top-1 accuracy",
        "log10_params": "log10 of parameters",
        "log10_images": "log10 of training images",
    }
    words = []
    for row in correlation[correlation["n"] >= MANY].itertuples():
        where = "" if row.dataset == "all" else f" trained on {row.dataset}"
        found = [
            f"Pearson {interval(row.pearson, row.pearson_low, row.pearson_high)}",
            f"Spearman {interval(row.spearman, row.spearman_low, row.spearman_high)}",
        ]
        if np.isfinite(row.partial):
            found.append(f"within families {interval(row.partial, row.partial_low, row.partial_high)}")
        words.append(
            f"Correlation between the share with a pattern and {names[row.variable]}, over {row.n} independent "
            f"networks{where}: {', '.join(found)}."
        )
    return words


def find_contrasts(contrast_kinds: pd.DataFrame) -> list[str]:
    """How far networks are apart that are listed for one difference, which may not be the only one."""
    words = []
    for row in contrast_kinds.itertuples():
        pairs = f"{row.pairs} pair{'s' if row.pairs > 1 else ''}"
        change = points(row.difference, row.low, row.high)
        against = (
            "between two seeds of one recipe at most"
            if row.compared_with == "seeds"
            else "of parts drawn from both at most"
        )
        if row.contrast == "seed":
            change = f"{points(row.absolute_difference)} in either direction"
        words.append(
            f"{row.contrast.capitalize()} ({pairs}): the second network's share with a pattern less the first's is "
            f"{change} on average; their label shares are {row.jensen_shannon:.3f} apart (Jensen-Shannon distance; "
            f"{against} {row.limit:.3f}), farther than that in {row.beyond} of {pairs}."
        )
    return words


def find_distances(distances: pd.DataFrame) -> list[str]:
    """How far label shares of networks are apart, alike and not; where there are pairs of both."""
    known = distances.dropna(subset=["low"]).set_index("pairs_of")
    names = {"family": "of one family", "dataset": "trained on one data set", "neither": "with neither in common"}
    parts = [
        f"{interval(*known.loc[kind, ['jensen_shannon', 'low', 'high']])} between networks {name}"
        for kind, name in names.items()
        if kind in known.index
    ]
    if "neither" not in known.index or len(parts) < 2:
        return []
    return [f"The mean Jensen-Shannon distance of label shares is {', '.join(parts)}."]


def find_depth(halves: pd.DataFrame, trends: pd.DataFrame) -> list[str]:
    """Whether the composition of labels changes with depth, and which families gain and lose; one statement a size."""
    said = []
    for row in halves.itertuples():
        changes = row.jensen_shannon > row.chance_high
        text = (
            f"Labels {'change' if changes else 'do not clearly change'} with depth: between the first and the second "
            f"half of a network's layers the Jensen-Shannon distance of label shares is "
            f"{interval(row.jensen_shannon, row.low, row.high)}, with the layers in random order "
            f"{row.chance:.2f} on average and at most {row.chance_high:.2f} in 95 % of orders (mean over {row.models} "
            f"network{'s' if row.models > 1 else ''})."
        )
        clear = trends.dropna(subset=["low"])
        clear = clear[(clear["models"] >= MANY) & (clear["family"] != "Cross")]
        for words, part in (("grow", clear[clear["low"] > 0]), ("fall", clear[clear["high"] < 0])):
            if changes and len(part):
                listed = [name for name in part.sort_values("spearman", key=abs, ascending=False)["family"]]
                text += f" With depth {words}: {joined(listed)}."
        said.append(text)
    return said


def find_knee(knees: pd.DataFrame) -> list[str]:
    """The knee of the median network, and what noise allows; of fewer than five networks nothing is said."""
    words = []
    for row in knees[knees["model"] == "all"].dropna(subset=["knee_low"]).itertuples():
        words.append(
            "The threshold curve of the median network bends at "
            f"{interval(row.knee, row.knee_low, row.knee_high)}, where {percent(row.knee_share)} of its kernels "
            f"and {percent(row.knee_noise)} of Gaussian noise are clustered; at {row.threshold:.2f}, the nearest "
            f"to the threshold of the run, it is {percent(row.share)} against {percent(row.noise)}."
        )
        if np.isfinite(row.noise_floor):
            words.append(
                f"Up to a threshold of {row.noise_floor:.2f}, where {percent(row.floor_share)} of the median network's "
                f"kernels are clustered, Gaussian noise stays at {percent(row.floor_noise)} or less."
            )
    return words
