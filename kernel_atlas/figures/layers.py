"""Measures of layers by depth."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kernel_atlas.core.vocabulary import KINDS
from kernel_atlas.figures.style import BLUE, INK, ORANGE, PERCENT, WIDTH
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
SUBJECTS = {"real": (BLUE, "-", "o"), "untrained": (ORANGE, "-.", "s"), "dense": ("#009e73", ":", "D")}


def draw(size: str, threshold: float, layer_depths: pd.DataFrame, banding: pd.DataFrame) -> Drawing:
    """What layers are like along the depth, beside controls and chance."""
    data = layer_depths[(layer_depths["size"] == size) & (layer_depths["depth"] != "all")]
    data = data[data["measure"].isin(list(MEASURES))]
    if data.empty:
        return draw_nothing(size, "Layers", "there are no layers of this size")
    data = data.assign(middle=data["depth"].str.split("-").str[0].astype(float) + 0.1)
    height = 3.9
    figure = Figure(figsize=(WIDTH, height))
    panels = figure.subplots(2, 3, sharex=True).ravel()
    figure.subplots_adjust(0.065, 0.78 / height, 0.985, 1 - 0.25 / height, wspace=0.24, hspace=0.32)
    handles = {}
    for axes, (measure, words) in zip(panels, MEASURES.items(), strict=True):
        for subject, (colour, line, marker) in SUBJECTS.items():
            part = data[(data["measure"] == measure) & (data["subject"] == subject)].sort_values("middle")
            if len(part):
                axes.fill_between(part["middle"], part["low"], part["high"], color=colour, alpha=0.2, lw=0)
                look = {"color": colour, "ls": line, "marker": marker, "ms": 3.5}
                handles[KINDS.get(subject, subject)] = axes.plot(part["middle"], part["mean"], **look)[0]
        chance = data.loc[data["measure"] == measure, "chance"].dropna()
        if len(chance):
            handles["Gaussian kernels"] = axes.axhline(chance.iloc[0], color=INK, lw=1, ls=(0, (4, 2)))
        if measure in SHARES:
            axes.yaxis.set_major_formatter(PERCENT)
            axes.set_ylim(0, max(0.01, axes.get_ylim()[1]))
        axes.set_title(words, size=7.5, loc="left", pad=3)
        axes.set(xlim=(0, 1), xticks=np.arange(6) / 5)
        axes.tick_params(length=2)
    figure.text(0.5, 0.42 / height, "depth, in fifths", ha="center", va="center")
    figure.legend(handles.values(), handles, loc="lower center", ncols=len(handles), handlelength=2.8)
    caption = (
        f"Means over the layers with {size} kernels of independent networks, by fifth of the depth, with 95 % intervals"
        " over networks where there are five; lines without a band are of fewer. Dashed: Gaussian kernels. Variance "
        "entropy is that of the variances along a layer's principal axes, 1 as of Gaussian kernels; orthogonality is 1 "
        "less the mean |cosine| of two kernels; the logarithm is positive where more energy is constant along rows "
        "than along columns."
    )
    alt = f"Curves of six measures of {size} layers along the depth."
    return Drawing(figure, data.drop(columns=["size", "middle"]), "Layers by depth", caption, alt)
