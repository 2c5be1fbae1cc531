"""Kernels as difference operators applied to the discrete analogue of the Gaussian, as in scale-space theory.

Models, conventions and methods are those of Lindeberg, Babaiee & Kiasari (arXiv 2509.12746): y points up, a kernel is
what is convolved with, sigma is in taps. Smoothing is `T(n; s) = exp(-s) I_n(s)` with s = sigma^2 in x and in y, cropped
to the kernel and not normalised again. `pyscsp` imports torch, so nothing else of this project imports this module.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from pyscsp.discscsp import filtermean, make1Ddiscgaussfilter, variance
from scipy.ndimage import correlate, correlate1d
from scipy.optimize import brute, minimize, minimize_scalar

METHODS = {
    "A": "variance, continuous",
    "B": "variance, discrete",
    "C1": "least l1",
    "C2": "least l1, one sigma",
    "D1": "least l2",
    "D2": "least l2, one sigma",
}
_MASKS = {"": [-0.5, 0, 0.5], "+": [0, -1, 1], "-": [-1, 1, 0]}  # central, forward, backward difference
DERIVATIVES = ("dx", "dx+", "dx-", "dy", "dy+", "dy-")
SMOOTH, SHARPEN = "T", "identity - alpha Lap T"
OPERATORS = (*DERIVATIVES, SHARPEN, SMOOTH)
PUBLISHED = ("dy+", "dx-", "dy-", "dx+", "dx", "dy", SHARPEN, SMOOTH)  # of the master key filters 1 to 8
_LAPLACIAN = [[0, 1, 0], [1, -4, 1], [0, 1, 0]]
_GRID = 40  # steps per parameter before the search goes on from the best


class Fit(NamedTuple):
    """Scales in taps, weight of the Laplacian (NaN where there is none), and the error against the scaled kernel."""

    sigma_x: float
    sigma_y: float
    alpha: float
    l1_error: float
    l2_error: float


def draw_model(operator: str, sigma_x: float, sigma_y: float, alpha: float, side: int) -> np.ndarray:
    """The taps, float array [side, side], of one of `OPERATORS` at a scale; `alpha` is for the Laplacian only."""
    if operator == SHARPEN:
        smooth = np.outer(_profile("T", abs(sigma_y), side), _profile("T", abs(sigma_x), side))
        sharp = -alpha * correlate(smooth, _LAPLACIAN, mode="constant")
        sharp[side // 2, side // 2] += 1
        return sharp
    along_x = operator if operator.startswith("dx") else "T"
    along_y = operator.replace("y", "x") if operator.startswith("dy") else "T"
    return np.outer(_profile(along_y, abs(sigma_y), side)[::-1], _profile(along_x, abs(sigma_x), side))


@functools.lru_cache(1 << 14)
def _profile(operator: str, sigma: float, side: int) -> np.ndarray:
    """`T` or its difference along x at `side` taps."""
    taps = make1Ddiscgaussfilter(sigma)
    spare = (len(taps) - side) // 2
    taps = np.pad(taps, max(0, -spare))[max(0, spare) :][:side]
    return taps if operator == "T" else correlate1d(taps, _MASKS[operator[2:]])


def scale_kernel(kernel: np.ndarray, operator: str) -> np.ndarray:
    """A kernel in the units of an operator's model, whatever its gain and sign.

    For a derivative: a response of 1 to the ramp that is zero at minus the mean position of the absolute taps. For the
    others, without its background and with a sum of 1.

    Parameters
    ----------
    kernel : float array [side, side]
    operator : str
    """
    if operator in DERIVATIVES:
        axis = int(operator.startswith("dy"))
        middle = (len(kernel) - 1) / 2
        x, y = np.meshgrid(np.arange(len(kernel)) - middle, middle - np.arange(len(kernel)))
        ramp = (x, y)[axis] + filtermean(np.abs(kernel))[axis]
        return kernel / -(kernel * ramp).sum()
    rest = kernel - find_background(kernel)
    return rest / rest.sum()


def find_background(kernel: np.ndarray) -> float:
    """The constant without which the absolute taps are least spread (determinant of their covariance)."""

    def spread(constant: float) -> float:
        return np.linalg.det(variance(np.abs(kernel - constant)))

    steps = np.linspace(kernel.min(), kernel.max(), 201)
    best = int(np.argmin([spread(step) for step in steps]))
    low, high = steps[max(0, best - 1)], steps[min(len(steps) - 1, best + 1)]
    return minimize_scalar(spread, bounds=(low, high), method="bounded", options={"xatol": 1e-9}).x


def fit_model(target: np.ndarray, operator: str, method: str) -> Fit:
    """Fit one of `OPERATORS` to a kernel.

    Methods A and B match, per axis, the variance of the absolute taps weighted by those of the model with sigma 1: A by
    the formulas of the continuous Gaussian (variance sigma^2 / 2, of a derivative along itself 3 sigma^2 / 2), B by the
    discrete model. C and D have the least l1 and l2 error, with a sigma for each axis (1) or one for both (2). The
    Laplacian has one sigma and its weight, by least l2 for A, B and D, by least l1 for C, as published.

    Parameters
    ----------
    target : float array [side, side]
        From `scale_kernel` for the operator.
    operator : str
    method : str
        One of `METHODS`.
    """
    side = len(target)

    def error(sigma_x: float, sigma_y: float, alpha: float = np.nan) -> tuple[float, float]:
        off = target - draw_model(operator, sigma_x, sigma_y, alpha, side)
        return np.abs(off).sum(), np.sqrt((off**2).sum())

    norm = int(not method.startswith("C"))
    if operator == SHARPEN:
        sigma, alpha = _least(lambda place: error(place[0], *place)[norm], [_widest(side), 2.0])
        return Fit(sigma, sigma, alpha, *error(sigma, sigma, alpha))
    if method in "AB":
        sigmas = _match_variance(target, operator, method)
    elif method.endswith("1"):
        sigmas = _least(lambda place: error(*place)[norm], [_widest(side)] * 2)
    else:
        sigmas = _least(lambda place: error(place[0], place[0])[norm], [_widest(side)]) * 2
    return Fit(*sigmas, np.nan, *error(*sigmas))


def _widest(side: int) -> float:
    return (side - 1) / 2


def _match_variance(target: np.ndarray, operator: str, method: str) -> list[float]:
    side = len(target)
    weight = np.abs(draw_model(operator, 1, 1, np.nan, side))
    goal = np.diag(variance(np.abs(target) * weight))
    if method == "A":
        along = [3 if operator.startswith(axis) else 1 for axis in ("dx", "dy")]
        return list(np.sqrt(2 * goal / along))

    def miss(place: Sequence[float], axis: int) -> float:
        sigmas = np.where(np.arange(2) == axis, place[0], 1.0)  # the other axis does not matter: they are separable
        model = np.abs(draw_model(operator, *sigmas, np.nan, side))
        return (variance(model * weight)[axis, axis] - goal[axis]) ** 2

    return [_least(functools.partial(miss, axis=axis), [_widest(side)])[0] for axis in range(2)]


def _least(loss: Callable[[Sequence[float]], float], highest: Sequence[float]) -> list[float]:
    """Where a loss is least: the best of a grid from 0, then by simplex, as the l1 error is not smooth."""
    ranges = [(0, high) for high in highest]
    start = brute(lambda place: loss(np.atleast_1d(place)), ranges, Ns=_GRID, finish=None)
    found = minimize(loss, np.atleast_1d(start), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-12})
    return [float(value) for value in np.abs(found.x)]  # sigma enters as its square
