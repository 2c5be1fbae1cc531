"""Clusters and their names: the spectrum cut into stretches, each named by its members, and k-means beside it."""

import itertools

import numpy as np
import pandas as pd
import pyarrow as pa

from kernel_atlas.core.kernels import centre_and_normalise, taps_column
from kernel_atlas.core.patterns import resemble
from kernel_atlas.io.tables import in_order
from kernel_atlas.model.clusters import median_sample

NEAR_EQUAL = 0.9  # cosine above which two neighbouring prototypes of one name are one cluster
MIXED = "mixed"  # the name of a cluster of which no label has half of the members
PURE = 0.5


def change_along(decoded: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """How fast the decoded pattern changes between neighbouring samples, as a multiple of its mean speed.

    The angle between neighbours is divided by their distance on a coordinate that is half code, half share of kernels
    passed. Crowded kernels stretch the coordinate and slow the change: a boundary through a crowd must be sharp to
    count. Where no kernels lie, even a gradual change is a boundary.

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
    """Cut the code into stretches of one pattern each.

    Boundaries are the peaks of `change_along`. A stretch with hardly any kernels joins the neighbour whose prototype is
    more like its own. Stretches of one name with near-equal prototypes are one cluster: neighbours become one stretch,
    others share a number. The prototype is the decoded kernel at the median code of a stretch (`median_sample`).

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
        cluster, code_low, code_high, label (of the prototype) and kernels, a row for each stretch; clusters are
        numbered from 0 along the code. `name_clusters` gives them the names of their members.
    """
    from scipy.signal import find_peaks  # imported here, as k-means need not wait for it

    # cut at every peak of change
    padded = np.concatenate([[0], change_along(decoded, counts), [0]])  # so that a peak at the rim counts
    peaks, _ = find_peaks(padded, prominence=boundary)
    edges = [0, *peaks, len(decoded)]  # padded index i lies between the samples i - 1 and i
    # remove the edge of the most alike neighbours, as long as one side is too small or both are one pattern
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
        del edges[1 + int(np.where(candidates, likeness, -2).argmax())]
    # number what is left
    prototypes = _prototypes(decoded, counts, edges)
    labels, _ = resemble(prototypes)
    return pd.DataFrame(
        {
            "cluster": _numbers(labels, prototypes),
            "code_low": np.array(edges[:-1]) / len(decoded),
            "code_high": np.array(edges[1:]) / len(decoded),
            "label": labels,
            "kernels": [counts[low:high].sum() for low, high in itertools.pairwise(edges)],
        }
    )


def name_clusters(clusters: pd.DataFrame, members: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """Name clusters by the commonest label of their members.

    Parameters
    ----------
    clusters : DataFrame
        From `find_clusters`.
    members, labels : array [n]
        Cluster (-1 for none) and label of kernels that trained the autoencoder.

    Returns
    -------
    DataFrame
        As clusters.tsv of schemas/tables.yaml. Purity is the share of the members that have the label. The label is
        `mixed` where that is below one half, and purity then that of the commonest label.
    """
    told = {}
    for number in clusters["cluster"].unique():
        counts = pd.Series(labels[members == number], dtype=object).value_counts()
        shares = counts / counts.sum()
        named = shares.drop("other", errors="ignore")
        purity = named.iloc[0] if len(named) else np.nan
        others = shares.drop(named.index[:1])
        told[number] = {
            "label": named.index[0] if purity >= PURE else MIXED,
            "purity": purity,
            "runner_up": others.index[0] if len(others) else None,
        }
    named = pd.DataFrame([told[number] for number in clusters["cluster"]], clusters.index)
    return in_order(clusters.assign(**{name: named[name] for name in named}), "clusters.tsv")


def _numbers(labels: list[str], prototypes: np.ndarray) -> list[int]:
    """Number the stretches along the code; one with the name and nearly the prototype of an earlier gets its number."""
    likeness, numbers = prototypes @ prototypes.T, []
    for row, label in enumerate(labels):
        same = [n for n in range(row) if labels[n] == label and likeness[n, row] > NEAR_EQUAL]
        numbers.append(numbers[same[0]] if same else max(numbers, default=-1) + 1)
    return numbers


def _prototypes(decoded: np.ndarray, counts: np.ndarray, edges: list[int]) -> np.ndarray:
    return decoded[[median_sample(counts, np.arange(low, high)) for low, high in itertools.pairwise(edges)]]


def cluster_kmeans(kernels: np.ndarray, clusters: int, threshold: float, seed: int) -> pa.Table:
    """The centres of k-means (Babaiee et al. 2024 use it for 3x3), named by the pattern they resemble most.

    Parameters
    ----------
    kernels : float32 array [n, taps]
        Centred unit kernels.
    clusters : int
        k; with fewer kernels than k, a cluster for each kernel.
    threshold : float
        Dissimilarity to its centre below which a kernel is clustered.
    seed : int

    Returns
    -------
    pyarrow.Table
        As kmeans/*.parquet of schemas/tables.yaml, a row for each centre, most kernels first.
    """
    from sklearn.cluster import KMeans  # imported here, as `find_clusters` need not wait for it

    fitted = KMeans(min(clusters, len(kernels)), n_init=5, random_state=seed).fit(kernels)
    centres = centre_and_normalise(fitted.cluster_centers_)
    near = (kernels * centres[fitted.labels_]).sum(axis=1) > 1 - threshold
    sizes = np.bincount(fitted.labels_, minlength=len(centres))
    clustered = np.bincount(fitted.labels_, weights=near, minlength=len(centres)).astype(int)
    order = np.argsort(-sizes, kind="stable")
    labels, cosines = resemble(centres[order])
    columns = {"cluster": np.arange(len(order)), "label": labels, "cosine": cosines}
    columns |= {"kernels": sizes[order], "clustered": clustered[order], "centre": taps_column(centres[order])}
    return pa.table(columns)
