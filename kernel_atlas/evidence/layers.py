"""Measures of layers: dead and noisy kernels, measures of CNN Filter DB, banding, covariance.

Each shard is read once, one at a time in memory. A size gets the mean over layers with an interval over networks, since
layers of one network are not independent.
"""

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import gammaln

from kernel_atlas.core.kernels import centre_and_normalise, draw_noise, size_name, taps_array
from kernel_atlas.core.patterns import templates
from kernel_atlas.evidence.kernels import SUBJECTS
from kernel_atlas.io.shards import shards_of
from kernel_atlas.io.tables import in_order
from kernel_atlas.stats.independence import one_per_group
from kernel_atlas.stats.resampling import bootstrap_share, seed_of
from kernel_atlas.stats.shares import FIFTHS, fifth_of, layer_depths

NOISE = 4000  # Gaussian kernels for the cutoff of best cosines
NOISE_QUANTILE = 0.95
SPARSE = 0.01  # of the layer's largest |tap| (Gavrikov & Keuper 2022)
FEWEST_KERNELS = 8  # for a variance entropy: below, the Gaussian reference itself scatters by 10 % or more
SIMULATED = 20  # Gaussian layers for the reference of variance entropy
COVARIANCE_KERNELS = 32  # minimum for a covariance: fewer estimate it poorly
THIRDS = ("first", "middle", "last")
BLOCK = 1024  # rows of cosines at a time: all cosines of 8,000 kernels take 256 MB
MEASURES = ("dead", "noisy", "sparsity", "variance_entropy", "orthogonality", "row_energy", "column_energy", "banding")


class Reference(NamedTuple):
    """Templates of one side, unit taps [t, taps], and the 95 % quantile of best cosines of Gaussian kernels."""

    templates: np.ndarray
    cutoff: float


def answer(
    shards: Iterable[str | Path],
    inventory: pd.DataFrame,
    models: pd.DataFrame,
    subjects: Mapping[str, str],
    units: Mapping[str, str],
    sides: Iterable[int],
    seed: int,
) -> dict[str, pd.DataFrame]:
    """Measures of layers, per layer and over networks.

    Parameters
    ----------
    shards : iterable of path
        Folders of shards, results/kernels/MODEL.
    inventory, models : DataFrame
        inventory.parquet and models.csv, whose groups and recipes determine the independent networks.
    subjects : mapping
        Model -> `real`, `untrained` or `dense` (`sheet.subjects_of`).
    units : mapping
        Model -> what it is a part of (`independence.related`).
    sides : iterable of int
        Sizes of kernels to measure.
    seed : int

    Returns
    -------
    dict of DataFrame
        layer_measures, layer_depths, banding, covariance, covariance_thirds.
    """
    # measure all layers
    independent = {size: set(one_per_group(part)["model"]) for size, part in models.groupby("size")}
    square = set(inventory.loc[inventory["kh"] == inventory["kw"], "kh"])
    references = {side: refer(side, seed) for side in sorted(square.intersection(sides))}
    measures, covariances = measure_layers(shards, inventory, references, seed)
    covariance = compare_covariances(covariances, independent, units)

    # summarise those of independent networks and controls
    def counted(table: pd.DataFrame) -> pd.DataFrame:
        """Rows of independent networks and controls, with subject."""
        table = table.assign(subject=table["model"].map(subjects))
        real = [model in independent.get(size, ()) for size, model in zip(table["size"], table["model"], strict=True)]
        return table[(table["subject"] != "real") | np.array(real, bool)]

    return {
        "layer_measures": measures,
        "layer_depths": summarise_depths(counted(measures), seed),
        "banding": summarise_banding(counted(measures), seed),
        "covariance": covariance,
        "covariance_thirds": summarise_covariances(counted(covariance), seed),
    }


# The Gaussian reference


def refer(side: int, seed: int) -> Reference:
    """The Gaussian reference of one side."""
    taps = templates(side).taps
    noise = centre_and_normalise(draw_noise(NOISE, side, seed))
    return Reference(taps, float(np.quantile((noise @ taps.T).max(axis=1), NOISE_QUANTILE)))


@functools.cache
def gaussian_entropy(kernels: int, taps: int, seed: int) -> float:
    """Mean variance entropy of Gaussian layers of a shape.

    Normalised by it, layers of different widths are comparable. CNN Filter DB normalises by the minimum of the
    simulated entropies; with the mean, noise scores 1.
    """
    random = np.random.default_rng([seed, kernels, taps])
    return float(np.mean([variance_entropy(random.standard_normal((kernels, taps))) for _ in range(SIMULATED)]))


