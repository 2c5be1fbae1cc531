"""The centres of k-means."""

import pandas as pd

from kernel_atlas.core.words import percent
from kernel_atlas.figures.kernels import draw_kernel, stack, taps_columns
from kernel_atlas.figures.style import is_narrow, open_canvas, short, wrapped
from kernel_atlas.figures.write import Drawing

SIDE, ROW = 0.5, 1.25  # inches: of a centre, from one row to the next


def draw(size: str, threshold: float, centres: pd.DataFrame) -> Drawing:
    """The centres of k-means with their names and shares."""
    columns = 4 if is_narrow() else 10
    figure, canvas = open_canvas(0.1 + ROW * -(-len(centres) // columns))
    pitch = (figure.get_figwidth() - 0.1) / columns
    taps = stack(centres["centre"])
    data = centres.drop(columns="centre").assign(share=centres["kernels"] / centres["kernels"].sum())
    for place, one in enumerate(data.itertuples()):
        left, top = 0.05 + place % columns * pitch, 0.08 + place // columns * ROW
        draw_kernel(canvas, taps[place], left + pitch / 2, top, SIDE)
        words = f"{wrapped(short(one.label), pitch)}\n{percent(one.share)}"
        canvas.text(left + pitch / 2, top + SIDE + 0.06, words, ha="center", va="top", linespacing=1.1)
    canvas.set(xlim=(0, figure.get_figwidth()), ylim=(figure.get_figheight(), 0))
    caption = (
        f"The {len(centres)} centres of k-means over all {size} kernels, named by the pattern each resembles most, "
        "with the share of kernels nearest to each."
    )
    alt = f"Centres of k-means of the {size} kernels, with their names and shares of kernels."
    return Drawing(figure, data.join(taps_columns(taps)), f"k-means of {size} kernels", caption, alt)
