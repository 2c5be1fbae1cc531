"""Covariates of shares: single changes of a network, depth, and the threshold.

Input are the tables of results/statistics. Networks that share weights, or differ in the seed only, count
once. Intervals are bootstrapped over layers of a network, or over networks, as kernels of a layer and layers of a
network are not independent.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import size_name
from kernel_atlas.core.patterns import family_of
from kernel_atlas.io.tables import in_order
from kernel_atlas.model.assign import Labeller
from kernel_atlas.stats.correlation import cosine
from kernel_atlas.stats.independence import one_per_group
from kernel_atlas.stats.resampling import CONFIDENCE, FEWEST, TAILS, bootstrap_share, draw_units, mean_interval, seed_of
from kernel_atlas.stats.shares import jensen_shannon

DEPTHS = np.linspace(0, 1, 21)
BANDWIDTH = 0.1  # standard deviation of the smoother's weights, in relative depth
HALVES = 500  # random splits of pooled kernels, for distances by chance
NOISE_FLOOR = 0.01  # share clustered of Gaussian noise that a threshold may have
ORDERS = 200  # of the layers of a network, for halves by chance
CURVES = 500  # resampled median curves; enough for knees on a grid of 50 thresholds


def answer(
    models: pd.DataFrame,
    layers: pd.DataFrame,
    architectures: pd.DataFrame,
    thresholds: pd.DataFrame,
    contrasts: pd.DataFrame,
    labellers: Mapping[int, Labeller],
    seed: int,
) -> dict[str, pd.DataFrame]:
    """Covariates of shares with a pattern and of labels, over networks.

    Parameters
    ----------
    models, layers, architectures, thresholds : DataFrame
        Tables of results/statistics.
    contrasts : DataFrame
        config/contrasts.tsv.
    labellers : mapping
        Side -> Labeller of the run; its threshold is compared with the knees.
    seed : int

    Returns
    -------
    dict of DataFrame
        contrasts, contrast_kinds, distances, depth, halves, trends, knees.
    """
    defaults = {size_name(side): labeller.threshold for side, labeller in labellers.items()}
    pairs = contrast(layers, contrasts, seed)
    counts = _families(layers, models)
    return {
        "contrasts": pairs,
        "contrast_kinds": summarise_contrasts(pairs, seed),
        "distances": summarise_distances(architectures, models, seed),
        "depth": smooth_depth(counts, seed),
        "halves": compare_halves(counts, seed),
        "trends": trend_with_depth(counts, seed),
        "knees": locate_knees(thresholds, models, defaults, seed),
    }


# One thing changed


def contrast(layers: pd.DataFrame, contrasts: pd.DataFrame, seed: int) -> pd.DataFrame:
    """contrasts.csv: pairs of networks listed for one difference (others are possible).

    Parameters
    ----------
    layers : DataFrame
        layers.csv.
    contrasts : DataFrame
        contrast, model, against, differs; rows with a network outside the run are skipped.
    seed : int

    Returns
    -------
    DataFrame
        Layers are drawn in pairs if both networks have the same ones. `chance` is a lower bound on the distance
        expected by chance, as kernels of a layer are not independent.

    Raises
    ------
    AtlasError
        A column of the contrasts is missing.
    """
    wide = layers.pivot_table(
        index=["size", "model", "layer_index"], columns="label", values="kernels", aggfunc="sum", fill_value=0
    )
    missing = [name for name in ("contrast", "model", "against", "differs") if name not in contrasts]
    if missing:
        raise AtlasError(f"contrasts: no column {', '.join(missing)} in the table; see config/contrasts.tsv")
    networks = {key: part.droplevel([0, 1]) for key, part in wide.groupby(level=["size", "model"])}
    rows = []
    for pair in contrasts.itertuples():
        for size in layers["size"].drop_duplicates().sort_values():
            one, two = networks.get((size, pair.model)), networks.get((size, pair.against))
            if one is not None and two is not None:
                row = {"contrast": pair.contrast, "model": pair.model, "against": pair.against, "differs": pair.differs}
                found = _contrast(one, two, seed_of(seed, size, pair.model, pair.against))
                rows.append(row | {"size": size} | found)
    return in_order(pd.DataFrame(rows), "contrasts.csv")


def _contrast(one: pd.DataFrame, two: pd.DataFrame, seed: list[int]) -> dict[str, float]:
    # share with a pattern of both; equal layers are drawn together
    random = np.random.default_rng(seed)
    paired = one.sum(axis=1).equals(two.sum(axis=1))
    one, two = (table.drop(columns="dead", errors="ignore") for table in (one, two))
    draws = [draw_units(len(t), random) for t in (one, two)]
    if paired:
        draws[1] = draws[0]
    shares, resampled = [], []
    for table, draw in zip((one, two), draws, strict=True):
        live, other = table.sum(axis=1).to_numpy(), table.get("other", pd.Series(0, table.index)).to_numpy()
        shares.append(1 - other.sum() / live.sum())
        resampled.append(1 - (draw @ other) / (draw @ live))
    fewest = min(len(one), len(two))
    low, high = [np.nan] * 2 if fewest < FEWEST else np.quantile(resampled[1] - resampled[0], TAILS)
    # distance of the label shares, and its null distribution from random splits of the pooled kernels
    first, second = (table.sum().to_numpy().astype(np.int64) for table in (one, two))
    halves = random.multivariate_hypergeometric(first + second, first.sum(), HALVES, method="marginals")
    chance = jensen_shannon(halves, first + second - halves)
    return {
        "layers": fewest,
        "paired": paired,
        "share": shares[0],
        "against_share": shares[1],
        "difference": shares[1] - shares[0],
        "low": low,
        "high": high,
        "jensen_shannon": jensen_shannon(first[None], second[None])[0],
        "chance": chance.mean(),
        "chance_high": np.quantile(chance, CONFIDENCE),
    }


def summarise_contrasts(pairs: pd.DataFrame, seed: int) -> pd.DataFrame:
    """contrast_kinds.csv: means over the pairs of one contrast and size.

    Intervals are too narrow if pairs share a network. `absolute_difference` is for pairs without order, such as seeds.
    A distance is beyond the null if it is greater than any between two seeds of one recipe. Without such pairs, and for
    these, random parts of the kernels of both networks are the null, which is too near: seeds differ more.
    """
    rows = []
    for (size, kind), part in pairs.groupby(["size", "contrast"]):
        low, high = bootstrap_share(part["difference"].to_numpy(), np.ones(len(part)), seed_of(seed, size, kind))
        row = {"size": size, "contrast": kind, "pairs": len(part), "difference": part["difference"].mean()}
        row |= {"low": low, "high": high, "absolute_difference": part["difference"].abs().mean()}
        row |= part[["jensen_shannon", "chance"]].mean().to_dict()
        seeds = pairs.loc[(pairs["size"] == size) & (pairs["contrast"] == "seed"), "jensen_shannon"]
        by_seeds = kind != "seed" and len(seeds) > 0
        limit = pd.Series(seeds.max(), part.index) if by_seeds else part["chance_high"]
        row |= {"compared_with": "seeds" if by_seeds else "kernels", "limit": limit.mean()}
        rows.append(row | {"beyond": (part["jensen_shannon"] > limit).sum()})
    return in_order(pd.DataFrame(rows), "contrast_kinds.csv")


def summarise_distances(architectures: pd.DataFrame, models: pd.DataFrame, seed: int) -> pd.DataFrame:
    """distances.csv: distances within families, within data sets, and of other pairs.

    The bootstrap draws independent networks; the weight of a pair is the product of both counts.

    Parameters
    ----------
    architectures, models : DataFrame
        architectures.csv and models.csv.
    seed : int
    """
    rows = []
    for size, part in architectures.groupby("size"):
        networks = one_per_group(models[models["size"] == size]).set_index("model").sort_index()
        part = part[part["model_a"].isin(networks.index) & part["model_b"].isin(networks.index)]
        a, b = (networks.index.get_indexer(part[name]) for name in ("model_a", "model_b"))
        same = {
            column: (networks[column].to_numpy()[a] == networks[column].to_numpy()[b])
            & networks[column].notna().to_numpy()[a]
            for column in ("family", "dataset")
        }
        kinds = {"all": np.ones(len(part), bool)} | same | {"neither": ~same["family"] & ~same["dataset"]}
        draws = draw_units(len(networks), seed_of(seed, size))
        for kind, chosen in kinds.items():
            known, distance = np.zeros((2, len(networks), len(networks)))
            known[a[chosen], b[chosen]] = 1
            distance[a[chosen], b[chosen]] = part["jensen_shannon"].to_numpy()[chosen]
            in_pairs = len(np.unique([a[chosen], b[chosen]]))
            low = high = np.nan
            if in_pairs >= FEWEST:
                with np.errstate(invalid="ignore"):
                    means = ((draws @ distance) * draws).sum(axis=1) / ((draws @ known) * draws).sum(axis=1)
                low, high = np.nanquantile(means, TAILS)
            if chosen.any():
                row = {"size": size, "pairs_of": kind, "models": in_pairs, "pairs": chosen.sum()}
                rows.append(row | {"jensen_shannon": distance.sum() / known.sum(), "low": low, "high": high})
    return in_order(pd.DataFrame(rows), "distances.csv")


# Depth


def _families(layers: pd.DataFrame, models: pd.DataFrame) -> pd.DataFrame:
    """Live kernels of independent networks by size, model, layer_index and depth (the index).

    Columns: live, then the families, and `Cross` for On and Off together.
    """
    kept = pd.concat([one_per_group(part)[["size", "model"]] for _, part in models.groupby("size")])
    live = layers[layers["label"] != "dead"].merge(kept, on=["size", "model"])
    counts = live.assign(family=live["label"].map(family_of)).pivot_table(
        index=["size", "model", "layer_index", "depth"],
        columns="family",
        values="kernels",
        aggfunc="sum",
        fill_value=0,
    )
    counts.insert(0, "live", counts.sum(axis=1))
    return counts.assign(Cross=counts.filter(regex="^(On|Off)-Cross$").sum(axis=1))


def smooth_depth(counts: pd.DataFrame, seed: int) -> pd.DataFrame:
    """depth.csv: the share of each family of labels against relative depth.

    Local means (Nadaraya 1964; Watson 1964) over independent networks. `models` counts those within two `BANDWIDTH`s.

    Parameters
    ----------
    counts : DataFrame
        From `_families`.
    seed : int
    """
    tables = []
    for size, part in counts.groupby(level="size"):
        part = part.loc[:, (part != 0).any()]
        names, places = part.columns[1:], part.index.get_level_values("depth").to_numpy()
        for depth in DEPTHS:
            weight = np.exp(-(((places - depth) / BANDWIDTH) ** 2) / 2)
            units = part.mul(weight, axis=0).groupby(level="model").sum().to_numpy()
            near = part.index.get_level_values("model")[np.abs(places - depth) <= 2 * BANDWIDTH].nunique()
            low, high = bootstrap_share(units[:, 1:], units[:, 0], seed_of(seed, size, "depth"))
            share = units[:, 1:].sum(axis=0) / units[:, 0].sum()
            if near < FEWEST:  # weights of distant layers alone would extrapolate
                share, low, high = np.full((3, len(names)), np.nan)
            values = {"share": share, "low": low, "high": high}
            tables.append(pd.DataFrame({"size": size, "family": names, "depth": depth, "models": near, **values}))
    table = in_order(pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(), "depth.csv")
    return table.sort_values(["size", "family", "depth"], ignore_index=True)


def compare_halves(counts: pd.DataFrame, seed: int) -> pd.DataFrame:
    """halves.csv: how far the label shares of the first half of a network's layers are from those of the second.

    Shares of families are compositions: their trends are no independent findings, this is one statement about all.

    Parameters
    ----------
    counts : DataFrame
        From `_families`.
    seed : int
    """
    rows = []
    for size, part in counts.drop(columns=["live", "Cross"]).groupby(level="size"):
        random, distances, chances = np.random.default_rng(seed_of(seed, size, "halves")), [], []
        for _, layers in part.groupby(level="model"):
            if len(layers) >= 2 * FEWEST:
                table = layers.sort_index(level="depth").to_numpy(np.float64)
                orders = np.stack([np.arange(len(table)), *(random.permutation(len(table)) for _ in range(ORDERS))])
                first, second = (table[half].sum(axis=1) for half in np.array_split(orders, 2, axis=1))
                found = jensen_shannon(first, second)
                distances.append(found[0])
                chances.append(found[1:])
        if distances:
            low, high = mean_interval(np.array(distances))
            means = np.mean(chances, axis=0)
            row = {"size": size, "models": len(distances), "jensen_shannon": np.mean(distances), "low": low}
            rows.append(row | {"high": high, "chance": means.mean(), "chance_high": np.quantile(means, CONFIDENCE)})
    return in_order(pd.DataFrame(rows), "halves.csv")


def trend_with_depth(counts: pd.DataFrame, seed: int) -> pd.DataFrame:
    """trends.csv: Spearman correlation of the share of a family with depth, mean over networks.

    Networks with fewer than five layers of the size, or with a constant share, are skipped.

    Parameters
    ----------
    counts : DataFrame
        From `_families`.
    seed : int
    """
    found: dict[tuple[str, str], list[float]] = {}
    for (size, _), part in counts.groupby(level=["size", "model"]):
        if len(part) >= FEWEST:
            shares = part.drop(columns="live").div(part["live"], axis=0)
            ranks = rankdata(shares.to_numpy(), axis=0).T
            depth = rankdata(part.index.get_level_values("depth"))[None]
            rho = cosine(ranks - ranks.mean(axis=1, keepdims=True), depth - depth.mean())
            for family, value in zip(shares.columns, rho, strict=True):
                if np.isfinite(value):
                    found.setdefault((size, family), []).append(value)
    rows = []
    for (size, family), values in sorted(found.items()):
        values = np.array(values)
        low, high = bootstrap_share(values, np.ones(len(values)), seed_of(seed, size, family))
        row = {"size": size, "family": family, "models": len(values), "spearman": np.mean(values)}
        rows.append(row | {"low": low, "high": high, "growing": np.mean(values > 0)})
    return in_order(pd.DataFrame(rows), "trends.csv")


# The threshold


def knee_of(x: np.ndarray, y: np.ndarray) -> int:
    """Knee of a rising curve: the point farthest above its chord (Kneedle, Satopaa et al. 2011).

    Parameters
    ----------
    x, y : float arrays [n]
        x in ascending order.

    Returns
    -------
    int
        Index into x; 0 for a flat curve.
    """
    span = y[-1] - y[0]
    return int(np.argmax((y - y[0]) / span - (x - x[0]) / (x[-1] - x[0]))) if span > 0 else 0


def locate_knees(
    thresholds: pd.DataFrame, models: pd.DataFrame, default_thresholds: Mapping[str, float], seed: int
) -> pd.DataFrame:
    """knees.csv: the knee of each curve of shares, and the largest threshold that noise allows.

    Row `all` is the median curve of independent networks; only its knee has an interval.

    Parameters
    ----------
    thresholds : DataFrame
        thresholds.csv, with the rows of model `noise`.
    models : DataFrame
        models.csv.
    default_thresholds : mapping
        Size -> threshold of the configuration.
    seed : int
    """
    rows = []
    for size, part in thresholds.groupby("size"):
        # the noise curve limits the threshold
        curves = part.pivot_table(index="model", columns="threshold", values="clustered_share").dropna()
        x = curves.columns.to_numpy()
        if "noise" not in curves.index:
            continue
        noise = curves.loc["noise"].to_numpy()
        default = np.argmin(np.abs(x - default_thresholds[size]))
        allowed = np.flatnonzero(noise <= NOISE_FLOOR)
        floor = allowed[-1] if len(allowed) else None
        # curves of all networks, and the median of the independent ones
        networks = curves.drop(index="noise")
        counted = networks[networks.index.isin(one_per_group(models[models["size"] == size])["model"])].to_numpy()
        everyone = [
            (model, curve, [np.nan] * 2) for model, curve in zip(networks.index, networks.to_numpy(), strict=True)
        ]
        if len(counted):
            everyone.append(("all", np.median(counted, axis=0), _knee_interval(x, counted, seed_of(seed, size))))
        for model, curve, interval in everyone:
            knee = knee_of(x, curve)
            row = {"model": model, "size": size, "knee_low": interval[0], "knee_high": interval[1]}
            marks = (("threshold", "", default), ("knee", "knee_", knee), ("noise_floor", "floor_", floor))
            for name, prefix, place in marks:
                there = [np.nan] * 3 if place is None else [x[place], curve[place], noise[place]]
                row |= dict(zip((name, f"{prefix}share", f"{prefix}noise"), there, strict=True))
            rows.append(row)
    return in_order(pd.DataFrame(rows), "knees.csv")


def _knee_interval(x: np.ndarray, curves: np.ndarray, seed: list[int]) -> list[float]:
    if len(curves) < FEWEST:
        return [np.nan] * 2
    draws = np.random.default_rng(seed).integers(len(curves), size=(CURVES, len(curves)))
    knees = [x[knee_of(x, np.median(curves[draw], axis=0))] for draw in draws]
    return list(np.quantile(knees, TAILS, method="nearest"))