def chance_of(measure: str, side: int) -> float:
    """Expected score of Gaussian kernels; NaN for measures without a meaningful one."""
    # mean |cosine| of random directions of t taps (Cai, Fan & Jiang 2013): Gamma(t/2) / (sqrt(pi) Gamma((t + 1)/2))
    cosine = np.exp(gammaln(side**2 / 2) - gammaln((side**2 + 1) / 2)) / np.sqrt(np.pi)
    band = 1 / (side + 1)  # side - 1 of the side^2 - 1 dimensions of centred kernels are constant along rows
    known = {"noisy": NOISE_QUANTILE, "variance_entropy": 1.0, "orthogonality": 1 - cosine}
    return known.get(measure, {"row_energy": band, "column_energy": band, "banding": 0.0}.get(measure, np.nan))


# Measures of one layer


def variance_entropy(kernels: np.ndarray) -> float:
    """Entropy (base 10) of the variance shares of a layer's principal components (Gavrikov & Keuper 2022).

    Parameters
    ----------
    kernels : float array [n, taps]

    Returns
    -------
    float
        0 for kernels on a line, log10(taps) for an isotropic layer, NaN for equal kernels.
    """
    centred = kernels - kernels.mean(axis=0)
    gram = centred.T @ centred if len(centred) >= centred.shape[1] else centred @ centred.T
    variance = np.maximum(np.linalg.eigvalsh(gram), 0)
    if variance.sum() == 0:
        return np.nan
    share = variance[variance > 0] / variance.sum()
    return float(-(share * np.log10(share)).sum())


def orthogonality(kernels: np.ndarray) -> float:
    """1 less the mean |cosine| of pairs of uncentred kernels of a layer (Gavrikov & Keuper 2022).

    Parameters
    ----------
    kernels : float array [n, taps]
        Non-zero kernels.

    Returns
    -------
    float
        1 for orthogonal kernels (at most as many as taps), 0 for parallel ones, NaN for fewer than two.
    """
    count = len(kernels)
    if count < 2:
        return np.nan
    unit = kernels / np.linalg.norm(kernels, axis=1, keepdims=True)
    total = sum(np.abs(unit[low : low + BLOCK] @ unit.T).sum(dtype=np.float64) for low in range(0, count, BLOCK))
    return float(1 - (total - count) / (count * (count - 1)))


def bands(unit: np.ndarray) -> tuple[float, float]:
    """Mean share of energy that is constant along rows, and along columns.

    Horizontal bands have a row energy of 1. In weight banding (Petrov et al. 2021) most kernels of a layer have them.

    Parameters
    ----------
    unit : float array [n, taps]
        Centred unit kernels.

    Returns
    -------
    row_energy, column_energy : float
        0 to 1; 1 / (side + 1) for Gaussian kernels.
    """
    side = round(unit.shape[1] ** 0.5)
    images = unit.reshape(-1, side, side)
    return tuple(float(side * (images.mean(axis=axis) ** 2).sum(axis=1).mean()) for axis in (2, 1))


def measure_layer(weights: np.ndarray, dead: np.ndarray, reference: Reference, seed: int) -> dict[str, float]:
    """Compute `MEASURES` of one layer.

    Parameters
    ----------
    weights : float array [n, taps]
        Raw, as in the checkpoint.
    dead : bool array [n]
    reference : Reference
    seed : int
        Seed of the Gaussian layers.

    Returns
    -------
    dict
        As evidence/layer_measures.csv of schemas/tables.yaml; sparsity and variance_entropy are of finite kernels, the
        latter NaN below eight. Noise is `noisy` in 0.95 by construction, so that only lower values are informative.
    """
    taps = weights[np.isfinite(weights).all(axis=1)].astype(np.float64)
    size = np.abs(taps).max(axis=1, initial=0)
    taps /= max(size.max(initial=0), 1e-300)  # squares may overflow
    live = weights[~dead].astype(np.float64)
    found = dict.fromkeys(MEASURES, np.nan) | {"dead": float(dead.mean())}
    if len(taps):
        found["sparsity"] = float((size <= SPARSE * size.max()).mean())
    if len(taps) >= FEWEST_KERNELS:
        found["variance_entropy"] = variance_entropy(taps) / gaussian_entropy(*taps.shape, seed)
    if len(live):
        unit = centre_and_normalise(live)
        found["noisy"] = float(((unit @ reference.templates.T).max(axis=1) < reference.cutoff).mean())
        found["orthogonality"] = orthogonality(live / np.abs(live).max(axis=1, keepdims=True))
        found["row_energy"], found["column_energy"] = rows, columns = bands(unit)
        if min(rows, columns) > 0:
            found["banding"] = float(np.log2(rows / columns))
    return found


