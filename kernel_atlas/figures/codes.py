"""How codes are distributed, a row a model."""

import numpy as np
import pandas as pd

from kernel_atlas.core.patterns import family_of
from kernel_atlas.core.vocabulary import FAMILIES
from kernel_atlas.core.words import percent
from kernel_atlas.figures.style import SOFT, WIDTH, cut, draw_legend, look_of, open_canvas, place_axes
from kernel_atlas.figures.write import Drawing

MODELS_OF_CODES = 12  # rows of histograms
BINS = 50  # of a histogram of codes


def draw(size: str, threshold: float, clusters: pd.DataFrame, sample: pd.DataFrame, noise: pd.DataFrame) -> Drawing:
    """Where on the code the kernels of each model lie, and where noise does."""
    side, counts = int(size.split("x")[0]), sample["model"].value_counts()
    chosen = sorted(counts.index, key=lambda model: (-counts[model], model))[:MODELS_OF_CODES]
    noise = noise[(noise["kh"] == side) & noise["code"].notna()].assign(model="Gaussian noise")
    columns = ["model", "code", "label"]
    rows = pd.concat([sample[sample["model"].isin(chosen)][columns], noise[columns]], ignore_index=True)
    rows["family"] = rows["label"].map(family_of)
    rows["bin"] = (rows["code"] * BINS).astype(int).clip(0, BINS - 1)
    names = [*chosen, *["Gaussian noise"][: len(noise)]]
    counted = rows.groupby(["model", "bin", "family"]).size().rename("kernels").reset_index()
    counted["share"] = counted["kernels"] / counted["model"].map(counted.groupby("model")["kernels"].sum())

    left, pitch, top = 2.75, 0.42, 0.42
    foot = top + pitch * len(names)
    figure, canvas = open_canvas(foot + 1.0)
    axes = place_axes(figure, left, top, WIDTH - 0.95, foot)
    edges, order = np.linspace(0, 1, BINS + 1), [f for f in FAMILIES if f in set(counted["family"])]
    highest = {}
    for row, model in enumerate(names):
        part = counted[counted["model"] == model].pivot(index="bin", columns="family", values="share")
        part = part.reindex(index=range(BINS), columns=order).fillna(0)
        base, floor = np.zeros(BINS), len(names) - 1 - row
        highest[model] = part.sum(axis=1).max()
        for family in order:
            heights = 0.86 / highest[model] * part[family].to_numpy()
            inside = np.flatnonzero(heights)
            if len(inside):
                bins, look = slice(inside[0], inside[-1] + 1), look_of(family)
                low, ends = floor + base[bins], edges[inside[0] : inside[-1] + 2]
                axes.stairs(low + heights[bins], ends, baseline=low, fill=True, **look)
            base += heights
        axes.axhline(floor, color=SOFT, lw=0.5)
        middle = top + (row + 0.62) * pitch
        canvas.text(left - 0.1, middle, cut(model, 44), ha="right", va="center", size=7.5)
        of_model = f"{(rows['model'] == model).sum():,}\ntop {percent(highest[model])}"
        canvas.text(WIDTH - 0.9, middle, of_model, va="center", size=6.5, color=SOFT)
    for cluster in clusters.itertuples():
        if cluster.code_low > 0:
            axes.axvline(cluster.code_low, color=SOFT, lw=0.5, dashes=(2, 2))
        if cluster.code_high - cluster.code_low > 0.018:
            x = left + (WIDTH - 0.95 - left) * (cluster.code_low + cluster.code_high) / 2
            canvas.text(x, 0.3, str(cluster.cluster), ha="center", va="center", size=7, weight="bold")
    canvas.text(left - 0.1, 0.3, "cluster", ha="right", va="center", size=6.5, color=SOFT)
    canvas.text(WIDTH - 0.9, 0.3, "kernels", va="center", size=6.5, color=SOFT)
    axes.set(xlim=(0, 1), ylim=(0, len(names)), yticks=[], xlabel="code")
    axes.spines["left"].set_visible(False)
    draw_legend(figure, order)

    caption = (
        f"Codes of the kernels of the {len(chosen)} models with most {size} kernels in a random sample of training "
        f"kernels, in {BINS} steps, each row scaled to its fullest step. Colours are labels, grey kernels have no "
        "pattern; dashes are the borders of clusters."
    )
    alt = f"Histograms of the codes of {size} kernels, a row for each model and for Gaussian noise."
    return Drawing(figure, counted, "Codes", caption, alt)
