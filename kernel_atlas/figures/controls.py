"""Shares clustered of real kernels and controls, with examples."""

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from kernel_atlas.core.vocabulary import KINDS
from kernel_atlas.core.words import number, percent
from kernel_atlas.figures.kernels import draw_kernel, draw_scale
from kernel_atlas.figures.style import INK, LINES, PERCENT, SOFT, WIDTH, draw_interval, open_canvas, place_axes, wrapped
from kernel_atlas.figures.write import Drawing, draw_nothing

EXAMPLES = 6  # kernels of a kind and an autoencoder


def draw(size: str, threshold: float, controls: pd.DataFrame, examples: pd.DataFrame) -> Drawing:
    """What share of each kind of kernels is clustered, beside kernels and what the autoencoders make of them."""
    data = controls[controls["size"] == size].reset_index(drop=True)
    kinds = [kind for kind in KINDS if (data["control"] == kind).any()]
    if not kinds:
        return draw_nothing(size, "Controls", "no kernels were compared with controls")
    shares = data.set_index(["control", "encoder"])
    head, pitch, side, step = 0.62, 1.0, 0.36, 0.39
    foot = head + pitch * len(kinds)
    figure, canvas = open_canvas(foot + 0.72)
    axes = place_axes(figure, 1.42, head, 3.55, foot)
    axes.set(xlim=(0, 1), ylim=(len(kinds), 0), xlabel=f"share with a dissimilarity below {threshold:g}")
    axes.set_yticks([])
    axes.xaxis.set_major_formatter(PERCENT)
    draw_scale(canvas, WIDTH - 2.7, foot + 0.3)
    blocks = {"main": (4.15, "decoded by the run's autoencoder"), "own": (6.6, "by one trained on such kernels")}
    for left, words in blocks.values():
        canvas.text(left, head - 0.3, words, weight="bold", size=7.5, va="center")
        canvas.text(left, head - 0.14, "from the most to the least alike", size=6.5, color=SOFT, va="center")
    looks = {
        "main": {"marker": "o", "color": LINES["real"][0]},
        "posed": {"marker": "s", "color": "#0072b2"},
        "own": {"marker": "D", "color": "#d55e00", "mfc": "w"},
    }
    for row, kind in enumerate(kinds):
        top = head + row * pitch
        if row:
            canvas.plot([0.1, WIDTH - 0.06], [top, top], color=SOFT, lw=0.3)
        canvas.text(0.1, top + 0.42, wrapped(KINDS[kind], 1.3, 8.8), va="center", weight="bold", linespacing=1.2)
        for place, encoder in zip((0.24, 0.5, 0.76), looks, strict=True):
            if (kind, encoder) not in shares.index:
                if encoder in blocks:
                    canvas.text(blocks[encoder][0], top + 0.44, "none was trained", size=7, color=SOFT, va="center")
                continue
            found = shares.loc[(kind, encoder)]
            share, low, high = found[["clustered_share", "low", "high"]].astype(float)
            draw_interval(axes, row + place, low, high, looks[encoder]["color"])
            axes.plot(share, row + place, ms=5, ls="", clip_on=False, zorder=3, **looks[encoder])
            ends = np.nan_to_num([low, high], nan=share)
            where = (ends[1] + 0.03, "left") if ends[1] < 0.75 else (ends[0] - 0.03, "right")
            axes.text(where[0], row + place, percent(share), ha=where[1], va="center", size=7)
            if encoder == "main":
                counted = f"{number(found['kernels'])} kernels"
                canvas.text(0.1, top + 0.72, counted, size=6.5, color=SOFT, va="center")
            if encoder not in blocks:
                continue
            left, _ = blocks[encoder]
            some = examples[(examples["control"] == kind) & (examples["encoder"] == encoder)]
            steps = np.linspace(0, len(some) - 1, min(EXAMPLES, len(some))).round().astype(int)
            shown = some.sort_values("dissimilarity", kind="stable").iloc[steps]
            for column, one in enumerate(shown.itertuples()):
                middle, frame = left + side / 2 + column * step, INK if one.dissimilarity < threshold else ""
                draw_kernel(canvas, np.asarray(one.kernel), middle, top + 0.06, side, frame)
                draw_kernel(canvas, np.asarray(one.reconstruction), middle, top + 0.08 + side, side, frame)
                canvas.text(middle, top + 0.9, f"{one.dissimilarity:.2f}", size=6.5, ha="center", va="center")
        for words, y in (("kernel", 0.24), ("decoded", 0.62), ("dissim.", 0.9)):
            canvas.text(4.09, top + y, words, size=6.5, color=SOFT, ha="right", va="center")
    names = {"main": "the run's autoencoder", "posed": "in one pose", "own": "one trained on the kind"}
    handles = [Line2D([], [], ls="", ms=5, label=names[encoder], **looks[encoder]) for encoder in names]
    place = {
        "loc": "lower center",
        "bbox_to_anchor": (0.3, 1.0),
        "handletextpad": 0.2,
        "ncols": 2,
        "columnspacing": 0.8,
    }
    axes.legend(handles=handles, **place)

    caption = (
        f"Left: share of {size} kernels of each kind with a dissimilarity below {threshold:g}, through the run's "
        "autoencoders (of kernels as they are, and in one pose) and, judged on other layers, through one trained on "
        "such kernels alone; lines are 95 % intervals. "
        "Right: kernels at even steps of dissimilarity above what is decoded from their code, framed where they are "
        "clustered. An autoencoder that imposed structure would cluster the controls as well."
    )
    alt = f"Dots of the share of each kind of {size} kernels that is clustered, beside kernels and reconstructions."
    return Drawing(figure, data, "Controls", caption, alt)
