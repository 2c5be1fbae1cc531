"""How fast kernels are fitted, against scipy.optimize kernel by kernel from the same starts within the same bounds.

    PYTHONPATH=. python benchmarks/fits.py [--kernels FILE] [--count 20000] [--sample 100] [--threads 2] [--rounds 3]

FILE is a Parquet file with 7x7 kernels in the column weight (results/merged/7x7.parquet, or the picked ones); without
it, half are patterns with noise and half noise. Both run in turn, a few rounds on other kernels each; printed are
medians, how often the cosines agree, and how often scipy finds no better place near ours: of several optima the two may
climb different ones from one start. On a GPU where there is one.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from scipy.optimize import least_squares

from kernel_atlas.core.kernels import centre_and_normalise, is_dead, taps_array
from kernel_atlas.evidence import families
from kernel_atlas.evidence import fit as fits
from kernel_atlas.evidence import formulas as explained
from kernel_atlas.io.tables import read_table
from kernel_atlas.model.autoencoder import choose_device

SIDE = 7
SAME = 1e-3


def pattern(name: str, parameters: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The formula of a family, written once more: taps of one set of parameters as `families.evaluate` takes them."""
    x0, y0, angle, log_sigma, log_aspect, *shape = parameters
    sigma, root = np.exp(log_sigma), np.exp(log_aspect / 2)
    u = (np.cos(angle) * (x - x0) + np.sin(angle) * (y - y0)) / (sigma / root)
    v = (np.cos(angle) * (y - y0) - np.sin(angle) * (x - x0)) / (sigma * root)
    gaussian = np.exp(-(u**2 + v**2) / 2)
    if name == "centre":
        ratio = np.exp(shape[0])
        return gaussian - np.exp(-(u**2 + v**2) / (2 * ratio**2)) / ratio**2
    if name == "first_derivative":
        return u * gaussian
    if name == "second_derivative":
        return (1 - u**2) * gaussian
    long = np.exp(shape[0])
    bars = np.exp(-(u**2 + (v / long) ** 2) / 2) + np.exp(-((u / long) ** 2 + v**2) / 2)
    return bars + shape[1] * gaussian


def fit_with_scipy(name: str, kernel: np.ndarray, starts: np.ndarray) -> float:
    """The |cosine| that scipy's bounded least squares reach for one kernel and family, the best from all starts."""
    side = round(len(kernel) ** 0.5)
    x, y = (axis.numpy() for axis in families.coordinates(side, torch.zeros(0).double()))
    low, high = (np.array(bound) for bound in families.bounds(families.FAMILIES[name], side))
    free = low < high

    def residual(moved: np.ndarray, start: np.ndarray) -> np.ndarray:
        parameters = start.copy()
        parameters[free] = moved
        taps = pattern(name, parameters, x, y)
        taps -= taps.mean()
        return kernel - taps * (taps @ kernel) / (taps @ taps)

    costs = []
    for start in starts:
        inside = np.clip(start[free], low[free] + 1e-9, high[free] - 1e-9)  # scipy refuses a start on a bound
        costs.append(least_squares(residual, inside, bounds=(low[free], high[free]), x_scale="jac", args=(start,)).cost)
    return np.sqrt(max(0, 1 - 2 * min(costs)))


def best_starts(kernels: np.ndarray) -> dict[str, np.ndarray]:
    """Where the fits of each family begin, float64 [n, starts, parameters]."""
    units = torch.from_numpy(kernels)
    return {name: fits.best_templates(units, family).double().numpy() for name, family in families.FAMILIES.items()}


def stay_with_scipy(kernels: np.ndarray, cosines: np.ndarray) -> np.ndarray:
    """Whether scipy, started at our optimum, ends with the same cosine: bool [n, families]."""
    stays = []
    for (name, family), ours in zip(families.FAMILIES.items(), cosines.T, strict=True):
        ends = fits.fit_family(torch.from_numpy(kernels), family)[0].double().numpy()
        further = [fit_with_scipy(name, *pair) for pair in zip(kernels.astype(float), ends[:, None], strict=True)]
        stays.append(np.array(further) < ours + SAME)
    return np.stack(stays, 1)


def read_kernels(path: str | None, count: int) -> np.ndarray:
    """Centred unit kernels in random order."""
    random = np.random.default_rng(0)
    if path is None:
        patterns = explained.synthetic_kernels(SIDE, count // (2 * len(families.FAMILIES)), 10, 0)[0]
        kernels = np.concatenate([patterns, random.standard_normal((count // 2, SIDE**2), np.float32)])
    else:
        kernels = taps_array(read_table(path, ["weight"])["weight"])
        kernels = kernels[~is_dead(kernels)]
    return centre_and_normalise(random.permutation(kernels)[:count])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernels")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--sample", type=int, default=100)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = choose_device(1)
    kernels = read_kernels(options.kernels, options.count)
    starts = best_starts(kernels[: options.rounds * options.sample])
    fits.fit_kernels(kernels[:100], device)  # warm-up
    columns = [f"cosine_{name}" for name in families.FAMILIES]
    speeds, ours, theirs = [], [], []
    for one in range(options.rounds):
        begin = time.perf_counter()
        table = fits.fit_kernels(kernels, device)
        middle = time.perf_counter()
        sample = range(one * options.sample, min((one + 1) * options.sample, len(kernels)))
        for n in sample:
            unit = kernels[n].astype(np.float64)
            theirs.append([fit_with_scipy(name, unit, starts[name][n]) for name in families.FAMILIES])
        speeds.append((len(kernels) / (middle - begin), len(sample) / (time.perf_counter() - middle)))
        ours.append(table[columns].to_numpy()[sample])
    ours, theirs = np.concatenate(ours), np.array(theirs)
    stays = stay_with_scipy(kernels[: len(ours)], ours)
    mine, scipy = (statistics.median(column) for column in zip(*speeds, strict=True))
    ratio = statistics.median(one / other for one, other in speeds)
    print(
        f"device {device}, {options.threads} threads, {len(kernels)} kernels of {SIDE}x{SIDE}, {options.rounds} rounds"
    )
    print(f"all families: {mine:.0f} kernels/s; scipy.optimize {scipy:.1f} kernels/s; ratio {ratio:.0f}")
    for name, a, b, same in [
        ("best family", ours.max(1), theirs.max(1), stays[np.arange(len(ours)), ours.argmax(1)]),
        *zip(families.FAMILIES, ours.T, theirs.T, stays.T, strict=True),
    ]:
        print(
            f"{name}: of {len(a)} kernels {np.mean(np.abs(a - b) < SAME):.3f} within {SAME} of scipy's cosine, "
            f"{np.mean(a > b - SAME):.3f} as good or better; from ours scipy gets no further in {same.mean():.3f}"
        )


if __name__ == "__main__":
    main()
