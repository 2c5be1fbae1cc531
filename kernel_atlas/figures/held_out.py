"""Shares of networks that a method did not see."""

import numpy as np
import pandas as pd

from kernel_atlas.core.vocabulary import METHODS
from kernel_atlas.figures import style
from kernel_atlas.figures.write import Drawing, draw_nothing

LOOKS = {  # by the column of the share
    "held_out_share": ("kernels of other networks", style.COLOURS[0], "o"),
    "phase_share": ("the same with random phases", style.COLOURS[1], "X"),
    "noise_share": ("Gaussian noise", style.INK, style.TICK),
    "equal_null_share": ("of other networks, above 95 % of random phases", style.COLOURS[2], "D"),
}
ENDS = {"held_out_share": ["low", "high"], "equal_null_share": ["equal_null_low", "equal_null_high"]}


def draw(held_out: pd.DataFrame) -> Drawing:
    """A row a method, a panel a size."""
    rows = {method: words for method, words in METHODS.items() if (held_out["method"] == method).any()}
    if not rows:
        return draw_nothing("Networks not seen", "no method was fitted on a part of the networks")
    figure, panels = style.open_panels(style.sizes_of(held_out), 0.75 + 0.42 * len(rows), sharex=True, sharey=True)
    parts = []
    for kind in LOOKS:
        low, high = (held_out[end] for end in ENDS[kind]) if kind in ENDS else (np.nan, np.nan)
        parts.append(held_out.assign(row=held_out["method"], kind=kind, value=held_out[kind], low=low, high=high))
    table = pd.concat(parts)
    for size, axes in panels.items():
        style.draw_points(axes, table[table["size"] == size], rows, LOOKS, 0.6)
        style.share_axis(axes, "share of kernels")
    style.add_legend(figure, style.points_legend(LOOKS))
    caption = (
        "Share of the kernels of networks, or of layers where networks are few, that lie within the threshold of a "
        "method that was fitted on others, with 95 % intervals from eight on. Random phases keep the spectrum of "
        "each kernel and nothing else. Diamonds are judged by the similarity that 5 % of random phases reach, so "
        "that methods of different freedom compare."
    )
    alt = "Dots of the share of kernels that each method covers in networks it did not see, a panel for each size."
    return Drawing(figure, held_out, "Networks not seen, by method", caption, alt)
