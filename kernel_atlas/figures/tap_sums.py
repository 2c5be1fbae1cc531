"""Sums of taps by label."""

import numpy as np
import pandas as pd

from kernel_atlas.core.patterns import family_of
from kernel_atlas.core.vocabulary import FAMILIES
from kernel_atlas.figures.kernels import stack
from kernel_atlas.figures.style import INK, SOFT, count_rows, look_of, open_rows, short
from kernel_atlas.figures.write import Drawing


def draw(size: str, threshold: float, sample: pd.DataFrame) -> Drawing:
    """The sum of raw taps of each label, relative to the largest sum that the kernel's norm allows."""
    raw = stack(sample["weight"]).astype(np.float64)
    # |sum| <= side * L2 norm (Cauchy-Schwarz). Scales of layers differ by orders of magnitude; this ratio does not.
    ratio = raw.sum(axis=1) / np.maximum(raw.shape[1] ** 0.5 * np.linalg.norm(raw, axis=1), 1e-30)
    sample = sample.assign(ratio=ratio)
    rows = [
        (label, len(values), *values.quantile([0.05, 0.25, 0.5, 0.75, 0.95]))
        for label, values in sample.groupby("label")["ratio"]
    ]
    order = list(FAMILIES)
    rows.sort(key=lambda row: (order.index(family_of(row[0])), row[0]))
    data = pd.DataFrame(rows, columns=["label", "kernels", "whislo", "q1", "med", "q3", "whishi"])

    figure, axes = open_rows(len(data), left=2.0, legend=0)
    y = np.arange(len(data))[::-1]
    axes.axvline(0, color=SOFT, lw=0.6)
    boxes = axes.bxp(
        data.drop(columns=["label", "kernels"]).to_dict("records"),
        positions=y,
        orientation="horizontal",
        widths=0.62,
        showfliers=False,
        patch_artist=True,
        medianprops={"color": INK, "lw": 1.4},
        whiskerprops={"color": SOFT},
        capprops={"color": SOFT},
    )
    for box, label in zip(boxes["boxes"], data["label"], strict=True):
        box.set(**look_of(family_of(label)))
    axes.set_yticks(y, data["label"].map(short))
    count_rows(axes, y, data["kernels"])
    words = f"sum of taps / ({size.split('x')[0]} · L2 norm): ±1 for a constant kernel, 0 for a balanced one"
    axes.set(xlim=(-1.02, 1.02), xlabel=words)
    caption = (
        f"Sum of the raw taps of {len(sample):,} {size} training kernels, divided by the largest sum that their L2 "
        "norm allows, so that layers compare; boxes hold the middle half of a label's kernels, lines the middle 90 %."
    )
    alt = f"Box plots of the relative sum of taps of {size} kernels, a box for each label."
    return Drawing(figure, data, "Sum of taps", caption, alt)
