"""How much is a kernel like a difference of Gaussians? Its best cosine to continuous families of patterns.

A family is a formula F(u, v) of coordinates that are shifted, turned and scaled,

    u = (cos t (x - x0) + sin t (y - y0)) / sigma_u,    sigma_u = sigma / sqrt(aspect),
    v = (cos t (y - y0) - sin t (x - x0)) / sigma_v,    sigma_v = sigma * sqrt(aspect),

with x to the right and y up, in taps from the middle of the kernel. It is sampled at the taps, centred and normalised
like every kernel, and its parameters are moved until the cosine to the kernel is greatest: from the best few of a grid
of templates by the method of Levenberg and Marquardt (1963), for thousands of kernels at a time. The amplitude
is no parameter: for each F the best one is known (variable projection, Golub & Pereyra 1973, with the Jacobian of
Kaufman 1975). More parameters fit more, so a kernel counts as explained only where its cosine is above that of 99 % of
Gaussian-noise kernels fitted in the same way.
"""

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from torch import Tensor

from kernel_atlas.evidence.controls import MADE, make_control
from kernel_atlas.evidence.picked import SUBJECTS
from kernel_atlas.kernels import centre_and_normalise, size_name, taps_array
from kernel_atlas.patterns import COMPASS
from kernel_atlas.statistics import bootstrap_share

NOISE_QUANTILE = 0.99  # of the best cosines of Gaussian noise, above which a kernel is explained
SIGMAS, STARTS = 6, 3  # of the grid of templates, and from how many of them a fit starts
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

AXES = ("EW", "NE-SW", "NS", "NW-SE")  # each 45 degrees further
DEPTH_BINS = 5  # equal parts of the depth 0..1
BINS = 24  # of 15 degrees
COSINE_BINS = 50
TURN = {"first_derivative": 360, "second_derivative": 180}  # degrees after which a direction comes again

Partials = tuple[Tensor, ...]


class Family(NamedTuple):
    """A formula, what its own parameters may be, where the fit starts, and how its fits are named.

    `formula(u, v, *shape)` returns F, dF/du, dF/dv and dF/dp for each own parameter p, tensors [n, taps]; shape are
    tensors [n, 1]. `shape` has the name, the bounds and the starts of aspect and of each own parameter; those in
    `LOGARITHMIC` are fitted as their logarithm. `turns` are the starts of the angle in degrees: those that differ by
    more than a sign. `smallest` is the least sigma in taps. `reach` is how far from the middle of the kernel the
    pattern's may be, as a share of the way to the outermost taps. `name(sign, degrees)` is the label.
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
    """First derivative of a Gaussian along u but for the sign, `u G` (Koenderink 1984): bright where u > 0."""
    square = u * u
    gaussian = torch.exp((square + v * v) / -2)
    value = u * gaussian
    return value, gaussian * (1 - square), -v * value


def second_derivative(u: Tensor, v: Tensor) -> Partials:
    """Second derivative of a Gaussian along u but for the sign, `(1 - u^2) G` (Koenderink 1984): a bright ridge."""
    square = u * u
    gaussian = torch.exp((square + v * v) / -2)
    value = (1 - square) * gaussian
    return value, u * (square - 3) * gaussian, -v * value


def cross(u: Tensor, v: Tensor, log_elongation: Tensor, weight: Tensor) -> Partials:
    """Two elongated Gaussians at right angles and, where they meet, a round one with a weight of any sign.

    Babaiee et al. (2024) name the sum of the two, weight 0, and note that the centre of the learned cross differs. With
    -1 the place where they meet is as bright as the bars.
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


