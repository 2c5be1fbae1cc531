"""Residuals of kernels from `a * key + b`, for small sets of keys: the eight published filters, prototypes, others.

The best a and b leave the relative residual sqrt(1 - cosine^2), with the cosine of kernel and key, both centred; the
sign does not matter (Babaiee et al., arXiv 2509.11711). Sets are chosen on half of the networks and compared on
held-out networks and their controls.
"""

import itertools
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from kernel_atlas.core.kernels import centre_and_normalise, taps_array
from kernel_atlas.core.patterns import resemble
from kernel_atlas.evidence.controls import MADE, make_control
from kernel_atlas.evidence.kernels import SUBJECTS, of_size
from kernel_atlas.model.assign import Labeller
from kernel_atlas.stats.resampling import FEWEST, TAILS, bootstrap_share, draw_units
from kernel_atlas.stats.shares import FIFTHS, fifth_of

KEYS = 8  # size of the published set and of those compared with it
LARGEST = 32  # size of the largest greedy set
DRAWS = 100  # random sets of kernels
CANDIDATES = 800  # kernels that a greedy search chooses from, with the samples of the spectrum
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_ROUNDS = 25  # iterations of `line_centres`
_BINS = 1000  # histogram bins of residuals (0 to 1) for bootstrapped medians


class Subject(NamedTuple):
    """Kernels to evaluate sets on: model [n], layer [n], depth [n] and centred unit taps [n, taps]."""

    models: np.ndarray
    layers: np.ndarray
    depths: np.ndarray
    kernels: np.ndarray

    def take(self, rows: np.ndarray) -> "Subject":
        """Select kernels by a bool array [n]."""
        return Subject(*(column[rows] for column in self))

    def units(self) -> tuple[str, np.ndarray]:
        """Units of intervals, models or with few models layers, and the unit of each kernel, int [n]."""
        names, units = np.unique(self.models, return_inverse=True)
        if len(names) >= FEWEST:
            return "models", units
        return "layers", np.unique(np.column_stack([units, self.layers]), axis=0, return_inverse=True)[1].ravel()


