"""Random draws: bootstrap resamples for intervals, and Gaussian noise as a control.

Bootstrap units are networks or layers, as kernels of a layer are not independent.
"""

import math
import zlib

import numpy as np

RESAMPLES = 2000
CONFIDENCE = 0.95
TAILS = (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2  # quantiles at the ends of an interval
FEWEST_NETWORKS = 8  # independent networks below which a mean over them has no interval
DRIFT = 0.2  # share beyond the training kernels' 90 % quantile from which on kernels are unlike them: twice their own
FEWEST = 5  # minimum of units: with three, a nominal 95 % interval covers 71 %


def seed_of(seed: int, *names: str) -> list[int]:
    """Seed of the row with these names, independent of other rows."""
    return [seed, *(zlib.crc32(name.encode()) for name in names)]


def draw_units(units: int, seed: list[int] | np.random.Generator) -> np.ndarray:
    """Multiplicity of each unit in each bootstrap resample: int [`RESAMPLES`, units]."""
    return np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), RESAMPLES)


def bootstrap_share(part: np.ndarray, whole: np.ndarray, seed: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap interval of `sum(part) / sum(whole)` over units drawn with replacement.

    Parameters
    ----------
    part : array [units] or [units, labels]
        Numerator, per unit.
    whole : array [units]
        Denominator, per unit.
    seed : list of int

    Returns
    -------
    low, high : float, or float arrays [labels]
        The 95 % interval; NaN below five units. With five to ten units simulated coverage is about 85 to 90 %.
    """
    if len(whole) < FEWEST:
        unknown = np.full(part.shape[1:], np.nan)[()]
        return unknown, unknown
    draws = draw_units(len(whole), seed)
    with np.errstate(invalid="ignore"):
        shares = (draws @ part) / (draws @ whole).reshape(-1, *[1] * (part.ndim - 1))
    low, high = np.nanquantile(shares, TAILS, axis=0)
    return low, high


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of `count` independent draws (Wilson, J. Am. Stat. Assoc. 22, 1927)."""
    z = 1.959964  # the normal quantile at TAILS
    middle, half = share + z**2 / (2 * count), z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return (middle - half) / (1 + z**2 / count), (middle + half) / (1 + z**2 / count)


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """Student's t interval, 95 %, of a mean share over networks [n], inside 0 to 1; NaN below eight networks."""
    if len(values) < FEWEST_NETWORKS:
        return np.nan, np.nan
    half = _student(len(values)) * values.std(ddof=1) / np.sqrt(len(values))
    low, high = np.clip(values.mean() + np.array([-half, half]), 0, 1)
    return float(low), float(high)


def crossed_interval(values: np.ndarray) -> tuple[float, float]:
    """Student's t interval, 95 %, of the mean of a table whose rows and columns are drawn, as seeds and images are.

    The variance is that of the mean over rows and that of the mean over columns, together (random effects that cross;
    Owen, Ann. Appl. Stat. 1, 2007): what neither explains is in both, so that the interval is a little too wide. There
    are as many degrees of freedom as rows, less one.

    Parameters
    ----------
    values : array [rows, columns]

    Returns
    -------
    low, high : float
        NaN with one row.
    """
    rows, columns = values.shape
    if rows < 2:
        return np.nan, np.nan
    variance = values.mean(axis=1).var(ddof=1) / rows + values.mean(axis=0).var(ddof=1) / columns
    half = _student(rows) * np.sqrt(variance)
    return float(values.mean() - half), float(values.mean() + half)


def _student(count: int) -> float:
    """Half the width of a 95 % interval of the mean of so many values, in standard errors."""
    from scipy.stats import t  # imported here, as labelling takes the numbers above and need not wait for it

    return float(t.ppf(TAILS[1], count - 1))
