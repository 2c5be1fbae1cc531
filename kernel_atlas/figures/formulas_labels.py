"""Which formula fits the kernels of each label."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from kernel_atlas.core.patterns import family_of
from kernel_atlas.core.vocabulary import FAMILIES, FITTED
from kernel_atlas.core.words import number
from kernel_atlas.figures.kernels import draw_kernel
from kernel_atlas.figures.style import INK, SOFT, WIDTH, draw_interval, open_canvas, place_axes, shade, short
from kernel_atlas.figures.write import Drawing, draw_nothing


def draw(size: str, threshold: float, fit_labels: pd.DataFrame, fit_crosses: pd.DataFrame) -> Drawing:
    """Which families explain each label of the autoencoder, and the formula of the cross."""
    labels, crosses = fit_labels[fit_labels["size"] == size], fit_crosses[fit_crosses["size"] == size]
    if labels.empty:
        return draw_nothing(size, "Labels and formulas", "no kernels were fitted")
    wide = labels.pivot(index="assigned", columns="family", values="explained_share")
    wide = wide.reindex(columns=[*FITTED, "all"]).fillna(0)
    families = list(FAMILIES)
    order = sorted(wide.index, key=lambda label: (families.index(family_of(label)), label))
    wide, kernels = wide.loc[order], labels[labels["family"] == "all"].set_index("assigned")["kernels"].reindex(order)
    head, pitch = 0.74, 0.24
    foot = max(head + pitch * len(wide), 3.9)
    figure, canvas = open_canvas(foot + 0.3)
    left, cell = 2.3, 0.6
    canvas.text(0.1, 0.16, "What explains the kernels of each label", weight="bold", va="center")
    names = ["difference\nof Gauss.", "first\nderivative", "second\nderivative", "cross", "any"]
    aside = {"size": 6.5, "color": SOFT, "va": "bottom"}
    for column, name in enumerate(names):
        canvas.text(
            left + (column + 0.5) * cell + 0.1 * (column == 4),
            head - 0.06,
            name,
            ha="center",
            size=7,
            va="bottom",
            linespacing=1.1,
        )
    canvas.text(left - 0.12, head - 0.06, "kernels", ha="right", **aside)
    for row, label in enumerate(order):
        y = head + (row + 0.5) * pitch
        canvas.text(0.1, y, short(label), va="center", size=7.5)
        canvas.text(left - 0.12, y, number(kernels[label]), ha="right", **aside | {"va": "center"})
        for column, share in enumerate(wide.loc[label]):
            x = left + column * cell + 0.1 * (column == 4)
            canvas.add_patch(Rectangle((x, y - pitch / 2), cell, pitch, fc=shade(share), ec="white", lw=0.8))
            colour = "white" if share > 0.55 else INK
            canvas.text(x + cell / 2, y, f"{100 * share:.1f}", ha="center", va="center", size=7, color=colour)
    begin = left + 5 * cell + 0.45
    canvas.text(begin, 0.16, "The formula of the cross", weight="bold", va="center")
    weights = crosses.assign(weight=crosses["weight"].astype(str)).set_index("weight")
    if "free" in weights.index:
        _draw_formula(figure, canvas, weights, begin, int(size.split("x")[0]))
    else:
        canvas.text(
            begin,
            0.5,
            "No real kernel is explained by a cross:\nthere is nothing to take its formula from.",
            va="top",
            color=SOFT,
            linespacing=1.4,
        )
    caption = (
        f"Left: of the {size} kernels of each label, the percentage whose best fit is in a family and is better than "
        "noise is fitted; the autoencoder gave the labels without these fits."
    )
    if "free" in weights.index:
        caption += (
            " Right: the cross is the sum of two Gaussians at right angles and a round one; its parameters are medians "
            "of the explained crosses. Fits may end at a bound of sigma, elongation or weight, so that the medians "
            "describe the bounds too."
        )
    alt = (
        f"Table of the share of the {size} kernels of each label that a formula explains, and the formula of the cross."
    )
    parts = {"labels": labels, "crosses": crosses}
    data = pd.concat([table.assign(panel=name) for name, table in parts.items() if len(table)], ignore_index=True)
    return Drawing(figure, data, "Labels and formulas", caption, alt)


def _draw_formula(figure: Figure, canvas: Axes, weights: pd.DataFrame, begin: float, side: int) -> None:
    """The cross with its parameters, and its errors with and without the round middle."""
    free = weights.loc["free"]
    sigma, elongation, weight = (free[f"{name}_median"] for name in ("sigma", "elongation", "centre_weight"))
    _draw_cross(canvas, begin, 0.5, side, sigma, elongation, weight)
    text = (
        f"sigma {_middle(free, 'sigma')} taps\nelongation k {_middle(free, 'elongation')}\n"
        f"weight w {_middle(free, 'centre_weight')}\nmedian of {number(free['kernels'])} kernels, 80 % in brackets"
    )
    canvas.text(begin, 1.62, text, va="top", size=7, linespacing=1.35)
    axes = place_axes(figure, begin + 0.95, 2.75, WIDTH - 0.62, 3.45)
    marks = {"free": "w free", "0": "w = 0", "-1": "w = \N{MINUS SIGN}1"}
    there = [name for name in marks if name in weights.index]
    for row, name in enumerate(there):
        found = weights.loc[name]
        draw_interval(axes, row, found["error_q10"], found["error_q90"], INK, ends=True)
        axes.plot(found["error_median"], row, "o" if name == "free" else "D", color="#5b3a8c", ms=5)
        where = {"x": 1.05, "y": row, "transform": axes.get_yaxis_transform(), "va": "center"}
        axes.text(s=f"{found['error_median']:.3f}", size=7, **where)
    axes.text(1.05, -0.75, "median", size=6.5, color=SOFT, transform=axes.get_yaxis_transform(), va="center")
    axes.set_yticks(range(len(there)), [marks[name] for name in there])
    axes.set(xlim=(0, 1.08 * weights["error_q90"].max()), ylim=(len(there) - 0.5, -0.6))
    axes.set_xlabel("error 1 \N{MINUS SIGN} cosine")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(4))


def _middle(row: pd.Series, name: str) -> str:
    middle, low, high = (f"{row[f'{name}_{quantile}']:z.2f}" for quantile in ("median", "q10", "q90"))
    return f"{middle} [{low}, {high}]".replace("-", "\N{MINUS SIGN}")


def _draw_cross(
    canvas: Axes, left: float, top: float, side: int, sigma: float, elongation: float, weight: float
) -> None:
    """`exp(-(u^2 + v^2/k^2)/2) + exp(-(u^2/k^2 + v^2)/2) + w exp(-(u^2 + v^2)/2)`, drawn finely and at the taps."""

    def parts(points: int) -> tuple[np.ndarray, np.ndarray]:
        steps = (np.arange(points) - (points - 1) / 2) * side / points / sigma
        u, v = np.meshgrid(steps**2, steps**2)
        bars = np.exp(-(u + v / elongation**2) / 2) + np.exp(-(u / elongation**2 + v) / 2)
        return bars, np.exp(-(u + v) / 2)

    bars, middle = parts(61)
    sampled = np.add(*(part * factor for part, factor in zip(parts(side), (1, weight), strict=True)))
    sign = "+" if weight >= 0 else "\N{MINUS SIGN}"
    pictures = [
        (bars, "two bars"),
        (middle, "round middle"),
        (bars + weight * middle, "cross"),
        (sampled - sampled.mean(), "at the taps"),
    ]
    box, step = 0.54, 0.87
    for place, (picture, words) in enumerate(pictures):
        x = left + box / 2 + place * step
        draw_kernel(canvas, picture.reshape(-1), x, top + 0.12, box)
        canvas.text(x, top + 0.84, words, ha="center", va="center", size=6.5, color=SOFT)
        between = ["", f"{sign} {abs(weight):.2f}", "=", "\N{RIGHTWARDS ARROW}"][place]
        canvas.text(x - step / 2, top + 0.12 + box / 2, between, ha="center", va="center", size=6.5)
