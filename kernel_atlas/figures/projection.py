"""Kernels on their first two principal components."""

import numpy as np
import pandas as pd

from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.core.patterns import family_of
from kernel_atlas.core.vocabulary import FAMILIES
from kernel_atlas.core.words import percent
from kernel_atlas.figures.kernels import draw_kernel, stack
from kernel_atlas.figures.style import BOX, SOFT, WIDTH, draw_legend, open_canvas, short
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
    axis_names = [f"component_{number}" for number in range(1, 5)]
    data[axis_names] = kernels @ components.T

    height, first_left, side = 4.85, 0.85, 3.6
    figure, canvas = open_canvas(height)
    families = data["label"].map(family_of)
    limit = 1.05 * data[axis_names].abs().max(axis=None)
    points = pd.concat([data[families == "other"], data[families != "other"]])  # those in no cluster lie below
    colours = [FAMILIES[family_of(label)][0] for label in points["label"]]
    for panel, (across, up) in enumerate([(0, 1), (2, 3)]):
        left = first_left + panel * 4.4
        axes = figure.add_axes([left / WIDTH, 1.05 / height, side / WIDTH, side / height])
        axes.axhline(0, color=SOFT, lw=0.4)
        axes.axvline(0, color=SOFT, lw=0.4)
        places = points[[axis_names[across], axis_names[up]]].to_numpy().T
        axes.scatter(*places, s=3, c=colours, lw=0, rasterized=True, antialiased=False)  # a tenth of the bytes
        ticks = [-1, -0.5, 0, 0.5, 1]
        axes.set(xticks=ticks, yticks=ticks, xlim=(-limit, limit), ylim=(-limit, limit))
        axes.tick_params(length=2)
        axes.set_xlabel(f"component {across + 1} ({percent(explained[across])} of the variance)")
        axes.set_ylabel(f"component {up + 1} ({percent(explained[up])} of the variance)")
        for sign in (-1, 1):
            draw_kernel(canvas, sign * components[across], left + side / 2 * (1 + 0.91 * sign), 4.05, 0.32)
            draw_kernel(canvas, sign * components[up], left - 0.55, 1.84 - 0.91 * side / 2 * sign, 0.32)
        medians = data[families != "other"].groupby("label")[[axis_names[across], axis_names[up]]].median()
        for label, (x, y) in zip(medians.index, _spread(medians.to_numpy(), limit), strict=True):
            axes.text(x, y, short(label), ha="center", va="center", size=6.5, bbox=BOX)
    draw_legend(figure, [family for family in FAMILIES if (families == family).any()])
    caption = (
        f"{len(data):,} {size} training kernels, drawn at random, along their first four principal components, which "
        "are drawn as kernels at the ends of their axes. Colours are families, and each label stands near the median "
        "of its kernels. The labels were made without this projection: where colours lie apart, two ways of looking "
        "agree. Grey kernels are in no cluster."
    )
    alt = f"Scatters of {size} kernels along four principal components, coloured by family."
    return Drawing(figure, data, "Projection", caption, alt)


def _spread(points: np.ndarray, limit: float) -> np.ndarray:
    """Move text positions [n, 2] up until no line of text lies on another, in axes from -limit to limit."""
    wide, high = 0.5 * limit, 0.085 * limit
    moved, placed = points.astype(float), np.zeros(len(points), bool)
    for index in np.argsort(points[:, 1], kind="stable"):
        while (placed & (np.abs(moved - moved[index]) < (wide, high)).all(axis=1)).any():
            moved[index, 1] += high / 4
        placed[index] = True
    return moved
