"""Kernels on their first four principal components."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.lines import Line2D

from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.core.patterns import family_of
from kernel_atlas.core.vocabulary import FAMILIES
from kernel_atlas.core.words import percent
from kernel_atlas.figures.kernels import stack
from kernel_atlas.figures.style import add_legend, open_panels, short
from kernel_atlas.figures.write import Drawing

POINTS = 4000  # of the scatter; more hide each other


def draw(size: str, threshold: float, sample: pd.DataFrame) -> Drawing:
    """The sample along its principal components."""
    sample = sample.iloc[np.linspace(0, len(sample) - 1, min(POINTS, len(sample))).astype(int)]
    kernels = centre_and_normalise(stack(sample["weight"]))
    kernels -= kernels.mean(axis=0)
    values, vectors = np.linalg.eigh(kernels.T @ kernels)
    explained, components = values[::-1][:4] / max(values.sum(), 1e-12), vectors.T[::-1][:4]
    strongest = np.abs(components).argmax(axis=1, keepdims=True)
    components = components * np.sign(np.take_along_axis(components, strongest, axis=1))  # eigenvectors have no sign
    data = sample[["model", "layer_index", "channel", "label"]].reset_index(drop=True)
    names = [f"component_{number}" for number in range(1, 5)]
    data[names] = kernels @ components.T

    family = data["label"].map(family_of)
    colours = {name: colour for name, (colour, _) in FAMILIES.items() if (family == name).any()}
    points = data.assign(family=family).sort_values("family", key=lambda names: names != "other", kind="stable")
    figure, panels = open_panels(["first and second", "third and fourth"], 3.2, columns=(2, 1))
    for (across, up), axes in zip(((0, 1), (2, 3)), panels.values(), strict=True):
        look = {
            "hue": "family",
            "palette": colours,
            "s": 4,
            "lw": 0,
            "legend": False,
            "rasterized": True,
            "antialiased": False,
        }
        sns.scatterplot(points, x=names[across], y=names[up], ax=axes, **look)
        axes.set(aspect="equal", xlabel=f"component {across + 1} ({percent(explained[across])} of the variance)")
        axes.set_ylabel(f"component {up + 1} ({percent(explained[up])})")
    marks = {short(name): Line2D([], [], ls="", marker="o", ms=4, color=colour) for name, colour in colours.items()}
    add_legend(figure, marks)
    caption = (
        f"{len(data):,} {size} training kernels, drawn at random, along their first four principal components. "
        "Colours are families of patterns, which were found without this projection; grey kernels have none."
    )
    alt = f"Scatters of {size} kernels along four principal components, coloured by family."
    return Drawing(figure, data, f"Principal components of {size} kernels", caption, alt)
