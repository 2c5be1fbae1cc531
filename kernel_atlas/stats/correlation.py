"""Correlation of the share with a pattern with accuracy, parameters and training images of networks."""

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from kernel_atlas.io.sheet import images_of
from kernel_atlas.io.tables import in_order
from kernel_atlas.stats.independence import one_per_group
from kernel_atlas.stats.resampling import FEWEST, RESAMPLES, TAILS, seed_of

NETWORKS = 10  # minimum for a coefficient: with fewer, intervals span nearly all values


def correlate(models: pd.DataFrame, datasets: pd.DataFrame, seed: int) -> pd.DataFrame:
    """correlation.csv: share with a pattern against top-1, log10 of parameters and log10 of training images.

    Accuracies and parameters are comparable within a data set only, images across data sets. Intervals are bootstrap
    percentiles over independent networks (Efron & Tibshirani 1993); below about 20 networks they cover less than 95 %.

    Parameters
    ----------
    models : DataFrame
        models.csv.
    datasets : DataFrame
        resources/datasets.tsv: pattern, images.
    seed : int

    Returns
    -------
    DataFrame
        Rows with at least `NETWORKS` independent networks. `partial` is Pearson's coefficient within families (family
        means subtracted); NaN with one family, or with fewer than five networks more than families.
    """
    rows = []
    for size, part in models.groupby("size"):
        # each variable with comparable networks
        part = one_per_group(part)
        images = np.log10(part["dataset"].map(lambda name: images_of(name, datasets)).astype(float))
        asked = [("log10_images", "all", part.assign(value=images))]
        for dataset, same in part.groupby("dataset"):
            asked.append(("top1", dataset, same.assign(value=same["top1"].astype(float))))
            asked.append(("log10_params", dataset, same.assign(value=np.log10(same["params"].astype(float)))))

        # coefficients, if networks suffice and vary
        for variable, dataset, known in asked:
            known = known.dropna(subset=["value", "pattern_share"])
            if len(known) >= NETWORKS and (known[["value", "pattern_share"]].nunique() > 1).all():
                family = pd.factorize(known["family"].fillna(known["model"]))[0]  # an unknown family is the model's own
                x, y = known["value"].to_numpy(), known["pattern_share"].to_numpy()
                row = {"size": size, "dataset": dataset, "variable": variable, "n": len(known)}
                row |= {"families": (np.bincount(family) > 1).sum()}
                rows.append(row | _coefficients(x, y, family, seed_of(seed, size, variable, dataset)))
    return in_order(pd.DataFrame(rows), "correlation.csv")


def _coefficients(x: np.ndarray, y: np.ndarray, family: np.ndarray, seed: list[int]) -> dict[str, float]:
    """Pearson, Spearman and partial coefficients of two variables [n], with intervals."""
    draws = np.random.default_rng(seed).integers(len(x), size=(RESAMPLES, len(x)))
    draws = np.vstack([np.arange(len(x)), draws])  # the first row is the sample itself
    x, y, family = x[draws], y[draws], family[draws]
    one = np.zeros_like(family)
    found = {
        "pearson": cosine(_less_means(x, one), _less_means(y, one)),
        "spearman": cosine(_less_means(rankdata(x, axis=1), one), _less_means(rankdata(y, axis=1), one)),
        "partial": cosine(_less_means(x, family), _less_means(y, family)),
    }
    families = len(np.unique(family[0]))
    if families < 2 or len(x[0]) - families < FEWEST:
        found["partial"][:] = np.nan
    row = {}
    for name, values in found.items():
        with np.errstate(all="ignore"):
            ends = np.nanquantile(values[1:], TAILS) if np.isfinite(values[0]) else [np.nan] * 2
        row |= {name: values[0], f"{name}_low": ends[0], f"{name}_high": ends[1]}
    return row


def _less_means(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Subtract from values [resamples, n] the mean of their group in the same row."""
    cell = group + np.arange(len(group))[:, None] * (group.max() + 1)
    count = np.bincount(cell.ravel())
    return values - (np.bincount(cell.ravel(), values.ravel()) / np.maximum(count, 1))[cell]


def cosine(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Cosine of each pair of rows; NaN if either is zero up to rounding."""
    lengths = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return np.where(lengths > 1e-12, (x * y).sum(axis=1) / np.maximum(lengths, 1e-12), np.nan)
