"""Stability of clusters under other random starts and other training models.

A run trains one start of the autoencoder on the same kernels (`restart`), or on those of models or layers drawn with
replacement, duplicates dropped (`bootstrap`, as clusterboot in R's fpc). A bootstrap of kernels would vary too little,
as kernels of one layer are alike. Clusters are matched one to one with the main run's by the cosine of prototypes. The
autoencoder of kernels in one pose learns its codebook again in each run, which may choose other poses: its prototypes
are compared in all 16, and so are the random kernels of chance.

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
from kernel_atlas.core.patterns import Matcher, kind_of, templates
from kernel_atlas.core.vocabulary import STABLE
from kernel_atlas.evidence.kernels import Units, of_size
from kernel_atlas.model import autoencoder
from kernel_atlas.model.assign import OTHER, Labeller
from kernel_atlas.model.clusters import cluster_of
from kernel_atlas.model.coder import SAMPLES, Coder, sample_codes
from kernel_atlas.model.naming import find_clusters, name_clusters
from kernel_atlas.model.poses import POSES, find_poses, learn_codebook, turn, turn_back
from kernel_atlas.stats.resampling import FEWEST

ALIKE = 0.9  # minimum cosine of recurring prototypes
RECURS, JACCARD = STABLE["recurs"], STABLE["jaccard"]
DRAWS = 200  # draws of random kernels in place of prototypes


class Clustering(NamedTuple):
    """Clusters of one autoencoder and memberships of the sample.

    numbers int [c], labels str [c], prototypes float [c, taps], member int [n] (0 to c - 1, or `OTHER`). Prototypes are
    compared in `poses` poses.
    """

    numbers: np.ndarray
    labels: np.ndarray
    prototypes: np.ndarray
    member: np.ndarray
    poses: int = 1

    def names(self) -> np.ndarray:
        """Labels of the clusters of the kernels, str [n]."""
        return np.append(self.labels, "other")[self.member]

    def cosines(self, kernels: np.ndarray) -> np.ndarray:
        """Cosine [c, k] of the prototypes to unit kernels [k, taps], each in the pose where it is greatest."""
        return np.max([self.prototypes @ turn(kernels, pose).T for pose in range(self.poses)], axis=0)


class Cut(NamedTuple):
    """How a run trains and is cut into clusters: in one pose or not, the threshold, and as `answer` has it."""

    posed: bool
    threshold: float
    boundary: float
    smallest: float
    steps: int


def answer(
    size: str,
    kernels: np.ndarray,
    units: Units,
    labeller: Labeller,
    posed: pd.DataFrame,
    boundary: float,
    smallest: float,
    sample: int,
    restarts: int,
    bootstraps: int,
    steps: int,
    seed: int,
) -> dict[str, pd.DataFrame]:
    """Stability of the clusters of one size, of the autoencoder and of that of kernels in one pose.

    Parameters
    ----------
    size : str
        `7x7`.
    kernels : float32 array [n, taps]
        Unit kernels that trained the autoencoders.
    units : Units
        From `kernels.training_units`.
    labeller : Labeller
        Of the run.
    posed : DataFrame
        Clusters of the autoencoder of kernels in one pose, from `read_clusters`.
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
    labels = _labels(kernels, labeller.threshold)
    kinds = ["restart"] * restarts + ["bootstrap"] * (bootstraps if len(np.unique(number)) >= FEWEST else 0)
    tables: dict[str, list[pd.DataFrame]] = {"stability": [], "restarts": [], "stability_summary": []}
    for method in ("autoencoder", "posed"):
        cut = Cut(method == "posed", labeller.threshold, boundary, smallest, steps)
        if cut.posed:
            own = Labeller(labeller.posed.coder, posed, labeller.threshold)
            main = _clustering(own, _stand(kernels, labeller.posed.codebook), POSES)
        else:
            main = _clustering(labeller, kernels)
        found = _judge(main, kernels, number, labels, kinds, cut, random, seed)
        found["stability_summary"]["units"] = units.kind
        for name, table in found.items():
            tables[name].append(table.assign(method=method))
    return of_size(size, {name: pd.concat(parts) for name, parts in tables.items()})


