"""One network drawn: the share with a pattern along its layers; and how two networks differ."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.words import percent, points
from kernel_atlas.figures.style import BLUE, INK, LINES, PERCENT, SOFT, WIDTH, cut, draw_interval, place_axes, short

HEAD, FOOT, PANEL, GAP = 0.6, 0.8, 1.5, 0.45  # inches: above all, below all, of a size, between sizes
LEFT, RIGHT, ROW = 0.75, 0.25, 0.21  # inches; of a label
LABELS = 8  # of a size, those of the largest change
BAND = "#e6e6e6"


def draw_description(layers: pd.DataFrame, sizes: pd.DataFrame, title: str) -> Figure:
    """Shares with a pattern of each layer, a panel for each size.

    Parameters
    ----------
    layers, sizes : DataFrame
        From `model.description.describe_layers` and `describe_sizes`.
    title : str

    Raises
    ------
    AtlasError
        No kernel is square and alive.
    """
    sizes = sizes.dropna(subset="pattern_share")
    if sizes.empty:
        raise AtlasError("nothing to draw: no kernel is square and alive")
    height = HEAD + FOOT + (PANEL + GAP) * len(sizes) - GAP
    figure = Figure(figsize=(WIDTH, height))
    figure.text(LEFT / WIDTH, 1 - 0.2 / height, cut(title, 80), size=10, weight="bold", va="center")
    for place, row in enumerate(sizes.to_dict("records")):
        top = HEAD + (PANEL + GAP) * place
        axes = place_axes(figure, LEFT, top, WIDTH - RIGHT, top + PANEL)
        _draw_layers(axes, layers[layers["size"] == row["size"]], row)
        axes.set_xlim(layers["layer_index"].min() - 0.6, layers["layer_index"].max() + 0.6)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("layer, in the order of the network")
    handles = {handle.get_label(): handle for axes in figure.axes for handle in axes.get_legend_handles_labels()[0]}
    figure.legend(handles=list(handles.values()), loc="lower center", ncols=len(handles), handlelength=1.6)
    return figure


def _draw_layers(axes: Axes, layers: pd.DataFrame, size: dict) -> None:
    words = f"{size['size']}: {percent(size['pattern_share'], size['pattern_low'], size['pattern_high'])}"
    words += f" of {size['kernels'] - size['dead']:,} live kernels have a pattern"
    if size["networks"] > 0:
        axes.axhspan(
            size["reference_low"], size["reference_high"], color=BAND, lw=0, label="middle half of reference networks"
        )
        words += f", more than in {size['above']:.0%} of {size['networks']:.0f} reference networks"
    axes.set_title(words, loc="left", size=8.5)
    for row in layers.itertuples():
        if np.isfinite(row.pattern_low):
            axes.vlines(row.layer_index, row.pattern_low, row.pattern_high, color=BLUE, lw=1.1)
    axes.plot(layers["layer_index"], layers["pattern_share"], "o", color=BLUE, ms=4.5, label="with a pattern")
    axes.plot(layers["layer_index"], layers["phase_share"], "x", color=LINES["phase"][0], ms=4.5, label="random phases")
    axes.set_ylim(-0.04, 1.04)
    axes.set_yticks([0, 0.5, 1])
    axes.yaxis.set_major_formatter(PERCENT)


def draw_difference(table: pd.DataFrame, title: str) -> Figure:
    """The change of shares, a panel for each size that both networks have.

    Parameters
    ----------
    table : DataFrame
        From `model.description.compare`.
    title : str

    Raises
    ------
    AtlasError
        The networks have no square size in common.
    """
    changes = table.dropna(subset="change")
    panels = [
        part.iloc[: LABELS + 2] for _, part in changes.groupby("size", sort=False) if part["label"].iloc[0] != "dead"
    ]
    if not panels:
        raise AtlasError("nothing to draw: the networks have no size of square kernels in common")
    height = HEAD + 0.3 + sum(ROW * len(part) + 0.55 for part in panels)
    figure = Figure(figsize=(WIDTH, height))
    figure.text(0.2 / WIDTH, 1 - 0.2 / height, cut(title, 80), size=10, weight="bold", va="center")
    reach = 1.08 * np.nanmax(np.abs(changes[["change", "low", "high"]].to_numpy()), initial=0.01)
    top = HEAD + 0.1
    for part in panels:
        axes = place_axes(figure, 1.9, top, WIDTH - 1.9, top + ROW * len(part))
        _draw_changes(axes, part)
        axes.set_xlim(-reach, reach)
        top += ROW * len(part) + 0.55
    axes.set_xlabel("change of the share of live kernels, in points")
    return figure


def _draw_changes(axes: Axes, part: pd.DataFrame) -> None:
    axes.axvline(0, color=SOFT, lw=0.8)
    for place, row in enumerate(part.itertuples()):
        colour = LINES["phase"][0] if row.label == "random phases" else INK if place == 0 else BLUE
        draw_interval(axes, place, row.low, row.high, colour)
        axes.plot(row.change, place, "o", color=colour, ms=4.5, zorder=3)
        where = {"x": 1.02, "y": place, "transform": axes.get_yaxis_transform()}
        axes.text(**where, s=points(row.change, row.low, row.high), va="center", size=7, color=SOFT)
    axes.set_yticks(range(len(part)), [short(label) for label in part["label"]])
    axes.set_ylim(len(part) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda change, _: f"{100 * change:.3g}"))
    axes.set_title(part["size"].iloc[0], loc="left", size=8.5)
