"""Scales and orientations of fitted formulas."""

import itertools

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kernel_atlas.core.vocabulary import FAMILIES, FITTED, KINDS
from kernel_atlas.core.words import number, percent
from kernel_atlas.figures.style import INK, SOFT, TURNS, WIDTH, draw_interval, look, open_canvas, place_axes
from kernel_atlas.figures.write import Drawing, draw_nothing


def draw(
    size: str, threshold: float, fit_scales: pd.DataFrame, fit_orientations: pd.DataFrame, fit_cardinal: pd.DataFrame
) -> Drawing:
    """How large the explained patterns are along the networks, and which way the derivatives point."""
    scales, turns, cardinal = (table[table["size"] == size] for table in (fit_scales, fit_orientations, fit_cardinal))
    if scales.empty:
        return draw_nothing(size, "Scales and directions", "no kernel fits a pattern better than noise does")
    figure, canvas = open_canvas(5.55)
    canvas.text(0.1, 0.14, "Scale of the explained kernels along the networks", weight="bold", va="center")
    _draw_scales(figure, scales)
    canvas.text(0.1, 2.88, "Directions of the explained derivatives", weight="bold", va="center")
    _draw_directions(figure, canvas, turns)
    canvas.text(5.75, 2.88, "Mean of cos 4 angle", weight="bold", va="center")
    rows = _rows_of(cardinal)
    _draw_preferences(figure, rows)
    caption = (
        f"Top: sigma of the {size} kernels of each family that are fitted better than noise, by depth in their network "
        "(line 80 %, box 50 %, bar median). Below: where derivatives point, and the mean of cos 4 angle, 1 where all "
        "lie along rows or columns and \N{MINUS SIGN}1 where all are diagonal, with that of controls, as taps on a "
        "grid may favour directions by themselves. Hollow marks are all kernels that are best fitted by the family."
    )
    alt = f"Boxes of sigma along the depth, roses of directions, and their preference of the grid, of {size} kernels."
    tables = {"scales": scales, "orientations": turns, "cardinal": pd.DataFrame(rows, columns=cardinal.columns)}
    data = pd.concat([table.assign(panel=name) for name, table in tables.items() if len(table)], ignore_index=True)
    return Drawing(figure, data, "Scales and directions", caption, alt)


def _draw_scales(figure: Figure, scales: pd.DataFrame) -> None:
    """Sigma by depth, a panel for each family."""
    highest, gap = 1.06 * scales["sigma_q90"].max(), 2.13
    for place, family in enumerate(FITTED):
        axes = place_axes(figure, 0.62 + gap * place, 0.55, 0.62 + gap * place + 1.85, 2.15)
        part = scales[scales["family"] == family]
        middle, wide = (part["depth_low"] + part["depth_high"]) / 2, part["depth_high"] - part["depth_low"]
        axes.vlines(middle, part["sigma_q10"], part["sigma_q90"], color=SOFT, lw=1)
        box = part["sigma_q75"] - part["sigma_q25"]
        axes.bar(middle, box, 0.66 * wide, part["sigma_q25"], **look(family) | {"edgecolor": INK, "lw": 0.5})
        axes.hlines(part["sigma_median"], middle - 0.33 * wide, middle + 0.33 * wide, color=INK, lw=2)
        axes.set(xlim=(0, 1), ylim=(0, highest), xlabel="depth")
        axes.set_xticks([0, 0.5, 1], ["first", "0.5", "last"])
        axes.tick_params(length=2, labelleft=not place)
        words = f"{FITTED[family][0]}, {number(part['kernels'].sum())}"
        axes.text(0, 1.03, words, transform=axes.transAxes, size=7.5, va="bottom")
        if not place:
            axes.set_ylabel("sigma in taps")
        if part.empty:
            axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", color=SOFT)


