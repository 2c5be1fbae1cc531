"""How all figures look: inks and colours, axes and rows, legends, intervals, words."""

import contextlib
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter

from kernel_atlas.core.patterns import family_of
from kernel_atlas.core.vocabulary import FAMILIES, FITTED
from kernel_atlas.stats.independence import one_per_group

WIDTH = 9.0  # inches: 864 pixels of a page, where text keeps its size
STYLE = Path(__file__).with_name("atlas.mplstyle")
_LOOK = matplotlib.rc_params_from_file(STYLE, use_default_template=False)
INK, SOFT = _LOOK["text.color"], _LOOK["axes.edgecolor"]
HALO = withStroke(linewidth=2.5, foreground="white", alpha=0.85)  # lets ink be read on any colour
BLUE, ORANGE = "#0072b2", "#d55e00"
BOX = {"facecolor": "white", "alpha": 0.75, "lw": 0, "pad": 0.6}  # behind words; a halo would turn them into paths
LINES = {
    "real": ("#0072b2", "-"),
    "gaussian": (INK, (0, (4, 2))),
    "shuffled": ("#cc79a7", (0, (1, 1))),
    "phase": ("#009e73", (0, (6, 1.5, 1, 1.5))),
    "untrained": ("#d55e00", "-."),
    "dense": ("#e69f00", (0, (8, 2))),
}
TURNS = {"first_derivative": 360, "second_derivative": 180, "cross": 90}  # degrees after which an angle comes again
PERCENT = FuncFormatter(lambda share, _: f"{100 * share:.3g} %")  # of ticks


def atlas_style(**settings: Any) -> contextlib.AbstractContextManager[None]:
    """The settings of matplotlib in which figures are drawn and written, whatever matplotlibrc the user has."""
    return matplotlib.style.context([STYLE, settings], after_reset=True)


def short(label: str) -> str:
    """A label as figures write it: `On-Second-Derivative-EW` -> `On 2nd deriv. EW`."""
    label = re.sub(r"-([NS][EW])-([NS][EW])$", "-\\1\N{EN DASH}\\2", label)  # an axis, not to be broken at its dash
    label = re.sub(r"-?Second-Derivative-?", " 2nd deriv. ", label)
    return re.sub(r"-?First-Derivative-?", " 1st deriv. ", label).strip()


def open_canvas(height: float) -> tuple[Figure, Axes]:
    """A figure, and axes that cover it with inches as unit, y downwards from the top left."""
    figure = Figure(figsize=(WIDTH, height))
    canvas = figure.add_axes([0, 0, 1, 1])
    canvas.set(xlim=(0, WIDTH), ylim=(height, 0))
    canvas.set_axis_off()
    canvas.set_zorder(1)  # above axes added later
    return figure, canvas


def open_rows(rows: int, left: float, legend: float = 0.42) -> tuple[Figure, Axes]:
    """A figure with a horizontal bar or box a row, of the same thickness whatever their number."""
    low = 0.5 + legend
    height = low + 0.45 + 0.205 * rows
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes([left / WIDTH, low / height, (WIDTH - left - 0.95) / WIDTH, (height - low - 0.3) / height])
    axes.set_ylim(-0.6, rows - 0.4)
    axes.tick_params(axis="y", length=0)
    return figure, axes


def place_axes(figure: Figure, left: float, top: float, right: float, bottom: float, **more: str) -> Axes:
    """Axes between inches from the left and from the top of a figure."""
    width, height = figure.get_size_inches()
    box = [left / width, 1 - bottom / height, (right - left) / width, (bottom - top) / height]
    return figure.add_axes(box, **more)


def draw_interval(axes: Axes, y: float, low: float, high: float, colour: str, ends: bool = False) -> None:
    """An interval, if there is one."""
    if np.isfinite(low) and np.isfinite(high):
        axes.hlines(y, low, high, color=colour, lw=1.1, zorder=2, path_effects=[HALO] if ends else None)
        if ends:
            axes.plot([low, high], [y, y], "|", color=colour, ms=5)


def count_rows(axes: Axes, y: np.ndarray, kernels: pd.Series) -> None:
    """The number of kernels at the right end of each row."""
    for place, count in zip([len(y) - 0.35, *y], ["kernels", *(f"{count:,}" for count in kernels)], strict=True):
        where = {"x": 1.015, "y": place, "transform": axes.get_yaxis_transform()}
        axes.text(**where, s=count, va="bottom" if count == "kernels" else "center", size=7, color=SOFT)


def look_of(family: str) -> dict[str, Any]:
    """How an area of a family is filled."""
    colour, hatch = FAMILIES[family]
    return {"facecolor": colour, "hatch": hatch, "edgecolor": "white", "lw": 0.2}


def draw_legend(
    figure: Figure,
    families: Iterable[str],
    look: Callable[[str], dict[str, Any]] = look_of,
    beside: Sequence[Patch] = (),
    **more: float,
) -> None:
    """The families at the foot of a figure, and other patches beside them."""
    names = {"other": "other (no pattern)"}
    handles = [Patch(**look(family), label=names.get(family, short(family))) for family in families]
    handles += beside
    columns = len(handles) if len(handles) < 7 else -(-len(handles) // 2)
    place = {"loc": "lower center", "handlelength": 1.6, "columnspacing": 1.4, **more}
    figure.legend(handles=handles, ncols=columns, **place)


def step_axis(axes: Axes, steps: np.ndarray) -> np.ndarray:
    """A logarithmic axis of steps on which 0 has a place, half a step; the places of the steps."""
    ticks = [0.5, *(10.0**power for power in range(1 + int(np.log10(steps.max()))))]
    axes.set_xscale("log")
    axes.set_xticks(ticks, ["0", *(f"{tick:,.0f}" for tick in ticks[1:])])
    axes.minorticks_off()
    axes.set(xlim=(0.5, steps.max()), xlabel="step")
    return np.where(steps == 0, 0.5, steps)


def wrapped(words: str, inches: float, points: float) -> str:
    """Words in lines no wider than a column; DejaVu Sans is 0.6 em wide on average."""
    return "\n".join(textwrap.wrap(words, max(6, int(inches * 72 / (0.6 * points)))))


def cut(name: str, length: int) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"


def networks(shown: int, there: int) -> str:
    if shown < there:
        return f"The {shown} of {there} independent networks with most kernels"
    return f"All {there} independent networks" if there > 1 else "The one independent network"


def family_shares(table: pd.DataFrame, unit: str | list[str]) -> pd.DataFrame:
    """Shares per unit (rows) and family (columns, in the order of `FAMILIES`, those that occur); no dead kernels."""
    table = table[table["label"] != "dead"]
    table = table.assign(family=table["label"].map(family_of))
    wide = table.pivot_table(index=unit, columns="family", values="share", aggfunc="sum", fill_value=0.0)
    return wide[[family for family in FAMILIES if family in wide]]


def largest_first(models: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Independent networks and controls of one size; most kernels first."""
    controls = models[models["use"] == "control"]
    return one_per_group(models), controls.sort_values("kernels", ascending=False, kind="stable")


def look(family: str) -> dict[str, object]:
    """How an area of a fitted family is filled."""
    _, like, hatch, _ = FITTED[family]
    return look_of(like) | {"hatch": hatch}


def shade(share: float) -> tuple[float, float, float]:
    """White to blue, dark enough at 1 for white words."""
    return tuple(1 - share * (1 - one) for one in (0.0, 0.31, 0.55))
