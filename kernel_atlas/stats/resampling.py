"""What is drawn at random: resamples for intervals, and Gaussian noise, the control.

Intervals are over units drawn with replacement, layers of a network or networks: kernels of one are not independent.
"""

import zlib

import numpy as np

RESAMPLES = 2000
CONFIDENCE = 0.95
TAILS = (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2  # quantiles of resamples that are the ends of an interval
FEWEST = 5  # units below which a bootstrap interval covers far less than it says (71 % at three)


def seed_of(seed: int, *names: str) -> list[int]:
    """A seed for the row with these names, so that adding other rows leaves its interval unchanged."""
    return [seed, *(zlib.crc32(name.encode()) for name in names)]


def draw_noise(count: int, side: int, seed: int) -> np.ndarray:
    """Gaussian kernels, float32 [count, side * side]. The first are the same whatever the count."""
    return np.random.default_rng([seed, side]).standard_normal((count, side * side), np.float32)


def draw_units(units: int, seed: list[int] | np.random.Generator) -> np.ndarray:
    """How often each unit is drawn in each bootstrap resample: int [`RESAMPLES`, units]."""
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
        The 95 % interval; NaN below five units, which say too little about how units differ. With five to ten units
        coverage is about 85 to 90 % in simulation.
    """
    if len(whole) < FEWEST:
        unknown = np.full(part.shape[1:], np.nan)[()]
        return unknown, unknown
    draws = draw_units(len(whole), seed)
    with np.errstate(invalid="ignore"):
        shares = (draws @ part) / (draws @ whole).reshape(-1, *[1] * (part.ndim - 1))
    low, high = np.nanquantile(shares, TAILS, axis=0)
    return low, high
