"""Cut the spectrum, what the decoder draws along the code, into stretches that show one pattern each, and name them."""

import itertools

import numpy as np
import pandas as pd
from scipy.signal import find_peaks

from kernel_atlas.patterns import resemble

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
    more like its own; neighbours of one name with near-equal prototypes become one. The prototype of a stretch is what
    the decoder draws at the median code of its kernels, not at its middle.

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
        prototypes = decoded[[_median_sample(counts, low, high) for low, high in _pairs(edges)]]
        kernels = np.array([counts[low:high].sum() for low, high in _pairs(edges)])
        likeness = (prototypes[1:] * prototypes[:-1]).sum(axis=1)  # of each edge's two sides
        few = kernels < smallest * max(1, counts.sum())
        labels = resemble(prototypes)[0]
        same_name = np.array([a == b for a, b in itertools.pairwise(labels)])
        candidates = few[1:] | few[:-1] | (same_name & (likeness > NEAR_EQUAL))
        if not candidates.any():
            break
        del edges[1 + int(np.where(candidates, likeness, -2).argmax())]  # the most alike first
    prototypes = decoded[[_median_sample(counts, low, high) for low, high in _pairs(edges)]]
    labels, templates, cosines = resemble(prototypes)
    return pd.DataFrame(
        {
            "cluster": np.arange(len(labels)),
            "code_low": np.array(edges[:-1]) / len(decoded),
            "code_high": np.array(edges[1:]) / len(decoded),
            "label": labels,
            "template": templates,
            "template_cosine": cosines.round(4),
            "kernels": [counts[low:high].sum() for low, high in _pairs(edges)],
        }
    )


def _pairs(edges: list[int]) -> list[tuple[int, int]]:
    return list(itertools.pairwise(edges))


def _median_sample(counts: np.ndarray, low: int, high: int) -> int:
    passed = counts[low:high].cumsum()
    return low + (int(np.searchsorted(passed, passed[-1] / 2)) if passed[-1] else (high - low) // 2)


def prototypes_of(clusters: pd.DataFrame, decoded: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The prototype of each row of `clusters`: the decoded sample at the median of its kernels, [clusters, taps]."""
    edges = (clusters[["code_low", "code_high"]].to_numpy() * len(decoded)).round().astype(int)
    edges[:, 1] = np.maximum(edges[:, 1], edges[:, 0] + 1)
    return decoded[[_median_sample(counts, low, high) for low, high in edges.clip(0, len(decoded))]]
