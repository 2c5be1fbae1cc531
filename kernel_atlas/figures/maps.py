"""The figure of the maps of kernels."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kernel_atlas.core.vocabulary import FAMILIES
from kernel_atlas.figures.style import (
    INK,
    ORANGE,
    SOFT,
    WIDTH,
    draw_interval,
    open_canvas,
    place_axes,
    short,
)
from kernel_atlas.figures.write import Drawing
from kernel_atlas.training.map_summaries import CONTROLS, FEWEST_KERNELS, shown

PITCH = 0.27  # inches from a row to the next
PANELS = {  # measure: words under the axis, whether it is a ratio on a logarithmic axis, ends of the axis
    "absolute_relative_mean": ("|mean| / sd of a map", False, (0, None)),
    "skewness": ("skewness of a map", False, (None, None)),
    "variance_ratio": ("variance / equal share", True, (None, None)),
    "unit_variance_ratio": ("the same, at unit norm", True, (None, None)),
}
LOOKS = {"noise": (INK, "|"), "phase": ("#009e73", "x"), "free": (ORANGE, "1")}  # colour and marker
SHOWN = 0.01  # quantiles beyond which layers are left out of an axis: few kernels in one may be far off


def draw_maps(table: pd.DataFrame, summary: pd.DataFrame, title: str) -> Drawing:
    """What the maps of each family of labels are like, a row each, beside those of the controls.

    Parameters
    ----------
    table, summary : DataFrame
        maps.csv and summary.csv.
    title : str
    """
    rows = list(shown(summary)[["size", "label"]].drop_duplicates().itertuples(index=False, name=None))
    sizes = list(dict.fromkeys(size for size, _ in rows))
    head, heads = 0.6, 0.9  # inches to the first panel; rows that the name of a size takes
    foot = head + PITCH * (len(rows) + heads * len(sizes))
    figure, canvas = open_canvas(foot + 0.5, WIDTH)
    places, place = {}, 0.0
    for size in sizes:
        canvas.text(0.1, head + PITCH * (place + 0.5), f"{size} kernels", weight="bold", va="center")
        place += heads
        for label in [label for one, label in rows if one == size]:
            places[size, label] = place + 0.5
            place += 1
    pitch = (WIDTH - 1.6 - 0.95) / len(PANELS)
    for column, measure in enumerate(PANELS):
        left = 1.6 + column * pitch
        axes = place_axes(figure, left, head, left + pitch - 0.16, foot)
        _draw_panel(axes, measure, table, summary, places)
        axes.set_ylim(place, 0)
        axes.set_yticks(list(places.values()), [short(label) for _, label in places] if column == 0 else [])
        axes.tick_params(axis="y", length=0)
    counts = summary.drop_duplicates(["size", "label"]).set_index(["size", "label"])
    beside = {"transform": axes.get_yaxis_transform(), "size": 7, "color": SOFT, "va": "center", "ha": "right"}
    for right, name, words in ((1.32, "kernels", "kernels"), (1.66, "units", "networks")):
        axes.text(right, -0.4, words, **beside)
        for key, y in places.items():
            axes.text(right, y, f"{counts.loc[key, name]:,}", **beside)
    _draw_legend(figure)
    caption = (
        "Output maps of depthwise kernels on test images, before bias and batch norm, over all images and places. "
        "Small dots are layers of networks: medians over the kernels of the label, means for the share of variance (1 "
        "is an equal share of the layer's variance). Large marks are means over independent networks, lines their 95 % "
        "intervals (none below five). Controls see the same input and have the norm of each kernel; two of them also "
        "have its sum of taps. Left out here, not in the table: labels of fewer than "
        f"{FEWEST_KERNELS} kernels, or of one network where others are of more."
    )
    return Drawing(
        figure, summary, title, caption, "Dot plots of the maps of kernels, a row for each family of labels."
    )


def _draw_panel(
    axes: Axes, measure: str, table: pd.DataFrame, summary: pd.DataFrame, places: dict[tuple[str, str], float]
) -> None:
    """One measure: layers small, the mean over networks large, controls below."""
    words, ratio, (low, high) = PANELS[measure]
    part = summary[summary["measure"] == measure].set_index(["size", "label"])
    layers = table.set_index(["size", "label"]).sort_index()
    inside = [[1.0 if ratio else 0.0]]
    for key, y in places.items():
        row, colour = part.loc[key], FAMILIES[key[1]][0]
        dots = layers.loc[[key], measure]
        axes.plot(dots, np.full(len(dots), y - 0.12), "o", color=colour, ms=2.6, alpha=0.6, mew=0, zorder=2)
        draw_interval(axes, y - 0.12, row["value_low"], row["value_high"], INK)
        axes.plot(row["value"], y - 0.12, "D", color=colour, ms=4.6, mec=INK, mew=0.6, zorder=4)
        for name, (ink, marker) in LOOKS.items():
            axes.plot(row[name], y + 0.24, marker, color=ink, ms=4.4, mew=1.1, zorder=3)
        inside += [row[["value", "value_low", "value_high", *LOOKS]].dropna()]
    shown = layers.loc[layers.index.isin(list(places)), measure].quantile([SHOWN, 1 - SHOWN])
    ends = np.concatenate([*inside, shown]).astype(float)
    margin = 0.04 * np.ptp(ends)
    if ratio:
        axes.set_xscale("log", base=2)
        axes.set_xlim(max(ends.min(), 1 / 64) * 0.85, ends.max() * 1.15)
        low, high = axes.get_xlim()
        powers = np.arange(np.ceil(np.log2(low)), np.floor(np.log2(high)) + 1)
        ticks = 2.0 ** (powers if len(powers) < 5 else powers[powers % 2 == 0])
        axes.set_xticks(ticks, [f"{tick:g}" if tick >= 1 else f"1/{1 / tick:g}" for tick in ticks])
        axes.minorticks_off()
    else:
        axes.set_xlim(ends.min() - margin if low is None else low, ends.max() + margin if high is None else high)
    axes.axvline(1 if ratio else 0, color=SOFT, lw=0.6, zorder=1)
    axes.set_xlabel(words)
    axes.grid(axis="x", color="#e6e6e6", lw=0.5)
    axes.set_axisbelow(True)


def _draw_legend(figure: Figure) -> None:
    handles: Sequence[Line2D] = [
        Line2D([], [], ls="", marker="D", color="#e6e6e6", mec=INK, mew=0.6, ms=4.6, label="mean over networks"),
        Line2D([], [], ls="", marker="o", color=SOFT, ms=2.6, label="a layer of a network"),
        *(
            Line2D([], [], ls="", marker=marker, color=ink, ms=4.4, mew=1.1, label=CONTROLS[name])
            for name, (ink, marker) in LOOKS.items()
        ),
    ]
    height = figure.get_figheight()
    figure.legend(handles=handles, loc="upper left", ncols=5, bbox_to_anchor=(0.05 / WIDTH, 1 - 0.1 / height))
