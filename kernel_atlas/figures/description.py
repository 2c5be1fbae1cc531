"""One network drawn: the share with a pattern along its layers; and how two networks differ."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.words import percent
from kernel_atlas.figures import style

LABELS = 8  # of a size, those of the largest change
BAND = "#e6e6e6"
LOOKS = {"pattern": ("with a pattern", style.BLUE, "o"), "phase": ("random phases", style.ORANGE, "X")}
CHANGES = {"whole": ("", style.INK, "o"), "label": ("", style.BLUE, "o"), "phase": ("", style.ORANGE, "o")}
REFERENCE = {"middle half of reference networks": Patch(color=BAND)}


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
    figure, panels = style.open_panels(sizes["size"].tolist(), 1.7, columns=(1, 1), sharex=True)
    for axes, row in zip(panels.values(), sizes.to_dict("records"), strict=True):
        _draw_layers(axes, layers[layers["size"] == row["size"]], row)
    axes.set_xlabel("layer, in the order of the network")
    figure.suptitle(style.cut(title, 80), size=10, weight="bold")
    style.add_legend(figure, style.points_legend(LOOKS) | (REFERENCE if (sizes["networks"] > 0).any() else {}))
    return figure


def _draw_layers(axes: Axes, layers: pd.DataFrame, size: dict) -> None:
    words = f"{size['size']}: {percent(size['pattern_share'], size['pattern_low'], size['pattern_high'])}"
    words += f" of {size['kernels'] - size['dead']:,} live kernels have a pattern"
    if size["networks"] > 0:
        axes.axhspan(size["reference_low"], size["reference_high"], color=BAND, lw=0)
        words += f", more than in {size['above']:.0%} of {size['networks']:.0f} reference networks"
    axes.set_title(words, loc="left", size=8.5)
    where = layers["layer_index"]
    axes.vlines(where, layers["pattern_low"], layers["pattern_high"], color=style.BLUE, lw=1.1)
    for name, (_, colour, marker) in LOOKS.items():
        axes.plot(where, layers[f"{name}_share"], marker, color=colour, ms=4.5)
    axes.set(ylim=(-0.04, 1.04), yticks=[0, 0.5, 1])
    axes.yaxis.set_major_formatter(style.PERCENT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


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
    parts = {
        size: part.iloc[: LABELS + 2]
        for size, part in changes.groupby("size", sort=False)
        if part["label"].iloc[0] != "dead"
    }
    if not parts:
        raise AtlasError("nothing to draw: the networks have no size of square kernels in common")
    heights = [0.6 + 0.21 * len(part) for part in parts.values()]
    figure, panels = style.open_panels(list(parts), heights, columns=(1, 1), sharex=True)
    for size, axes in panels.items():
        _draw_changes(axes, parts[size])
    reach = 1.08 * np.nanmax(np.abs(changes[["change", "low", "high"]].to_numpy()), initial=0.01)
    axes.set(xlim=(-reach, reach), xlabel="change of the share of live kernels, in points")
    figure.suptitle(style.cut(title, 80), size=10, weight="bold")
    return figure


def _draw_changes(axes: Axes, part: pd.DataFrame) -> None:
    axes.axvline(0, color=style.SOFT, lw=0.8)
    points = part.assign(row=part["label"], value=part["change"], kind="label")
    points.loc[points.index[0], "kind"] = "whole"
    points.loc[points["label"] == "random phases", "kind"] = "phase"
    style.draw_points(axes, points, {label: style.short(label) for label in part["label"]}, CHANGES, 0)
    axes.set_xlabel("")
    axes.xaxis.set_major_formatter(lambda change, _: f"{100 * change:.3g}")
