"""Choose the reference patterns from a grid of formulas: the protocol of resources/patterns/README.md."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import centre_and_normalise, draw_noise, size_name, taps_array
from kernel_atlas.core.patterns import COLUMNS, COMPASS, Matcher, complexity, draw_patterns, read_patterns, sample
from kernel_atlas.core.vocabulary import AXES
from kernel_atlas.evidence.controls import make_control
from kernel_atlas.io.shards import shards_of
from kernel_atlas.io.tables import in_order
from kernel_atlas.stats.shares import NULL

SCALES = (0.4, 0.5, 0.65, 0.8, 1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.4, 8, 10, 12.5)  # taps
RATIOS = (1.3, 1.6, 2, 2.5, 4, np.inf)  # of a surround to its centre
RING = {"ratio": 1.6, "weight": 1.5}  # a surround that is seen as a ring of a third of the spot's height
RINGED = 0.65  # the largest scale of spots with a ring in taps; in larger ones the ring outweighs the spot
SHIFTED = 1.3  # the largest scale of spots that are not in the middle, in taps
ELONGATIONS = (0.5, 1, 1.5, 2, 3)  # of derivatives
ARMS = (3, 5, np.inf)  # elongations of crosses; one of 2 cannot be told from a spot
WIDTHS = (2, 3, 4, 5, 6, 7, 9, 11, 13, 17, 21, 27, 33, 41, 49)  # of boxes
LARGEST = 51  # side of the largest kernels that have names
CHOSEN_ON = (5, 7)  # sides
TEXTBOOK_SIDES = (5, 7, 9, 11, 15, 21, 31, 41, 51)
PENALTY = 4  # of covered kernels with random phases
STOP = 0.001  # loss of coverage that a pattern must be worth
AHEAD, ABOVE = 0.006, 0.05  # of a textbook kernel's cosine: before other families', and above the limit
PER_NETWORK = 1000  # kernels of a size
FOLDS = 5
MARGINS = (0.0, 0.002, 0.004)
DECIBELS = 20


class Sample(NamedTuple):
    """Kernels of one size, for the choice.

    - `units`, `scrambled`: centred unit kernels, float32 [n, taps], and the same with random phases.
    - `network`: number of the network of each, int [n].
    """

    units: np.ndarray
    scrambled: np.ndarray
    network: np.ndarray

    def weights(self, networks: Sequence[int]) -> np.ndarray:
        """Weight of each kernel in a mean over some networks, float [n]."""
        mine = np.isin(self.network, networks)
        return mine / np.bincount(self.network)[self.network] / len(networks)


def choose_from(
    models: Sequence[str | Path], units: Mapping[str, str], thresholds: Mapping[str, float], seed: int
) -> dict[str, pd.DataFrame]:
    """Choose patterns from the kernels of networks, and compare them with the reference.

    Parameters
    ----------
    models : sequence of path
        Folders of shards.
    units : mapping
        Model -> what it is a part of (`independence.related`); of each, the model with most kernels of a size counts.
    thresholds : mapping
        Size (`7x7`) -> dissimilarity below which a kernel has a pattern.
    seed : int

    Returns
    -------
    dict of DataFrame
        patterns (as resources/patterns/v1.tsv), comparison and margins; see schemas/tables.yaml.

    Raises
    ------
    AtlasError
        There are fewer than `FOLDS` independent networks of one of the sizes.
    """
    kernels = read_kernels(models, units)
    for side in CHOSEN_ON:
        if len(kernels[side]) < FOLDS:
            raise AtlasError(
                f"patterns: {len(kernels[side])} independent networks with {size_name(side)} kernels train; "
                f"{FOLDS} are needed, name a sheet with more"
            )
    samples = draw_samples(kernels, seed)
    chosen = choose(samples, {side: range(one.network.max() + 1) for side, one in samples.items()}, thresholds)
    limits = {side: 1 - thresholds[size_name(side)] for side in samples}
    margins = [survival(chosen, one.units, limits[side], MARGINS, seed) for side, one in samples.items()]
    return {
        "patterns": chosen,
        "comparison": compare(samples, chosen, thresholds, seed),
        "margins": in_order(pd.concat(margins, ignore_index=True), "margins.csv"),
    }


def read_kernels(
    models: Sequence[str | Path], units: Mapping[str, str] = MappingProxyType({})
) -> dict[int, dict[str, np.ndarray]]:
    """Side -> network -> live centred unit kernels, of folders of shards; of related models the one with most."""
    kernels: dict[int, dict[str, np.ndarray]] = {side: {} for side in CHOSEN_ON}
    for model in sorted(map(Path, models)):
        parts: dict[int, list[np.ndarray]] = {side: [] for side in CHOSEN_ON}
        for shard in shards_of(model):
            with shard.open() as file:
                table = file.read(["kh", "kw", "dead", "weight"])
            height, width = table["kh"][0].as_py(), table["kw"][0].as_py()
            if height == width and height in parts:
                parts[height].append(taps_array(table["weight"])[~table["dead"].to_numpy()])
        unit = units.get(model.name, model.name)
        for side, found in parts.items():
            if sum(map(len, found)) > len(kernels[side].get(unit, ())):
                kernels[side][unit] = centre_and_normalise(np.concatenate(found))
    return kernels


def draw_samples(kernels: Mapping[int, Mapping[str, np.ndarray]], seed: int) -> dict[int, Sample]:
    """Draw the kernels that decide: at most `PER_NETWORK` of each network and size.

    Parameters
    ----------
    kernels : mapping
        Side -> network -> live centred unit kernels.
    seed : int
    """
    samples = {}
    for side, networks in sorted(kernels.items()):
        random, drawn = np.random.default_rng([seed, side]), []
        for units in (networks[name] for name in sorted(networks)):
            drawn.append(units[np.sort(random.choice(len(units), min(PER_NETWORK, len(units)), replace=False))])
        units = np.concatenate(drawn)
        network = np.repeat(np.arange(len(drawn)), [len(part) for part in drawn])
        samples[side] = Sample(units, make_control("phase", units, seed), network)
    return samples


# The grid and the textbook


def _row(name: str, formula: str, sign: int = 1, direction: str = "", **parameters: float) -> dict[str, object]:
    """A row of the table of patterns, but for the sides of the kernels that have it."""
    family = name.removesuffix(f"-{direction}")
    text = " ".join(f"{key}={value:g}" for key, value in parameters.items())
    return dict(zip(COLUMNS, (name, family, formula, sign, direction, text), strict=False))


def _both_signs(name: str, formula: str, direction: str = "", **parameters: float) -> list[dict[str, object]]:
    return [_row(f"{side}-{name}", formula, sign, direction, **parameters) for side, sign in (("On", 1), ("Off", -1))]


def grid() -> list[pd.DataFrame]:
    """The candidates: for each the rows of its turns and both signs, as in the table of patterns."""
    candidates: list[tuple[int, list[dict[str, object]]]] = []
    for sigma in SCALES:
        fits = max(3, math.ceil(3.45 * sigma))  # the smallest side of kernels that hold such a pattern
        spots = [{"sigma": sigma, "ratio": ratio} for ratio in RATIOS]
        if sigma <= RINGED:
            candidates.append((fits, _both_signs("Centre", "centre", sigma=sigma, **RING)))
        for spot in spots:
            candidates.append((fits, _both_signs("Centre", "centre", **spot)))
            if sigma > SHIFTED:
                continue
            # half a tap off the middle a spot is still a centre; towards a corner it is four equal taps, a square
            halves = [(0.5, 0), (0, 0.5), (-0.5, 0), (0, -0.5)]
            rows = [row for x, y in halves for row in _both_signs("Centre", "centre", **spot, x=x, y=y)]
            candidates.append((max(4, fits + 1), rows))
            for first in (0, 1):
                rows = []
                for turn in range(first, 8, 2):
                    x, y = (round(1.2 * axis(turn * np.pi / 4)) for axis in (np.cos, np.sin))
                    way = COMPASS[turn]
                    rows += _both_signs(f"Shift-{way}", "centre", way, **spot, x=x, y=y)
                candidates.append((max(4, fits + 1), rows))
        for elongation in ARMS:
            crossed = {"sigma": sigma, "elongation": elongation}
            candidates.append((max(3, math.ceil(7 * sigma)), _both_signs("Cross", "cross", **crossed)))
        for elongation in ELONGATIONS:
            shape = {"sigma": sigma, "elongation": elongation}
            for first in (0, 1):  # along the axes, or diagonal
                ways = COMPASS[first::2]
                rows = [_row(f"First-Derivative-{way}", "first_derivative", 1, way, **shape) for way in ways]
                candidates.append((fits, rows))
                ridges = [(f"Second-Derivative-{axis}", axis) for axis in AXES[first::2]]
                rows = [row for name, axis in ridges for row in _both_signs(name, "second_derivative", axis, **shape)]
                candidates.append((fits, rows))
    for width in WIDTHS:
        off = 0.5 if width % 2 == 0 else 0  # an even box lies half a tap off the middle of an odd kernel
        corners = sorted({(x, y) for x in (-off, off) for y in (-off, off)})
        rows = [row for x, y in corners for row in _both_signs("Square", "square", width=width, x=x, y=y)]
        candidates.append((max(4, width + 1), rows))
    return [
        pd.DataFrame(rows).assign(smallest=smallest, largest=LARGEST)[list(COLUMNS)]
        for smallest, rows in candidates
        if smallest <= LARGEST
    ]


def textbook(side: int) -> pd.DataFrame:
    """Textbook kernels of a side, with the names that they must get: name and kernel (values at the taps).

    Only On is there: candidates have both signs.
    """
    rows = []
    for sigma in np.linspace(0.5, side / 4, 7):
        rows += [("On-Centre", sample(side, "centre", sigma=sigma, ratio=ratio)) for ratio in (1.6, 2, 4, np.inf)]
        rows += [
            (f"First-Derivative-{way}", sample(side, "first_derivative", direction=way, sigma=sigma)) for way in COMPASS
        ]
        rows += [
            (f"On-Second-Derivative-{axis}", sample(side, "second_derivative", direction=axis, sigma=sigma))
            for axis in AXES
        ]
    for width in range(2, side - 1):
        off = 0.5 if width % 2 == 0 else 0
        rows.append(("On-Square", sample(side, "square", width=width, x=off, y=off)))
    for sigma in np.linspace(0.4, side / 8, 5):
        rows += [("On-Cross", sample(side, "cross", sigma=sigma, elongation=arm)) for arm in ARMS]
    return pd.DataFrame(rows, columns=["name", "kernel"])


# The choice


def _cosines(candidates: Sequence[pd.DataFrame], units: np.ndarray) -> np.ndarray:
    """Best cosine of each candidate to each kernel, float32 [candidates, n]; -1 where the size does not have it."""
    side = round(units.shape[1] ** 0.5)
    best = np.full((len(candidates), len(units)), -1, np.float32)
    for place, candidate in enumerate(candidates):
        drawn = draw_patterns(candidate, side)
        if len(drawn.labels) == len(candidate):
            best[place] = (drawn.taps @ units.T).max(axis=0)
    return best


class _Bound:
    """The textbook kernels of one side: which candidates they can spare."""

    def __init__(self, candidates: Sequence[pd.DataFrame], side: int, limit: float):
        book = textbook(side)
        units = centre_and_normalise(np.stack(book["kernel"]))
        name = book["name"].to_numpy(str)
        family = np.array([label.rpartition("-")[0] if "Derivative" in label else label for label in name])
        self._limit = limit
        self._own, self._other = np.full((2, len(candidates), len(book)), -2, np.float32)
        for place, candidate in enumerate(candidates):
            drawn = draw_patterns(candidate, side)
            for label, of, taps in zip(drawn.labels, drawn.families, drawn.taps, strict=True):
                cosine = units @ taps
                own, other = self._own[place], self._other[place]
                own[name == label] = np.maximum(own, cosine)[name == label]
                other[family != of] = np.maximum(other, cosine)[family != of]

    def spared(self, kept: Sequence[int]) -> np.ndarray:
        """Whether each kept candidate can go, bool [kept]: its textbook kernels keep their names without it."""
        (first, _), (_, second) = _two_best(self._own[kept])
        (other_first, other), (_, other_second) = _two_best(self._other[kept])
        able = np.ones(len(kept), bool)
        for place in np.unique(first):
            mine = first == place
            own = second[mine]
            rest = np.where(other_first == place, other_second, other)[mine]
            able[place] = ((own >= self._limit + ABOVE) & (own - rest >= AHEAD)).all()
        return able


def _two_best(cosines: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Place and value of the best and of the second best candidate of each kernel."""
    order = np.argpartition(-cosines, 1, axis=0)[:2]
    values = np.take_along_axis(cosines, order, 0)
    swapped = values[0] < values[1]
    first, second = np.where(swapped, order[::-1], order)
    best, next_best = np.where(swapped, values[::-1], values)
    return (first, best), (second, next_best)


