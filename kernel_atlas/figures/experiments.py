"""The figures of experiments."""

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from kernel_atlas.core.vocabulary import FAMILIES, FORMULAS, MEASURES
from kernel_atlas.figures.ablation import draw_ablation
from kernel_atlas.figures.maps import draw_maps
from kernel_atlas.figures.style import (
    PERCENT,
    SOFT,
    WIDTH,
    draw_interval,
    draw_legend,
    look_of,
    open_canvas,
    place_axes,
    step_axis,
)
from kernel_atlas.figures.write import Drawing
from kernel_atlas.training.summaries import share

READ = (  # how the measures are read
    "A kernel is explained by a formula if its best difference of Gaussians, derivative or cross is more like it than "
    "99 % of Gaussian-noise kernels are like theirs. It is beyond its spectrum if it is more like a formula than 95 % "
    "of kernels with the power spectra of its layer and random phases are, as 5 % are by chance: smooth kernels "
    "resemble a formula whatever their phases."
)
# inches from the left, of the panels with a condition a row
ROWS = ((1.95, 3.05), (3.28, 4.38), (4.61, 5.71), (5.94, 7.14), (7.37, WIDTH - 0.4))
PITCH = 0.24  # inches from a row to the next
LEGEND = 0.42  # inches from the foot of a figure to the legend of formulas, above that of labels
COLOURS = ("#000000", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00")
MARKS = ("o", "s", "D", "^", "v", "P")


def _draw_rows(figure: Figure, table: pd.DataFrame, summary: pd.DataFrame, top: float) -> None:
    """A condition a row: shares clustered and explained with their intervals, and what as, as stacked bars."""
    whole = summary[summary["layer"] == "all"]
    titles = whole.drop_duplicates("condition").set_index("condition")["title"]
    conditions = list(titles.index)
    foot = top + PITCH * len(conditions)
    panels = [place_axes(figure, left, top, right, foot) for left, right in ROWS]
    for axes, (measure, words) in zip(panels, MEASURES.items(), strict=False):
        part = whole[whole["measure"] == measure].set_index("condition")
        for place, condition in enumerate(conditions):
            row = part.loc[condition]
            axes.plot(row["untrained"], place, "o", color=SOFT, mfc="white", ms=4.5, zorder=2)
            draw_interval(axes, place, row["low"], row["high"], COLOURS[2])
            axes.plot(row["share"], place, "o", color=COLOURS[2], ms=5, zorder=3)
        axes.set(xlim=(-0.04, 1.04), xlabel=words.removeprefix("explained "))
    fitted = {
        name: {"facecolor": FAMILIES[family][0], "hatch": hatch, "edgecolor": "white", "lw": 0.2}
        for name, (_, family, hatch, _) in FORMULAS.items()
    }
    looks = {"labels": {family: look_of(family) for family in FAMILIES}, "formulas": fitted}
    for axes, (words, parts) in zip(panels[len(MEASURES) :], looks.items(), strict=True):
        for place, condition in enumerate(conditions):
            left, shares = 0.0, whole[whole["condition"] == condition].set_index("measure")["share"]
            for name, look in parts.items():
                axes.barh(place, shares[name], left=left, height=0.72, **look)
                left += shares[name]
        axes.set(xlim=(0, 1), xlabel=words)
    for axes in panels:
        axes.set_ylim(len(conditions) - 0.5, -0.5)
        axes.set_xticks([0, 0.5, 1], ["0", "50", "100 %"])
        axes.set_yticks(range(len(conditions)), titles if axes is panels[0] else [])
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#e6e6e6", lw=0.5)
        axes.set_axisbelow(True)
    beside = {"transform": panels[-1].get_yaxis_transform(), "size": 7}
    for place, top1 in enumerate(whole.drop_duplicates("condition")["top1"]):
        panels[-1].text(1.04, place, f"{top1:.1f}", va="center", **beside)
    panels[-1].text(1.04, -0.55, "top-1", color=SOFT, va="bottom", **beside)
    handles = [
        Line2D([], [], marker="o", color=COLOURS[2], ms=5, lw=1.1, label="trained, with its interval"),
        Line2D([], [], marker="o", color=SOFT, mfc="white", ms=4.5, ls="", label="before training"),
    ]
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "fontsize": 7, "borderaxespad": 0.2}
    panels[0].legend(handles=handles, ncols=2, **place)
    handles = [Patch(**look, label=FORMULAS[name][0]) for name, look in fitted.items()]
    draw_legend(figure, [family for family in FAMILIES if table[family].any()])
    figure.legend(handles=handles, loc="lower center", ncols=4, bbox_to_anchor=(0.5, LEGEND / figure.get_figheight()))