def residuals(kernels: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Relative residuals, float32 [n, k], of centred unit kernels [n, taps] from centred unit keys [k, taps]."""
    cosines = kernels @ keys.T
    return np.sqrt(np.clip(1 - cosines**2, 0, 1), dtype=np.float32)


def line_centres(kernels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Centres of sign-invariant k-means (k-plane clustering, Bradley & Mangasarian 2000).

    Each kernel is assigned to the centre with the highest absolute cosine; a centre is the first principal direction of
    its kernels. Each round lowers the mean squared residual. The start is a greedy set. Plain k-means would find most
    patterns twice, with either sign.

    Parameters
    ----------
    kernels : float array [n, taps]
        Centred unit kernels.
    count, seed : int

    Returns
    -------
    float array [count, taps]
        Fewer if there are fewer kernels.
    """
    drawn = kernels[np.random.default_rng([seed, count]).permutation(len(kernels))[:CANDIDATES]]
    centres = drawn[choose_greedily(kernels, drawn, count)]
    for _ in range(_ROUNDS):
        nearest = np.abs(kernels @ centres.T).argmax(axis=1)
        for line in range(len(centres)):
            mine = kernels[nearest == line]
            if len(mine):
                centres[line] = np.linalg.eigh(mine.T @ mine)[1][:, -1]
    return centres


def choose_greedily(kernels: np.ndarray, candidates: np.ndarray, count: int) -> list[int]:
    """Greedy selection: add the candidate that lowers the mean residual most.

    The gain is submodular: the greedy set reaches at least 1 - 1/e of the optimum (Nemhauser, Wolsey & Fisher 1978).

    Parameters
    ----------
    kernels, candidates : float arrays [n, taps] and [c, taps]
        Centred unit kernels.
    count : int

    Returns
    -------
    list of int
        Rows of `candidates`; fewer than `count` once no other lowers the residual.
    """
    table = residuals(kernels, candidates).T.copy()  # contiguous rows per candidate
    left, chosen = np.ones(len(kernels), np.float32), []
    for _ in range(min(count, len(candidates))):
        means = np.array([np.minimum(row, left).mean(dtype=np.float64) for row in table])
        best = int(means.argmin())
        if means[best] >= left.mean(dtype=np.float64):
            break
        chosen.append(best)
        left = np.minimum(left, table[best])
    return chosen


def answer(
    size: str,
    picked: pa.Table,
    spectrum: pa.Table,
    labeller: Labeller,
    filters: np.ndarray,
    tolerance: float,
    seed: int,
) -> dict[str, pd.DataFrame]:
    """Residuals of the kernels of one size from small sets of keys.

    Sets are chosen on half of the networks and evaluated on the held-out half. Prototypes and spectrum are not strictly
    held-out, as the autoencoder was trained on both halves.

    Parameters
    ----------
    size : str
    picked : pyarrow.Table
        From `kernels.pick_kernels`.
    spectrum : pyarrow.Table
        spectrum.parquet; its samples are candidates of the greedy search.
    labeller : Labeller
        Of the run; its prototypes are a set.
    filters : float array [8, 7, 7]
        The published filters, for 7x7 kernels only.
    tolerance : float
        See `tabulate_greedy`.
    seed : int

    Returns
    -------
    dict of DataFrame
        master_keys and master_key_shares, both empty for sizes other than 7x7; key_sets and greedy_sets.
    """
    # choose on half of the networks, evaluate on the held-out half and its controls
    subjects = _subjects(picked, seed)
    real = subjects["real"]
    half = choosing_half(real.models, seed)
    choosing, held_out = real.kernels[half], {}
    for name, subject in subjects.items():
        held_out[name] = subject.take(~half) if name in ("real", *MADE) else subject

    # the sets
    places = picked.drop_columns("weight").to_pandas()
    candidates, kernels = _candidates(spectrum, places[places["subject"] == "real"][half], choosing, seed)
    order = choose_greedily(choosing, kernels, LARGEST)
    prototypes = np.stack(labeller.prototypes["kernel"])
    random = np.random.default_rng([seed, len(choosing)])
    sets = {
        "random kernels": [choosing[random.permutation(len(choosing))[:KEYS]] for _ in range(DRAWS)],
        "prototypes": [prototypes],
        "greedy prototypes": [prototypes[choose_greedily(choosing, prototypes, KEYS)]],
        "k-means": [line_centres(choosing, KEYS, seed)],
        "greedy": [kernels[order[:KEYS]]],
    }

    # the published set exists for one size only
    published = centre_and_normalise(filters.reshape(len(filters), -1))
    known = published.shape[1] == choosing.shape[1]
    if known:
        sets = {"published": [published], **sets}
    chosen = candidates.iloc[order].reset_index(drop=True)
    tables = {
        "master_keys": assign_keys(picked, published) if known else pd.DataFrame(),
        "master_key_shares": share_keys(subjects, published, seed) if known else pd.DataFrame(),
        "key_sets": compare_sets(sets, held_out, seed),
        "greedy_sets": tabulate_greedy(chosen, kernels[order], choosing, held_out, tolerance, seed),
    }
    return of_size(size, tables)


def choosing_half(models: np.ndarray, seed: int) -> np.ndarray:
    """Select the kernels that sets are chosen on: those of half of the models, or half of a single model's.

    Models in random order go to the half with fewer kernels.

    Parameters
    ----------
    models : array of str [n]
    seed : int

    Returns
    -------
    bool array [n]
    """
    random = np.random.default_rng([seed, len(models)])
    names, counts = np.unique(models, return_counts=True)
    if len(names) < 2:
        return random.permutation(len(models)) < len(models) // 2
    kept, balance = [], 0
    for place in random.permutation(len(names)):
        if balance <= 0:
            kept.append(names[place])
        balance += counts[place] if balance <= 0 else -counts[place]
    return np.isin(models, kept)


def _subjects(picked: pa.Table, seed: int) -> dict[str, Subject]:
    """Picked kernels by subject, and controls made from the real kernels, in the same order."""
    found = {}
    names, raw = picked["subject"].to_numpy(), taps_array(picked["weight"])
    every = Subject(*(picked[name].to_numpy() for name in ("model", "layer_index", "depth")), centre_and_normalise(raw))
    for name in SUBJECTS:
        if (names == name).any():
            found[name] = every.take(names == name)
    for name in MADE:
        found[name] = found["real"]._replace(kernels=make_control(name, found["real"].kernels, seed))
    return found


def _candidates(
    spectrum: pa.Table, places: pd.DataFrame, kernels: np.ndarray, seed: int
) -> tuple[pd.DataFrame, np.ndarray]:
    """Candidates of the greedy search, each with its origin: samples of the spectrum and chosen-on kernels."""
    drawn = np.random.default_rng([seed, CANDIDATES]).permutation(len(kernels))[:CANDIDATES]
    decoded = pd.DataFrame({"source": "spectrum", "code": spectrum["code"].to_numpy()})
    real = places[["model", "layer_index", "channel", "code"]].iloc[drawn].assign(source="kernel")
    return pd.concat([decoded, real], ignore_index=True), np.concatenate(
        [taps_array(spectrum["decoded"]), kernels[drawn]]
    )


def assign_keys(picked: pa.Table, keys: np.ndarray) -> pd.DataFrame:
    """master_keys.csv without size: the best published filter for every picked kernel.

    Parameters
    ----------
    picked : pyarrow.Table
    keys : float array [8, taps]
        The filters, centred and normalised.
    """
    table = residuals(centre_and_normalise(taps_array(picked["weight"])), keys)
    places = picked.select(["model", "layer_index", "channel", "subject", "label"]).to_pandas()
    return places.assign(filter=table.argmin(axis=1) + 1, residual=table.min(axis=1))


def share_keys(subjects: dict[str, Subject], keys: np.ndarray, seed: int) -> pd.DataFrame:
    """master_key_shares.csv without size: share of each filter as the best one, and its residuals."""
    rows = []
    for name, subject in subjects.items():
        table = residuals(subject.kernels, keys)
        best, residual = table.argmin(axis=1), table.min(axis=1)
        fifths = fifth_of(subject.depths)
        parts = {"all": np.ones(len(best), bool)}
        if name not in MADE:  # controls have no depth
            parts |= {depth: fifths == place for place, depth in enumerate(FIFTHS)}
        for depth, inside in parts.items():
            if not inside.any():
                continue
            over, units = subject.take(inside).units()
            counts = pd.crosstab(units, best[inside]).reindex(columns=range(len(keys)), fill_value=0).to_numpy()
            whole = counts.sum(axis=1)
            counts = np.column_stack([counts, whole])
            low, high = bootstrap_share(counts, whole, [seed, len(rows)])
            for key, count in enumerate(counts.sum(axis=0)):
                mine = residual[inside & ((best == key) | (key == len(keys)))]
                row = {"subject": name, "depth": depth, "filter": "all" if key == len(keys) else str(key + 1)}
                row |= {"kernels": count, "share": count / whole.sum(), "share_low": low[key], "share_high": high[key]}
                row |= {"over": over, "residual_mean": mine.mean() if count else np.nan}
                spread = np.quantile(mine, QUANTILES) if count else np.full(len(QUANTILES), np.nan)
                for quantile, value in zip(QUANTILES, spread, strict=True):
                    row[f"residual_q{round(100 * quantile)}"] = value
                rows.append(row)
    return pd.DataFrame(rows)


def compare_sets(sets: dict[str, list[np.ndarray]], subjects: dict[str, Subject], seed: int) -> pd.DataFrame:
    """key_sets.csv without size: residuals from each set, of held-out kernels and controls.

    Parameters
    ----------
    sets : dict
        Name -> list of sets, float arrays [k, taps]: a single set, or many random draws.
    subjects : dict
    seed : int
    """
    rows = []
    for (name, draws), (word, subject) in itertools.product(sets.items(), subjects.items()):
        best = [residuals(subject.kernels, keys).min(axis=1) for keys in draws]
        if len(draws) > 1:
            found = np.array([(residual.mean(), np.median(residual)) for residual in best])
            low, high = np.quantile(found, TAILS, axis=0)
            (mean, median), over = found.mean(axis=0), "draws"
        else:
            mean, median = best[0].mean(), np.median(best[0])
            over, units = subject.units()
            low, high = np.transpose([_mean_interval(best[0], units, seed), _median_interval(best[0], units, seed)])
        row = {"set": name, "keys": len(draws[0]), "subject": word, "kernels": len(best[0])}
        row |= {"models": len(np.unique(subject.models)), "over": over}
        row |= {"mean": mean, "mean_low": low[0], "mean_high": high[0]}
        rows.append(row | {"median": median, "median_low": low[1], "median_high": high[1]})
    return pd.DataFrame(rows)


def tabulate_greedy(
    chosen: pd.DataFrame,
    keys: np.ndarray,
    choosing: np.ndarray,
    subjects: dict[str, Subject],
    tolerance: float,
    seed: int,
) -> pd.DataFrame:
    """greedy_sets.csv without size: mean residuals from the first 1, 2, ... keys of a greedy search.

    More keys always lower the residual, if only by fitting noise, so there is no true number. A set is within the
    tolerance if its mean residual on held-out networks is at most 1 + tolerance times that of the largest set.

    Parameters
    ----------
    chosen : DataFrame
        Keys in the order of choice: source (`spectrum` or `kernel`), code, model, layer_index, channel.
    keys : float array [k, taps]
    choosing : float array [n, taps]
        The kernels that the keys were chosen on.
    subjects : dict
        With `real`, the held-out kernels, and `gaussian`.
    tolerance, seed : float, int
    """
    # residuals of held-out kernels and noise from each prefix of the keys
    left = {name: _falling(subject.kernels, keys) for name, subject in subjects.items() if name in ("real", "gaussian")}
    means = left["real"].mean(axis=0, dtype=np.float64)
    over, units = subjects["real"].units()
    low, high = np.transpose([_mean_interval(column, units, seed) for column in left["real"].T])
    columns = {
        "keys": np.arange(1, len(keys) + 1),
        "residual_choosing": _falling(choosing, keys).mean(axis=0, dtype=np.float64),
        "residual": means,
        "residual_low": low,
        "residual_high": high,
        "over": over,
        "residual_gaussian": left["gaussian"].mean(axis=0, dtype=np.float64),
    }
    # origin of each key
    where = chosen[["source", "code", "model", "layer_index", "channel"]].astype(
        {"layer_index": "Int64", "channel": "Int64"}
    )
    table = pd.concat([pd.DataFrame(columns), where], axis=1)
    return table.assign(label=resemble(keys)[0], within_tolerance=means <= (1 + tolerance) * means[-1])


def _falling(kernels: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Residuals [n, k] from the best of the first 1, 2, ... k keys."""
    return np.minimum.accumulate(residuals(kernels, keys), axis=1)


def _mean_interval(values: np.ndarray, units: np.ndarray, seed: int) -> tuple[float, float]:
    return bootstrap_share(np.bincount(units, weights=values), np.bincount(units), [seed])


def _median_interval(values: np.ndarray, units: np.ndarray, seed: int) -> tuple[float, float]:
    """Percentile bootstrap over units of the median of values from 0 to 1, in bins."""
    count = units.max() + 1
    if count < FEWEST:
        return np.nan, np.nan
    bins = np.minimum((values * _BINS).astype(int), _BINS - 1)
    counts = np.bincount(units * _BINS + bins, minlength=count * _BINS).reshape(count, _BINS)
    draws = draw_units(count, [seed])
    passed = (draws @ counts.astype(float)).cumsum(axis=1)
    medians = ((passed >= passed[:, -1:] / 2).argmax(axis=1) + 0.5) / _BINS
    low, high = np.quantile(medians, TAILS)
    return low, high
