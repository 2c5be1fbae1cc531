"""Shares of labels by layer, a panel a model."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kernel_atlas.figures.style import WIDTH, cut, draw_legend, family_shares, largest_first, look_of, networks
from kernel_atlas.figures.write import Drawing

PANELS = 12  # models whose layers are drawn


def draw(size: str, threshold: float, models: pd.DataFrame, layers: pd.DataFrame) -> Drawing:
    """Shares of the families of labels along the layers of the models with most kernels."""
    independent, _ = largest_first(models[models["size"] == size])
    chosen = independent["model"].head(PANELS).tolist()
    layers = layers[(layers["size"] == size) & layers["model"].isin(chosen)]
    shares = family_shares(layers, ["model", "layer_index"])
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    height = 0.75 + 1.42 * rows
    figure = Figure(figsize=(WIDTH, height))
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    figure.subplots_adjust(0.065, 0.78 / height, 0.99, 1 - 0.25 / height, wspace=0.1, hspace=0.62)
    for axes, model in zip(panels, chosen, strict=False):
        part = shares.loc[model]
        edges, base = np.arange(len(part) + 1) + 0.5, np.zeros(len(part))
        for family in part:
            top = base + part[family].to_numpy()
            axes.stairs(top, edges, baseline=base, fill=True, **look_of(family))
            base = top
        axes.set_title(cut(model, 38), size=7.5, loc="left", pad=3)
        axes.set(xlim=(0.5, len(part) + 0.5), ylim=(0, 1))
        axes.set_yticks([0, 0.5, 1], ["0", "50", "100 %"])
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        axes.tick_params(length=2)
    for axes in panels[len(chosen) :]:
        axes.set_visible(False)
    words = f"layer with {size} depthwise kernels, from input to output"
    figure.text(0.5275, 0.5 / height, words, ha="center", va="center")
    draw_legend(figure, shares.columns)
    caption = (
        f"{networks(len(chosen), len(independent))}: shares of the families of patterns in each layer with {size} "
        f"kernels; grey kernels have no pattern (dissimilarity {threshold:g} or more)."
    )
    alt = f"Stacked shares of the families of patterns along the {size} layers of {len(chosen)} models."
    return Drawing(figure, shares.loc[chosen].reset_index(), "Layers", caption, alt)
