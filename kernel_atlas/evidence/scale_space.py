"""Kernels as difference operators applied to the discrete analogue of the Gaussian, as in scale-space theory.

Models, conventions and methods follow Lindeberg, Babaiee & Kiasari (arXiv 2509.12746): y points up, kernels are
convolved, sigma is in taps. Smoothing is `T(n; s) = exp(-s) I_n(s)` with s = sigma^2 along x and y, cropped to the
kernel without renormalisation. `pyscsp` imports torch (slow): import this module only where it is used.
"""

import functools
import itertools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from pyscsp.discscsp import filtermean, make1Ddiscgaussfilter, variance
from scipy.ndimage import correlate, correlate1d
from scipy.optimize import minimize, minimize_scalar

from kernel_atlas.core.kernels import centre_and_normalise, draw_noise, size_name
from kernel_atlas.core.patterns import resemble
from kernel_atlas.io.tables import in_order
from kernel_atlas.model.assign import Labeller

METHODS = ("A", "B", "C1", "C2", "D1", "D2")
SMOOTH, SHARPEN = "T", "identity - alpha Lap T"
DERIVATIVES = ("dx", "dx+", "dx-", "dy", "dy+", "dy-")
OPERATORS = (*DERIVATIVES, SHARPEN, SMOOTH)
PUBLISHED = ("dy+", "dx-", "dy-", "dx+", "dx", "dy", SHARPEN, SMOOTH)  # operators of master key filters 1 to 8
BACKGROUNDS = {7: -0.011775472973773075, 8: -0.0386329733224079}  # published; `find_background` differs by 2e-5
NOISE = 50  # Gaussian-noise kernels, the control
_MASKS = {"": (-0.5, 0, 0.5), "+": (0, -1, 1), "-": (-1, 1, 0)}  # central, forward and backward difference
_LAPLACIAN = ((0, 1, 0), (1, -4, 1), (0, 1, 0))
_STEPS = 40  # of the starting grid, per parameter


def answer(labellers: Mapping[int, Labeller], filters: np.ndarray, seed: int) -> dict[str, pd.DataFrame]:
    """Model the published filters, float array [8, 7, 7], and the prototypes of every size.

    Returns
    -------
    dict of DataFrame
        scale_space, scale_space_summary.
    """
    prototypes = {size_name(side): labeller.prototypes for side, labeller in labellers.items()}
    table = scale_space_table(prototypes, filters)
    return {"scale_space": table, "scale_space_summary": summarise_scale_space(table, seed)}


class Fit(NamedTuple):
    """Scales in taps, weight of the Laplacian (NaN for other operators), errors against the scaled kernel."""

    sigma_x: float
    sigma_y: float
    alpha: float
    l1_error: float
    l2_error: float


