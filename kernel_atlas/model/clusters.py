"""The clusters of one size: stretches of the code with a label each, found by `naming` or written by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import taps_array
from kernel_atlas.io.tables import columns_of

_NEEDED = "write the columns cluster, code_low, code_high and label"


def read_clusters(path: str | Path) -> pd.DataFrame:
    """Read a clusters.tsv of a run, or one edited by hand.

    Raises
    ------
    AtlasError
        The file is missing, or `check_clusters` finds a fault in it.
    """
    try:
        clusters = pd.read_csv(path, sep="\t")
    except OSError as error:
        raise AtlasError(f"{path}: {error.strerror}; mend the path of the clusters in the configuration") from error
    except ValueError as error:  # the parser's errors are ValueErrors, too
        raise AtlasError(f"{path}: {error}; {_NEEDED}") from error
    return check_clusters(clusters, path)


def check_clusters(clusters: pd.DataFrame, path: str | Path) -> pd.DataFrame:
    """Check the clusters of one size; return them in the order of the code, with all columns of clusters.tsv.

    Required are cluster, code_low, code_high and label: a hand-made file needs no templates. Two stretches may share a
    cluster.

    Raises
    ------
    AtlasError
        The stretches leave gaps, overlap or do not cover the code; a column is missing; a cluster is no whole number; a
        label is reserved. The line names `path`, the file they were read from.
    """
    try:
        clusters = clusters.sort_values("code_low", ignore_index=True)
        low, high = clusters["code_low"].to_numpy(float), clusters["code_high"].to_numpy(float)
        number = clusters["cluster"].to_numpy(float)
        reserved = clusters["label"].isin(["other", "dead"]) | clusters["label"].isna()
    except (KeyError, ValueError, TypeError) as error:
        raise AtlasError(f"{path}: {error}; {_NEEDED}") from error
    covered = np.concatenate([[0], high]), np.concatenate([low, [1]])
    if not np.allclose(*covered, atol=1e-9) or (high <= low).any():
        raise AtlasError(f"{path}: the stretches must cover the code from 0 to 1 without gap or overlap")
    if not np.isfinite(number).all() or (number < 0).any() or (number % 1).any():
        raise AtlasError(f"{path}: cluster: not a whole number from 0; number the clusters")
    if reserved.any():
        raise AtlasError(
            f"{path}: row {reserved.idxmax() + 2}: label: missing or reserved (other, dead); write another"
        )
    return clusters.assign(cluster=number.astype(int)).reindex(columns=columns_of("clusters.tsv"))


def cluster_of(codes: np.ndarray, clusters: pd.DataFrame) -> np.ndarray:
    """The row of `clusters` whose stretch holds each code; a code on a boundary belongs to the stretch above it."""
    inner = clusters["code_high"].to_numpy()[:-1]
    return np.searchsorted(inner, codes, side="right")


def median_sample(counts: np.ndarray, samples: np.ndarray) -> int:
    """The sample at the median code of a cluster's kernels, where its prototype is decoded.

    `counts` are the training kernels at every sample, `samples` int [n] those of the cluster, along the code. A cluster
    without kernels has its middle sample.
    """
    passed = counts[samples].cumsum()
    return samples[np.searchsorted(passed, passed[-1] / 2) if passed[-1] else len(samples) // 2]


def find_prototypes(spectrum: pa.Table, clusters: pd.DataFrame) -> pd.DataFrame:
    """The prototype of each cluster: the decoded kernel at the median code of its kernels.

    Parameters
    ----------
    spectrum : pyarrow.Table
        spectrum.parquet.
    clusters : DataFrame
        From `read_clusters`; stretches that share a number and a label are one cluster.

    Returns
    -------
    DataFrame
        cluster, label, kernel (centred unit taps).
    """
    stretch = clusters.loc[cluster_of(spectrum["code"].to_numpy(), clusters), ["cluster", "label"]]
    decoded, counts = taps_array(spectrum["decoded"]), spectrum["kernels"].to_numpy()
    groups = stretch.reset_index(drop=True).groupby(["cluster", "label"]).groups
    rows = [(*key, decoded[median_sample(counts, samples.to_numpy())]) for key, samples in groups.items()]
    return pd.DataFrame(rows, columns=["cluster", "label", "kernel"])