def draw_shares(table: pd.DataFrame, summary: pd.DataFrame, title: str) -> Drawing:
    """The shares of each condition, a row each."""
    figure, _ = open_canvas(1.4 + PITCH * summary["condition"].nunique(), WIDTH)
    _draw_rows(figure, table, summary, 0.35)
    caption = (
        "Networks of the zoo's kind, trained alike but for what the row says; kernels are those of the first stage. "
        f"{READ} Lines are 95 % intervals over layers of networks; top-1 is in percent of test images."
    )
    return Drawing(figure, summary, title, caption, "Dot plots and stacked bars, a row for each condition.")


def draw_dynamics(table: pd.DataFrame, summary: pd.DataFrame, title: str) -> Drawing:
    """Labels by step of each layer, how kernels move, and what is left of the conditions at the end."""
    condition = table["condition"].iloc[0]
    ways = {layer: part for layer, part in table[table["condition"] == condition].groupby("layer_index")}
    figure, canvas = open_canvas(6.55 + PITCH * summary["condition"].nunique(), WIDTH)
    heads = {
        0.15: f"Labels of the kernels by step: {summary['title'].iloc[0]}",
        2.9: "How the kernels come to what they are at the end",
        5.05: "At the end, under this and other schedules",
    }
    for top, words in heads.items():
        canvas.text(0.1, top, words, weight="bold", size=9, va="center")
    pitch = (WIDTH - 0.55) / len(ways)
    for column, (layer, way) in enumerate(ways.items()):
        left = 0.6 + column * pitch
        axes = place_axes(figure, left, 0.55, left + pitch - 0.25, 2.3)
        sums = way.groupby("step")[["kernels", *FAMILIES]].sum()
        place = step_axis(axes, sums.index.to_numpy())
        low = np.zeros(len(sums))
        for family in FAMILIES:
            high = low + share(sums, family)
            axes.fill_between(place, low, high, **look_of(family))
            low = high
        axes.set(ylim=(0, 1), title=f"layer {layer + 1}")
        axes.yaxis.set_major_formatter(PERCENT)
        axes.tick_params(labelleft=column == 0)

    drawn = {
        "cosine_to_last": "cosine to the last kernel",
        "code_to_last": "code from the last, of clustered",
        "relabelled": "with another label than the last",
        "beyond": "beyond spectrum",
    }
    pitch = (WIDTH - 0.35) / len(drawn)
    for column, (name, words) in enumerate(drawn.items()):
        left = 0.5 + column * pitch
        axes = place_axes(figure, left, 3.3, left + pitch - 0.38, 4.5)
        for (layer, way), colour, mark in zip(ways.items(), COLOURS[1:], MARKS, strict=False):
            steps = way.groupby("step")
            counted = name in ("relabelled", "beyond")
            value = share(steps[[name, "kernels"]].sum(), name) if counted else steps[name].mean()
            place = step_axis(axes, value.index.to_numpy())
            axes.plot(place, value, color=colour, marker=mark, ms=3, lw=1, label=f"layer {layer + 1}")
        axes.set(ylim=(-0.03, 1.03) if name != "code_to_last" else (0, None))
        axes.set_title(words, size=8)
        if counted:
            axes.yaxis.set_major_formatter(PERCENT)
        if column == 0:
            axes.legend(fontsize=7, loc="upper left")
    _draw_rows(figure, table, summary, 5.4)
    caption = (
        "The kernels of the first stage while networks are trained, at steps that lie evenly on a logarithmic scale, "
        "with step 0 at the left end; networks of all seeds together. The rows at the foot are as in the figures of "
        "the other experiments."
    )
    return Drawing(figure, summary, title, caption, "Stacked areas, lines and dot plots of the kernels by step.")


def draw_starts(table: pd.DataFrame, summary: pd.DataFrame, title: str) -> Drawing:
    """Accuracy by step for each start, and what the kernels are at the end."""
    figure, _ = open_canvas(4.75 + PITCH * summary["condition"].nunique(), WIDTH)
    axes = place_axes(figure, 0.75, 0.2, WIDTH - 2.3, 2.95)
    curves = table.drop_duplicates(["condition", "seed", "step"])
    curves = curves[curves["step"] > 0]
    looks = zip(itertools.cycle(COLOURS), itertools.cycle(MARKS), strict=True)
    for (_, part), (colour, mark) in zip(curves.groupby("condition", sort=False), looks, strict=False):
        for _, run in part.groupby("seed"):
            axes.plot(run["step"], run["top1"], color=colour, lw=0.5, alpha=0.5)
        mean = part.groupby("step")["top1"].mean()
        axes.plot(mean.index, mean, color=colour, marker=mark, ms=4, lw=1.3, label=part["title"].iloc[0])
    axes.set(xlabel="step", ylabel="top-1 of test images, %", xlim=(0, None))
    axes.grid(color="#e6e6e6", lw=0.5)
    axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=8)
    _draw_rows(figure, table, summary, 3.7)
    caption = (
        "Networks whose 7x7 kernels start from noise, from the encoder's prototypes or from formulas, or stay as they"
        " start but for a learned number added to all taps of each. Thick lines are means over seeds, thin ones "
        "networks; on the way accuracy is that of the first 1,000 test images. The rows below are as in the figures "
        "of the other experiments."
    )
    return Drawing(figure, summary, title, caption, "Lines of accuracy by step, dot plots and stacked bars.")