def choose(
    samples: Mapping[int, Sample], networks: Mapping[int, Sequence[int]], thresholds: Mapping[str, float]
) -> pd.DataFrame:
    """Take candidates out of the grid until each loss costs more than `STOP`, and name what is left.

    Parameters
    ----------
    samples : mapping
        Side -> kernels, for the sides `CHOSEN_ON`.
    networks : mapping
        Side -> numbers of the networks that decide.
    thresholds : mapping
        Size (`7x7`) -> dissimilarity below which a kernel has a pattern.

    Returns
    -------
    DataFrame
        The table of patterns.
    """
    candidates = grid()
    covers = []  # of each side and kind of kernels: covered, bool [candidates, n], and the weights in the criterion
    for side in CHOSEN_ON:
        limit = 1 - thresholds[size_name(side)]
        weights = samples[side].weights(networks[side]) / len(CHOSEN_ON)
        for units, sign in ((samples[side].units, 1), (samples[side].scrambled, -PENALTY)):
            covers.append((_cosines(candidates, units) > limit, sign * weights))
    bounds = [_Bound(candidates, side, 1 - thresholds.get(size_name(side), 0.3)) for side in TEXTBOOK_SIDES]
    rank = np.array([complexity(candidate["family"][0]) for candidate in candidates])
    kept = np.arange(len(candidates))
    while True:
        # the loss of a candidate costs the kernels that no other of its family or a simpler one covers
        cost = np.zeros(len(kept))
        for covered, weights in covers:
            covering = np.zeros(len(weights), int)
            for family in np.unique(rank[kept]):
                mine = covered[kept[rank[kept] == family]]
                covering += mine.sum(axis=0)
                cost[rank[kept] == family] += (mine & (covering == 1)) @ weights
        spared = np.logical_and.reduce([bound.spared(kept) for bound in bounds])
        cost[~spared] = np.inf
        cheapest = cost.argmin()
        if cost[cheapest] >= STOP:
            break
        kept = np.delete(kept, cheapest)
    return pd.concat([candidates[place] for place in kept], ignore_index=True)


