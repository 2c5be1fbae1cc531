"""Where the energy of kernels lies."""

from typing import Any

import numpy as np
import pandas as pd

from kernel_atlas.core.patterns import COMPASS, family_of
from kernel_atlas.core.vocabulary import AXES, FAMILIES
from kernel_atlas.figures.style import INK, SOFT, open_canvas, place_axes, short
from kernel_atlas.figures.write import Drawing, draw_nothing

STYLES = {"symmetric": "o", "same": "s", "unknown": "^"}
PUSHED = {"symmetric": (0.5, -0.5), "same": (-0.5, 0.5)}  # see evidence.offsets
PADDED = ("On-Square", "Off-Square", "On-Centre", "Off-Centre")


def draw(size: str, threshold: float, offsets: pd.DataFrame, padding: pd.DataFrame) -> Drawing:
    """Where kernels have their energy, by label, and squares beside centres by padding."""
    rows = offsets[(offsets["size"] == size) & (offsets["subject"] == "real") & (offsets["stride"] == "all")]
    rows = rows.assign(family=["all" if label == "all" else family_of(label) for label in rows["label"]])
    # a family of several labels is left out: its directions cancel
    whole = (rows["label"] == rows["family"]) & rows["family"].isin(rows.loc[rows["label"] != rows["family"], "family"])
    labels = rows[(rows["padding"] == "all") & ~whole]
    styles = rows[(rows["padding"] != "all") & rows["family"].isin(PADDED) & ~whole]
    if labels.empty:
        return draw_nothing(size, "Offsets", "there are no kernels of independent networks")
    data = pd.concat([labels.assign(panel="labels"), styles.assign(panel="padding")], ignore_index=True)
    rank = data["family"].map({family: place for place, family in enumerate(("all", *FAMILIES))})
    data = data.assign(rank=rank).sort_values(["panel", "rank", "label", "padding"]).drop(columns="rank")
    limit = max(0.7, 1.1 * data[["dx", "dy", "dx_low", "dx_high", "dy_low", "dy_high"]].abs().max(axis=None))
    side, top = 3.5, 0.4
    longest = -(-max(len(labels), len(styles) + 2) // 3)
    figure, canvas = open_canvas(top + side + 0.7 + 0.165 * longest)
    titles = {"labels": "Mean offset of labels", "padding": "Squares and centres, by padding"}
    for left, (panel, title) in zip((0.7, 5.1), titles.items(), strict=True):
        axes = place_axes(figure, left, top, left + side, top + side)
        canvas.text(left, 0.2, title, weight="bold", size=8, va="center")
        axes.axvspan(-0.5, 0.5, 0.5 - 0.25 / limit, 0.5 + 0.25 / limit, color="#f1f1f1", zorder=0)
        for border in np.arange(-np.floor(limit) - 0.5, limit + 0.5):
            axes.axhline(border, color="#dddddd", lw=0.5, zorder=0)
            axes.axvline(border, color="#dddddd", lw=0.5, zorder=0)
        axes.text(-0.47, 0.47, "middle tap", size=6.5, color=SOFT, va="top")
        handles = {}
        if panel == "padding":
            for style, (x, y) in PUSHED.items():
                look = {"ls": "", "marker": STYLES[style], "color": SOFT, "mfc": "none", "ms": 9, "mew": 0.7}
                handles[f"pushed by stride 2, {style}"] = axes.plot(x, y, **look)[0]
        for row in data[data["panel"] == panel].itertuples():
            look = _look_of_offset(row.label, row.family, row.padding)
            axes.plot([0, row.dx], [0, row.dy], color=look["color"], lw=0.8, alpha=0.7)
            axes.hlines(row.dy, row.dx_low, row.dx_high, color=look["color"], lw=0.9)
            axes.vlines(row.dx, row.dy_low, row.dy_high, color=look["color"], lw=0.9)
            name = "all kernels" if row.label == "all" else short(row.label)
            name += {"labels": "", "padding": f", {row.padding}"}[panel]
            handles[name] = axes.plot(row.dx, row.dy, ls="", **look)[0]
        axes.set(xlim=(-limit, limit), ylim=(-limit, limit), xlabel="taps to the right", ylabel="taps upwards")
        axes.tick_params(length=2)
        place = {
            "loc": "upper center",
            "bbox_to_anchor": (0.47, -0.12),
            "ncols": 3,
            "handlelength": 1.4,
            "handletextpad": 0.5,
        }
        axes.legend(handles.values(), handles, **place, columnspacing=0.7, fontsize=6.5)
        if not (data["panel"] == panel).any():
            axes.text(
                0,
                0,
                "no network here has a known padding\nand squares or centres",
                ha="center",
                va="center",
                color=SOFT,
            )
    caption = (
        f"Mean place of the energy of {size} kernels, in taps from the middle, with 95 % intervals over networks where "
        "there are five; grey lines are the borders of taps. Triangles and bars point along the direction in the name "
        "of a derivative. Right: squares and centres by the padding that the sheet or the source tells (same: "
        "TensorFlow's), of any stride, and where stride 2 would push what lies in the middle of its cell. A square's "
        "prototype may itself be off the middle, so that part of its offset is how it was chosen."
    )
    alt = f"Mean offsets of the energy of {size} kernels in taps, by label and by padding."
    return Drawing(figure, data.drop(columns="size"), "Offsets", caption, alt)


def _look_of_offset(label: str, family: str, padding: str) -> dict[str, Any]:
    """The marker of a label: its colour tells the family, its shape the direction, or else the padding."""
    colour = INK if label == "all" else FAMILIES[family][0]
    towards = label.removeprefix(family).lstrip("-")
    if towards in COMPASS:
        return {"color": colour, "marker": (3, 0, 45 * COMPASS.index(towards) - 90), "ms": 7}
    if towards in AXES:
        return {"color": colour, "marker": (2, 2, 45 * AXES.index(towards) - 90), "ms": 9, "mew": 2.5}
    if family == "Further patterns" and label != family:
        return {"color": colour, "marker": f"${label.split('-')[-1]}$", "ms": 7}
    filled = {"mfc": "white"} if label.startswith("Off") else {}
    return {"color": colour, "marker": STYLES.get(padding, "o"), "ms": 6, **filled}
