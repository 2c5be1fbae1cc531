"""Kernels as arrays of taps: dead or alive, centred and normalised, in a column of a table."""

import numpy as np
import pyarrow as pa

DEAD_TAP = 1e-4  # a kernel with no |tap| above this is dead (Babaiee et al. 2024, follow-up code)


def is_dead(kernels: np.ndarray) -> np.ndarray:
    """Tell which kernels carry no pattern.

    Parameters
    ----------
    kernels : float array [n, taps]

    Returns
    -------
    bool array [n]
        True where a tap is NaN or infinite, or where no tap exceeds 1e-4 in size.
    """
    size = np.abs(kernels).max(axis=1, initial=0)  # NaN stays NaN, and compares false below
    return ~(np.isfinite(size) & (size > DEAD_TAP))


def centre_and_normalise(kernels: np.ndarray) -> np.ndarray:
    """Subtract each kernel's mean over its taps and divide by its L2 norm.

    After this the scalar product of two kernels is the Pearson correlation of their raw taps. Sign is kept.

    Parameters
    ----------
    kernels : float array [n, taps]

    Returns
    -------
    float32 array [n, taps]
        Unit kernels. A constant kernel has no direction and becomes zero: dissimilarity 1 to everything.
    """
    centred = kernels.astype(np.float64)
    size = np.abs(centred).max(axis=1, keepdims=True, initial=0)
    centred /= np.where(size > 0, size, 1)  # squares of 1e30 would overflow
    centred -= centred.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    # A norm below the rounding of the mean is noise of the arithmetic: the kernel is constant.
    return np.where(norm > 1e-6, centred / np.maximum(norm, 1e-6), 0).astype(np.float32)


def taps_array(column: pa.ChunkedArray) -> np.ndarray:
    """The taps of a fixed-size-list column as a float32 array [n, taps], without a copy where it is one chunk."""
    taps = column.type.list_size
    parts = [chunk.flatten().to_numpy(zero_copy_only=False).reshape(-1, taps) for chunk in column.chunks]
    if not parts:
        return np.empty((0, taps), np.float32)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def taps_column(kernels: np.ndarray) -> pa.FixedSizeListArray:
    """The reverse of `taps_array`: a float32 array [n, taps] as a fixed-size-list column."""
    values = pa.array(np.ascontiguousarray(kernels, np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(values, kernels.shape[1])


def size_name(side: int) -> str:
    """`7` -> `7x7`, as sizes are written everywhere."""
    return f"{side}x{side}"


def draw_noise(count: int, side: int, seed: int) -> np.ndarray:
    """Gaussian kernels, float32 [count, side * side]; a prefix of those of any larger count."""
    return np.random.default_rng([seed, side]).standard_normal((count, side * side), np.float32)


def spread(count: int, most: int) -> np.ndarray:
    """At most so many whole numbers below `count`, at even steps from the first to the last."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))
