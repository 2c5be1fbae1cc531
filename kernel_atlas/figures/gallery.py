"""The patterns of a size: how many kernels have each, and some of them."""

import numpy as np
import pandas as pd

from kernel_atlas.core.kernels import centre_and_normalise, spread
from kernel_atlas.core.words import percent
from kernel_atlas.figures.kernels import draw_row, stack, taps_columns
from kernel_atlas.figures.style import INK, SOFT, is_narrow, open_canvas, place_axes, shade_of, short
from kernel_atlas.figures.write import Drawing

LEAST = 0.01  # share of a label that has a row
SIDE = 0.29  # inches from a kernel to the next


def draw(size: str, threshold: float, sample: pd.DataFrame, totals: pd.DataFrame) -> Drawing:
    """A row a label, the commonest first: its share over independent networks, and kernels that have it."""
    shares = totals[(totals["size"] == size) & totals["label"].isin(sample["label"])].set_index("label")
    patterns = shares.drop(index="other", errors="ignore").sort_values("share", ascending=False, kind="stable")
    rows = [*patterns.index[patterns["share"] >= LEAST], *shares.index.intersection(["other"])]
    # names stand beside the kernels on a page, above them on a phone
    begin, above, members = (0.05, 0.24, 11) if is_narrow() else (3.45, 0.02, 15)
    pitch = above + SIDE + 0.05
    figure, canvas = open_canvas(0.1 + pitch * len(rows))
    pictures = place_axes(figure, begin, 0, begin + SIDE * members, 0.1 + pitch * len(rows))
    pictures.set_axis_off()
    # bars take what names and shares leave
    beside = 0.55 if is_narrow() or patterns["share_low"].isna().all() else 1.3
    left, scale = 1.5, (1.8 - beside) / patterns[["share", "share_high"]].max(axis=None)
    drawn = []
    for row, label in enumerate(rows):
        own = sample[sample["label"] == label]
        # the sample is in the order of models and layers: even steps through it cover most of them
        chosen = own.iloc[spread(len(own), members)].sort_values("similarity", ascending=False, kind="stable")
        drawn.append(chosen.assign(position=np.arange(len(chosen)), **shares.loc[label, ["share"]]))
        top = 0.05 + row * pitch
        draw_row(pictures, centre_and_normalise(stack(chosen["weight"])), 0, (top + above) / SIDE)
        share, low, high = shares.loc[label, ["share", "share_low", "share_high"]].astype(float)
        middle = top + (0.11 if is_narrow() else SIDE / 2)
        canvas.text(0.05, middle, "no pattern" if label == "other" else short(label), va="center")
        if label != "other":
            canvas.barh(middle, share * scale, 0.11, left, color=shade_of(label))
        if label != "other" and np.isfinite(low):
            canvas.hlines(middle, left + low * scale, left + high * scale, color=INK, lw=1)
        words = percent(share) if is_narrow() else percent(share, low, high)
        canvas.text(3.35, middle, words, ha="right", va="center", color=SOFT)
    pictures.set(xlim=(0, members), ylim=((0.1 + pitch * len(rows)) / SIDE, 0))
    canvas.set(xlim=(0, figure.get_figwidth()), ylim=(figure.get_figheight(), 0))
    data = pd.concat(drawn, ignore_index=True)
    caption = (
        f"The patterns that at least {LEAST:.0%} of the {size} kernels have: share in the mean over independent "
        "networks, with its 95 % interval, and kernels drawn at random, the most similar to their pattern first. "
        "Red taps are positive, blue ones negative, each kernel scaled to its largest tap. Kernels without a "
        f"pattern are less similar than {1 - threshold:g} to every one."
    )
    alt = f"Rows of {size} kernels, a row for each pattern from the commonest to the rarest, with shares as bars."
    columns = "label share position model layer_index layer channel similarity second margin".split()
    data = data[columns].join(taps_columns(stack(data["weight"])))
    return Drawing(figure, data, f"The patterns of {size} kernels", caption, alt)