# The comparison


def measure(table: pd.DataFrame, sample: Sample, networks: Sequence[int], limit: float, seed: int) -> dict[str, float]:
    """Coverage of some networks' kernels by a table of patterns, and of controls, as shares."""
    taps = draw_patterns(table, round(sample.units.shape[1] ** 0.5)).taps
    return measure_cosines(lambda units: (units @ taps.T).max(axis=1), sample, networks, limit, seed)


def measure_cosines(
    likest: Callable[[np.ndarray], np.ndarray], sample: Sample, networks: Sequence[int], limit: float, seed: int
) -> dict[str, float]:
    """As `measure`, of any method that gives unit kernels, float32 [n, taps], their best cosines [n]."""
    side, weights = round(sample.units.shape[1] ** 0.5), sample.weights(networks)
    noise = centre_and_normalise(draw_noise(20_000, side, seed))
    real, scrambled, gaussian = (likest(units) for units in (sample.units, sample.scrambled, noise))
    order = np.argsort(scrambled)
    null = scrambled[order][np.searchsorted(np.cumsum(weights[order]), 1 - NULL)]
    return {
        "coverage": (real > limit) @ weights,
        "random_phases": (scrambled > limit) @ weights,
        "gaussian": (gaussian > limit).mean(),
        "null_cosine": null,
        "equal_null": (real > null) @ weights,
    }