def _judge(
    main: Clustering,
    kernels: np.ndarray,
    number: np.ndarray,
    labels: np.ndarray,
    kinds: list[str],
    cut: Cut,
    random: np.random.Generator,
    seed: int,
) -> dict[str, pd.DataFrame]:
    """The tables of one method: runs of these kinds on the sample, each matched with the main run."""
    matches, there = [], np.unique(number)
    near = main.member != OTHER
    runs = [{"kind": "main", "run": 0, "clusters": len(main.numbers), "clustered_share": near.mean()}]
    for run, kind in enumerate(kinds, start=1):
        training = kernels
        if kind == "bootstrap":
            training = kernels[np.isin(number, random.choice(there, len(there)))]
        own_seed = 1000 * (seed + 1) + run  # distinct from the small seeds of the main run
        other = _run(training, kernels, labels, cut, own_seed)
        row = {"kind": kind, "run": run, "seed": own_seed, "training_kernels": len(training)}
        runs.append(row | {"clusters": len(other.numbers)} | _compare(main, other))
        matches.append(_match(main, other).assign(kind=kind))
    runs = pd.DataFrame(runs).astype(dict.fromkeys(["seed", "training_kernels", "common"], "Int64"))
    stability = _summarise_clusters(main, pd.concat(matches), _chance(main, kernels, random))
    return {"stability": stability, "restarts": runs, "stability_summary": _summarise(stability, runs)}


def _run(training: np.ndarray, kernels: np.ndarray, labels: np.ndarray, cut: Cut, seed: int) -> Clustering:
    """Train one start and cut its code; a collapsed start has no clusters."""
    poses = POSES if cut.posed else 1
    if cut.posed:
        codebook = learn_codebook(training, seed)
        training, kernels = (_stand(some, codebook) for some in (training, kernels))
        labels = np.array([kind_of(label) for label in labels], object)
    try:
        model, _ = autoencoder.train(training, seed, 1, cut.steps)
    except AtlasError as error:
        print(f"run with seed {seed}: {error}")
        nothing = np.empty((0, kernels.shape[1])), np.full(len(kernels), OTHER)
        return Clustering(np.empty(0, int), np.empty(0, str), *nothing, poses)
    coder = Coder(model.state_dict())
    counts = np.histogram(coder.encode(training), SAMPLES, (0, 1))[0]
    clusters = find_clusters(coder.decode(sample_codes()), counts, cut.boundary, cut.smallest)
    *_, members = Labeller(coder, clusters, cut.threshold).assign(kernels)
    return _clustering(Labeller(coder, name_clusters(clusters, members, labels), cut.threshold), kernels, poses)


def _stand(kernels: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """Unit kernels turned to one pose."""
    return turn_back(kernels, find_poses(kernels, codebook))


def _labels(kernels: np.ndarray, threshold: float) -> np.ndarray:
    """The labels of unit kernels by the reference patterns, of which clusters have their names."""
    found = Matcher(templates(round(kernels.shape[1] ** 0.5))).match(kernels)
    return np.where(found.similarity > 1 - threshold, found.name, "other")


def _clustering(labeller: Labeller, kernels: np.ndarray, poses: int = 1) -> Clustering:
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
    labels = labeller.clusters["label"].to_numpy(str)[first]
    return Clustering(numbers, labels, labeller.coder.decode(middles), member, poses)


def _match(main: Clustering, other: Clustering) -> pd.DataFrame:
    """Cosine (NaN without match), same_name and jaccard of each cluster of the main run and its match."""
    cosines = main.cosines(other.prototypes)
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
        cosines = main.cosines(drawn)
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