class Covariances(NamedTuple):
    """Table of layers with enough kernels, and in its order their covariances, flat [layers, taps * taps]."""

    layers: pd.DataFrame
    taps: list[np.ndarray]
    shuffled: list[np.ndarray]


def measure_layers(
    folders: Iterable[str | Path], inventory: pd.DataFrame, references: Mapping[int, Reference], seed: int
) -> tuple[pd.DataFrame, Covariances]:
    """layer_measures.csv, and covariances of the unit kernels of each layer, plain and with shuffled taps.

    Returns
    -------
    measures : DataFrame
    covariances : Covariances
        Of layers with at least `COVARIANCE_KERNELS` live kernels.
    """
    places = inventory.assign(depth=layer_depths(inventory))
    places = places[(places["kh"] == places["kw"]) & places["kh"].isin(references)]
    of_model = dict(list(places.groupby("model")))
    rows, layers, plain, shuffled = [], [], [], []
    for folder in map(Path, folders):
        if folder.name not in of_model:
            continue
        shards = {int(shard.path.stem): shard for shard in shards_of(folder)}
        for place in of_model[folder.name].itertuples():
            with shards[place.layer_index].open() as file:
                table = file.read(["weight", "dead"])
            weights, dead = taps_array(table["weight"]), table["dead"].to_numpy()
            same = {name: getattr(place, name) for name in ("model", "layer_index", "depth")}
            same["size"] = size_name(place.kh)
            measures = measure_layer(weights, dead, references[place.kh], seed)
            rows.append(same | {"stride": place.stride, "kernels": len(weights)} | measures)
            if (~dead).sum() >= COVARIANCE_KERNELS:
                unit = centre_and_normalise(weights[~dead])
                random = np.random.default_rng([*seed_of(seed, place.model), place.layer_index])
                layers.append(same | {"kernels": len(unit)})
                for kept, taps in ((plain, unit), (shuffled, random.permuted(unit, axis=1))):
                    kept.append(np.cov(taps, rowvar=False, bias=True).astype(np.float32).ravel())
    where = pd.DataFrame(layers, columns=["model", "layer_index", "size", "depth", "kernels"])
    return in_order(pd.DataFrame(rows), "layer_measures.csv"), Covariances(where, plain, shuffled)


# Over networks


def _mean_over_models(table: pd.DataFrame, column: str, name: str, seed: list[int]) -> dict[str, float]:
    """Number of models and layers, and the mean of a column over layers with its interval over models."""
    units = table.groupby("model")[column].agg(["sum", "count"])
    units = units[units["count"] > 0].to_numpy(np.float64)
    layers = units[:, 1].sum()
    low, high = bootstrap_share(units[:, 0], units[:, 1], seed)
    row = {"models": len(units), "layers": int(layers), name: units[:, 0].sum() / layers if layers else np.nan}
    return row | {f"{name}_low": low, f"{name}_high": high}


def _subjects(table: pd.DataFrame) -> Iterable[tuple[str, str, pd.DataFrame]]:
    for size, part in table.groupby("size"):
        for subject in SUBJECTS:
            if (part["subject"] == subject).any():
                yield size, subject, part[part["subject"] == subject]


def summarise_depths(measures: pd.DataFrame, seed: int) -> pd.DataFrame:
    """layer_depths.csv: mean of each measure over layers, per fifth of the depth and for all.

    Parameters
    ----------
    measures : DataFrame
        layer_measures.csv with `subject`, of independent networks and controls.
    seed : int
    """
    rows = []
    for size, subject, part in _subjects(measures):
        fifth = fifth_of(part["depth"])
        parts = [("all", part), *((FIFTHS[index], part[fifth == index]) for index in sorted(fifth.unique()))]
        for depth, layers in parts:
            for measure in MEASURES:
                row = {"size": size, "subject": subject, "depth": depth, "measure": measure}
                row["chance"] = chance_of(measure, int(size.split("x")[0]))
                rows.append(row | _mean_over_models(layers, measure, "mean", seed_of(seed, size, subject, depth)))
    table = pd.DataFrame(rows).rename(columns={"mean_low": "low", "mean_high": "high"})
    return in_order(table, "layer_depths.csv")