def draw_verdict(table: pd.DataFrame, summary: pd.DataFrame, title: str) -> Drawing:
    """Each pair of conditions, a row: the accuracy of both, and what the one is worth beyond the other."""
    rows = [pair for _, part in table.groupby("question", sort=False) for pair in [None, *part.itertuples()]]
    figure, canvas = open_canvas(1.35 + PITCH * len(rows), WIDTH)
    top, foot = 0.6, 0.6 + PITCH * len(rows)
    panels = [place_axes(figure, left, top, right, foot) for left, right in ((4.2, 6.3), (6.55, WIDTH - 0.2))]
    heads = {"frozen": "Kernels frozen, with a skip connection", "no_skip": "Kernels frozen, without one"}
    heads |= {"start": "Kernels trained from there", "room": "What there is to gain"}
    for place, pair in enumerate(rows):
        y = top + PITCH * (place + 0.5)
        if pair is None:
            canvas.text(0.1, y, heads[rows[place + 1].question], weight="bold", va="center")
            continue
        canvas.text(0.1, y, f"{_bare(pair.condition)} against {_bare(pair.control)}", va="center", size=7.5)
        panels[0].plot([pair.control_top1, pair.top1], [place] * 2, color=SOFT, lw=0.8, zorder=1)
        panels[0].plot(pair.control_top1, place, "o", color=SOFT, mfc="white", ms=5)
        panels[0].plot(pair.top1, place, "o", color=COLOURS[2], ms=5)
        panels[0].plot(pair.usual_top1, place, "|", color=COLOURS[1], ms=9)
        panels[1].barh(place, 2 * pair.seed_range, 1, -pair.seed_range, color="#e6e6e6", zorder=0)
        draw_interval(panels[1], place, pair.low, pair.high, COLOURS[2])
        panels[1].plot(pair.difference, place, "D" if pair.holds else "o", color=COLOURS[2], ms=5)
    panels[1].axvline(0, color=SOFT, lw=0.6)
    panels[0].set_xlabel("top-1 of test images, %")
    panels[1].set_xlabel("difference in points")
    for axes in panels:
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_yticks([])
        axes.grid(axis="x", color="#e6e6e6", lw=0.5)
        axes.set_axisbelow(True)
    handles = [
        Line2D([], [], marker="o", color=COLOURS[2], ms=5, ls="", label="with patterns"),
        Line2D([], [], marker="o", color=SOFT, mfc="white", ms=5, ls="", label="control"),
        Line2D([], [], marker="|", color=COLOURS[1], ms=9, ls="", label="learned from noise"),
    ]
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "fontsize": 7, "borderaxespad": 0.2}
    panels[0].legend(handles=handles, ncols=1, **place)
    panels[1].legend(handles=[Patch(color="#e6e6e6", label="as learned networks differ by seed")], **place)
    caption = (
        "Networks whose 7x7 kernels have patterns, or are a control of equal norm: the "
        "same spectra with random phases, or a normal distribution with the covariance of trained kernels. Lines "
        "are 95 % intervals over seeds and test images. A diamond is a pair that holds: its interval is above 0, and "
        "its difference above the range of learned networks over seeds. The rules came before the networks."
    )
    return Drawing(figure, summary, title, caption, "Dot plots of accuracy and of its differences, a row a pair.")


def _bare(title: str) -> str:
    """A title without the question before its colon."""
    return title.partition(": ")[2] or title


FIGURES: dict[str, tuple[str, Callable[..., Drawing]]] = {  # title, drawn by (that of the ablation from a table more)
    "data": ("Which patterns need natural images", draw_shares),
    "dense": ("Depthwise against dense convolutions", draw_shares),
    "dynamics": ("When patterns form in training", draw_dynamics),
    "init": ("What kernels may start from", draw_starts),
    "pull": ("What a pull towards prototypes does", draw_shares),
    "covariance": ("Frozen kernels, first kernels and their controls", draw_shares),
    "decay": ("What the weight decay of kernels does", draw_shares),
    "verdict": ("Patterns, or only their covariance?", draw_verdict),
    "ablation": ("What kernels are for", draw_ablation),
    "maps": ("What kernels make of images", draw_maps),
}
