"""Shares of families by depth."""

import pandas as pd
import seaborn as sns
from matplotlib.lines import Line2D

from kernel_atlas.core.vocabulary import FAMILIES
from kernel_atlas.figures.style import COLOURS, PERCENT, add_legend, open_panels, short, sizes_of
from kernel_atlas.figures.write import Drawing, draw_nothing

DASHES = ("", (4, 1.5), (1, 1), (5, 1, 1, 1), (2, 2))


def draw(depth: pd.DataFrame) -> Drawing:
    """The share of each family of labels along the depth of the networks, a panel a family, a line a size."""
    data = depth[depth["share"].notna()]
    families = [name for name in FAMILIES if name != "Further patterns" and (data["family"] == name).any()]
    if not families:
        return draw_nothing("Patterns by depth", "no depth is covered by five networks")
    names = {family: "no pattern" if family == "other" else short(family) for family in families}
    sizes = sizes_of(data)
    colours, dashes = (dict(zip(sizes, looks, strict=False)) for looks in (COLOURS, DASHES))
    figure, panels = open_panels(list(names.values()), 1.25, columns=(4, 2), sharex=True)
    for family, name in names.items():
        axes, part = panels[name], data[data["family"] == family]
        for size, own in part.groupby("size"):
            axes.fill_between(own["depth"], own["low"], own["high"], color=colours[size], alpha=0.2, lw=0)
        look = {"hue": "size", "style": "size", "hue_order": sizes, "style_order": sizes}
        sns.lineplot(
            part, x="depth", y="share", **look, palette=colours, dashes=dashes, errorbar=None, legend=False, ax=axes
        )
        axes.set(xlim=(0, 1), ylim=(0, None), ylabel="", xlabel="depth", xticks=[0, 0.5, 1])
        axes.yaxis.set_major_formatter(PERCENT)
    lines = {
        f"{size} kernels": Line2D([], [], color=colours[size], ls=(0, dash) if dash else "-")
        for size, dash in dashes.items()
    }
    add_legend(figure, lines)
    caption = (
        "Share of each family of patterns along the depth of independent networks, from the first layer (0) to the "
        "last (1), smoothed with a Gaussian of standard deviation 0.1. Bands are 95 % intervals over networks, "
        "where at least five have layers. Scales differ between panels."
    )
    alt = f"Curves of the shares of {len(families)} families of patterns against depth, a line for each size."
    return Drawing(figure, data, "Patterns by depth", caption, alt)
