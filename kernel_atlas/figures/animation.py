"""Kernels of a layer while a network is trained, as an animation."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from kernel_atlas.core.vocabulary import FAMILIES
from kernel_atlas.figures import style
from kernel_atlas.figures.kernels import draw_kernel
from kernel_atlas.io.tables import whole

COLUMNS = 8  # of kernels
PITCH = 0.46  # inches from a kernel to the next
DOTS = 90  # per inch
SHOWN, LAST = 400, 3000  # milliseconds of a step, and of the last


def animate_kernels(table: pd.DataFrame, output: str | Path) -> None:
    """Write a GIF that repeats: kernels beside their ways along the code, step after step.

    Parameters
    ----------
    table : DataFrame
        From `dynamics.label_layer`; its first 64 channels are shown, in the order of their codes at the end.
    output : path
    """
    table = table[table["channel"] < 8 * COLUMNS]
    steps = np.sort(table["step"].unique())
    order = table[table["step"] == steps[-1]].sort_values("code")["channel"].to_numpy()
    at = [table[table["step"] == step].set_index("channel").loc[order] for step in steps]
    codes = np.stack([kept["code"] for kept in at])
    shown = [family for family in FAMILIES if family in set(table["family"])]
    last = at[-1]["family"].tolist()
    with style.atlas_style():
        frames = [_frame(steps, step, kernels, codes, last, shown) for step, kernels in enumerate(at)]
    all_frames = Image.fromarray(np.concatenate(frames))
    # one palette for all, or a colour would change its meaning, and one that keeps rare colours
    palette = all_frames.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    pictures = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    written = io.BytesIO()
    times = [SHOWN] * (len(pictures) - 1) + [LAST]
    pictures[0].save(written, "gif", save_all=True, append_images=pictures[1:], duration=times, loop=0, optimize=True)
    with whole(output) as partial:
        partial.write_bytes(written.getvalue())


def _frame(
    steps: np.ndarray, now: int, kernels: pd.DataFrame, codes: np.ndarray, last: list[str], shown: list[str]
) -> np.ndarray:
    """The kernels at a step, framed in the colour of their label, and the codes so far in that of their last label."""
    height = 0.75 + PITCH * -(-len(kernels) // COLUMNS) + 0.45
    figure, canvas = style.open_canvas(height)
    canvas.text(0.15, 0.3, f"step {steps[now]:,}", size=11, weight="bold", va="center")
    for place, (taps, family) in enumerate(zip(kernels["weight"], kernels["family"], strict=True)):
        row, column = divmod(place, COLUMNS)
        middle, top = 0.15 + PITCH * (column + 0.45), 0.6 + PITCH * row
        draw_kernel(canvas, np.asarray(taps) - np.mean(taps), middle, top, PITCH * 0.86, FAMILIES[family][0])
    axes = style.place_axes(figure, 0.15 + PITCH * COLUMNS + 0.75, 0.6, style.PAGE - 0.2, height - 0.95)
    place = style.step_axis(axes, steps)
    for channel, family in enumerate(last):
        colour = FAMILIES[family][0]
        axes.plot(place[: now + 1], codes[: now + 1, channel], color=colour, lw=0.8, alpha=0.9)
        axes.plot(place[now], codes[now, channel], "o", color=colour, ms=3)
    axes.set(ylim=(0, 1), ylabel="code")
    axes.text(
        1, 1.02, "coloured by the label at the end", transform=axes.transAxes, ha="right", size=7, color=style.SOFT
    )
    style.add_legend(figure, style.families_legend(shown), loc="lower center")
    picture = io.BytesIO()
    figure.savefig(picture, dpi=DOTS, format="png")
    return np.asarray(Image.open(picture).convert("RGB"))
