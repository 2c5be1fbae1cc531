"""How all figures look: widths, inks and colours, panels, points with intervals, legends, words."""

import contextlib
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.style
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.path import Path as MarkerPath
from matplotlib.ticker import FuncFormatter

from kernel_atlas.core.patterns import COMPASS, family_of
from kernel_atlas.core.vocabulary import AXES, FAMILIES

PAGE, PHONE = 8.0, 3.4  # inches: how wide figures are drawn
STYLE = Path(__file__).with_name("atlas.mplstyle")
_LOOK = matplotlib.rc_params_from_file(STYLE, use_default_template=False)
INK, SOFT, GROUND = _LOOK["text.color"], _LOOK["axes.edgecolor"], _LOOK["figure.facecolor"]
# Of what has no colour of its own, in this order: 3 to 1 or more on a white and on a dark page, as in the vocabulary.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a8a00", "#8a5fc0", "#949494")
MARKS = ("o", "D", "s", "^", "P", "X", "v")
TICK = MarkerPath([(-0.1, -0.6), (0.1, -0.6), (0.1, 0.6), (-0.1, 0.6), (-0.1, -0.6)])  # of what chance gives
BLUE, ORANGE, GREY = COLOURS[0], COLOURS[1], COLOURS[-1]
Look = tuple[str, str, Any]  # what the legend says, colour, marker
PERCENT = FuncFormatter(lambda share, _: f"{100 * share:.3g} %")  # of ticks


def atlas_style(width: float = PAGE, **settings: Any) -> contextlib.AbstractContextManager[None]:
    """The settings of matplotlib in which figures are drawn and written, whatever matplotlibrc the user has."""
    return matplotlib.style.context([STYLE, {"figure.figsize": (width, 3), **settings}], after_reset=True)


def page_width() -> float:
    """Inches that a figure is to be wide."""
    return matplotlib.rcParams["figure.figsize"][0]


def is_narrow() -> bool:
    """Whether a figure is drawn for a phone."""
    return page_width() < 5


