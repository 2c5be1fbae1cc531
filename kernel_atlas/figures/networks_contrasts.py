"""Pairs of networks with one difference."""

import re
from itertools import takewhile

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from kernel_atlas.core.words import points
from kernel_atlas.figures.style import (
    BLUE,
    INK,
    ORANGE,
    PERCENT,
    SOFT,
    WIDTH,
    cut,
    draw_interval,
    open_canvas,
    place_axes,
)
from kernel_atlas.figures.write import Drawing, draw_nothing

PAIRS = 60  # of the contrasts, about a page


def draw(size: str, threshold: float, contrasts: pd.DataFrame, contrast_kinds: pd.DataFrame) -> Drawing:
    """Pairs of networks listed for one difference, with its effect on the share with a pattern and on the labels."""
    there = contrasts[contrasts["size"] == size].sort_values(["contrast", "difference"], kind="stable")
    if there.empty:
        return draw_nothing(size, "Contrasts", "no pair of the table of contrasts is in the sheet")
    counts = there["contrast"].value_counts()
    most = max((n for n in range(1, counts.max() + 1) if counts.clip(upper=n).sum() <= PAIRS), default=1)
    data = pd.concat([_spread_over(pairs, most) for _, pairs in there.groupby("contrast")])
    kinds = contrast_kinds[contrast_kinds["size"] == size].set_index("contrast")

    pitch, top, left = 0.21, 0.15, 3.55
    foot = top + pitch * (len(data) + data["contrast"].nunique())
    figure, canvas = open_canvas(foot + 0.72)
    axes, right = place_axes(figure, left, top, 6.25, foot), place_axes(figure, 6.5, top, WIDTH - 0.15, foot)
    axes.axvline(0, color=SOFT, lw=0.6, zorder=0)
    row = 0
    for contrast, pairs in data.groupby("contrast"):
        middle = top + (row + 0.5) * pitch
        canvas.text(0.1, middle, contrast, va="center", size=8, weight="bold")
        canvas.hlines(top + row * pitch, 0.1, WIDTH - 0.15, color="#dddddd", lw=0.5)
        if contrast in kinds.index:
            kind = kinds.loc[contrast]
            mean = points(kind["difference"], kind["low"], kind["high"])
            number = f"{kind['pairs']} pair{'s' if kind['pairs'] > 1 else ''}"
            canvas.text(left - 0.1, middle, f"mean of {number}: {mean}", ha="right", va="center", size=7)
            draw_interval(axes, row, kind["low"], kind["high"], INK)
            axes.plot(kind["difference"], row, "D", color=INK, ms=5)
            right.plot(kind["jensen_shannon"], row, "D", color=INK, ms=5)
        for pair in pairs.itertuples():
            row += 1
            draw_interval(axes, row, pair.low, pair.high, BLUE)
            axes.plot(pair.difference, row, "o", color=BLUE, ms=4)
            right.hlines(row, 0, pair.chance_high, color="#cfcfcf", lw=6)
            right.plot(pair.jensen_shannon, row, "s", color=ORANGE, ms=4)
            words = _change_of(pair.model, pair.against)
            canvas.text(left - 0.1, top + (row + 0.5) * pitch, words, ha="right", va="center", size=6.5, color=SOFT)
        row += 1
    for one in (axes, right):
        one.set_ylim(row - 0.5, -0.5)
        one.set_yticks([])
    axes.xaxis.set_major_formatter(PERCENT)
    axes.set_xlabel("share with a pattern, second less first")
    right.set_xlabel("distance of label shares")
    right.set_xlim(0, None)
    look = {"ls": "", "ms": 4.5}
    handles = [
        Line2D([], [], marker="o", color=BLUE, label="a pair", **look),
        Line2D([], [], marker="s", color=ORANGE, label="distance of a pair", **look),
        Patch(color="#cfcfcf", label="what parts of both reach by chance"),
        Line2D([], [], marker="D", color=INK, label="mean of a kind", **look),
    ]
    figure.legend(handles=handles, loc="lower right", ncols=4, columnspacing=1.2, handletextpad=0.4)
    shown = ""
    if most < counts.max():
        shown = f", {len(data)} of {len(there)} pairs evenly over the order of their differences"
    caption = (
        f"Pairs of networks, listed in config/contrasts.tsv for one difference (which may not be the only one){shown}: "
        f"difference of the share of {size} kernels with a pattern, with its 95 % interval over layers where there are "
        "five, and Jensen-Shannon distance of the label shares; grey reaches to the 95 % quantile of what two random "
        "parts of the same kernels would show. Means have intervals over five pairs or more."
    )
    alt = (
        f"Dots of the difference of the share of {size} kernels with a pattern and of the distance of labels, by pair."
    )
    return Drawing(figure, data.drop(columns="size"), "Contrasts", caption, alt)


def _change_of(model: str, against: str) -> str:
    """From which network to which; of a long name only what differs."""
    if len(against) > 27:
        parts = zip(*(re.split(r"(?<=[._-])", name) for name in (model, against)), strict=False)
        same = sum(len(a) for a, _ in takewhile(lambda pair: pair[0] == pair[1], parts))
        against = f"…{against[same:]}" if same else against
    return f"{cut(model, 27)} → {cut(against, 27)}"


def _spread_over(pairs: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most so many rows, evenly over their order, the ends with them."""
    return pairs.iloc[np.linspace(0, len(pairs) - 1, min(most, len(pairs))).round().astype(int)]
