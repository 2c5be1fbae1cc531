"""Baselines for the autoencoder: share clustered by other methods, and their agreement with it.

Every method reconstructs kernels: by the nearest of k prototypes (k-means, Gaussian mixture, HDBSCAN), k principal
components, or a decoder with a code of k numbers. A kernel is clustered if its dissimilarity to the reconstruction is
below the threshold. Methods are fitted on half of the kernels and evaluated on it, on the held-out half, and on
Gaussian noise, in several random splits: one can be lucky. The halves share no model (no layer if models are few), as
kernels trained together are alike.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, davies_bouldin_score, normalized_mutual_info_score, silhouette_score
from sklearn.mixture import GaussianMixture

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.core.patterns import Matcher, templates
from kernel_atlas.evidence.controls import make_control
from kernel_atlas.evidence.kernels import Units
from kernel_atlas.io.tables import in_order
from kernel_atlas.model import autoencoder
from kernel_atlas.model.assign import Labeller
from kernel_atlas.model.clusters import cluster_of
from kernel_atlas.model.poses import image_cosines, learn_codebook
from kernel_atlas.stats.resampling import FEWEST, TAILS, bootstrap_share

STARTS = 3  # of k-means and mixtures; scikit-learn keeps the best
PROTOTYPES = (4, 8, 10, 16, 32)
COMPONENTS = range(1, 9)
CODES = (1, 2, 3)
SMALLEST = 0.01  # minimum share of kernels in a cluster of HDBSCAN, as for stretches of the spectrum
HALVES = 100  # random halves of the units for the interval of an adjusted Rand index
SCORED = 2000  # most kernels for silhouette, which compares all pairs, and Davies-Bouldin

Judge = Callable[[np.ndarray], np.ndarray]  # unit kernels [n, taps] -> dissimilarities [n]


class Method(NamedTuple):
    """A fitted method: name, k, dissimilarities, labels of the fitted kernels if it clusters, and random starts."""

    method: str
    k: int
    dissimilarity: Judge
    labels: np.ndarray | None = None
    starts: int = 1

    @property
    def key(self) -> tuple[str, int]:
        """Name and k, which HDBSCAN finds itself, another one in each split."""
        return self.method, 0 if self.method == "hdbscan" else self.k


class Tally:
    """How often each of n kernels was in either half, and clustered then; the share held out and of noise by split."""

    def __init__(self, kernels: int):
        self.times, self.near = np.zeros((2, kernels)), np.zeros((2, kernels))
        self.held_out: list[float] = []
        self.noise: list[float] = []

    def add(self, half: int, inside: np.ndarray, near: np.ndarray) -> None:
        self.times[half, inside] += 1
        self.near[half, inside] += near

    def shares(self, half: int) -> np.ndarray:
        """In which share of its times each kernel is clustered, float [n]; NaN where it never was in that half."""
        with np.errstate(invalid="ignore"):
            return self.near[half] / self.times[half]


def answer(
    size: str,
    kernels: np.ndarray,
    units: Units,
    labeller: Labeller,
    sample: int,
    splits: int,
    restarts: int,
    steps: int,
    seed: int,
) -> dict[str, pd.DataFrame]:
    """Compare other methods with the autoencoder on the kernels of one size.

    Parameters
    ----------
    size : str
        `7x7`.
    kernels : float32 array [n, taps]
        Unit kernels that trained the autoencoder.
    units : Units
        From `kernels.training_units`.
    labeller : Labeller
        Of the run, trained on both halves, hence without held-out share. The method `retrained` trains the same
        autoencoder on one half, with codes of one, two and three numbers.
    sample : int
        Maximum number of kernels.
    splits : int
        Random splits of the units.
    restarts : int
        Random starts of `retrained` with k = 1. The best on a held-out tenth is kept, as in the main run: starts differ
        more than layers do. Longer codes have a single start, which can only understate them.
    steps : int
        See `autoencoder.train`.
    seed : int

    Returns
    -------
    dict of DataFrame
        With the columns of `evidence/baselines.csv` and `evidence/agreement.csv` in schemas/tables.yaml.

        - baselines: shares are means over kernels, each in the mean over the splits in which it was in that half;
          intervals are bootstrapped over units. Davies-Bouldin index: Davies & Bouldin (1979).
        - agreement: adjusted Rand index of Hubert & Arabie (1985). Its interval is from random halves of the units,
          whose deviation from the whole estimates that of the whole from the truth (Politis & Romano 1994).
    """
    # draw kernels
    random = np.random.default_rng([seed, kernels.shape[1], 1])
    drawn = np.sort(random.choice(len(kernels), min(sample, len(kernels)), replace=False))
    kernels, kind, units = kernels[drawn], units.kind, units.number[drawn]
    noise = make_control("gaussian", kernels, seed)

    # fit every method on one half of the units; judge both halves and noise; the same for each split
    tallies: dict[tuple[str, int], Tally] = {}
    first: dict[tuple[str, int], Method] = {}
    for split in range(splits):
        there = random.permutation(np.unique(units))
        in_half = np.isin(units, there[: (len(there) + 1) // 2])
        methods = {m.key: m for m in _fit(kernels[in_half], labeller, restarts, steps, seed + split)}
        for key, m in methods.items():
            tally = tallies.setdefault(key, Tally(len(kernels)))
            tally.add(0, in_half, m.dissimilarity(kernels[in_half]) < labeller.threshold)
            tally.noise.append((m.dissimilarity(noise) < labeller.threshold).mean())
            if m.method != "autoencoder":  # that of the run trained on both halves
                held_out = m.dissimilarity(kernels[~in_half]) < labeller.threshold
                tally.add(1, ~in_half, held_out)
                tally.held_out.append(held_out.mean())
        if not first:
            first, half = methods, in_half

    # sum up over splits; labels are compared in the first
    unknown = Tally(len(kernels))
    reference = tallies.get(("retrained", 1), unknown).shares(1)
    scored = np.sort(random.choice(half.sum(), min(SCORED, half.sum()), replace=False))
    rows = []
    for key, tally in tallies.items():
        m = first.get(key) or methods[key]
        row = {"size": size, "method": m.method, "k": m.k, "starts": m.starts, "units": kind}
        row |= {"splits": len(tally.noise), "kernels": half.sum(), "held_out_kernels": (~half).sum()}
        row |= _share(tally.shares(0), units, seed, "clustered_share", "")
        row |= _share(tally.shares(1), units, seed, "held_out_share", "held_out_")
        row |= {"held_out_lowest": min(tally.held_out, default=np.nan)}
        row |= {"held_out_highest": max(tally.held_out, default=np.nan)}
        row |= _share(reference - tally.shares(1), units, seed, "difference", "difference_")
        row |= {"noise_share": np.mean(tally.noise)}
        rows.append(row | _validity(kernels[half][scored], m.labels if key in first else None, scored))
    agreement = [{"size": size} | row for row in _agreement(list(first.values()), units[half], random)]
    return {
        "baselines": in_order(pd.DataFrame(rows), "baselines.csv"),
        "agreement": in_order(pd.DataFrame(agreement), "agreement.csv"),
    }


def _fit(fitted: np.ndarray, labeller: Labeller, restarts: int, steps: int, seed: int) -> Iterator[Method]:
    """Every method, fitted on one half; the autoencoder of the run as it is."""
    yield Method("autoencoder", 1, *_of_run(labeller, fitted))
    yield from _retrained(fitted, restarts, steps, seed)
    yield from _clustered(fitted, seed)
    yield from _components(fitted, seed)
    yield from _modulo_poses(fitted, seed)


def _of_run(labeller: Labeller, fitted: np.ndarray) -> tuple[Judge, np.ndarray]:
    number = labeller.clusters["cluster"].to_numpy()
    labels = number[cluster_of(labeller.coder.encode(fitted), labeller.clusters)]
    return lambda kernels: labeller.coder.reconstruct(kernels)[1], labels


def _retrained(fitted: np.ndarray, restarts: int, steps: int, seed: int) -> Iterator[Method]:
    """Autoencoders with codes of one to three numbers, without those whose starts all collapsed."""
    for code in CODES:
        starts = restarts if code == 1 else 1
        try:
            model, _ = autoencoder.train(fitted, seed, starts, steps, code=code)
        except AtlasError as error:
            print(f"code of {code}: {error}")
            continue
        yield Method("retrained", code, _judge(model), starts=starts)


def _judge(model: autoencoder.Autoencoder) -> Judge:
    def dissimilarity(kernels: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model(torch.from_numpy(kernels))[1].numpy()

    return dissimilarity


def _clustered(fitted: np.ndarray, seed: int) -> Iterator[Method]:
    """Methods with cluster means as prototypes. For unit kernels Euclidean distance and cosine rank alike."""
    numbers = [k for k in PROTOTYPES if k < len(fitted)]
    for k in numbers:
        means = KMeans(k, n_init=STARTS, random_state=seed).fit(fitted)
        yield Method("kmeans", k, _nearest(means.cluster_centers_), means.labels_, STARTS)
    for k in numbers:
        # A full covariance (1,225 parameters for 7x7) exceeds the kernels of a component; a spherical one is k-means.
        # A diagonal is between. The floor of 1e-4 (a spread of 0.01) keeps components from collapsing to a point.
        mixture = GaussianMixture(k, covariance_type="diag", reg_covar=1e-4, n_init=STARTS, random_state=seed)
        labels = mixture.fit_predict(fitted)
        yield Method("gaussian_mixture", k, _nearest(mixture.means_), labels, STARTS)
    labels = HDBSCAN(min_cluster_size=max(5, round(SMALLEST * len(fitted))), copy=True).fit_predict(fitted)
    found = range(labels.max() + 1)
    means = np.array([fitted[labels == n].mean(axis=0) for n in found]).reshape(-1, fitted.shape[1])
    yield Method("hdbscan", len(found), _nearest(means), labels)


def _modulo_poses(fitted: np.ndarray, seed: int) -> Iterator[Method]:
    """A codebook modulo the symmetries of the square and sign; and the reference patterns, which are not fitted."""
    codebook = learn_codebook(fitted, seed)
    yield Method("codebook", len(codebook), lambda kernels: 1 - image_cosines(kernels, codebook))
    matcher = Matcher(templates(round(fitted.shape[1] ** 0.5)))
    yield Method("patterns", len(matcher.names), lambda kernels: 1 - matcher.match(kernels).similarity)


def _nearest(means: np.ndarray) -> Judge:
    prototypes = centre_and_normalise(means)
    return lambda kernels: 1 - (kernels @ prototypes.T).max(axis=1, initial=-1)


def _components(fitted: np.ndarray, seed: int) -> Iterator[Method]:
    """Mean and k principal components. With k = 1, the linear counterpart of a code of one number."""
    for k in COMPONENTS:
        if k < min(fitted.shape):
            yield Method("pca", k, _projection(PCA(k, random_state=seed).fit(fitted)))


def _projection(pca: PCA) -> Judge:
    def dissimilarity(kernels: np.ndarray) -> np.ndarray:
        drawn = centre_and_normalise(pca.inverse_transform(pca.transform(kernels)))
        return 1 - np.einsum("nt,nt->n", drawn, kernels)

    return dissimilarity


def _share(near: np.ndarray, units: np.ndarray, seed: int, name: str, prefix: str) -> dict[str, float]:
    """The mean of `near`, float [n], and its interval over units; kernels with NaN are left out."""
    known = np.isfinite(near)
    if not known.any():
        return {name: np.nan, f"{prefix}low": np.nan, f"{prefix}high": np.nan}
    near, units = near[known], units[known]
    sums = pd.DataFrame({"near": near, "unit": units}).groupby("unit")["near"].agg(["sum", "size"])
    low, high = bootstrap_share(sums["sum"].to_numpy(), sums["size"].to_numpy(), [seed, 1])
    return {name: near.mean(), f"{prefix}low": low, f"{prefix}high": high}


def _validity(kernels: np.ndarray, labels: np.ndarray | None, scored: np.ndarray) -> dict[str, float]:
    unknown = {"silhouette": np.nan, "davies_bouldin": np.nan, "scored": 0}
    if labels is None:
        return unknown
    own = labels[scored] >= 0
    kernels, labels = kernels[own], labels[scored][own]
    if not 1 < len(np.unique(labels)) < len(labels):
        return unknown
    scores = {"silhouette": silhouette_score(kernels, labels), "davies_bouldin": davies_bouldin_score(kernels, labels)}
    return scores | {"scored": len(labels)}


def _agreement(methods: list[Method], units: np.ndarray, random: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Rows of agreement.csv without size."""
    there = np.unique(units)
    halves = [
        random.choice(there, len(there) // 2, replace=False) for _ in range(HALVES if len(there) >= FEWEST else 0)
    ]
    halves = [np.isin(units, half) for half in halves]
    labelings = [m for m in methods if m.labels is not None]
    for a, b in itertools.combinations(labelings, 2):
        low = high = np.nan
        if a is labelings[0] and halves:
            spread = [adjusted_rand_score(a.labels[half], b.labels[half]) for half in halves]
            low, high = np.quantile(spread, TAILS)
        yield {
            "method_a": a.method,
            "k_a": a.k,
            "method_b": b.method,
            "k_b": b.k,
            "adjusted_rand": adjusted_rand_score(a.labels, b.labels),
            "normalised_mutual_information": normalized_mutual_info_score(a.labels, b.labels),
            "kernels": len(a.labels),
            "low": low,
            "high": high,
        }