def draw_model(operator: str, sigma_x: float, sigma_y: float, alpha: float, side: int) -> np.ndarray:
    """Taps, float array [side, side], of one of `OPERATORS`; `alpha` is the weight of the Laplacian."""
    if operator == SHARPEN:
        smooth = np.outer(_profile(SMOOTH, abs(sigma_y), side), _profile(SMOOTH, abs(sigma_x), side))
        sharp = -alpha * correlate(smooth, _LAPLACIAN, mode="constant")
        sharp[side // 2, side // 2] += 1
        return sharp
    along_x = operator if operator.startswith("dx") else SMOOTH
    along_y = operator.replace("y", "x") if operator.startswith("dy") else SMOOTH
    return np.outer(_profile(along_y, abs(sigma_y), side)[::-1], _profile(along_x, abs(sigma_x), side))


@functools.lru_cache(1 << 14)
def _profile(operator: str, sigma: float, side: int) -> np.ndarray:
    """`T`, or a difference of it, along x."""
    taps = make1Ddiscgaussfilter(sigma)
    spare = (len(taps) - side) // 2
    taps = np.pad(taps, max(0, -spare))[max(0, spare) :][:side]
    return taps if operator == SMOOTH else correlate1d(taps, _MASKS[operator[2:]])


def scale_kernel(kernel: np.ndarray, operator: str, background: float | None = None) -> np.ndarray:
    """Scale a kernel to the gain and sign of an operator's model.

    - Derivatives: the response to a ramp along the axis, zero at the centroid of the absolute taps, becomes 1.
    - Other operators: the background is subtracted, then the sum becomes 1.

    Parameters
    ----------
    kernel : float array [side, side]
    operator : str
        One of `OPERATORS`.
    background : float, optional
        By default `find_background`.
    """
    if operator in DERIVATIVES:
        axis = int(operator.startswith("dy"))
        middle = (len(kernel) - 1) / 2
        x, y = np.meshgrid(np.arange(len(kernel)) - middle, middle - np.arange(len(kernel)))
        ramp = -(x, y)[axis] - filtermean(np.abs(kernel))[axis]  # convolution flips the kernel
        return kernel / (kernel * ramp).sum()
    rest = kernel - (find_background(kernel) if background is None else background)
    return rest / rest.sum()


def find_background(kernel: np.ndarray) -> float:
    """The constant whose subtraction minimises the spread (determinant of the covariance) of the absolute taps."""

    def spread(constant: float) -> float:
        return np.linalg.det(variance(np.abs(kernel - constant)))

    steps = np.linspace(kernel.min(), kernel.max(), 201)
    best = int(np.argmin([spread(step) for step in steps]))
    around = steps[max(0, best - 1)], steps[min(len(steps) - 1, best + 1)]
    return minimize_scalar(spread, bounds=around, method="bounded", options={"xatol": 1e-9}).x


def fit_filter(target: np.ndarray, operator: str, method: str) -> Fit:
    """Fit a model to a kernel.

    - A, B: match the variance along each axis of the absolute taps, weighted by the model with sigma 1. A uses the
      continuous Gaussian (variance sigma^2 / 2, along its derivative 3 sigma^2 / 2), B the discrete model.
    - C, D: minimise the l1 (C) or l2 error (D), with two sigmas (C1, D1) or one (C2, D2).

    The Laplacian has one sigma and a weight; they minimise the l1 error for C, the l2 error for all others.

    Parameters
    ----------
    target : float array [side, side]
        From `scale_kernel` for this operator.
    operator : str
        One of `OPERATORS`.
    method : str
        One of `METHODS`.
    """
    side, norm = len(target), 1 if method.startswith("C") else 2
    if method in ("A", "B") and operator != SHARPEN:
        place = _match_variance(target, operator, method)
    else:
        place = _least_error(target, operator, norm, equal=method.endswith("2"))
    off = (target - draw_model(operator, *_parameters(operator, place), side)).ravel()
    return Fit(*_parameters(operator, place), np.linalg.norm(off, 1), np.linalg.norm(off))


def _parameters(operator: str, place: tuple[float, ...]) -> tuple[float, float, float]:
    """sigma_x, sigma_y and alpha of a search point: sigma, or sigma_x and sigma_y, or sigma and alpha."""
    if operator == SHARPEN:
        return place[0], place[0], place[1]
    return place[0], place[-1], np.nan


@functools.lru_cache
def _grid(operator: str, side: int, equal: bool) -> tuple[np.ndarray, np.ndarray]:
    """Starting points of a search, float array [places, parameters], and their models, [places, taps]."""
    sigmas = np.linspace(0, (side - 1) / 2, _STEPS)
    axes = [sigmas] if equal and operator != SHARPEN else [sigmas, sigmas]
    if operator == SHARPEN:
        axes[1] = np.linspace(0, 2, _STEPS)
    places = np.array(list(itertools.product(*axes)))
    return places, np.stack([draw_model(operator, *_parameters(operator, place), side).ravel() for place in places])


def _least_error(target: np.ndarray, operator: str, norm: int, equal: bool) -> np.ndarray:
    places, models = _grid(operator, len(target), equal)
    start = places[np.linalg.norm(models - target.ravel(), norm, axis=1).argmin()]

    def error(place: np.ndarray) -> float:
        off = target - draw_model(operator, *_parameters(operator, place), len(target))
        return np.linalg.norm(off.ravel(), norm)

    return _descend(error, start, operator, len(target))


def _match_variance(target: np.ndarray, operator: str, method: str) -> np.ndarray:
    side = len(target)
    weight = np.abs(draw_model(operator, 1, 1, np.nan, side))
    goal = np.diag(variance(np.abs(target) * weight))
    if method == "A":
        return np.sqrt(2 * goal / [3 if operator.startswith(axis) else 1 for axis in ("dx", "dy")])

    def miss(place: np.ndarray, axis: int) -> float:
        sigmas = np.where(np.arange(2) == axis, place[0], 1)  # separable: the other axis has no effect
        return abs(variance(np.abs(draw_model(operator, *sigmas, np.nan, side)) * weight)[axis, axis] - goal[axis])

    found = []
    for axis in range(2):
        off = functools.partial(miss, axis=axis)
        start = min(np.linspace(0, (side - 1) / 2, _STEPS), key=lambda sigma: off([sigma]))
        found.append(_descend(off, np.array([start]), operator, side)[0])
    return np.array(found)


def _descend(loss: Callable[[np.ndarray], float], place: np.ndarray, operator: str, side: int) -> np.ndarray:
    """Local minimum by three simplex searches: a single search may stall on the edges of the l1 error."""
    bounds = _bounds(operator, side, len(place))
    for step in (0.1, -0.1, 0.05):
        simplex = np.clip(place + step * np.eye(len(place) + 1, len(place), -1), *np.transpose(bounds))
        options = {"initial_simplex": simplex, "xatol": 1e-6, "fatol": 1e-12}
        place = minimize(loss, place, method="Nelder-Mead", bounds=bounds, options=options).x
    return np.abs(place)


def _bounds(operator: str, side: int, parameters: int) -> list[tuple[float, float]]:
    widest = (side - 1) / 2
    bounds = [(-widest, widest)] * parameters  # models are even in sigma: 0 need not be a bound
    return [bounds[0], (0, np.inf)] if operator == SHARPEN else bounds


def choose_operator(kernel: np.ndarray) -> str:
    """The operator whose models are nearest to a kernel up to gain, sign and a constant.

    The l2 error of the best `a * model + b` is sqrt(1 - cosine^2), with the cosine to the centred model.

    Parameters
    ----------
    kernel : float array [side * side]
        A centred unit kernel.
    """
    grids = _centred_grids(round(len(kernel) ** 0.5))
    return max(grids, key=lambda operator: np.abs(grids[operator] @ kernel).max())


def best_cosine(kernel: np.ndarray, operator: str) -> float:
    """Greatest absolute cosine of a centred unit kernel [side * side] to the centred models of an operator."""
    side = round(len(kernel) ** 0.5)

    def unlike(place: np.ndarray) -> float:
        model = draw_model(operator, *_parameters(operator, place), side).ravel()
        model -= model.mean()
        return -abs(model @ kernel) / max(np.linalg.norm(model), 1e-12)

    start = _grid(operator, side, False)[0][np.abs(_centred_grids(side)[operator] @ kernel).argmax()]
    return -minimize(unlike, start, bounds=_bounds(operator, side, 2)).fun


@functools.lru_cache
def _centred_grids(side: int) -> dict[str, np.ndarray]:
    return {operator: centre_and_normalise(_grid(operator, side, False)[1]) for operator in OPERATORS}


def scale_space_table(prototypes: Mapping[str, pd.DataFrame], filters: np.ndarray) -> pd.DataFrame:
    """scale_space.csv: the models by every method of the published filters and of the prototypes.

    Parameters
    ----------
    prototypes : mapping
        Size (`7x7`) -> DataFrame with cluster, label and kernel (centred unit taps), of `clusters.find_prototypes`.
    filters : float array [8, 7, 7]
        The master key filters.
    """
    tables = []
    units = centre_and_normalise(filters.reshape(len(filters), -1))
    for number, (kernel, unit, operator) in enumerate(zip(filters, units, PUBLISHED, strict=True), start=1):
        target = scale_kernel(kernel, operator, BACKGROUNDS.get(number))
        same = {"size": size_name(7), "label": resemble(unit[None])[0][0]}
        tables.append(_fit_all(target, unit, operator).assign(filter=str(number), **same))
    for size, table in prototypes.items():
        side = int(size.split("x")[0])
        for row in table.itertuples():
            unit = np.asarray(row.kernel)
            operator = choose_operator(unit)
            target = scale_kernel(unit.reshape(side, side).astype(float), operator)
            same = {"size": size, "label": row.label}
            tables.append(_fit_all(target, unit, operator).assign(filter=f"{size}-{row.cluster}", **same))
    return in_order(pd.concat(tables, ignore_index=True), "scale_space.csv")


def _fit_all(target: np.ndarray, unit: np.ndarray, operator: str) -> pd.DataFrame:
    fits = pd.DataFrame([fit_filter(target, operator, method) for method in METHODS]).assign(method=METHODS)
    models = [draw_model(operator, *fit[:3], len(target)).ravel() for fit in fits[list(Fit._fields)].to_numpy()]
    cosine = np.abs(centre_and_normalise(np.stack(models)) @ unit)
    relative = fits["l2_error"] / np.linalg.norm(target)
    return fits.assign(operator=operator, relative=relative, cosine=cosine, best_cosine=best_cosine(unit, operator))


def summarise_scale_space(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """scale_space_summary.csv: best cosines in `scale_space_table` and of Gaussian noise, per size."""
    filters = table.drop_duplicates("filter")
    published = filters["filter"].str.isdigit()
    parts = [(size_name(7), "published", filters.loc[published, "best_cosine"])]
    parts += [(size, "prototypes", part["best_cosine"]) for size, part in filters[~published].groupby("size")]
    for size in filters["size"].unique():
        side = int(size.split("x")[0])
        noise = centre_and_normalise(draw_noise(NOISE, side, seed))
        parts.append((size, "noise", pd.Series([best_cosine(kernel, choose_operator(kernel)) for kernel in noise])))
    rows = [
        {
            "size": size,
            "source": source,
            "filters": len(best),
            "best_cosine_median": best.median(),
            "best_cosine_low": best.min(),
            "best_cosine_high": best.max(),
        }
        for size, source, best in parts
    ]
    return in_order(pd.DataFrame(rows), "scale_space_summary.csv")
