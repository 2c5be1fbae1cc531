"""Kernels of each label, side by side."""

import numpy as np
import pandas as pd

from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.core.patterns import family_of
from kernel_atlas.core.vocabulary import FAMILIES
from kernel_atlas.core.words import percent
from kernel_atlas.figures.kernels import draw_kernel, draw_scale, stack, taps_columns
from kernel_atlas.figures.style import SOFT, WIDTH, look_of, open_canvas, short
from kernel_atlas.figures.write import Drawing

MEMBERS = 18  # of a row


def draw(size: str, threshold: float, sample: pd.DataFrame) -> Drawing:
    """Random kernels of each label, a row for each, and kernels without a pattern."""
    order = list(FAMILIES)
    labels = sorted(sample["label"].unique(), key=lambda label: (order.index(family_of(label)), label))
    begin, pitch, side = 2.5, 0.345, 0.315
    figure, canvas = open_canvas(0.4 + pitch * len(labels))
    draw_scale(canvas, WIDTH - 2.7, 0.12)
    canvas.text(0.1, 0.16, f"Random {size} kernels of each label", size=10.5, weight="bold", va="center")
    drawn = []
    for row, label in enumerate(labels):
        members = sample[sample["label"] == label]
        # the sample is in the order of models and layers: even steps through it cover most of them
        steps = np.linspace(0, len(members) - 1, min(MEMBERS, len(members))).round().astype(int)
        chosen = members.iloc[steps].sort_values("similarity", ascending=False, kind="stable")
        top = 0.34 + row * pitch
        middle = top + side / 2
        canvas.text(0.28, middle, short(label), va="center")
        canvas.text(begin - 0.28, middle, percent(len(members) / len(sample)), ha="right", va="center", color=SOFT)
        canvas.bar(0.17, side, 0.1, top, **look_of(family_of(label)))
        for column, kernel in enumerate(centre_and_normalise(stack(chosen["weight"]))):
            draw_kernel(canvas, kernel, begin + column * pitch, top, side)
        drawn.append(chosen.assign(position=np.arange(len(chosen))))
    data = pd.concat(drawn, ignore_index=True)
    caption = (
        f"Random kernels of each label, the most similar to their pattern first, of {len(sample):,} {size} kernels "
        "drawn from the networks that train, and the label's share of these. Kernels of the last row have no pattern: "
        f"none is more similar to them than {1 - threshold:g}."
    )
    alt = f"Rows of {size} kernels, a row for each label."
    columns = ["label", "position", "model", "layer_index", "layer", "channel", "similarity", "second", "margin"]
    return Drawing(figure, data[columns].join(taps_columns(stack(data["weight"]))), "Gallery", caption, alt)
