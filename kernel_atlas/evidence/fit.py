"""Fit each family of `families` to kernels by the absolute cosine, in batches of thousands.

Levenberg-Marquardt (Marquardt 1963) starts from the best templates of a grid. The amplitude is eliminated by variable
projection (Golub & Pereyra 1973, with the Jacobian of Kaufman 1975).
"""

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.evidence.families import (
    FAMILIES,
    LOGARITHMIC,
    OWN,
    SIGMAS,
    Family,
    Partials,
    bounds,
    coordinates,
    evaluate,
    template_grid,
)

STARTS = 3  # templates that start each fit
ROUND = 6  # steps between compactions, which drop finished kernels and refill the chunks
STEPS = 48  # limit; 1.3 % of centres and 0.2 to 0.4 % of other fits to real 7x7 kernels would go on
GAIN = 3e-6  # of cos^2; a smaller gain ends the fit
TWINS = 0.03  # starts of a kernel with parameters closer than this share an optimum: one goes on
DAMPING = 3e-2, 1e-3, 1e4  # initial, minimum, and the limit at which a fit stops
FLAT = 1e-3  # floor of the metric: insensitive parameters (the angle of a round pattern) must not diverge
CONSTANT = 1e-6  # minimum share of a formula's power in its centred taps; below it the pattern is constant
HOLD = 1e6  # damping of a held parameter
CHUNK = {"cpu": 2048, "cuda": 131072}  # kernels of a batch: its arrays fit the CPU's cache, or fill the GPU
PART = {"cpu": 4096, "cuda": 2_000_000}  # kernels of a thread's job


class State(NamedTuple):
    """The state of the fits of n kernels."""

    parameters: Tensor  # [n, parameters]
    square: Tensor  # cos^2, [n]
    cosine: Tensor  # signed as the best amplitude, [n]
    gradient: Tensor  # of log |cos| by the free parameters, [n, free]
    metric: Tensor  # Gauss-Newton matrix of the unit pattern, [n, free, free]


def _look(family: Family, kernels: Tensor, parameters: Tensor, free: list[int], x: Tensor, y: Tensor) -> State:
    """The state at a set of parameters, from one Gram matrix per kernel.

    Given unit kernel k, centred formula f, amplitude a = <f, k> / <f, f> and centred derivatives D, the residual
    k - a f has the square 1 - cos^2 and the Jacobian -a P D, P the projection orthogonal to f (Kaufman 1975). Division
    by cos^2 gives the gradient <D, k> / <f, k> - <D, f> / <f, f> and the metric <P D, P D> / <f, f>.
    """
    value, partials = evaluate(family, parameters, x, y)
    rows = torch.stack([*(partials[p] for p in free), value, kernels], 1)
    rows -= rows.mean(2, keepdim=True)  # first: products cancel a small pattern on a large constant
    products = torch.bmm(rows, rows.transpose(1, 2))
    f = len(free)
    power, overlap = products[:, f, f], products[:, f, f + 1]
    # a formula that is constant up to rounding scores 0, so that no step is accepted there
    overlap = torch.where(power > CONSTANT * (value**2).sum(1), overlap, 0.0)
    power = power.clamp_min(1e-12)
    with_value = products[:, :f, f] / power[:, None]
    gradient = products[:, :f, f + 1] / torch.where(overlap == 0, 1e-12, overlap)[:, None] - with_value
    off = products[:, :f, f, None]
    metric = torch.baddbmm(products[:, :f, :f], off, with_value[:, None, :], alpha=-1) / power[:, None, None]
    cosine = overlap * power.rsqrt()
    return State(parameters, cosine**2, cosine, gradient, metric)


def _climb(family: Family, kernels: Tensor, parameters: Tensor, damping: Tensor, low: Tensor, high: Tensor) -> Partials:
    """`ROUND` steps with a damping per kernel: parameters, cosine, damping and done.

    The symmetric rank-one update (Nocedal & Wright 2006, section 6.2) learns the curvature that the metric lacks where
    residuals are large. It nearly halves the number of steps.
    """
    x, y = coordinates(round(kernels.shape[1] ** 0.5), kernels)
    free = torch.nonzero(low < high).flatten().tolist()
    low_free, high_free = low[free], high[free]
    state = _look(family, kernels, parameters, free, x, y)
    missed = torch.zeros_like(state.metric)
    done = torch.zeros(len(kernels), dtype=torch.bool, device=kernels.device)
    _, least, most = DAMPING
    for _ in range(ROUND):
        # the damped step; hold a parameter at a bound while the gradient points beyond
        here = state.parameters[:, free]
        held = ((here <= low_free) & (state.gradient < 0)) | ((here >= high_free) & (state.gradient > 0))
        system = state.metric + missed
        scale = state.metric.diagonal(dim1=1, dim2=2).clamp_min(FLAT)
        system.diagonal(dim1=1, dim2=2).add_(damping[:, None] * scale + held * HOLD)
        step = torch.linalg.solve_ex(system, state.gradient[:, :, None])[0][:, :, 0].nan_to_num_(0, 0, 0)
        there = state.parameters.clone()
        there[:, free] = torch.clamp(here + step, low_free, high_free)
        step = there[:, free] - here
        # accept gains; a fit ends with a small gain or at the largest damping
        trial = _look(family, kernels, there, free, x, y)
        gain = trial.square - state.square
        better = (gain > 0) & ~done
        done |= (better & (gain < GAIN) & (damping < 1)) | (~better & (damping >= most))
        turned = state.gradient - trial.gradient
        state = State(*(_choose(better, new, old) for new, old in zip(trial, state, strict=True)))
        # rank-one update, skipped where its denominator is small
        error = turned - torch.bmm(state.metric + missed, step[:, :, None])[:, :, 0]
        along = (error * step).sum(1)
        safe = along.abs() > 1e-3 * error.norm(dim=1) * step.norm(dim=1)
        weight = torch.where(safe, 1 / along, 0.0)
        missed = torch.baddbmm(missed, (error * weight[:, None])[:, :, None], error[:, None, :])
        damping = torch.where(better, damping / 5, damping * 4).clamp(least, most)
    return state.parameters, state.cosine, damping, done