def _draw_directions(figure: Figure, canvas: Axes, turns: pd.DataFrame) -> None:
    """Roses of the directions of both derivatives."""
    for left, family in ((0.5, "first_derivative"), (3.35, "second_derivative")):
        part = turns[turns["family"] == family]
        axes = place_axes(figure, left, 3.35, left + 1.75, 5.1, projection="polar")
        middle = np.radians((part["angle_low"] + part["angle_high"]) / 2)
        wide = np.radians(part["angle_high"] - part["angle_low"])
        for turn in (0, np.pi)[: 1 if family == "first_derivative" else 2]:  # an axis has two ends
            axes.bar(middle + turn, part["share"], 0.94 * wide, **look(family) | {"lw": 0})
        kernels = part["kernels"].sum()
        axes.set_xticks(np.arange(8) * np.pi / 4, ["E", "NE", "N", "NW", "W", "SW", "S", "SE"])
        top = part["share"].max() if kernels else 1
        axes.set_ylim(0, 1.05 * top)
        axes.set_yticks([top / 2, top], [])
        axes.tick_params(pad=-2)
        axes.grid(color="#cccccc", lw=0.5)
        axes.spines["polar"].set(color=SOFT, lw=0.5)
        even = 1 / max(1, len(part))
        axes.plot(np.linspace(0, 2 * np.pi, 181), np.full(181, even), color=INK, lw=1, ls=(0, (4, 2)))
        what = "way to the bright side" if family == "first_derivative" else "axis of the derivative"
        words = f"{FITTED[family][0]}: {what}"
        canvas.text(left + 0.875, 3.1, words, ha="center", va="center", size=7.5)
        edge = f"{number(kernels)} kernels; rim {percent(1.05 * top)} of them, dashed: even"
        canvas.text(left + 0.875, 5.35, edge if kernels else "none", ha="center", va="center", size=6.5, color=SOFT)


def _rows_of(cardinal: pd.DataFrame) -> list[pd.Series]:
    """Rows of the panel of preferences; of controls only those of all kernels, as few are explained."""
    rows = []
    for family, subject, which in itertools.product(
        ("first_derivative", "second_derivative"), KINDS, ("explained", "all")
    ):
        found = cardinal[
            (cardinal["family"] == family) & (cardinal["subject"] == subject) & (cardinal["which"] == which)
        ]
        if len(found) and (subject == "real" or which == "all"):
            rows.append(found.iloc[0])
    return rows


def _draw_preferences(figure: Figure, rows: list[pd.Series]) -> None:
    """How far directions prefer those of the grid, a row for each kind of kernels."""
    axes = place_axes(figure, 7.1, 3.2, WIDTH - 0.15, 4.95)
    axes.axvline(0, color=SOFT, lw=0.6)
    labels = []
    for place, row in enumerate(rows):
        colour, marker = FAMILIES[FITTED[row["family"]][1]][0], FITTED[row["family"]][3]
        full = row["which"] == "explained"
        draw_interval(axes, place, row["cardinal_low"], row["cardinal_high"], INK)
        axes.plot(row["cardinal"], place, marker, mfc=colour if full else "w", mec=INK, mew=0.7, ms=5, clip_on=False)
        labels.append(KINDS[row["subject"]] + (", explained" if full else ""))
    axes.set_yticks(range(len(rows)), labels)
    axes.tick_params(axis="y", length=0, labelsize=6.5)
    axes.set(
        xlim=(-1, 1),
        ylim=(max(len(rows), 1) - 0.4, -0.6),
        xlabel="\N{MINUS SIGN}1 diagonal \N{EN DASH} rows, columns 1",
    )
    handles = [
        Line2D([], [], ls="", marker=FITTED[f][3], mfc="w", mec=INK, mew=0.7, ms=5, label=FITTED[f][0]) for f in TURNS
    ][:2]
    axes.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(1.04, 1.0),
        ncols=2,
        columnspacing=0.8,
        handletextpad=0.1,
        fontsize=6.5,
    )
