"""The patterns with a formula, and the resemblance of kernels to them.

Coordinates are in taps from the middle of the kernel, x to the right and y up. Directions are points of the compass and
name the bright side. Each formula is sampled at the taps, then centred and normalised like every kernel, so that the
scalar product with a kernel is its cosine. To add a pattern, write its formula and list it in `FORMULAS`.
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.core.vocabulary import FAMILIES

COMPASS = ("E", "NE", "N", "NW", "W", "SW", "S", "SE")  # each 45 degrees further, counter-clockwise
UNNAMED = 0.7  # a prototype whose best cosine is below this resembles no formula

Drawing = Iterator[tuple[str, str, np.ndarray]]  # label, parameters, taps [side, side]


class Templates(NamedTuple):
    """The sampled formulas of one size: labels [t], parameters [t] and unit taps float32 [t, taps]."""

    labels: list[str]
    parameters: list[str]
    taps: np.ndarray


def centre(x: np.ndarray, y: np.ndarray, sigmas: np.ndarray) -> Drawing:
    """On- and Off-Centre: the difference of Gaussians `G(sigma) - G(ratio sigma)` (Wilson & Cowan 1973).

    Ratio 1.6 is nearest to the Laplacian of a Gaussian (Marr & Hildreth 1980). At ratio 4 the surround is flat within
    the kernel.
    """
    square = x**2 + y**2
    for sigma in sigmas:
        for ratio in (1.6, 4):
            dog = _gaussian(square, sigma) / sigma**2 - _gaussian(square, ratio * sigma) / (ratio * sigma) ** 2
            yield from _both_signs("Centre", f"sigma={sigma:.2f} ratio={ratio}", dog)


def square(x: np.ndarray, y: np.ndarray, sigmas: np.ndarray) -> Drawing:
    """On- and Off-Square: a box of constant taps on a constant ground.

    The paper shows the pattern and gives no formula. A box with an even side cannot lie in the middle of an odd kernel:
    it is half a tap off, towards each of the four corners.
    """
    for box in range(2, len(x)):
        off = 0.5 if box % 2 == 0 else 0.0
        for corner_x, corner_y in {(off, off), (-off, off), (-off, -off), (off, -off)}:
            inside = (np.abs(x - corner_x) < box / 2) & (np.abs(y - corner_y) < box / 2)
            yield from _both_signs("Square", f"side={box} x={corner_x} y={corner_y}", inside.astype(float))


def cross(x: np.ndarray, y: np.ndarray, sigmas: np.ndarray) -> Drawing:
    """On- and Off-Cross: two elongated Gaussians at right angles.

    Babaiee et al. (2024) name this sum, and note that the centre of the learned cross differs from it.
    """
    for sigma in sigmas:
        for elongation in (2, 3, 5):
            long = sigma * elongation
            bars = np.exp(-(x**2) / (2 * sigma**2) - y**2 / (2 * long**2))
            bars = bars + np.exp(-(x**2) / (2 * long**2) - y**2 / (2 * sigma**2))
            yield from _both_signs("Cross", f"sigma={sigma:.2f} elongation={elongation}", bars)


def first_derivative(x: np.ndarray, y: np.ndarray, sigmas: np.ndarray) -> Drawing:
    """First derivative of a Gaussian in eight directions, `u G(sigma)` with u along the direction (Koenderink 1984)."""
    for sigma in sigmas:
        for step, direction in enumerate(COMPASS):
            along = _along(x, y, step * np.pi / 4)
            yield f"First-Derivative-{direction}", f"sigma={sigma:.2f}", along * _gaussian(x**2 + y**2, sigma)


def second_derivative(x: np.ndarray, y: np.ndarray, sigmas: np.ndarray) -> Drawing:
    """Second derivative of a Gaussian along four axes, `(1 - u^2 / sigma^2) G(sigma)` (Koenderink 1984).

    On has a bright ridge, Off (the derivative itself) a dark one, at right angles to the axis in the name.
    """
    for sigma in sigmas:
        for step, axis in enumerate(("EW", "NE-SW", "NS", "NW-SE")):
            along = _along(x, y, step * np.pi / 4)
            ridge = (1 - along**2 / sigma**2) * _gaussian(x**2 + y**2, sigma)
            for sign, side in ((1, "On"), (-1, "Off")):
                yield f"{side}-Second-Derivative-{axis}", f"sigma={sigma:.2f}", sign * ridge


FORMULAS = (centre, square, cross, first_derivative, second_derivative)


@functools.cache
def templates(side: int) -> Templates:
    """Every formula at eight scales from half a tap to a third of the kernel, sampled on side x side taps.

    Parameters
    ----------
    side : int
        Height and width of a kernel in taps.

    Returns
    -------
    Templates
        labels, parameters (lists of str) and taps (float32 [templates, side * side], centred unit kernels).

    Examples
    --------
    >>> family = templates(7)
    >>> family.labels[0], family.parameters[0], family.taps.shape
    ('On-Centre', 'sigma=0.50 ratio=1.6', (236, 49))
    """
    x, y = np.meshgrid(np.arange(side) - (side - 1) / 2, (side - 1) / 2 - np.arange(side))
    sigmas = np.geomspace(0.5, max(1.0, side / 3), 8)
    labels, parameters, taps = zip(*(row for draw in FORMULAS for row in draw(x, y, sigmas)), strict=True)
    return Templates(list(labels), list(parameters), centre_and_normalise(np.stack(taps).reshape(len(taps), -1)))


def family_of(label: str) -> str:
    """`First-Derivative-NE` -> `First-Derivative`; labels without a formula -> `Further patterns`."""
    return next((name for name in FAMILIES if label == name or label.startswith(f"{name}-")), "Further patterns")


def resemble(prototypes: np.ndarray) -> tuple[list[str], list[str], np.ndarray]:
    """Label, parameters and cosine [n] of the template most like each prototype.

    Parameters
    ----------
    prototypes : float array [n, side * side]
        Centred unit kernels.

    Returns
    -------
    labels : list of str
        `pattern-N`, N the row + 1, where the best cosine is below 0.7.
    parameters : list of str
        The best template, label and parameters, also where the label is `pattern-N`.
    cosine : float array [n]
    """
    family = templates(round(prototypes.shape[1] ** 0.5))
    cosines = prototypes @ family.taps.T
    best, cosine = cosines.argmax(axis=1), cosines.max(axis=1)
    labels = [family.labels[b] if cosine[n] >= UNNAMED else f"pattern-{n + 1}" for n, b in enumerate(best)]
    return labels, [f"{family.labels[b]} {family.parameters[b]}" for b in best], cosine


def _gaussian(square: np.ndarray, sigma: float) -> np.ndarray:
    return np.exp(-square / (2 * sigma**2))


def _along(x: np.ndarray, y: np.ndarray, angle: float) -> np.ndarray:
    return x * np.cos(angle) + y * np.sin(angle)


def _both_signs(name: str, parameters: str, taps: np.ndarray) -> Drawing:
    yield f"On-{name}", parameters, taps
    yield f"Off-{name}", parameters, -taps
