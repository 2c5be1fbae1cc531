"""The centres of k-means."""

import pandas as pd

from kernel_atlas.core.words import percent
from kernel_atlas.figures.kernels import draw_kernel, draw_scale, stack, taps_columns
from kernel_atlas.figures.style import WIDTH, open_canvas, short, wrapped
from kernel_atlas.figures.write import Drawing


def draw(size: str, threshold: float, centres: pd.DataFrame) -> Drawing:
    """The centres of k-means with their names and shares."""
    columns, side = min(10, len(centres)), 0.66
    pitch = (WIDTH - 0.2) / max(columns, 8)
    names = [wrapped(short(label), pitch, 7) for label in centres["label"]]
    row_height = 1.2 + 0.13 * (max(name.count("\n") for name in names) + 1)
    figure, canvas = open_canvas(0.42 + row_height * -(-len(centres) // columns))
    canvas.text(0.1, 0.2, f"k-means of the {size} kernels, k = {len(centres)}", va="center", weight="bold")
    draw_scale(canvas, WIDTH - 2.7, 0.16)
    kernels, taps = centres["kernels"].sum(), stack(centres["centre"])
    data = centres.drop(columns="centre").assign(share=centres["kernels"] / kernels)
    for place, (cluster, share) in enumerate(zip(data["cluster"], data["share"], strict=True)):
        middle, top = 0.1 + (place % columns + 0.5) * pitch, 0.42 + place // columns * row_height
        canvas.text(middle, top + 0.06, str(cluster), ha="center", va="center", weight="bold")
        draw_kernel(canvas, taps[place], middle, top + 0.16, side)
        words = f"{names[place]}\n{percent(share)}"
        canvas.text(middle, top + side + 0.22, words, ha="center", va="top", size=7, linespacing=1.2)
    caption = (
        f"The {len(centres)} centres of k-means over all {size} kernels, named by the pattern each resembles most, "
        "with the share of kernels nearest to each: the baseline for what the autoencoder clusters."
    )
    alt = f"Centres of k-means of the {size} kernels, with their names and shares of kernels."
    return Drawing(figure, data.join(taps_columns(taps)), "k-means", caption, alt)
