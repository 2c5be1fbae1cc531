"""How well formulas fit, beside controls."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from kernel_atlas.core.vocabulary import FITTED, KINDS
from kernel_atlas.core.words import number, percent
from kernel_atlas.figures.style import (
    BOX,
    INK,
    LINES,
    PERCENT,
    SOFT,
    WIDTH,
    draw_interval,
    look,
    open_canvas,
    place_axes,
    wrapped,
)
from kernel_atlas.figures.write import Drawing, draw_nothing


def draw(size: str, threshold: float, fit_cosines: pd.DataFrame, fit_explained: pd.DataFrame) -> Drawing:
    """How well the best pattern of continuous families fits each kernel, and each control."""
    cosines, explained = (table[table["size"] == size] for table in (fit_cosines, fit_explained))
    totals = explained[explained["family"] == "all"].set_index("subject")
    subjects = [subject for subject in KINDS if subject in totals.index]
    if not subjects or cosines.empty:
        return draw_nothing(size, "Fits", "no kernels were fitted")
    rows = len(subjects)
    foot = max(2.75, 0.4 + 0.42 * rows)
    figure, canvas = open_canvas(foot + 0.85)
    left = place_axes(figure, 0.72, 0.4, 4.0, foot)
    for subject in reversed(subjects):  # the real kernels above
        part, (colour, style) = cosines[cosines["subject"] == subject], LINES[subject]
        edges = np.append(part["cosine_low"], part["cosine_high"].iloc[-1:])
        left.stairs(part["share"], edges, color=colour, ls=style, lw=2.2 if subject == "real" else 1.3)
    noise = explained["threshold"].iloc[0]
    left.axvline(noise, color=SOFT, lw=1, ls=":")
    # from where the first thousandth of a kind lies: a single kernel that fits nothing would squeeze the others
    below = cosines.sort_values("cosine_low").groupby("subject")["share"].cumsum()
    begin = cosines.loc[below[below > 0.001].index, "cosine_low"].min()
    beside = "right" if noise > (begin + 1) / 2 else "left"
    where = {"transform": left.get_xaxis_transform(), "ha": beside, "va": "bottom", "size": 7, "color": SOFT}
    left.text(noise, 1.01, f"99 % of noise below {noise:.3f}", **where)
    left.set(xlim=(begin, 1), ylim=(0, 1.05 * max(cosines["share"].max(), 1e-6)), ylabel="share of kernels")
    width = (cosines["cosine_high"] - cosines["cosine_low"]).iloc[0]
    left.set_xlabel(f"best cosine to a pattern with a formula (steps of {width:.2g})")
    left.yaxis.set_major_formatter(PERCENT)

    right = place_axes(figure, 6.35, 0.4, WIDTH - 0.3, foot)
    stacked = explained[explained["family"] != "all"].pivot(index="subject", columns="family", values="explained_share")
    stacked = stacked.reindex(index=subjects, columns=list(FITTED)).fillna(0)
    base = np.zeros(rows)
    for family in FITTED:
        right.barh(np.arange(rows), stacked[family], 0.62, base, **look(family))
        base += stacked[family].to_numpy()
    for row, subject in enumerate(subjects):
        total = totals.loc[subject]
        draw_interval(right, row, total["explained_low"], total["explained_high"], INK, ends=True)
        end = np.nanmax(total[["explained_share", "explained_high"]].astype(float))
        where = (end + 0.02, "left") if end < 0.8 else (1.0, "right")
        right.text(
            where[0],
            row - (0.44 if end >= 0.8 else 0),
            percent(total["explained_share"]),
            ha=where[1],
            va="center",
            size=7,
            bbox=BOX,
        )
        colour, style = LINES[subject]
        right.plot(
            [-0.19, -0.03],
            [row, row],
            color=colour,
            ls=style,
            lw=2.2 if subject == "real" else 1.3,
            transform=right.get_yaxis_transform(),
            clip_on=False,
        )
        words = f"{wrapped(KINDS[subject], 1.25, 7)}\n{number(total['kernels'])}"
        right.text(-0.22, row, words, transform=right.get_yaxis_transform(), ha="right", va="center", size=7)
    right.set(
        xlim=(0, 1), ylim=(rows - 0.5, -0.6), xlabel="share of kernels above the noise, by best family", yticks=[]
    )
    right.xaxis.set_major_formatter(PERCENT)
    canvas.text(0.72, 0.14, "How well the best pattern fits", weight="bold", va="center")
    canvas.text(4.6, 0.14, "How many kernels are explained", weight="bold", va="center")
    _legend(figure, FITTED)
    caption = (
        f"Left: best cosine of each {size} kernel to a difference of Gaussians, a first or second derivative or a "
        "cross, whose parameters are fitted to it. More parameters fit more, so controls are fitted in the same way, "
        "and a kernel counts as explained above the cosine that 1 % of Gaussian noise exceeds (dotted). Right: shares "
        "explained, by the family that fits best; lines are 95 % intervals over models."
    )
    alt = f"Histograms of the best cosine of {size} kernels, and bars of the share that each family explains."
    data = pd.concat([cosines.assign(panel="cosines"), explained.assign(panel="explained")], ignore_index=True)
    return Drawing(figure, data, "Fits", caption, alt)


def _legend(figure: Figure, families: Sequence[str]) -> None:
    handles = [Patch(**look(family), label=FITTED[family][0]) for family in families]
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), handlelength=2, columnspacing=1.6)
