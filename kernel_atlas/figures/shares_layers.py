"""Shares of labels by layer, a panel a model."""

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from kernel_atlas.figures import style
from kernel_atlas.figures.write import Drawing

PANELS = 12  # models whose layers are drawn


def draw(size: str, threshold: float, models: pd.DataFrame, layers: pd.DataFrame) -> Drawing:
    """Shares of the families of labels along the layers of the models with most kernels."""
    independent, _ = style.largest_first(models[models["size"] == size])
    chosen = independent["model"].head(PANELS).tolist()
    layers = layers[(layers["size"] == size) & layers["model"].isin(chosen)]
    shares = style.family_shares(layers, ["model", "layer_index"])
    figure, panels = style.open_panels([style.cut(model, 30) for model in chosen], 1.2, sharey=True)
    for model, axes in zip(chosen, panels.values(), strict=True):
        part = shares.loc[model]
        style.stack_areas(axes, np.arange(len(part) + 1) + 0.5, part)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        axes.set_xlabel("layer")
    style.add_legend(figure, style.families_legend(shares.columns))
    caption = (
        f"Shares of the families of patterns in each layer with {size} kernels of the independent networks with most "
        f"of them. Grey kernels have no pattern (dissimilarity {threshold:g} or more)."
    )
    alt = f"Stacked shares of the families of patterns along the {size} layers of {len(chosen)} models."
    return Drawing(figure, shares.loc[chosen].reset_index(), f"Patterns of {size} kernels by layer", caption, alt)
