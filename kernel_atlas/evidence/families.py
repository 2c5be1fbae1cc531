"""Families of patterns: formulas with free parameters, for `fit`.

A family is a formula F(u, v) in shifted, rotated and scaled coordinates,

    u = (cos t (x - x0) + sin t (y - y0)) / sigma_u,    sigma_u = sigma / sqrt(aspect),
    v = (cos t (y - y0) - sin t (x - x0)) / sigma_v,    sigma_v = sigma * sqrt(aspect),

with x to the right and y up, in taps from the middle of the kernel. Samples at the taps are centred and normalised like
every kernel. A new family needs a formula with its derivatives and an entry in `FAMILIES`.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kernel_atlas.core.patterns import COMPASS
from kernel_atlas.core.vocabulary import AXES

SIGMAS = 6  # scales in the grid of templates
Partials = tuple[Tensor, ...]


class Family(NamedTuple):
    """A formula with the bounds, starts and labels of its fits.

    - `formula(u, v, *shape)`: F, dF/du, dF/dv and dF/dp for each own parameter p, tensors [n, taps]; shape [n, 1] each.
    - `shape`: name -> bounds and starts of aspect and own parameters; fitted as logarithms if in `LOGARITHMIC`.
    - `turns`: starts of the angle in degrees, without angles that differ by a sign only.
    - `smallest`, `reach`: least sigma in taps; largest offset as a share of the distance to the outermost taps.
    - `name(sign, degrees)`: the label.
    """

    formula: Callable[..., Partials]
    shape: dict[str, tuple[float, float, tuple[float, ...]]]
    turns: Sequence[float]
    smallest: float
    reach: float
    name: Callable[[int, float], str]


def centre(u: Tensor, v: Tensor, log_ratio: Tensor) -> Partials:
    """Difference of Gaussians of equal volume, `G(sigma) - G(ratio sigma)` (Wilson & Cowan 1973)."""
    shrink = torch.exp(-2 * log_ratio)
    square = u * u + v * v
    inner = torch.exp(-square / 2)
    outer = torch.exp(square * (-shrink / 2)) * shrink
    slope = outer * shrink - inner
    return inner - outer, u * slope, v * slope, outer * (2 - square * shrink)


def first_derivative(u: Tensor, v: Tensor) -> Partials:
    """Negated first derivative of a Gaussian along u, `u G` (Koenderink 1984): bright where u > 0."""
    square = u * u
    gaussian = torch.exp((square + v * v) / -2)
    value = u * gaussian
    return value, gaussian * (1 - square), -v * value


def second_derivative(u: Tensor, v: Tensor) -> Partials:
    """Negated second derivative of a Gaussian along u, `(1 - u^2) G` (Koenderink 1984): a bright ridge."""
    square = u * u
    gaussian = torch.exp((square + v * v) / -2)
    value = (1 - square) * gaussian
    return value, u * (square - 3) * gaussian, -v * value


def cross(u: Tensor, v: Tensor, log_elongation: Tensor, weight: Tensor) -> Partials:
    """Two elongated Gaussians at right angles and a weighted round Gaussian at their intersection.

    Babaiee et al. (2024) describe the sum of the two (weight 0) and note that learned crosses differ at the centre.
    With weight -1 the intersection is as bright as the bars.
    """
    shrink = torch.exp(-2 * log_elongation)
    u2, v2 = u * u, v * v
    long_v = torch.exp((u2 + v2 * shrink) / -2)
    long_u = torch.exp((u2 * shrink + v2) / -2)
    round_one = torch.exp((u2 + v2) / -2)
    middle = round_one * weight
    along_u = -u * (long_v + shrink * long_u + middle)
    along_v = -v * (shrink * long_v + long_u + middle)
    return long_v + long_u + middle, along_u, along_v, (v2 * long_v + u2 * long_u) * shrink, round_one


def _axis(kind: str) -> Callable[[int, float], str]:
    return lambda sign, degrees: f"{_side(sign)}-{kind}-{AXES[round(degrees / 45) % 4]}"


def _side(sign: int) -> str:
    return "On" if sign > 0 else "Off"


# Bounds keep the families apart:
# - sigma: below half a tap, position, angle and scale trade off, and one lobe of a derivative matches any spot;
# - reach: near the edge a cropped pattern resembles other families; only a spot may be anywhere;
# - aspect of a centre: above 1.5 to 2, fits at 7x7 find it nearer to a second derivative than to a round centre;
# - ratio: 1.1 matches the Laplacian of a Gaussian within 1e-5 of the cosine, 4 has a flat surround;
# - cross: arms below 3 widths or a centre weight above 0.5 match a centre with a cosine of at least 0.98.
FAMILIES = {
    "centre": Family(
        centre,
        {"aspect": (1 / 1.5, 1.5, (1.25,)), "ratio": (1.1, 4.0, (1.3, 3.0))},
        range(0, 180, 45),
        0.5,
        1.0,
        lambda sign, degrees: f"{_side(sign)}-Centre",
    ),
    "first_derivative": Family(
        first_derivative,
        {"aspect": (0.5, 2.5, (0.7, 1.0, 1.7))},
        range(0, 180, 30),
        0.6,
        0.5,
        lambda sign, degrees: f"First-Derivative-{COMPASS[round(degrees / 45) % 8]}",
    ),
    "second_derivative": Family(
        second_derivative,
        {"aspect": (0.5, 2.5, (0.7, 1.0, 1.7))},
        range(0, 180, 30),
        0.6,
        0.5,
        _axis("Second-Derivative"),
    ),
    "cross": Family(
        cross,
        {
            "aspect": (1.0, 1.0, (1.0,)),
            "elongation": (3.0, 6.0, (3.5, 5.0)),
            "centre_weight": (-2.0, 0.5, (-1.0, 0.0)),
        },
        range(0, 90, 30),
        0.5,
        0.5,
        lambda sign, degrees: f"{_side(sign)}-Cross",
    ),
}
LOGARITHMIC = {"aspect", "ratio", "elongation"}
OWN = ("ratio", "elongation", "centre_weight")  # parameters of single families


def coordinates(side: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """x and y of the taps, [taps] each."""
    x, y = np.meshgrid(np.arange(side) - (side - 1) / 2, (side - 1) / 2 - np.arange(side))
    return tuple(torch.from_numpy(axis.reshape(-1)).to(like) for axis in (x, y))


def _inside(name: str, value: float) -> float:
    """Fitted value of a parameter: its logarithm if in `LOGARITHMIC`."""
    return float(np.log(value)) if name in LOGARITHMIC else value


def bounds(family: Family, side: int) -> tuple[list[float], list[float]]:
    """Lower and upper bounds of the fitted parameters of a family."""
    reach = family.reach * (side - 1) / 2
    # a sigma above half the kernel changes the cosine by less than 0.02
    low = [-reach, -reach, -np.inf, np.log(family.smallest)]
    high = [reach, reach, np.inf, np.log(side / 2)]
    for name, (least, greatest, _) in family.shape.items():
        low.append(_inside(name, least))
        high.append(_inside(name, greatest))
    return low, high


def template_grid(family: Family, side: int) -> np.ndarray:
    """Parameters of the grid of templates, sigma outermost: float64 [templates, parameters]."""
    reach = family.reach * (side - 1) / 2
    steps = np.linspace(-reach, reach, 2 * int(np.ceil(reach)) + 1)  # at most a tap apart
    sigmas = np.log(np.geomspace(family.smallest, max(1.0, side / 3), SIGMAS))
    shapes = ([_inside(name, start) for start in starts] for name, (_, _, starts) in family.shape.items())
    turns = np.radians(family.turns)
    return np.array(
        [(*rest[:3], sigma, *rest[3:]) for sigma, *rest in itertools.product(sigmas, steps, steps, turns, *shapes)]
    )


def evaluate(family: Family, parameters: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Evaluate the formula at the taps and, by the chain rule, its derivatives by all parameters.

    Parameters
    ----------
    family : Family
    parameters : tensor [n, parameters]
        x0, y0, angle (radians), log sigma, log aspect, and the family's own.
    x, y : tensor [taps]

    Returns
    -------
    tensor [n, taps] and list of tensor [n, taps]
    """
    x0, y0, angle, log_sigma, log_aspect, *shape = parameters.T[:, :, None]
    cos, sin, aspect = torch.cos(angle), torch.sin(angle), torch.exp(log_aspect)
    narrow = torch.exp(log_aspect / 2 - log_sigma)  # 1 / sigma_u
    wide = narrow / aspect  # 1 / sigma_v
    right, up = x - x0, y - y0
    u = torch.addcmul(right * (cos * narrow), up, sin * narrow)
    v = torch.addcmul(up * (cos * wide), right, -sin * wide)
    value, by_u, by_v, *by_shape = family.formula(u, v, *shape)
    u_u, v_v = u * by_u, v * by_v
    return value, [
        torch.addcmul(by_v * (sin * wide), by_u, -cos * narrow),
        torch.addcmul(by_v * (-cos * wide), by_u, -sin * narrow),
        torch.addcmul(v * by_u * aspect, u * by_v, -1 / aspect),
        -u_u - v_v,
        (u_u - v_v) / 2,
        *by_shape,
    ]
