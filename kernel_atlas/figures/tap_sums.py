"""Sums of taps by label."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from kernel_atlas.core.patterns import family_of
from kernel_atlas.core.vocabulary import FAMILIES
from kernel_atlas.figures.kernels import stack
from kernel_atlas.figures.style import INK, SOFT, page_width, shade_of, short
from kernel_atlas.figures.write import Drawing


def draw(size: str, threshold: float, sample: pd.DataFrame) -> Drawing:
    """The sum of raw taps of each label, relative to the largest sum that the kernel's norm allows."""
    raw = stack(sample["weight"]).astype(np.float64)
    # |sum| <= side * L2 norm (Cauchy-Schwarz). Scales of layers differ by orders of magnitude; this ratio does not.
    ratio = raw.sum(axis=1) / np.maximum(raw.shape[1] ** 0.5 * np.linalg.norm(raw, axis=1), 1e-30)
    data = sample[["model", "layer_index", "channel", "label"]].assign(ratio=ratio)
    families = list(FAMILIES)
    order = sorted(data["label"].unique(), key=lambda label: (families.index(family_of(label)), label))
    figure = Figure(figsize=(page_width(), 0.6 + 0.2 * len(order)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color=SOFT, lw=0.6)
    palette = {label: shade_of(label) for label in order}
    look = {"hue": "label", "palette": palette, "legend": False, "whis": (5, 95), "showfliers": False, "width": 0.65}
    lines = {f"{part}props": {"color": INK} for part in ("median", "whisker", "cap")}
    sns.boxplot(data, x="ratio", y="label", order=order, saturation=1, linewidth=0.8, ax=axes, **look, **lines)
    axes.set_yticks(range(len(order)), [short(label) for label in order])
    axes.tick_params(axis="y", length=0)
    axes.set(xlim=(-1.02, 1.02), ylabel="", xlabel=f"sum of taps / ({size.split('x')[0]} · L2 norm)")
    caption = (
        f"Sum of the raw taps of {len(sample):,} {size} training kernels, divided by the largest sum that their L2 "
        "norm allows: ±1 for a constant kernel, 0 for a balanced one. Boxes hold the middle half of a label's "
        "kernels, lines the middle 90 %."
    )
    alt = f"Box plots of the relative sum of taps of {size} kernels, a box for each label."
    return Drawing(figure, data, f"Sums of taps of {size} kernels", caption, alt)