def compare(
    samples: Mapping[int, Sample], chosen: pd.DataFrame, thresholds: Mapping[str, float], seed: int
) -> pd.DataFrame:
    """Coverage by the chosen patterns, by choices that did not see the networks, and by the reference.

    Returns
    -------
    DataFrame
        As patterns/comparison.csv of schemas/tables.yaml.
    """
    rows = []
    every = {side: range(one.network.max() + 1) for side, one in samples.items()}
    for side, one in samples.items():
        limit = 1 - thresholds[size_name(side)]
        for name, table in (("chosen", chosen), ("reference", read_patterns())):
            rows.append({"patterns": name, "size": size_name(side), **measure(table, one, every[side], limit, seed)})
    order = {side: np.random.default_rng([seed, side]).permutation(len(numbers)) for side, numbers in every.items()}
    for fold in range(FOLDS):
        held_out = {side: numbers[fold::FOLDS] for side, numbers in order.items()}
        table = choose(samples, {side: np.setdiff1d(order[side], held_out[side]) for side in CHOSEN_ON}, thresholds)
        for side, one in samples.items():
            limit = 1 - thresholds[size_name(side)]
            found = measure(table, one, held_out[side], limit, seed)
            rows.append({"patterns": f"held out, fold {fold + 1}", "size": size_name(side), **found})
    networks = {size_name(side): len(numbers) for side, numbers in every.items()}
    table = pd.DataFrame(rows)
    return in_order(table.assign(networks=table["size"].map(networks)), "comparison.csv")


def survival(table: pd.DataFrame, units: np.ndarray, limit: float, margins: Iterable[float], seed: int) -> pd.DataFrame:
    """Share of labels, `other` among them, that noise of `DECIBELS` does not change, for each margin of near-ties."""
    side = round(units.shape[1] ** 0.5)
    noise = centre_and_normalise(draw_noise(len(units), side, seed)) * 10 ** (-DECIBELS / 20)
    matcher, rows = Matcher(draw_patterns(table, side)), []
    for margin in margins:
        before, after = (
            np.where(found.similarity > limit, found.name, "other")
            for found in (matcher.match(kernels, margin) for kernels in (units, centre_and_normalise(units + noise)))
        )
        rows.append({"margin": margin, "size": size_name(side), "survive": (before == after).mean()})
    return pd.DataFrame(rows)
