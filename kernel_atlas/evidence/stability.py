"""Stability of clusters under other random starts and other training models.

A run trains one start of the autoencoder on the same kernels (`restart`), or on those of models or layers drawn with
replacement, duplicates dropped (`bootstrap`, as clusterboot in R's fpc). A bootstrap of kernels would vary too little,
as kernels of one layer are alike. Clusters are matched one to one with the main run's by the cosine of prototypes.

A cluster is stable, by a rule set before any result was seen, if its prototype recurs (cosine of at least 0.9) in at
least 80 % of runs and the mean Jaccard index with its match (0 without match) is at least 0.6, the limit for a pattern
of Hennig (Computational Statistics & Data Analysis 52, 2007).
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.patterns import Matcher, templates
from kernel_atlas.core.vocabulary import STABLE
from kernel_atlas.evidence.kernels import Units, of_size
from kernel_atlas.model import autoencoder
from kernel_atlas.model.assign import OTHER, Labeller
from kernel_atlas.model.clusters import cluster_of
from kernel_atlas.model.coder import SAMPLES, Coder, sample_codes
from kernel_atlas.model.naming import find_clusters, name_clusters
from kernel_atlas.stats.resampling import FEWEST

ALIKE = 0.9  # minimum cosine of recurring prototypes
RECURS, JACCARD = STABLE["recurs"], STABLE["jaccard"]
DRAWS = 200  # draws of random kernels in place of prototypes


class Clustering(NamedTuple):
    """Clusters of one autoencoder and memberships of the sample.

    numbers int [c], labels str [c], prototypes float [c, taps], member int [n] (0 to c - 1, or `OTHER`).
    """

    numbers: np.ndarray
    labels: np.ndarray
    prototypes: np.ndarray
    member: np.ndarray

    def names(self) -> np.ndarray:
        """Labels of the clusters of the kernels, str [n]."""
        return np.append(self.labels, "other")[self.member]


def answer(
    size: str,
    kernels: np.ndarray,
    units: Units,
    labeller: Labeller,
    boundary: float,
    smallest: float,
    sample: int,
    restarts: int,
    bootstraps: int,
    steps: int,
    seed: int,
) -> dict[str, pd.DataFrame]:
    """Stability of the clusters of one size.

    Parameters
    ----------
    size : str
        `7x7`.
    kernels : float32 array [n, taps]
        Unit kernels that trained the autoencoder.
    units : Units
        From `kernels.training_units`.
    labeller : Labeller
        Of the run.
    boundary, smallest : float
        See `naming.find_clusters`.
    sample : int
        Maximum number of kernels, to train on and to compare memberships.
    restarts, bootstraps : int
        Number of runs. With fewer than five units there is no bootstrap.
    steps : int
        See `autoencoder.train`; one start, where the main run kept the best of several. Fewer steps than in the main
        run find fewer clusters and cluster fewer kernels, and thus understate stability.
    seed : int

    Returns
    -------
    dict of DataFrame
        stability, restarts, stability_summary; see schemas/tables.yaml. With a high `chance`, `recurs` means little.
    """
    # a sample of the kernels, and its clusters in the main run
    random = np.random.default_rng([seed, kernels.shape[1], 2])
    drawn = np.sort(random.choice(len(kernels), min(sample, len(kernels)), replace=False))
    kernels, number = kernels[drawn], units.number[drawn]
    there = np.unique(number)
    labels = _labels(kernels, labeller.threshold)
    main, matches = _clustering(labeller, kernels), []
    near = main.member != OTHER
    # other runs, each matched with the main run
    runs = [{"kind": "main", "run": 0, "clusters": len(main.numbers), "clustered_share": near.mean()}]
    kinds = ["restart"] * restarts + ["bootstrap"] * (bootstraps if len(there) >= FEWEST else 0)
    for run, kind in enumerate(kinds, start=1):
        training = kernels
        if kind == "bootstrap":
            training = kernels[np.isin(number, random.choice(there, len(there)))]
        own_seed = 1000 * (seed + 1) + run  # distinct from the small seeds of the main run
        other = _run(training, kernels, labels, labeller.threshold, boundary, smallest, steps, own_seed)
        row = {"kind": kind, "run": run, "seed": own_seed, "training_kernels": len(training)}
        runs.append(row | {"clusters": len(other.numbers)} | _compare(main, other))
        matches.append(_match(main, other).assign(kind=kind))
    runs = pd.DataFrame(runs).astype(dict.fromkeys(["seed", "training_kernels", "common"], "Int64"))
    stability = _summarise_clusters(main, pd.concat(matches), _chance(main, kernels, random))
    tables = {
        "stability": stability,
        "restarts": runs,
        "stability_summary": _summarise(stability, runs).assign(units=units.kind),
    }
    return of_size(size, tables)


def _run(
    training: np.ndarray,
    kernels: np.ndarray,
    labels: np.ndarray,
    threshold: float,
    boundary: float,
    smallest: float,
    steps: int,
    seed: int,
) -> Clustering:
    """Train one start and cut its code; a collapsed start has no clusters."""
    try:
        model, _ = autoencoder.train(training, seed, 1, steps)
    except AtlasError as error:
        print(f"run with seed {seed}: {error}")
        return Clustering(
            np.empty(0, int), np.empty(0, str), np.empty((0, kernels.shape[1])), np.full(len(kernels), OTHER)
        )
    coder = Coder(model.state_dict())
    counts = np.histogram(coder.encode(training), SAMPLES, (0, 1))[0]
    clusters = find_clusters(coder.decode(sample_codes()), counts, boundary, smallest)
    *_, members = Labeller(coder, clusters, threshold).assign(kernels)
    return _clustering(Labeller(coder, name_clusters(clusters, members, labels), threshold), kernels)


def _labels(kernels: np.ndarray, threshold: float) -> np.ndarray:
    """The labels of unit kernels by the reference patterns, of which clusters have their names."""
    found = Matcher(templates(round(kernels.shape[1] ** 0.5))).match(kernels)
    return np.where(found.similarity > 1 - threshold, found.name, "other")


def _clustering(labeller: Labeller, kernels: np.ndarray) -> Clustering:
    """Prototypes are decoded from the median code of a cluster's kernels, as in `find_clusters`."""
    codes, dissimilarities = labeller.coder.reconstruct(kernels)
    numbers, first = np.unique(labeller.clusters["cluster"], return_index=True)
    cluster = np.searchsorted(numbers, labeller.clusters["cluster"].to_numpy()[cluster_of(codes, labeller.clusters)])
    middles = labeller.clusters[["code_low", "code_high"]].mean(axis=1).to_numpy()[first]
    for n in range(len(numbers)):
        inside = np.sort(codes[cluster == n])
        if len(inside):
            middles[n] = inside[len(inside) // 2]  # an actual code: a mean may fall in another cluster's stretch
    member = np.where(dissimilarities < labeller.threshold, cluster, OTHER)
    return Clustering(numbers, labeller.clusters["label"].to_numpy(str)[first], labeller.coder.decode(middles), member)


def _match(main: Clustering, other: Clustering) -> pd.DataFrame:
    """Cosine (NaN without match), same_name and jaccard of each cluster of the main run and its match."""
    cosines = main.prototypes @ other.prototypes.T
    table = pd.DataFrame({"cosine": np.nan, "same_name": False, "jaccard": 0.0}, index=range(len(main.numbers)))
    for a, b in zip(*linear_sum_assignment(cosines, maximize=True), strict=True):
        mine, its = main.member == a, other.member == b
        jaccard = (mine & its).sum() / max(1, (mine | its).sum())
        table.loc[a] = cosines[a, b], main.labels[a] == other.labels[b], jaccard
    return table.rename_axis("position").reset_index()


def _chance(main: Clustering, kernels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    near = np.zeros(len(main.numbers))
    for _ in range(DRAWS):
        drawn = kernels[random.choice(len(kernels), min(len(near), len(kernels)), replace=False)]
        cosines = main.prototypes @ drawn.T
        a, b = linear_sum_assignment(cosines, maximize=True)
        near[a] += cosines[a, b] >= ALIKE
    return near / DRAWS


def _compare(main: Clustering, other: Clustering) -> dict[str, float]:
    """Change of the assignments of the sample; shares are of all its kernels."""
    here, there = main.member != OTHER, other.member != OTHER
    both = here & there
    names, other_names = main.names(), other.names()
    return {
        "clustered_share": there.mean(),
        "adjusted_rand": adjusted_rand_score(main.member[both], other.member[both]) if both.sum() > 1 else np.nan,
        "common": both.sum(),
        "moved": (names != other_names).mean(),
        "lost": (here & ~there).mean(),
        "gained": (there & ~here).mean(),
    }


def _summarise_clusters(main: Clustering, matches: pd.DataFrame, chance: np.ndarray) -> pd.DataFrame:
    matches = pd.concat([matches, matches.assign(kind="all")])
    matches["recurs"] = matches["cosine"] >= ALIKE
    matches[["same_name", "jaccard"]] = matches[["same_name", "jaccard"]].astype(float)
    groups = matches.groupby(["position", "kind"])
    table = groups[["recurs", "same_name", "jaccard"]].mean()
    table["cosine"], table["runs"] = groups["cosine"].median(), groups.size()
    table = table.reset_index()
    sizes = np.bincount(main.member[main.member != OTHER], minlength=len(main.numbers))
    for name, values in (("cluster", main.numbers), ("label", main.labels), ("kernels", sizes), ("chance", chance)):
        table[name] = values[table["position"]]
    stable = (table["recurs"] >= RECURS) & (table["jaccard"] >= JACCARD)
    return table.drop(columns="position").assign(stable=np.where(stable, "yes", "no"))


def _summarise(stability: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for kind, clusters in stability.groupby("kind", sort=False):
        mine = runs[(runs["kind"] == kind) | ((kind == "all") & (runs["kind"] != "main"))]
        kernels = clusters["kernels"].where(clusters["stable"] == "yes", 0).sum() / max(1, clusters["kernels"].sum())
        shares = mine["clustered_share"]
        rows.append(
            {
                "kind": kind,
                "runs": len(mine),
                "clusters": len(clusters),
                "stable": (clusters["stable"] == "yes").sum(),
                "stable_kernels": kernels,
                "recurring": (clusters["recurs"] >= RECURS).sum(),
                "chance": clusters["chance"].mean(),
                "fewest_clusters": mine["clusters"].min(),
                "most_clusters": mine["clusters"].max(),
                "clustered_share": runs["clustered_share"].iloc[0],
                "lowest_share": shares.min(),
                "highest_share": shares.max(),
                "adjusted_rand": mine["adjusted_rand"].median(),
                "moved": mine["moved"].median(),
                "lost": mine["lost"].median(),
                "gained": mine["gained"].median(),
            }
        )
    return pd.DataFrame(rows)
