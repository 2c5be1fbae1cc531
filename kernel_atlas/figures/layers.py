"""Measures of layers by depth."""

import pandas as pd
import seaborn as sns
from matplotlib.lines import Line2D

from kernel_atlas.figures.style import COLOURS, MARKS, PERCENT, add_legend, open_panels, sizes_of
from kernel_atlas.figures.write import Drawing, draw_nothing

MEASURES = {
    "noisy": "no more like a template than noise",
    "dead": "dead kernels",
    "sparsity": "all taps near zero",
    "variance_entropy": "variance entropy",
    "orthogonality": "orthogonality",
    "banding": "log2 of row to column energy",
}
SHARES = ("dead", "noisy", "sparsity")  # the other measures have no percent


def draw(layer_depths: pd.DataFrame) -> Drawing:
    """What layers of independent networks are like along the depth, a panel a measure, a line a size."""
    data = layer_depths[(layer_depths["depth"] != "all") & (layer_depths["subject"] == "real")]
    data = data[data["measure"].isin(list(MEASURES))]
    if data.empty:
        return draw_nothing("Layers by depth", "there are no layers")
    data = data.assign(middle=data["depth"].str.split("-").str[0].astype(float) + 0.1)
    sizes = sizes_of(data)
    looks = {size: look for size, look in zip(sizes, zip(COLOURS, MARKS, strict=True), strict=False)}
    figure, panels = open_panels(list(MEASURES.values()), 1.5, columns=(3, 2), sharex=True)
    for measure, words in MEASURES.items():
        axes, part = panels[words], data[data["measure"] == measure]
        for size, own in part.groupby("size"):
            axes.fill_between(own["middle"], own["low"], own["high"], color=looks[size][0], alpha=0.2, lw=0)
            axes.axhline(own["chance"].iloc[0], color=looks[size][0], lw=1, ls=(0, (4, 2)))
        named = {"hue": "size", "style": "size", "hue_order": sizes, "style_order": sizes}
        palette, markers = ({size: look[place] for size, look in looks.items()} for place in (0, 1))
        sns.lineplot(
            part,
            x="middle",
            y="mean",
            **named,
            palette=palette,
            markers=markers,
            dashes=False,
            errorbar=None,
            legend=False,
            ax=axes,
        )
        axes.set(xlim=(0, 1), xticks=[0, 0.5, 1], xlabel="depth", ylabel="")
        if measure in SHARES:
            axes.yaxis.set_major_formatter(PERCENT)
            axes.set_ylim(0, None)
    add_legend(figure, {size: Line2D([], [], color=colour, marker=mark) for size, (colour, mark) in looks.items()})
    caption = (
        "Means over the layers of independent networks, by fifth of the depth, with 95 % intervals over networks "
        "where there are five. Dashed: Gaussian kernels. Entropy is 1 as of Gaussian kernels, orthogonality 1 less "
        "the mean |cosine| of two kernels; the logarithm is positive where more energy is constant along rows than "
        "along columns."
    )
    alt = "Curves of six measures of layers along the depth, a line for each size."
    return Drawing(figure, data.drop(columns="middle"), "Layers by depth", caption, alt)
