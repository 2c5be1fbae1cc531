"""Shares of families by depth."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kernel_atlas.core.vocabulary import FAMILIES
from kernel_atlas.core.words import interval
from kernel_atlas.figures.style import HALO, PERCENT, SOFT, WIDTH, short
from kernel_atlas.figures.write import Drawing, draw_nothing


def draw(size: str, threshold: float, depth: pd.DataFrame, trends: pd.DataFrame) -> Drawing:
    """The share of each family of labels along the depth of the networks."""
    data = depth[(depth["size"] == size) & depth["share"].notna()]
    trends = trends[trends["size"] == size].set_index("family")
    families = [family for family in ("Cross", *FAMILIES) if (data["family"] == family).any()]
    families = [family for family in families if not family.endswith("-Cross")]
    if not families:
        return draw_nothing(size, "Depth", "no depth is covered by five networks")
    columns = min(3, len(families))
    rows = -(-len(families) // columns)
    height = 0.55 + 1.4 * rows
    figure = Figure(figsize=(WIDTH, height))
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    figure.subplots_adjust(0.06, 0.48 / height, 0.99, 1 - 0.27 / height, wspace=0.28, hspace=0.5)
    for axes, family in zip(panels, families, strict=False):
        part = data[data["family"] == family]
        colour = {"Cross": FAMILIES["On-Cross"][0], "other": SOFT}.get(family) or FAMILIES[family][0]
        axes.fill_between(part["depth"], part["low"], part["high"], color=colour, alpha=0.25, lw=0)
        axes.plot(part["depth"], part["share"], color=colour, lw=2, path_effects=[HALO])
        axes.set(xlim=(0, 1), ylim=(0, None))
        axes.yaxis.set_major_formatter(PERCENT)
        axes.yaxis.set_major_locator(MaxNLocator(4, min_n_ticks=2))
        axes.tick_params(length=2)
        name = {"Cross": "Crosses, On and Off", "other": "other (no pattern)"}.get(family, short(family))
        if family in trends.index and np.isfinite(trends.loc[family, "low"]):
            trend = interval(*trends.loc[family, ["spearman", "low", "high"]])
            name += f": trend {trend}"
        axes.set_title(name, size=7, loc="left", pad=3, weight="bold" if family == "Cross" else "normal")
    for place, axes in enumerate(panels):
        axes.tick_params(labelbottom=place + columns >= len(families))  # the last of each column
        axes.set_visible(place < len(families))
    figure.text(0.5, 0.14 / height, "depth: 0 at a network's first layer, 1 at its last", ha="center", va="center")
    if families[0] == "Cross":
        panels[0].set_facecolor("#f6f1f5")
    caption = (
        f"Share of each family of labels among the live {size} kernels along the depth of independent networks, "
        "smoothed with a Gaussian of standard deviation 0.1, where at least five networks have layers. Bands are 95 % "
        "intervals over networks, scales differ between panels. Trends are mean rank correlations of share and depth "
        "within networks; curves pool kernels, so the two may disagree."
    )
    alt = f"Curves of the share of {len(families)} families of {size} labels against depth."
    return Drawing(figure, data.drop(columns="size"), "Depth", caption, alt)
