"""Is every kernel nearly `a * key + b` for a key of a small set: the eight published ones, our prototypes, others?

For a centred unit kernel x and a key y the best a and b leave the relative residual sqrt(1 - cosine^2), cosine that of
x and the centred key, so the sign does not matter (Babaiee et al., arXiv 2509.11711). Sets are chosen on some networks
and compared on others, and on the controls made from these.
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

KEYS = 8  # in the published set, and in those compared with it
LARGEST = 32  # keys a greedy search goes to
DRAWS = 100  # of random sets of kernels
CANDIDATES = 800  # kernels a greedy search may choose, beside the samples of the spectrum
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_ROUNDS = 25  # of `line_centres`
_BINS = 1000  # of a residual, from 0 to 1, where medians are bootstrapped


class Subject(NamedTuple):
    """Kernels that sets of keys are tried on: model [n], layer [n], depth [n] and centred unit taps [n, taps]."""

    models: np.ndarray
    layers: np.ndarray
    depths: np.ndarray
    kernels: np.ndarray

    def take(self, rows: np.ndarray) -> "Subject":
        """Some of the kernels; rows is a bool array [n]."""
        return Subject(*(column[rows] for column in self))

    def units(self) -> tuple[str, np.ndarray]:
        """What intervals are over, and the unit of each kernel, int [n]: models, or their layers if they are few."""
        names, units = np.unique(self.models, return_inverse=True)
        if len(names) >= FEWEST:
            return "models", units
        return "layers", np.unique(np.column_stack([units, self.layers]), axis=0, return_inverse=True)[1].ravel()


def residuals(kernels: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Relative residual, float32 [n, k], of each kernel [n, taps] against each key [k, taps], both centred and unit."""
    cosines = kernels @ keys.T
    return np.sqrt(np.clip(1 - cosines**2, 0, 1), dtype=np.float32)


def line_centres(kernels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Centres of k-means that ignores sign: each kernel belongs to the line through 0 that it is nearest to.

    Kernels go to the centre of the highest absolute cosine, and a centre becomes the first principal direction of its
    kernels, which lowers the mean squared residual in every round (k-plane clustering, Bradley & Mangasarian 2000). It
    starts from kernels chosen greedily: the centres of k-means proper hold most patterns twice, once with either sign.

    Parameters
    ----------
    kernels : float array [n, taps]
        Centred unit kernels.
    count, seed : int

    Returns
    -------
    float array [count, taps]
        Fewer where there are fewer kernels.
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
    """Choose candidates one after the other, always the candidate that lowers the mean residual most.

    The gain of a candidate shrinks as the set grows, so the gain of the set is at least 1 - 1/e of that of the best
    set of its size (Nemhauser, Wolsey & Fisher 1978).

    Parameters
    ----------
    kernels, candidates : float arrays [n, taps] and [c, taps]
        Centred unit kernels.
    count : int

    Returns
    -------
    list of int
        Rows of `candidates`; fewer than `count` where no other lowers the residual.
    """
    table = residuals(kernels, candidates).T.copy()  # candidates in rows, to be read in one piece
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
    """How well small sets of keys match the kernels of one size.

    Sets are chosen on the kernels of half of the networks and tried on those of the others. The autoencoder has seen
    both halves, so to its prototypes and its spectrum no network is wholly new.

    Parameters
    ----------
    size : str
    picked : pyarrow.Table
        From `kernels.pick_kernels`, with kernels of independent networks.
    spectrum : pyarrow.Table
        spectrum.parquet, whose samples are candidates of the greedy search.
    labeller : Labeller
        Its prototypes are a set.
    filters : float array [8, 7, 7]
        The published filters, which are tried on 7x7 kernels.
    tolerance : float
        See `tabulate_greedy`.
    seed : int

    Returns
    -------
    dict of DataFrame
        master_keys and master_key_shares, both without rows for other sizes; key_sets and greedy_sets.
    """
    # choose on half of the networks, try on the others and on controls made from these
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

    # the published set, which is of one size
    published = _flat(filters)
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


def _flat(filters: np.ndarray) -> np.ndarray:
    return centre_and_normalise(filters.reshape(len(filters), -1))


def choosing_half(models: np.ndarray, seed: int) -> np.ndarray:
    """Which kernels sets are chosen on: those of half of the models, or half of those of a single model.

    Models in random order go to the half that has fewer kernels.

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
    """The picked kernels by subject, and the controls made from the real ones, in their order."""
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
    """What a greedy search may choose, and where it is from: samples of the spectrum, and kernels it chooses on."""
    drawn = np.random.default_rng([seed, CANDIDATES]).permutation(len(kernels))[:CANDIDATES]
    decoded = pd.DataFrame({"source": "spectrum", "code": spectrum["code"].to_numpy()})
    real = places[["model", "layer_index", "channel", "code"]].iloc[drawn].assign(source="kernel")
    return pd.concat([decoded, real], ignore_index=True), np.concatenate(
        [taps_array(spectrum["decoded"]), kernels[drawn]]
    )


def assign_keys(picked: pa.Table, keys: np.ndarray) -> pd.DataFrame:
    """master_keys.csv, but for the size: the best of the published filters for every picked kernel.

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
    """master_key_shares.csv, but for the size: how often each filter is the best, and how large the residual is.

    Controls have no depth.
    """
    rows = []
    for name, subject in subjects.items():
        table = residuals(subject.kernels, keys)
        best, residual = table.argmin(axis=1), table.min(axis=1)
        fifths = fifth_of(subject.depths)
        parts = {"all": np.ones(len(best), bool)}
        if name not in MADE:
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
    """key_sets.csv, but for the size: the residual of each set, of kernels it was not chosen on and of controls.

    Parameters
    ----------
    sets : dict
        Name -> list of keys, float arrays [k, taps]: one, or one for each of many draws.
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
    """greedy_sets.csv, but for the size: the mean residual that the first 1, 2, ... keys of a greedy search leave.

    More keys always fit better, if only the noise, so that no number is the true one. A set is within the tolerance
    where the networks that it was not chosen on have a mean residual of at most 1 + tolerance times that of the largest
    set: what four or ten times as many keys would add is then less than the tolerance.

    Parameters
    ----------
    chosen : DataFrame
        The keys in the order they were chosen: source (`spectrum` or `kernel`), code, model, layer_index, channel.
    keys : float array [k, taps]
    choosing : float array [n, taps]
        The kernels they were chosen on.
    subjects : dict
        With `real`, the kernels held out, and `gaussian`.
    tolerance, seed : float, int
    """
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
    where = chosen[["source", "code", "model", "layer_index", "channel"]].astype(
        {"layer_index": "Int64", "channel": "Int64"}
    )
    table = pd.concat([pd.DataFrame(columns), where], axis=1)
    return table.assign(label=resemble(keys)[0], within_tolerance=means <= (1 + tolerance) * means[-1])


def _falling(kernels: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Residual [n, k] of each kernel against the best of the first 1, 2, ... k keys."""
    return np.minimum.accumulate(residuals(kernels, keys), axis=1)


def _mean_interval(values: np.ndarray, units: np.ndarray, seed: int) -> tuple[float, float]:
    return bootstrap_share(np.bincount(units, weights=values), np.bincount(units), [seed])


def _median_interval(values: np.ndarray, units: np.ndarray, seed: int) -> tuple[float, float]:
    """Percentile bootstrap of the median over units, of values from 0 to 1 in bins."""
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