def _choose(which: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(which.view(-1, *[1] * (new.dim() - 1)), new, old)


def fit_family(
    kernels: Tensor, family: Family, fixed: dict[str, float] | None = None, starts: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Fit one family to kernels from several starts; keep the best optimum.

    Parameters
    ----------
    kernels : float tensor [n, taps]
        Centred unit kernels, on the device to compute on.
    family : Family
    fixed : dict, optional
        Own parameter -> its constant value.
    starts : tensor [n, starts, parameters], optional
        By default `best_templates`.

    Returns
    -------
    parameters : tensor [n, parameters]
        As `evaluate` takes them.
    cosine : tensor [n]
        Signed as the amplitude.
    """
    side = round(kernels.shape[1] ** 0.5)
    for name, value in (fixed or {}).items():
        family = family._replace(shape=family.shape | {name: (value, value, (value,))})
    low, high = (torch.tensor(bound, dtype=kernels.dtype, device=kernels.device) for bound in bounds(family, side))
    starts = best_templates(kernels, family) if starts is None else starts
    tries = starts.shape[1]
    # a row per start; rounds of steps for the rows that are neither done nor twins
    kernels = kernels.repeat_interleave(tries, 0)
    parameters = starts.flatten(0, 1).clone()
    cosine, damping = torch.zeros_like(kernels[:, 0]), torch.full_like(kernels[:, 0], DAMPING[0])
    going = torch.ones_like(cosine, dtype=torch.bool)
    todo = torch.arange(len(kernels), device=kernels.device)
    for _ in range(STEPS // ROUND):
        moved = _climb_chunks(family, kernels[todo], parameters[todo], damping[todo], low, high)
        parameters[todo], cosine[todo], damping[todo], done = moved
        going[todo] = ~done
        going &= ~_is_twin(parameters.view(-1, tries, parameters.shape[1]), cosine.view(-1, tries)).flatten()
        todo = torch.nonzero(going).flatten()
        if len(todo) == 0:
            break
    # the best start of each kernel
    best = cosine.abs().view(-1, tries).argmax(1) + torch.arange(0, len(kernels), tries, device=kernels.device)
    return parameters[best], cosine[best]


def _is_twin(parameters: Tensor, cosine: Tensor) -> Tensor:
    """Starts that have converged to an earlier start of the same kernel: bool [n, starts].

    Parameters
    ----------
    parameters : tensor [n, starts, parameters]
    cosine : tensor [n, starts]
    """
    near = (parameters[:, :, None] - parameters[:, None]).abs().amax(3) < TWINS
    near &= (cosine[:, :, None] - cosine[:, None]).abs() < TWINS / 30
    return near.tril(-1).any(2)


def _climb_chunks(family: Family, kernels: Tensor, parameters: Tensor, damping: Tensor, *bound: Tensor) -> Partials:
    """`_climb`, chunk by chunk."""
    size = CHUNK[kernels.device.type]
    parts = zip(kernels.split(size), parameters.split(size), damping.split(size), strict=True)
    moved = [_climb(family, *part, *bound) for part in parts]
    return tuple(torch.cat(column) for column in zip(*moved, strict=True))


def best_templates(kernels: Tensor, family: Family) -> Tensor:
    """The templates with the greatest absolute cosine to each kernel, one for each of the best `STARTS` sigmas.

    Returns
    -------
    tensor [n, `STARTS`, parameters]
    """
    side = round(kernels.shape[1] ** 0.5)
    grid = torch.from_numpy(template_grid(family, side)).to(kernels)
    templates = evaluate(family, grid, *coordinates(side, kernels))[0]
    templates = templates - templates.mean(1, keepdim=True)
    templates = (templates / templates.norm(dim=1, keepdim=True)).T.contiguous()
    per_sigma = len(grid) // SIGMAS
    best = []
    for part in kernels.split(CHUNK[kernels.device.type] // 4):  # the cosines of a full chunk take gigabytes
        cosine, place = (part @ templates).abs_().view(-1, SIGMAS, per_sigma).max(2)
        sigma = cosine.topk(STARTS, 1)[1]
        best.append(grid[sigma * per_sigma + place.gather(1, sigma)])
    return torch.cat(best)


def fit_kernels(kernels: np.ndarray, device: str = "cpu") -> pd.DataFrame:
    """Fit all families to kernels and name the best fit.

    Parameters
    ----------
    kernels : float32 array [n, taps]
        Centred unit kernels.
    device : str
        `cpu` or `cuda`.

    Returns
    -------
    DataFrame
        With the columns family to cosine_cross of `evidence/fits.csv` in schemas/tables.yaml. The angle is in [0, 360)
        for a first derivative, [0, 90) for a cross, else [0, 180). Parameters that a family lacks are NaN.
    """
    fits, signed = _fit_all(kernels, device)
    best = np.abs(signed).argmax(axis=0)
    tables = [
        describe_fits(name, fits[row][best == row], signed[row][best == row]).set_index(np.flatnonzero(best == row))
        for row, name in enumerate(FAMILIES)
    ]
    table = pd.concat(tables).sort_index()
    for row, name in enumerate(FAMILIES):
        table[f"cosine_{name}"] = np.abs(signed[row])
    return table


def draw_fits(kernels: np.ndarray) -> np.ndarray:
    """The best fit of `fit_kernels` to each kernel, as taps.

    Parameters
    ----------
    kernels : float32 array [n, taps]
        Centred unit kernels.

    Returns
    -------
    float32 array [n, taps]
        Centred unit kernels.
    """
    fits, signed = _fit_all(kernels, "cpu")
    best, drawn = np.abs(signed).argmax(axis=0), np.zeros(kernels.shape, np.float32)
    axes = coordinates(round(kernels.shape[1] ** 0.5), torch.zeros(0).double())
    for row, family in enumerate(FAMILIES.values()):
        taps = evaluate(family, torch.from_numpy(fits[row][best == row]), *axes)[0].numpy()
        drawn[best == row] = centre_and_normalise(np.sign(signed[row][best == row])[:, None] * taps)
    return drawn


def _fit_all(units: np.ndarray, device: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Parameters [n, parameters] of each family, and signed cosines [families, n], of unit kernels [n, taps].

    CPU threads fit separate parts of the kernels. Threads inside an operation would gain little, as operations are
    short, and would wait for each other on shared cores.
    """
    torch.set_float32_matmul_precision("highest")  # TF32 is too coarse for differences of scalar products
    kernels = torch.from_numpy(np.ascontiguousarray(units, np.float32)).to(device)
    parts = kernels.split(PART[kernels.device.type])
    jobs = list(itertools.product(FAMILIES.values(), parts))
    if kernels.device.type == "cpu":
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                done = list(pool.map(lambda job: fit_family(job[1], job[0]), jobs))
        finally:
            torch.set_num_threads(threads)
    else:
        done = [fit_family(part, family) for family, part in jobs]
    parameters, cosines = zip(*done, strict=True)
    parameters = [one.cpu().numpy().astype(np.float64) for one in parameters]
    per = len(parts)
    return (
        [np.concatenate(parameters[low : low + per]) for low in range(0, len(jobs), per)],
        torch.cat(cosines).cpu().numpy().reshape(len(FAMILIES), len(kernels)),
    )


def describe_fits(name: str, parameters: np.ndarray, cosine: np.ndarray) -> pd.DataFrame:
    """Fits of one family with the columns of `fit_kernels`, in a canonical form of equivalent parameters."""
    family = FAMILIES[name]
    x, y, angle, sigma, *shape = parameters.T
    own = {key: np.exp(value) if key in LOGARITHMIC else value for key, value in zip(family.shape, shape, strict=True)}
    aspect, degrees, sign = own.pop("aspect"), np.degrees(angle), np.where(cosine < 0, -1, 1)
    if name == "first_derivative":
        degrees = (degrees + np.where(sign < 0, 180, 0)) % 360
    elif name == "centre":
        degrees = (degrees + np.where(aspect > 1, 90, 0)) % 180
        aspect = np.maximum(aspect, 1 / aspect)
    else:
        degrees %= 90 if name == "cross" else 180
    labels = [family.name(int(one), turn) for one, turn in zip(sign, degrees, strict=True)]
    where = {"x": x, "y": y, "sigma": np.exp(sigma), "aspect": aspect, "angle": degrees}
    missing = dict.fromkeys(OWN, np.nan)
    return pd.DataFrame({"family": name, "label": labels, "cosine": np.abs(cosine)} | where | missing | own)
