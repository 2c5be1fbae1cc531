"""Shares of networks that a method did not see."""

import numpy as np
import pandas as pd

from kernel_atlas.figures.style import (
    COLOURS,
    INK,
    TICK,
    add_legend,
    draw_points,
    open_panels,
    points_legend,
    share_axis,
    sizes_of,
)
from kernel_atlas.figures.write import Drawing, draw_nothing

METHODS = {
    "patterns": "reference patterns",
    "codebook": "codebook in 16 poses",
    "posed": "autoencoder, one pose",
    "autoencoder": "autoencoder",
}
KINDS = {  # name, columns of the share and its interval, colour, marker
    "kernels of other networks": (["held_out_share", "low", "high"], COLOURS[0], "o"),
    "the same with random phases": (["phase_share"], COLOURS[1], "X"),
    "Gaussian noise": (["noise_share"], INK, TICK),
    "of other networks, above 95 % of random phases": (
        ["equal_null_share", "equal_null_low", "equal_null_high"],
        COLOURS[2],
        "D",
    ),
}


def draw(held_out: pd.DataFrame) -> Drawing:
    """A row a method, a panel a size."""
    methods = [method for method in METHODS if (held_out["method"] == method).any()]
    if not methods:
        return draw_nothing("Networks not seen", "no method was fitted on a part of the networks")
    sizes = sizes_of(held_out)
    figure, panels = open_panels(sizes, 0.75 + 0.42 * len(methods), sharex=True, sharey=True)
    parts = []
    for kind, (columns, *_) in KINDS.items():
        ends = [held_out[column] for column in columns] + [np.nan] * (3 - len(columns))
        parts.append(held_out.assign(kind=kind, **dict(zip(("value", "low", "high"), ends, strict=True))))
    table = pd.concat(parts).assign(row=lambda rows: rows["method"].map(METHODS))
    looks = {kind: tuple(look) for kind, (_, *look) in KINDS.items()}
    for size, axes in panels.items():
        draw_points(axes, table[table["size"] == size], [METHODS[method] for method in methods], looks, 0.6)
        share_axis(axes, "share of kernels")
    add_legend(figure, points_legend(looks))
    caption = (
        "Share of the kernels of networks, or of layers where networks are few, that lie within the threshold of a "
        "method that was fitted on others, with 95 % intervals from eight on. Random phases keep the spectrum of "
        "each kernel and nothing else. Diamonds are judged by the similarity that 5 % of random phases reach, so "
        "that methods of different freedom compare."
    )
    alt = "Dots of the share of kernels that each method covers in networks it did not see, a panel for each size."
    return Drawing(figure, held_out, "Networks not seen, by method", caption, alt)
