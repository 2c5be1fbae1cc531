"""The pattern of each family of `families` that is most like a kernel.

Its parameters are moved until the cosine to the kernel is greatest: from the best few of a grid of templates by the
method of Levenberg and Marquardt (1963), for thousands of kernels at a time. The amplitude is no parameter: for each
formula the best one is known (variable projection, Golub & Pereyra 1973, with the Jacobian of Kaufman 1975).
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

STARTS = 3  # templates of the grid that a fit starts from
ROUND = 6  # steps before the kernels that are done are put aside and the others gathered in full chunks
STEPS = 48  # at most; of real 7x7 kernels 1.3 % of the centres and 0.2 to 0.4 % of the others want more
GAIN = 3e-6  # of cos^2, below which a step ends the fit
TWINS = 0.03  # two starts of a kernel whose parameters differ by less climb the same hill: one goes on
DAMPING = 3e-2, 1e-3, 1e4  # first, least, and that at which a fit is stuck and ends
FLAT = 1e-3  # least metric: a parameter that hardly moves the pattern (the angle of a round one) must not run away
CONSTANT = 1e-6  # share of a formula's power that its centred taps must have
HOLD = 1e6  # damping of a parameter that is held
CHUNK = {"cpu": 2048, "cuda": 131072}  # kernels at a time: the taps of one array stay in the cache; a GPU wants many
PART = {"cpu": 4096, "cuda": 2_000_000}  # kernels that a thread fits before it takes others


class State(NamedTuple):
    """Where the fits of n kernels stand: what a step needs."""

    parameters: Tensor  # [n, parameters]
    square: Tensor  # cos^2, [n]
    cosine: Tensor  # with the sign of the best amplitude, [n]
    gradient: Tensor  # of log |cos| by the free parameters, [n, free]
    metric: Tensor  # how far the unit pattern moves with them, squared, [n, free, free]


def _look(family: Family, kernels: Tensor, parameters: Tensor, free: list[int], x: Tensor, y: Tensor) -> State:
    """All that a step needs to know of a set of parameters, from one matrix of scalar products for each kernel.

    With unit kernel k, centred formula f, amplitude a = <f, k> / <f, f> and centred derivatives D, the squared residual
    of k - a f is 1 - cos^2, and its Jacobian -a P D, P the projection off f (Kaufman 1975). Divided by cos^2 these
    give the gradient <D, k> / <f, k> - <D, f> / <f, f> and the metric <P D, P D> / <f, f>.
    """
    value, partials = evaluate(family, parameters, x, y)
    rows = torch.stack([*(partials[p] for p in free), value, kernels], 1)
    rows -= rows.mean(2, keepdim=True)  # before the products, which would lose a small pattern on a large constant
    products = torch.bmm(rows, rows.transpose(1, 2))
    f = len(free)
    power, overlap = products[:, f, f], products[:, f, f + 1]
    # a constant but for rounding is no pattern: its cosine is 0, and no step leads to it
    overlap = torch.where(power > CONSTANT * (value**2).sum(1), overlap, 0.0)
    power = power.clamp_min(1e-12)
    with_value = products[:, :f, f] / power[:, None]
    gradient = products[:, :f, f + 1] / torch.where(overlap == 0, 1e-12, overlap)[:, None] - with_value
    off = products[:, :f, f, None]
    metric = torch.baddbmm(products[:, :f, :f], off, with_value[:, None, :], alpha=-1) / power[:, None, None]
    cosine = overlap * power.rsqrt()
    return State(parameters, cosine**2, cosine, gradient, metric)


def _climb(family: Family, kernels: Tensor, parameters: Tensor, damping: Tensor, low: Tensor, high: Tensor) -> Partials:
    """`ROUND` steps, each kernel with its own damping: parameters, cosine, damping, and which fits are done.

    A parameter at a bound that the gradient points beyond is held for the step. The residuals are large, so that the
    metric alone is a poor curvature: what it misses is learnt from the change of the gradient by the symmetric
    rank-one update (Nocedal & Wright 2006, section 6.2), which nearly halves the steps.
    """
    x, y = coordinates(round(kernels.shape[1] ** 0.5), kernels)
    free = torch.nonzero(low < high).flatten().tolist()
    low_free, high_free = low[free], high[free]
    state = _look(family, kernels, parameters, free, x, y)
    missed = torch.zeros_like(state.metric)
    done = torch.zeros(len(kernels), dtype=torch.bool, device=kernels.device)
    _, least, most = DAMPING
    for _ in range(ROUND):
        here = state.parameters[:, free]
        held = ((here <= low_free) & (state.gradient < 0)) | ((here >= high_free) & (state.gradient > 0))
        system = state.metric + missed
        scale = state.metric.diagonal(dim1=1, dim2=2).clamp_min(FLAT)
        system.diagonal(dim1=1, dim2=2).add_(damping[:, None] * scale + held * HOLD)
        step = torch.linalg.solve_ex(system, state.gradient[:, :, None])[0][:, :, 0].nan_to_num_(0, 0, 0)
        there = state.parameters.clone()
        there[:, free] = torch.clamp(here + step, low_free, high_free)
        step = there[:, free] - here
        trial = _look(family, kernels, there, free, x, y)
        gain = trial.square - state.square
        better = (gain > 0) & ~done
        done |= (better & (gain < GAIN) & (damping < 1)) | (~better & (damping >= most))
        turned = state.gradient - trial.gradient
        state = State(*(_choose(better, new, old) for new, old in zip(trial, state, strict=True)))
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
    """Fit one family to kernels: from each of a few starts, of which the best end counts.

    Parameters
    ----------
    kernels : float tensor [n, taps]
        Centred unit kernels, on the device to compute on.
    family : Family
    fixed : dict, optional
        Own parameters that are held at a value.
    starts : tensor [n, starts, parameters], optional
        By default those of `best_templates`.

    Returns
    -------
    parameters : tensor [n, parameters]
        As `evaluate` takes them.
    cosine : tensor [n]
        With the sign of the amplitude.
    """
    side = round(kernels.shape[1] ** 0.5)
    for name, value in (fixed or {}).items():
        family = family._replace(shape=family.shape | {name: (value, value, (value,))})
    low, high = (torch.tensor(bound, dtype=kernels.dtype, device=kernels.device) for bound in bounds(family, side))
    starts = best_templates(kernels, family) if starts is None else starts
    tries = starts.shape[1]
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
    best = cosine.abs().view(-1, tries).argmax(1) + torch.arange(0, len(kernels), tries, device=kernels.device)
    return parameters[best], cosine[best]


def _is_twin(parameters: Tensor, cosine: Tensor) -> Tensor:
    """Which of the starts of each kernel have come to where an earlier one is, bool [n, starts].

    Parameters
    ----------
    parameters : tensor [n, starts, parameters]
    cosine : tensor [n, starts]
    """
    near = (parameters[:, :, None] - parameters[:, None]).abs().amax(3) < TWINS
    near &= (cosine[:, :, None] - cosine[:, None]).abs() < TWINS / 30
    return near.tril(-1).any(2)


def _climb_chunks(family: Family, kernels: Tensor, parameters: Tensor, damping: Tensor, *bound: Tensor) -> Partials:
    """Parameters, cosine, damping and done after a round of steps."""
    size = CHUNK[kernels.device.type]
    parts = zip(kernels.split(size), parameters.split(size), damping.split(size), strict=True)
    moved = [_climb(family, *part, *bound) for part in parts]
    return tuple(torch.cat(column) for column in zip(*moved, strict=True))


def best_templates(kernels: Tensor, family: Family) -> Tensor:
    """The templates of the grid most like each kernel, but for the sign, the best of each of the best few sigmas.

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
    for part in kernels.split(CHUNK[kernels.device.type] // 4):  # or else the cosines to all templates are gigabytes
        cosine, place = (part @ templates).abs_().view(-1, SIGMAS, per_sigma).max(2)
        sigma = cosine.topk(STARTS, 1)[1]
        best.append(grid[sigma * per_sigma + place.gather(1, sigma)])
    return torch.cat(best)


def fit_kernels(kernels: np.ndarray, device: str = "cpu") -> pd.DataFrame:
    """Fit all families to kernels and name the best.

    Parameters
    ----------
    kernels : float32 array [n, taps]
        Centred unit kernels.
    device : str
        `cpu` or `cuda`.

    Returns
    -------
    DataFrame
        family, label (as `patterns` names them), cosine; x, y and sigma in taps, sigma the geometric mean of both axes
        and for a cross the width of its bars; aspect (length across the angle by that along it, at least 1 for a
        centre); angle in degrees, counter-clockwise from x: of a first derivative the way to its bright side (0 to
        360), of a second the axis of the derivative, of a centre its long axis (0 to 180), of a cross one of its bars
        (0 to 90); ratio, elongation, centre_weight, NaN where the family has none; `cosine_FAMILY` of each.
    """
    fits, signed = _fit_all(torch.from_numpy(np.ascontiguousarray(kernels, np.float32)).to(device))
    best = np.abs(signed).argmax(axis=0)
    tables = [
        describe_fits(name, fits[row][best == row], signed[row][best == row]).set_index(np.flatnonzero(best == row))
        for row, name in enumerate(FAMILIES)
    ]
    table = pd.concat(tables).sort_index()
    for row, name in enumerate(FAMILIES):
        table[f"cosine_{name}"] = np.abs(signed[row])
    return table


def draw_fits(kernels: np.ndarray, device: str = "cpu") -> np.ndarray:
    """What the best family of `fit_kernels` draws of each kernel.

    Parameters
    ----------
    kernels : float32 array [n, taps]
        Centred unit kernels.
    device : str

    Returns
    -------
    float32 array [n, taps]
        Centred unit kernels.
    """
    fits, signed = _fit_all(torch.from_numpy(np.ascontiguousarray(kernels, np.float32)).to(device))
    best, drawn = np.abs(signed).argmax(axis=0), np.zeros(kernels.shape, np.float32)
    axes = coordinates(round(kernels.shape[1] ** 0.5), torch.zeros(0).double())
    for row, family in enumerate(FAMILIES.values()):
        taps = evaluate(family, torch.from_numpy(fits[row][best == row]), *axes)[0].numpy()
        drawn[best == row] = centre_and_normalise(np.sign(signed[row][best == row])[:, None] * taps)
    return drawn


def _fit_all(kernels: Tensor) -> tuple[list[np.ndarray], np.ndarray]:
    """Parameters [n, parameters] of each family, and cosines [families, n] with their sign.

    On a CPU the threads share out parts of the kernels: the operations on one part are too short to be shared, and
    where others use the cores, threads would wait for each other at the end of each.
    """
    torch.set_float32_matmul_precision("highest")  # TF32 is too coarse for differences of scalar products
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
    """Fits of one family as `fit_kernels` returns them; of parameters that draw the same pattern, one set."""
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