def open_panels(
    names: Sequence[str], height: float | Sequence[float], columns: tuple[int, int] = (3, 1), **more: Any
) -> tuple[Figure, dict[str, Axes]]:
    """A figure with a panel for each name, in columns.

    Parameters
    ----------
    names : sequence of str
        Titles of the panels.
    height : float or sequence of float
        Inches of a panel, or of each; a row is as high as its highest.
    columns : tuple of int
        Panels side by side on a page and on a phone.
    more
        Of `Figure.subplots`: `sharex`, `sharey`.
    """
    across = min(columns[is_narrow()], len(names))
    rows = -(-len(names) // across)
    each = [height] * len(names) if isinstance(height, float) else list(height)
    heights = [max(each[row * across : (row + 1) * across]) for row in range(rows)]
    figure = Figure(figsize=(page_width(), sum(heights)), layout="constrained")
    panels = figure.subplots(rows, across, squeeze=False, height_ratios=heights, **more).ravel()
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    for place, (axes, name) in enumerate(zip(panels, names, strict=False)):
        axes.set_title(name)
        axes.tick_params(labelbottom=not more.get("sharex") or place + across >= len(names))  # the last of a column
    return figure, dict(zip(names, panels, strict=False))


def open_canvas(height: float) -> tuple[Figure, Axes]:
    """A figure, and axes that cover it with inches as unit, y downwards from the top left."""
    width = page_width()
    figure = Figure(figsize=(width, height))
    canvas = figure.add_axes([0, 0, 1, 1])
    canvas.set(xlim=(0, width), ylim=(height, 0))
    canvas.set_axis_off()
    canvas.set_zorder(1)  # above axes added later
    return figure, canvas


def place_axes(figure: Figure, left: float, top: float, right: float, bottom: float) -> Axes:
    """Axes between inches from the left and from the top of a figure."""
    width, height = figure.get_size_inches()
    box = [left / width, 1 - bottom / height, (right - left) / width, (bottom - top) / height]
    return figure.add_axes(box)


def add_legend(figure: Figure, handles: Mapping[str, Artist], **more: Any) -> None:
    """What colours and marks mean, at the foot, which it makes higher, in as many columns as have room."""
    width, height = figure.get_size_inches()
    longest = max((len(words) for words in handles), default=1)
    columns = max(1, min(len(handles), int(width * 72 / (5 * longest + 30))))
    if "loc" not in more:
        figure.set_size_inches(width, height + 0.17 * -(-len(handles) // columns) + 0.05)
    place = {"loc": "outside lower center", "ncols": columns, "columnspacing": 1.2, "handletextpad": 0.5, **more}
    figure.legend(handles.values(), handles.keys(), **place)


def share_axis(axes: Axes, words: str) -> None:
    """An axis of shares, to the right; its words stand below the last panel of a column."""
    axes.set(xlim=(-0.02, 1.02), xticks=np.arange(5) / 4)
    axes.set_xticklabels(["0", "", "50 %", "", "100 %"])
    axes.set_xlabel(words if axes.get_subplotspec().is_last_row() else "")


def draw_points(
    axes: Axes, table: pd.DataFrame, rows: Mapping[Any, str], looks: Mapping[str, Look], dodge: float = 0.5
) -> None:
    """Points with their intervals, kinds of a row below each other.

    Parameters
    ----------
    table : DataFrame
        Columns row, kind, value, low, high; an interval may be missing.
    rows : mapping
        Row -> what its axis says, from the top.
    looks : mapping
        Kind -> what the legend says, colour, marker.
    dodge : float
        Share of a row's height that its kinds take.
    """
    table = table[table["row"].isin(list(rows)) & table["kind"].isin(list(looks))]
    steps = dict(zip(looks, np.linspace(-dodge / 2, dodge / 2, len(looks)) if len(looks) > 1 else [0], strict=True))
    table = table.assign(y=table["row"].map({row: y for y, row in enumerate(rows)}) + table["kind"].map(steps))
    for kind, part in table.groupby("kind"):
        axes.hlines(part["y"], part["low"], part["high"], color=looks[kind][1], lw=1.2)
    named = {"hue": "kind", "style": "kind", "hue_order": list(looks), "style_order": list(looks), "legend": False}
    palette, markers = ({kind: look[place] for kind, look in looks.items()} for place in (1, 2))
    marks = {"palette": palette, "markers": markers, "s": 28, "lw": 0, "zorder": 3, "clip_on": False}
    sns.scatterplot(table, x="value", y="y", ax=axes, **named, **marks)
    for border in range(1, len(rows)):
        axes.axhline(border - 0.5, color=GREY, lw=0.4)
    name_rows(axes, rows.values())


def name_rows(axes: Axes, names: Iterable[str]) -> None:
    """An axis of rows, the first at the top; names stand at the first panel of those that share it."""
    names = list(names)
    axes.set_yticks(range(len(names)), names)
    axes.set(ylim=(len(names) - 0.5, -0.5), ylabel="")
    axes.tick_params(axis="y", length=0)


def points_legend(looks: Mapping[str, Look]) -> dict[str, Line2D]:
    """What the marks of `draw_points` mean."""
    return {words: Line2D([], [], ls="", marker=mark, color=colour, ms=5) for words, colour, mark in looks.values()}


def look_of(family: str) -> dict[str, Any]:
    """How an area of a family is filled."""
    colour, hatch = FAMILIES[family]
    return {"facecolor": colour, "hatch": hatch, "edgecolor": GROUND, "lw": 0.2}


def shade_of(label: str) -> str:
    """The colour of a label: that of its family, darker by direction, but never too dark for a dark page."""
    family = family_of(label)
    towards = label.removeprefix(family).lstrip("-")
    step = next((names.index(towards) / len(names) for names in (COMPASS, AXES) if towards in names), 0)
    return to_hex(np.array(to_rgb(FAMILIES[family][0])) * (1 - 0.2 * step))


def families_legend(families: Iterable[str]) -> dict[str, Patch]:
    """What the colours of families mean."""
    return {"no pattern" if name == "other" else short(name): Patch(**look_of(name)) for name in families}


def step_axis(axes: Axes, steps: np.ndarray) -> np.ndarray:
    """A logarithmic axis of steps on which 0 has a place, half a step; the places of the steps."""
    ticks = [0.5, *(10.0**power for power in range(1 + int(np.log10(steps.max()))))]
    axes.set_xscale("log")
    axes.set_xticks(ticks, ["0", *(f"{tick:,.0f}" for tick in ticks[1:])])
    axes.minorticks_off()
    axes.set(xlim=(0.5, steps.max()), xlabel="step")
    return np.where(steps == 0, 0.5, steps)


def short(label: str) -> str:
    """A label as figures write it: `On-Second-Derivative-EW` -> `On 2nd deriv. EW`."""
    label = re.sub(r"-([NS][EW])-([NS][EW])$", "-\\1\N{EN DASH}\\2", label)  # an axis, not to be broken at its dash
    label = re.sub(r"-?Second-Derivative-?", " 2nd deriv. ", label)
    return re.sub(r"-?First-Derivative-?", " 1st deriv. ", label).strip()


def wrapped(words: str, inches: float, points: float = 8) -> str:
    """Words in lines no wider than a column; DejaVu Sans is 0.6 em wide on average."""
    return "\n".join(textwrap.wrap(words, max(6, int(inches * 72 / (0.6 * points)))))


def cut(name: str, length: int) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"


def sizes_of(table: pd.DataFrame) -> list[str]:
    """The sizes in a table, the largest first."""
    return sorted(table["size"].unique(), key=lambda size: -int(size.split("x")[0]))


def family_shares(table: pd.DataFrame, unit: str | list[str]) -> pd.DataFrame:
    """Shares per unit (rows) and family (columns, in the order of `FAMILIES`, those that occur); no dead kernels."""
    table = table[table["label"] != "dead"]
    table = table.assign(family=table["label"].map(family_of))
    wide = table.pivot_table(index=unit, columns="family", values="share", aggfunc="sum", fill_value=0.0)
    return wide[[family for family in FAMILIES if family in wide]]
