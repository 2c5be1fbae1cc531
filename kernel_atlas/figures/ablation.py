"""The figure of the ablation."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from kernel_atlas.figures.style import BLUE, INK, ORANGE, SOFT, WIDTH, draw_interval, open_canvas, place_axes, short
from kernel_atlas.figures.write import Drawing
from kernel_atlas.training.summaries import LABELLED, LAYERS, NAMES, ablation_parts, tell_apart

PITCH = 0.3  # inches from a row to the next


def draw_ablation(table: pd.DataFrame, summary: pd.DataFrame, title: str) -> Drawing:
    """What accuracy is lost by replacing all kernels of a size in each way, and those of one label against others.

    Parameters
    ----------
    table, summary : DataFrame
        ablation.csv and summary.csv.
    title : str
    """
    data = summary[summary["size"] != "all"].reset_index(drop=True)
    whole = data[data["label"] == "all"]
    labels = data[(data["label"] != "all") & data["replacement"].isin(LABELLED) & data["others"].notna()]
    sizes = sorted(whole["size"].unique(), key=lambda size: -int(size.split("x")[0]))
    points = ablation_parts(table).set_index(["size", "label", "replacement"]).sort_index()

    rows = [
        (size, name)
        for size in sizes
        for name in NAMES
        if ((whole["size"] == size) & (whole["replacement"] == name)).any()
    ]
    named = [
        (size, label)
        for size in sizes
        for label in sorted(labels.loc[labels["size"] == size, "label"].unique(), key=lambda x: (LAYERS in x, x))
    ]
    head = 0.75
    middle = head + PITCH * (len(rows) + 0.6 * len(sizes))
    low_head = middle + 1.1
    foot = low_head + PITCH * 0.8 * (len(named) + 0.9 * len(dict(named))) if named else middle
    figure, canvas = open_canvas(foot + 0.5)
    looks = {"": (BLUE, "o", "batch norm as trained"), "_reestimated": (ORANGE, "s", "batch norm estimated again")}

    axes = place_axes(figure, 2.6, head, WIDTH - 0.85, middle)
    ticks, place = [], 0.0
    for size in sizes:
        canvas.text(0.1, head + PITCH * (place + 0.35), f"{size} kernels, each by", weight="bold", va="center")
        place += 0.6
        for name in [name for one, name in rows if one == size]:
            row = whole[(whole["size"] == size) & (whole["replacement"] == name)].iloc[0]
            for shift, (end, (colour, marker, _)) in zip((0.32, 0.68), looks.items(), strict=True):
                _dot(axes, place + shift, row, points.loc[[(size, "all", name)]], f"difference{end}", colour, marker)
            ticks.append((place + 0.5, NAMES[name]))
            axes.text(1.015, place + 0.5, str(row["models"]), transform=axes.get_yaxis_transform(), va="center", size=7)
            place += 1
    _dress(axes, ticks, place, "change of top-1 accuracy in points")
    axes.text(1.015, -0.05, "models", transform=axes.get_yaxis_transform(), size=7, color=SOFT, va="bottom")
    handles = [Line2D([], [], ls="", color=c, marker=m, ms=5, label=words) for c, m, words in looks.values()]
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1.01), ncols=2)
    canvas.text(0.1, 0.2, "All kernels of a size replaced", weight="bold", size=9, va="center")

    if named:
        _draw_parts(figure, canvas, labels, points, named, (low_head, foot))
    caption = (
        "Change of top-1 accuracy on test images when depthwise kernels are replaced, each by something with its mean "
        "and norm (zero has neither). Small marks are networks (of single layers, means over those in a fifth of the "
        "depth), large ones their mean, lines 95 % intervals over networks (none below five). The other kernels that a "
        "label or layer is compared with are drawn at random, for a label from the same layers as far as there are "
        "enough."
    )
    caption = " ".join(filter(None, [caption, tell_apart(table)]))
    alt = "Dot plots of the change of accuracy by replacement, by label and by layer."
    return Drawing(figure, summary, title, caption, alt)


def _draw_parts(
    figure: Figure,
    canvas: Axes,
    labels: pd.DataFrame,
    points: pd.DataFrame,
    named: list[tuple[str, str]],
    between: tuple[float, float],
) -> None:
    """One label or one layer replaced, beside other kernels, a column for each replacement."""
    (low_head, foot), sizes = between, list(dict.fromkeys(size for size, _ in named))
    canvas.text(
        0.1,
        low_head - 0.5,
        "The kernels of one label, or of one layer, replaced",
        weight="bold",
        size=9,
        va="center",
    )
    looks = {"difference": (INK, "D", "of the label or layer"), "others": ("#cc79a7", "o", "as many others")}
    handles = [Line2D([], [], ls="", color=c, marker=m, ms=5, label=words) for c, m, words in looks.values()]
    for column, name in enumerate(LABELLED):
        left = 2.6 + column * 2.85
        axes = place_axes(figure, left, low_head, left + 2.55, foot)
        ticks, place = [], 0.0
        for size in sizes:
            if column == 0:
                y = low_head + PITCH * 0.8 * (place + 0.5)
                canvas.text(0.1, y, f"{size} kernels", weight="bold", va="center")
            place += 0.9
            for label in [label for one, label in named if one == size]:
                found = labels[(labels["size"] == size) & (labels["label"] == label) & (labels["replacement"] == name)]
                for shift, (key, (colour, marker, _)) in zip((0.32, 0.68), looks.items(), strict=True):
                    _dot(axes, place + shift, found.iloc[0], points.loc[[(size, label, name)]], key, colour, marker)
                if column:
                    where = {"transform": axes.get_yaxis_transform(), "va": "center", "size": 7}
                    axes.text(1.03, place + 0.5, str(found["models"].iloc[0]), **where)
                ticks.append((place + 0.5, short(label)))
                place += 1
        _dress(axes, ticks if column == 0 else [], place, f"change in points, by {NAMES[name]}")
        if column:
            axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1.0), ncols=2)
            axes.text(1.03, -0.05, "models", transform=axes.get_yaxis_transform(), size=7, color=SOFT, va="bottom")


def _dot(axes: Axes, y: float, row: pd.Series, models: pd.DataFrame, name: str, colour: str, marker: str) -> None:
    """The mean with its interval, and the models small."""
    base, _, again = name.partition("_")
    end = f"_{again}" if again else ""
    axes.plot(models[name], np.full(len(models), y), marker, color=colour, ms=2.5, alpha=0.45, mew=0, zorder=2)
    draw_interval(axes, y, row[f"{base}_low{end}"], row[f"{base}_high{end}"], colour)
    axes.plot(row[name], y, marker, color=colour, ms=5, mec="white", mew=0.5, zorder=3)


def _dress(axes: Axes, ticks: Iterable[tuple[float, str]], rows: float, words: str) -> None:
    axes.set_ylim(rows, 0)
    axes.axvline(0, color=SOFT, lw=0.6, zorder=1)
    places, names = zip(*ticks, strict=True) if ticks else ((), ())
    axes.set_yticks(places, names)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel(words)
    axes.grid(axis="x", color="#e6e6e6", lw=0.5)
    axes.set_axisbelow(True)