# Bounds keep the families apart. A Gaussian with a sigma below half a tap falls between taps: place, angle and scale
# make up for each other, and one lobe of a derivative is any spot. A pattern whose middle is near the edge is cut to a
# part that other families have too, but for a spot, which may be anywhere. From an aspect of 1.5 to 2 on, a difference
# of Gaussians is more like a second derivative than like a round one (at 7x7, by this very fit). A ratio of 1.1 is the
# Laplacian of a Gaussian to 1e-5 of the cosine, and 4 leaves a flat surround. A cross with arms shorter than 3 widths,
# or a centre weight above 0.5, is a centre to 0.98 or more.
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
OWN = ("ratio", "elongation", "centre_weight")  # parameters that only some families have


def coordinates(side: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """x and y of the taps, [taps] each."""
    x, y = np.meshgrid(np.arange(side) - (side - 1) / 2, (side - 1) / 2 - np.arange(side))
    return tuple(torch.from_numpy(axis.reshape(-1)).to(like) for axis in (x, y))


def _inside(name: str, value: float) -> float:
    """A parameter as it is fitted."""
    return float(np.log(value)) if name in LOGARITHMIC else value


def bounds(family: Family, side: int) -> tuple[list[float], list[float]]:
    """The least and the greatest of each parameter of a family."""
    reach = family.reach * (side - 1) / 2
    # a sigma of more than half the kernel draws the same taps as that, to 0.02 of the cosine
    low = [-reach, -reach, -np.inf, np.log(family.smallest)]
    high = [reach, reach, np.inf, np.log(side / 2)]
    for name, (least, greatest, _) in family.shape.items():
        low.append(_inside(name, least))
        high.append(_inside(name, greatest))
    return low, high


def _grid(family: Family, side: int) -> np.ndarray:
    """The parameters of the grid of templates, sigma after sigma, float64 [templates, parameters]."""
    reach = family.reach * (side - 1) / 2
    steps = np.linspace(-reach, reach, 2 * int(np.ceil(reach)) + 1)  # a tap or less apart
    sigmas = np.log(np.geomspace(family.smallest, max(1.0, side / 3), SIGMAS))
    shapes = ([_inside(name, start) for start in starts] for name, (_, _, starts) in family.shape.items())
    turns = np.radians(family.turns)
    return np.array(
        [(*rest[:3], sigma, *rest[3:]) for sigma, *rest in itertools.product(sigmas, steps, steps, turns, *shapes)]
    )


def evaluate(family: Family, parameters: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The formula at the taps and its derivatives by all parameters, by the chain rule.

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
    grid = torch.from_numpy(_grid(family, side)).to(kernels)
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
        _describe(name, fits[row][best == row], signed[row][best == row]).set_index(np.flatnonzero(best == row))
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


def _describe(name: str, parameters: np.ndarray, cosine: np.ndarray) -> pd.DataFrame:
    """Fits of one family as `fit_kernels` returns them: of the parameters that draw the same pattern, one set."""
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


def tables_of(
    size: str, picked: pa.Table, kernels_per_control: int, seed: int, device: str = "cpu"
) -> dict[str, pd.DataFrame]:
    """All tables about the fits of one size.

    Parameters
    ----------
    size : str
        `7x7`.
    picked : pyarrow.Table
        From `pick_kernels`.
    kernels_per_control : int
        Real kernels that controls are made from, and Gaussian-noise kernels for the threshold.
    seed : int
    device : str

    Returns
    -------
    dict of DataFrame
        fits: one row a picked kernel. fit_explained, fit_labels: shares explained by family, of each subject and
        control, and of each label of the autoencoder. fit_cosines: their distribution. fit_scales: sigma by depth.
        fit_orientations, fit_cardinal: directions of the derivatives. fit_crosses: the formula of the cross.
    """
    side = int(size.split("x")[0])
    raw = taps_array(picked["weight"])
    about = picked.drop_columns(["weight"]).to_pandas()
    real = np.flatnonzero(about["subject"] == "real")
    random = np.random.default_rng([seed, side])
    drawn = np.sort(random.choice(real, min(kernels_per_control, len(real)), replace=False))
    noise = random.standard_normal((kernels_per_control, side * side), np.float32)

    everything = [about, *(about.iloc[drawn].assign(subject=name) for name in MADE)]
    taps = [raw, *(make_control(name, raw[drawn], seed) for name in MADE), noise]
    units = centre_and_normalise(np.concatenate(taps))
    fits = fit_kernels(units, device)
    threshold = fits["cosine"].iloc[-len(noise) :].quantile(NOISE_QUANTILE)
    fits = fits.iloc[: -len(noise)]
    fits["explained"] = fits["cosine"] > threshold
    about = pd.concat(everything, ignore_index=True).rename(columns={"label": "assigned"})
    table = pd.concat([about, fits], axis=1)
    real = table[table["subject"] == "real"]
    tables = {
        "fits": table[table["subject"].isin(SUBJECTS)].drop(columns=["code", "dissimilarity", "cluster", "stride"]),
        "fit_explained": _explained(table, "subject", [seed, side]).assign(threshold=threshold),
        "fit_labels": _explained(real, "assigned", [seed, side]),
        "fit_cosines": _cosines(table),
        "fit_scales": _scales(real),
        "fit_orientations": _orientations(real),
        "fit_cardinal": _cardinal(table, [seed, side]),
        "fit_crosses": _crosses(units, table, device),
    }
    for one in tables.values():
        one.insert(0, "size", size)
    return tables


def _explained(table: pd.DataFrame, by: str, seed: list[int]) -> pd.DataFrame:
    """Shares per value of a column and family: best in the family, and of those explained; intervals over models."""
    tables = []
    for value, part in table.groupby(by, sort=False):
        best = pd.get_dummies(part["family"]).reindex(columns=list(FAMILIES), fill_value=False).assign(all=True)
        explained = best & part["explained"].to_numpy()[:, None]
        per_model = explained.groupby(part["model"]).sum()
        low, high = bootstrap_share(per_model.to_numpy(), part.groupby("model").size().to_numpy(), seed)
        rows = pd.DataFrame({"kernels": best.sum(), "share": best.mean(), "explained_share": explained.mean()})
        rows["explained_low"], rows["explained_high"] = low, high
        cosine = {name: part["cosine"][best[name]].quantile([0.1, 0.5, 0.9]).to_numpy() for name in best}
        rows[["cosine_q10", "cosine_median", "cosine_q90"]] = np.stack([cosine[name] for name in rows.index])
        tables.append(rows.rename_axis("family").reset_index().assign(models=len(per_model), **{by: value}))
    names = [by, "family", "models", "kernels", "share", "explained_share", "explained_low", "explained_high"]
    names += ["cosine_q10", "cosine_median", "cosine_q90"]
    return pd.concat(tables, ignore_index=True)[names] if tables else pd.DataFrame(columns=names)


def _cosines(table: pd.DataFrame) -> pd.DataFrame:
    """The distribution of the best cosine of each subject."""
    edges = np.linspace(0, 1, COSINE_BINS + 1)
    rows = []
    for subject, part in table.groupby("subject", sort=False):
        counts = np.histogram(part["cosine"].clip(0, 1), edges)[0]
        rows.append(
            pd.DataFrame(
                {
                    "subject": subject,
                    "cosine_low": edges[:-1],
                    "cosine_high": edges[1:],
                    "kernels": counts,
                    "share": counts / len(part),
                }
            )
        )
    names = ["subject", "cosine_low", "cosine_high", "kernels", "share"]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=names)


def _scales(real: pd.DataFrame) -> pd.DataFrame:
    """Quantiles of sigma of the explained kernels by family and depth, and of derivatives the mean cos 4 angle."""
    quantiles = {"q10": 0.1, "q25": 0.25, "median": 0.5, "q75": 0.75, "q90": 0.9}
    kept = real[real["explained"]]
    step = np.minimum(kept["depth"] * DEPTH_BINS, DEPTH_BINS - 1).astype(int)
    rows = []
    for (family, one), part in kept.groupby([kept["family"], step]):
        cardinal = np.cos(4 * np.radians(part["angle"])).mean() if family in TURN else np.nan
        spread = part["sigma"].quantile([*quantiles.values()])
        rows.append((family, one / DEPTH_BINS, (one + 1) / DEPTH_BINS, len(part), *spread, cardinal))
    names = ["family", "depth_low", "depth_high", "kernels", *(f"sigma_{name}" for name in quantiles), "cardinal"]
    return pd.DataFrame(rows, columns=names)


def _orientations(real: pd.DataFrame) -> pd.DataFrame:
    """Histograms of the angle of the explained derivatives; the first bin is centred on 0, east."""
    tables = []
    for family, turn in TURN.items():
        angles = real["angle"][real["explained"] & (real["family"] == family)]
        width = 360 / BINS
        counts = np.bincount(((angles + width / 2) % turn // width).astype(int), minlength=int(turn / width))
        middle = np.arange(len(counts)) * width
        rows = {"family": family, "angle_low": middle - width / 2, "angle_high": middle + width / 2, "kernels": counts}
        tables.append(pd.DataFrame(rows).assign(share=counts / max(1, counts.sum())))
    return pd.concat(tables, ignore_index=True)


def _cardinal(table: pd.DataFrame, seed: list[int]) -> pd.DataFrame:
    """How much derivatives prefer the directions of the grid: mean cos 4 angle; 1 all along it, -1 all diagonal.

    Of the kernels that are explained and of all that are best in the family, as controls have few of the former: taps
    on a square grid may favour directions by themselves.
    """
    rows = []
    for (subject, family), part in table.groupby(["subject", "family"], sort=False):
        for kernels, kept in (("explained", part[part["explained"]]), ("all", part)):
            if family in TURN and len(kept):
                along = np.cos(4 * np.radians(kept["angle"])).groupby(kept["model"]).agg(["sum", "size"])
                low, high = bootstrap_share(*along.to_numpy().T, seed)
                mean = along["sum"].sum() / along["size"].sum()
                rows.append((subject, family, kernels, len(along), len(kept), mean, float(low), float(high)))
    names = ["subject", "family", "which", "models", "kernels", "cardinal", "cardinal_low", "cardinal_high"]
    return pd.DataFrame(rows, columns=names)


def _crosses(units: np.ndarray, table: pd.DataFrame, device: str) -> pd.DataFrame:
    """The formula of the cross and its error on explained real crosses, with a free and with a fixed centre weight.

    `best_share` is the share of them that no other family fits better, `at_bounds` that of fits with sigma, elongation
    or weight at a bound, where medians say where the bounds are.
    """
    chosen = np.flatnonzero((table["subject"] == "real") & table["explained"] & (table["family"] == "cross"))
    kernels = torch.from_numpy(units[chosen]).to(device)
    columns = ["sigma", "elongation", "centre_weight", "error"]
    names = [f"{one}_{quantile}" for one in columns for quantile in ("q10", "median", "q90")]
    names = ["weight", "kernels", *names, "best_share", "at_bounds"]
    if len(chosen) == 0:
        return pd.DataFrame(columns=names)
    others = table.iloc[chosen][[f"cosine_{name}" for name in FAMILIES if name != "cross"]].max(axis=1)
    rows, edges = [], np.array(bounds(FAMILIES["cross"], round(units.shape[1] ** 0.5)))
    own = [3, 5, 6]  # log sigma, log elongation, weight
    for weight, fixed in (("free", None), ("0", {"centre_weight": 0.0}), ("-1", {"centre_weight": -1.0})):
        parameters, cosine = (one.cpu().numpy() for one in fit_family(kernels, FAMILIES["cross"], fixed))
        fit = _describe("cross", parameters.astype(np.float64), cosine).assign(error=1 - np.abs(cosine))
        quantiles = fit[columns].quantile([0.1, 0.5, 0.9]).to_numpy().T.reshape(-1)
        at_bounds = (np.abs(parameters[:, own, None] - edges.T[own]) < 1e-3).any(axis=(1, 2)).mean()
        rows.append((weight, len(fit), *quantiles, (fit["cosine"].to_numpy() > others).mean(), at_bounds))
    return pd.DataFrame(rows, columns=names)


# What synthetic kernels are drawn from, evenly: well inside the bounds, and where the families differ at 7x7.
SYNTHETIC = {
    "centre": {"sigma": (0.8, 1.6), "aspect": (1.0, 1.2), "ratio": (1.3, 3.0)},
    "first_derivative": {"sigma": (0.8, 1.6), "aspect": (0.8, 1.7)},
    "second_derivative": {"sigma": (0.8, 1.6), "aspect": (1.0, 2.0)},
    "cross": {"sigma": (0.6, 1.1), "aspect": (1.0, 1.0), "elongation": (3.0, 5.0), "centre_weight": (-1.5, 0.5)},
}
OFF = 0.5  # taps at most from the middle
NEAR = 5  # degrees from where the name of a direction changes


def synthetic_kernels(side: int, per_family: int, snr_db: float, seed: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Kernels of known parameters with noise.

    Parameters
    ----------
    side, per_family : int
    snr_db : float
        Power of the pattern over that of the Gaussian noise, both summed over the taps, in decibels.
    seed : int

    Returns
    -------
    kernels : float32 array [families * per_family, taps]
        Centred unit kernels.
    truth : DataFrame
        The columns of `fit_kernels` without the cosines.
    """
    random = np.random.default_rng([seed, side])
    kernels, truth = [], []
    for name, family in FAMILIES.items():
        place = random.uniform(-OFF, OFF, (2, per_family))
        angle = random.uniform(0, 2 * np.pi, per_family)
        sign = random.choice([-1, 1], per_family)
        own = {key: random.uniform(*SYNTHETIC[name][key], per_family) for key in ("sigma", *family.shape)}
        fitted = [np.log(own[key]) if key in LOGARITHMIC | {"sigma"} else own[key] for key in own]
        parameters = np.stack([*place, angle, *fitted], axis=1)
        taps = evaluate(family, torch.from_numpy(parameters), *coordinates(side, torch.zeros(0).double()))[0].numpy()
        kernels.append(centre_and_normalise(sign[:, None] * taps))
        truth.append(_describe(name, parameters, sign).drop(columns="cosine"))
    clean = np.concatenate(kernels)
    noise = random.standard_normal(clean.shape) * np.sqrt(10 ** (-snr_db / 10) / clean.shape[1])
    return centre_and_normalise(clean + noise), pd.concat(truth, ignore_index=True)


def synthetic_truth(side: int, per_family: int, snr_db: float, seed: int, device: str = "cpu") -> pd.DataFrame:
    """Whether fits find what synthetic kernels were drawn from: `synthetic_kernels`, fitted.

    Returns
    -------
    DataFrame
        size, snr_db, and each column of `fit_kernels` with the true one beside it as `true_COLUMN`; radius, where a
        centre crosses zero, in taps, since sigma and ratio make up for each other; between_names, where the true
        direction is within `NEAR` degrees of where its name changes.
    """
    kernels, truth = synthetic_kernels(side, per_family, snr_db, seed)
    fits = fit_kernels(kernels, device)
    for table in (truth, fits):
        square = table["ratio"] ** 2
        table["radius"] = table["sigma"] * np.sqrt(2 * np.log(square) * square / (square - 1))
    # an even number of half steps is a named direction, an odd one where names change
    named = truth["family"].isin(list(TURN))
    halves = truth["angle"] / 22.5
    between = named & (np.abs(halves - (2 * np.floor(halves / 2) + 1)) * 22.5 < NEAR)
    table = pd.concat([truth.add_prefix("true_"), fits], axis=1).assign(between_names=between)
    table.insert(0, "snr_db", snr_db)
    table.insert(0, "size", size_name(side))
    return table
