"""Cut the spectrum, what the decoder draws along the code, into named stretches that show one pattern each."""

import itertools

import numpy as np
import pandas as pd
from scipy.signal import find_peaks

from kernel_atlas.core.patterns import resemble

NEAR_EQUAL = 0.9  # cosine above which two neighbouring prototypes of one name are one cluster


def change_along(decoded: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """How fast the decoded pattern changes between neighbouring samples, as a multiple of its mean speed.

    The angle between neighbours is divided by the distance between them on a coordinate that is half
    code and half share of kernels passed. Where kernels crowd, the coordinate is stretched and the change slow: a
    boundary through a crowd must be sharp to count. Where there are none, even a gradual change is a boundary.

    Parameters
    ----------
    decoded : float array [samples, taps]
    counts : int array [samples]
        Training kernels in the step around each sample.

    Returns
    -------
    float array [samples - 1]
    """
    chord = np.linalg.norm(decoded[1:] - decoded[:-1], axis=1)
    angle = 2 * np.arcsin(np.clip(chord / 2, 0, 1))  # arccos of the cosine loses small angles in rounding
    passed = (counts[1:] + counts[:-1]) / 2 / max(1, counts.sum())
    distance = (1 / len(counts) + passed) / 2
    return angle / distance / max(angle.sum() / distance.sum(), 1e-12)


def find_clusters(decoded: np.ndarray, counts: np.ndarray, boundary: float, smallest: float) -> pd.DataFrame:
    """Cut the code into stretches, one pattern each, and name them.

    Boundaries are the peaks of `change_along`. A stretch with hardly any kernels joins the neighbour whose prototype is
    more like its own. Stretches of one name with near-equal prototypes are one cluster: neighbours become one stretch,
    others share a number. The prototype is what the decoder draws at the median code of a stretch's kernels.

    Parameters
    ----------
    decoded : float array [samples, taps]
        Centred unit kernels at `sample_codes()`.
    counts : int array [samples]
        Training kernels in the step around each sample.
    boundary : float
        How far a peak must rise above the valleys beside it, in multiples of the mean change.
    smallest : float
        The share of kernels below which a stretch joins a neighbour.

    Returns
    -------
    DataFrame
        cluster (0, 1, ... along the code), code_low, code_high, label, template, template_cosine, kernels.
    """
    padded = np.concatenate([[0], change_along(decoded, counts), [0]])  # so that a peak at the rim counts
    peaks, _ = find_peaks(padded, prominence=boundary)
    edges = [0, *peaks, len(decoded)]  # padded index i lies between the samples i - 1 and i
    while len(edges) > 2:
        prototypes = _prototypes(decoded, counts, edges)
        kernels = np.array([counts[low:high].sum() for low, high in itertools.pairwise(edges)])
        likeness = (prototypes[1:] * prototypes[:-1]).sum(axis=1)  # of each edge's two sides
        few = kernels < smallest * max(1, counts.sum())
        labels = resemble(prototypes)[0]
        same_name = np.array([a == b for a, b in itertools.pairwise(labels)])
        candidates = few[1:] | few[:-1] | (same_name & (likeness > NEAR_EQUAL))
        if not candidates.any():
            break
        del edges[1 + int(np.where(candidates, likeness, -2).argmax())]  # the most alike first
    prototypes = _prototypes(decoded, counts, edges)
    labels, templates, cosines = resemble(prototypes)
    return pd.DataFrame(
        {
            "cluster": _numbers(labels, prototypes),
            "code_low": np.array(edges[:-1]) / len(decoded),
            "code_high": np.array(edges[1:]) / len(decoded),
            "label": labels,
            "template": templates,
            "template_cosine": cosines.round(4),
            "kernels": [counts[low:high].sum() for low, high in itertools.pairwise(edges)],
        }
    )


def _numbers(labels: list[str], prototypes: np.ndarray) -> list[int]:
    """Cluster numbers along the code; a stretch of an earlier one's name and nearly its prototype has its number."""
    likeness, numbers = prototypes @ prototypes.T, []
    for row, label in enumerate(labels):
        same = [n for n in range(row) if labels[n] == label and likeness[n, row] > NEAR_EQUAL]
        numbers.append(numbers[same[0]] if same else max(numbers, default=-1) + 1)
    return numbers


def _prototypes(decoded: np.ndarray, counts: np.ndarray, edges: list[int]) -> np.ndarray:
    return decoded[[_median_sample(counts, low, high) for low, high in itertools.pairwise(edges)]]


def _median_sample(counts: np.ndarray, low: int, high: int) -> int:
    passed = counts[low:high].cumsum()
    return low + (int(np.searchsorted(passed, passed[-1] / 2)) if passed[-1] else (high - low) // 2)
