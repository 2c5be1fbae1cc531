"""Shares across networks and depths."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from kernel_atlas.core.words import interval, joined, percent
from kernel_atlas.findings.parts import MANY

FEW = 3  # networks with a lower and a higher share that are named
SIMILAR = ("seed", "fine-tuning", "padding")  # kinds of contrasts between networks that ought to have like kernels


def find_models(models: pd.DataFrame) -> list[str]:
    """The networks with the least and the greatest share with a pattern, at the size where they differ most."""
    known = models[(models["use"] != "control") & (models["convolution"] == "depthwise")]
    known = known.dropna(subset="pattern_share")
    spread = known.groupby("size", sort=False)["pattern_share"].agg(np.ptp)
    if not len(spread) or not spread.max():
        return []
    part = known[known["size"] == spread.idxmax()].set_index("model")["pattern_share"]
    return [
        f"Networks differ in how many kernels have a pattern, most at {spread.idxmax()}: {percent(part.min())} in "
        f"{part.idxmin()} to {percent(part.max())} in {part.idxmax()}."
    ]


def find_places(places: pd.DataFrame) -> list[str]:
    """Which networks have a share with a pattern outside the middle half of the reference networks."""
    said = []
    for size, part in places.groupby("size", sort=False):
        ends = {
            "below": part[part["pattern_share"] < part["low"]].nsmallest(FEW, "pattern_share"),
            "above": part[part["pattern_share"] > part["high"]].nlargest(FEW, "pattern_share"),
        }
        listed = [f"{words} {joined(list(rows['model']))}" for words, rows in ends.items() if len(rows)]
        said.append(f"{size}: {', '.join(listed) or 'none'}")
    return [f"Outside the middle half of reference networks of other people: {'; '.join(said)}."] if said else []


def find_contrasts(contrast_kinds: pd.DataFrame) -> list[str]:
    """Pairs of networks listed for one difference, which may not be the only one, that differ more than chance."""
    rows = contrast_kinds[contrast_kinds["beyond"] > 0]
    said = []
    for words, part in (
        (
            "Inconsistent proportions across similar networks, which the method's paper counts as failure",
            rows[rows["contrast"].isin(SIMILAR)],
        ),
        ("Label shares differ more than by chance between", rows[~rows["contrast"].isin(SIMILAR)]),
    ):
        listed = [
            f"{row.beyond} of {row.pairs} pairs of kind {row.contrast} at {row.size}" for row in part.itertuples()
        ]
        if listed:
            said.append(f"{words}: {joined(listed)}.")
    return said


def find_distances(distances: pd.DataFrame) -> list[str]:
    """How far label shares of networks are apart, alike and not; where there are pairs of both."""
    said = []
    for size, part in distances.dropna(subset=["low"]).groupby("size", sort=False):
        known = part.set_index("pairs_of")
        if {"family", "neither"} <= set(known.index):
            alike, unlike = (
                interval(*known.loc[kind, ["jensen_shannon", "low", "high"]]) for kind in ("family", "neither")
            )
            said.append(f"{alike} against {unlike} at {size}")
    if not said:
        return []
    return [
        "Distance of label shares (Jensen-Shannon) within a family, against networks with neither family nor data in "
        f"common: {'; '.join(said)}."
    ]


def find_comparisons(correlation: pd.DataFrame) -> list[str]:
    """Whether the share with a pattern goes with accuracy, over ten networks or more."""
    listed = [
        f"{interval(row.pearson, row.pearson_low, row.pearson_high)} over {row.n} independent {row.size} networks"
        f"{'' if row.dataset == 'all' else f' trained on {row.dataset}'}"
        for row in correlation[(correlation["n"] >= MANY) & (correlation["variable"] == "top1")].itertuples()
    ]
    return [f"Pearson's correlation of the share with top-1 accuracy: {'; '.join(listed)}."] if listed else []


def find_depth(halves: pd.DataFrame, trends: pd.DataFrame) -> list[str]:
    """Whether the composition of labels changes with depth, and which families gain and lose."""
    changes = halves["jensen_shannon"] > halves["chance_high"]
    said = []
    for words, rows in (("change", halves[changes]), ("do not clearly change", halves[~changes])):
        listed = [
            f"{row.size} ({interval(row.jensen_shannon, row.low, row.high)} against {row.chance:.2f})"
            for row in rows.itertuples()
        ]
        if listed:
            said.append(f"{words} with depth at {joined(listed)}")
    if not said:
        return []
    return [
        f"Labels {'; they '.join(said)}: distance between both halves of a network, against layers in random order.",
        *_find_trends(trends[trends["size"].isin(halves.loc[changes, "size"])]),
    ]


def _find_trends(trends: pd.DataFrame) -> Iterator[str]:
    clear = trends.dropna(subset=["low"])
    clear = clear[(clear["models"] >= MANY) & (clear["family"] != "Cross")]
    for size, part in clear.groupby("size", sort=False):
        part = part.sort_values("spearman", key=abs, ascending=False)
        ends = {"grow": part.loc[part["low"] > 0, "family"], "fall": part.loc[part["high"] < 0, "family"]}
        listed = [f"{words} {joined(list(names))}" for words, names in ends.items() if len(names)]
        if listed:
            yield f"With depth at {size}: {'; '.join(listed)}."
