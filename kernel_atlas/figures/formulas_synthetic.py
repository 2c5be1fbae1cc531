"""Fits of kernels with known parameters."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, MaxNLocator

from kernel_atlas.core.patterns import family_of, templates
from kernel_atlas.core.vocabulary import FAMILIES, FITTED
from kernel_atlas.figures.style import BOX, INK, SOFT, TURNS, WIDTH, open_canvas, place_axes, shade, short
from kernel_atlas.figures.write import Drawing, draw_nothing

PANELS = {"sigma": "sigma (taps)", "angle": "angle (degrees)", "x": "x (taps)", "y": "y (taps)"}


def draw(size: str, threshold: float, synthetic: pd.DataFrame) -> Drawing:
    """Whether fits find the parameters and labels that synthetic kernels were drawn with."""
    rows = synthetic[synthetic["size"] == size]
    if rows.empty:
        return draw_nothing(size, "Synthetic kernels", "no synthetic kernels were fitted")
    decibels = rows["snr_db"].iloc[(rows["snr_db"] - 10).abs().argmin()]
    rows = rows[rows["snr_db"] == decibels].reset_index(drop=True)
    right = rows["family"] == rows["true_family"]
    turn = rows["true_family"].map(TURNS)  # none for a centre, which is nearly round
    # of the angles that draw the same pattern, the one next to the truth
    rows["angle"] += ((rows["true_angle"] - rows["angle"]) / turn).round().fillna(0) * turn.fillna(0)
    order = [
        label for label in dict.fromkeys(_ordered_labels()) if label in set(rows["true_label"]) | set(rows["label"])
    ]
    height = 5.15
    figure, canvas = open_canvas(height)
    canvas.text(0.1, 0.16, f"Parameters found at {decibels:g} dB", weight="bold", va="center")
    _draw_parameters(figure, rows, right, turn)
    handles = [
        Line2D([], [], ls="", marker=FITTED[f][3], color=FAMILIES[FITTED[f][1]][0], mec=INK, mew=0.3, ms=4.5)
        for f in FITTED
    ]
    names = [words for words, *_ in FITTED.values()]
    figure.legend(
        handles,
        names,
        loc="lower left",
        ncols=4,
        bbox_to_anchor=(0.005, 0.0),
        columnspacing=0.7,
        handletextpad=0.0,
        fontsize=7,
    )

    canvas.text(4.4, 0.16, "Labels found, in percent of each true label", weight="bold", va="center")
    _draw_labels(canvas, rows, order)
    caption = (
        f"{len(rows):,} {size} kernels drawn from the formulas with known parameters, with Gaussian noise {decibels:g} "
        "dB below, and fitted like real ones. Left: kernels whose family is found (centres are too round for an angle; "
        "points outside a panel are drawn at its edge). Right: labels found; a direction within 5 degrees of where it "
        "changes its name may get the neighbour's."
    )
    alt = f"Scatters of found against true parameters of synthetic {size} kernels, and a matrix of their labels."
    columns = ["true_family", "family", "true_label", "label", *(f"{a}{b}" for b in PANELS for a in ("true_", ""))]
    return Drawing(figure, rows[["size", "snr_db", *columns]], "Synthetic kernels", caption, alt)


def _draw_parameters(figure: Figure, rows: pd.DataFrame, right: pd.Series, turn: pd.Series) -> None:
    """Found against true parameters, a panel each, of kernels whose family is right."""
    for place, (name, words) in enumerate(PANELS.items()):
        across, down = 0.55 + 2.1 * (place % 2), 0.5 + 2.12 * (place // 2)
        axes = place_axes(figure, across, down, across + 1.6, down + 1.6)
        kept = right & (turn.notna() if name == "angle" else True)
        error = (rows[name] - rows[f"true_{name}"])[kept].abs()
        median = error.median()
        ends = rows.loc[kept, f"true_{name}"].agg(["min", "max"]).to_numpy() if kept.any() else np.array([0, 1])
        spread = max(np.ptp(ends), 1e-6)
        ends = ends + np.array([-0.12, 0.12]) * spread
        axes.plot(ends, ends, color=SOFT, lw=0.7, zorder=0)
        for family in FITTED:
            part = rows[kept & (rows["true_family"] == family)]
            look = {"s": 7, "marker": FITTED[family][3], "lw": 0.3, "edgecolors": INK, "antialiased": False}
            colours = [FAMILIES[FITTED[family][1]][0]] * len(part)
            axes.scatter(part[f"true_{name}"], part[name].clip(*ends), c=colours, rasterized=True, **look)
        axes.set(xlim=ends, ylim=ends, xlabel=f"true {words}")
        axes.set_ylabel("found", labelpad=2)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(FixedLocator([0, 90, 180, 270, 360]) if name == "angle" else MaxNLocator(4))
        axes.tick_params(length=2)
        words = f"median error {median:.2g}" if np.isfinite(median) else "none found"
        axes.text(0.03, 0.97, words, transform=axes.transAxes, size=6.5, va="top", bbox=BOX)


def _draw_labels(canvas: Axes, rows: pd.DataFrame, order: list[str]) -> None:
    """Found against true labels, as a matrix of percentages."""
    counts = pd.crosstab(rows["true_label"], rows["label"]).reindex(index=order, columns=order, fill_value=0)
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    left, top = 5.62, 0.5
    cell = min(0.3, (WIDTH - 0.1 - left) / len(order))
    lines, side = np.arange(len(order) + 1) * cell, len(order) * cell
    canvas.hlines(top + lines, left, left + side, color="#e8e8e8", lw=0.3)
    canvas.vlines(left + lines, top, top + side, color="#e8e8e8", lw=0.3)
    for row, label in enumerate(order):
        y = top + (row + 0.5) * cell
        canvas.text(left - 0.06, y, short(label), ha="right", va="center", size=6.5)
        canvas.text(
            left + (row + 0.5) * cell, top + side + 0.05, short(label), ha="center", va="top", size=6.5, rotation=90
        )
        for column, share in enumerate(shares.loc[label]):
            x = left + column * cell
            if share >= 0.005:
                canvas.add_patch(Rectangle((x, y - cell / 2), cell, cell, fc=shade(share), lw=0))
                colour = "white" if share > 0.55 else INK
                canvas.text(x + cell / 2, y, f"{100 * share:.0f}", ha="center", va="center", size=6, color=colour)


def _ordered_labels() -> list[str]:
    """Labels of patterns with a formula, family by family."""
    labels = list(dict.fromkeys(templates(3).labels))
    families = list(FAMILIES)
    return sorted(labels, key=lambda label: families.index(family_of(label)))