def summarise_banding(measures: pd.DataFrame, seed: int) -> pd.DataFrame:
    """banding.csv: log2 of row to column energy, last fifth of the depth against the layers before.

    Parameters
    ----------
    measures : DataFrame
        As for `summarise_depths`.
    seed : int
    """
    rows = []
    for size, subject, part in _subjects(measures):
        late = fifth_of(part["depth"]) == len(FIFTHS) - 1
        last, others = (part[where].groupby("model")["banding"].mean() for where in (late, ~late))
        both = pd.DataFrame({"last": last, "others": others}).dropna()
        if len(both):
            change = (both["last"] - both["others"]).to_numpy()
            low, high = bootstrap_share(change, np.ones(len(change)), seed_of(seed, size, subject, "banding"))
            row = {"size": size, "subject": subject, "models": len(both)} | both.mean().to_dict()
            row |= {"difference": change.mean(), "low": low, "high": high}
            row["row_energy"] = part.loc[late & part["model"].isin(both.index), "row_energy"].mean()
            rows.append(row | {"chance": chance_of("row_energy", int(size.split("x")[0]))})
    return in_order(pd.DataFrame(rows), "banding.csv")


def compare_covariances(
    covariances: Covariances, independent: Mapping[str, set[str]], units: Mapping[str, str]
) -> pd.DataFrame:
    """covariance.csv: similarity of covariances across networks (Trockman, Willmott & Kolter 2023).

    A layer is compared with the mean covariance of the same third of other independent networks, equally weighted.
    Layers without such networks have no row.

    Parameters
    ----------
    covariances : Covariances
    independent : mapping
        Size -> models that count as independent networks.
    units : mapping
        Model -> what it is a part of.
    """
    table = covariances.layers
    third = np.minimum((table["depth"] * len(THIRDS)).astype(int), len(THIRDS) - 1)
    table = table.assign(third=third.map(dict(enumerate(THIRDS))), similarity=np.nan, shuffled=np.nan, others=0)
    unit = np.array([units.get(model, model) for model in table["model"]])
    for (size, _), rows in table.groupby(["size", "third"]).groups.items():
        # mean covariance of each independent network, and their sum
        own = unit[rows]
        flat, shuffled = (np.stack([values[row] for row in rows]) for values in covariances[1:])
        counted = table.loc[rows, "model"].isin(independent.get(size, ())).to_numpy()
        means = {name: flat[counted & (own == name)].mean(axis=0) for name in np.unique(own[counted])}
        total = sum(means.values()) if means else None
        # compare each network with the mean of the others
        for name in np.unique(own):
            others = len(means) - (name in means)
            if others:
                mine = np.flatnonzero(own == name)
                reference = total - means.get(name, 0)
                reference = reference / np.linalg.norm(reference)
                table.loc[rows[mine], "others"] = others
                for column, values in (("similarity", flat[mine]), ("shuffled", shuffled[mine])):
                    found = values @ reference / np.maximum(np.linalg.norm(values, axis=1), 1e-12)
                    table.loc[rows[mine], column] = found
    found = in_order(table[table["others"] > 0], "covariance.csv")
    return found.sort_values(["size", "model", "layer_index"], ignore_index=True)


def summarise_covariances(covariance: pd.DataFrame, seed: int) -> pd.DataFrame:
    """covariance_thirds.csv: means of similarity and shuffled over layers, per third of the depth and for all.

    Parameters
    ----------
    covariance : DataFrame
        covariance.csv with `subject`, of independent networks and controls.
    seed : int
    """
    rows = []
    for size, subject, part in _subjects(covariance):
        for third in ("all", *THIRDS):
            layers = part if third == "all" else part[part["third"] == third]
            if len(layers):
                random = seed_of(seed, size, subject, third)
                row = {"size": size, "subject": subject, "third": third}
                for column in ("similarity", "shuffled"):
                    row |= _mean_over_models(layers, column, column, random)
                rows.append(row)
    return in_order(pd.DataFrame(rows), "covariance_thirds.csv")
