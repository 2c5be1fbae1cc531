"""One network in a table: shares of kernels with a pattern, by layer and by size; and how two networks differ."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from kernel_atlas.core.patterns import threshold_of
from kernel_atlas.model.assign import Labeller
from kernel_atlas.stats.places import place_shares
from kernel_atlas.stats.resampling import DRIFT, FEWEST, TAILS, bootstrap_share, draw_units, seed_of, wilson_interval

FREQUENT = 3  # labels that a row names
PATTERNED, PHASES = "with a pattern", "random phases"  # rows of a comparison that are no labels
PLACED = ["networks", "reference_low", "reference_median", "reference_high", "above"]


def sizes_of(kernels: pd.DataFrame) -> pd.Series:
    """The size of each kernel, `7x7`."""
    return kernels["kh"].astype(str) + "x" + kernels["kw"].astype(str)


def describe_layers(assigned: pd.DataFrame) -> pd.DataFrame:
    """Describe the kernels of each layer.

    Parameters
    ----------
    assigned : DataFrame
        As `kernel_atlas.label` gives them for a network.

    Returns
    -------
    DataFrame
        A row for each layer: layer_index, layer, and the columns of `_describe`. The interval is Wilson's, for kernels
        drawn one by one: too narrow, as kernels of a layer are trained together.
    """
    rows = []
    for index, part in assigned.groupby("layer_index"):
        row = {"layer_index": index, "layer": part["layer"].iloc[0], "size": sizes_of(part).iloc[0]} | _describe(part)
        interval = np.nan, np.nan
        if row["kernels"] > row["dead"] and np.isfinite(row["pattern_share"]):
            interval = wilson_interval(row["pattern_share"], row["kernels"] - row["dead"])
        rows.append(row | dict(zip(("pattern_low", "pattern_high"), interval, strict=True)))
    return _ordered(pd.DataFrame(rows), ["layer_index", "layer"])


def describe_sizes(
    assigned: pd.DataFrame, labellers: Mapping[int, Labeller], reference: pd.DataFrame, seed: int = 0
) -> pd.DataFrame:
    """Describe the kernels of each size, beside reference networks and beside what trained the autoencoders.

    Parameters
    ----------
    assigned : DataFrame
        As `kernel_atlas.label` gives them for a network.
    labellers : mapping
        From `read_encoder`: side -> Labeller.
    reference : DataFrame
        resources/reference/networks.csv.
    seed : int

    Returns
    -------
    DataFrame
        A row for each size: size, layers, and

        - the columns of `_describe`, with an interval by bootstrap over layers (missing below five layers);
        - networks (of the reference), reference_low, reference_median, reference_high (quartiles of their shares with
          a pattern) and above (share of them with a lower share); missing where few networks have the size;
        - beyond (share of live kernels with a dissimilarity that one in ten training kernels of the autoencoder
          exceeds) and unlike (whether that is more than two in ten: code and cluster tell little); missing where no
          autoencoder knows the size.
    """
    rows = []
    for size, part in assigned.groupby(sizes_of(assigned)):
        row = {"size": size, "layers": part["layer_index"].nunique()} | _describe(part)
        counts = _counts(part)
        live, patterned = counts["live"].to_numpy(), counts["patterned"].to_numpy()
        row["pattern_low"], row["pattern_high"] = np.nan, np.nan
        if part["label"].notna().any():
            row["pattern_low"], row["pattern_high"] = bootstrap_share(patterned, live, seed_of(seed, size))
        labeller = labellers.get(part["kh"].iloc[0])
        dissimilarity = part["dissimilarity"].dropna()
        if labeller is None or labeller.usual is None or dissimilarity.empty:
            row |= {"beyond": np.nan, "unlike": None}
        else:
            beyond = float((dissimilarity > labeller.usual).mean())
            row |= {"beyond": beyond, "unlike": beyond > DRIFT}
        rows.append(row)
    table = _ordered(pd.DataFrame(rows), ["size", "layers"])
    table = table.sort_values("size", key=lambda sizes: sizes.str.split("x").map(lambda sides: tuple(map(int, sides))))
    placed = place_shares(table[["size", "pattern_share"]].assign(model=""), reference)
    placed = placed.rename(columns={name: f"reference_{name}" for name in ("low", "median", "high")})
    return table.merge(placed[["size", *PLACED]], on="size", how="left")


def _describe(part: pd.DataFrame) -> dict[str, object]:
    """kernels, dead, pattern_share, phase_share, clustered_share and labels of some kernels.

    Shares are of live kernels: with a pattern; with a pattern once their phases are random, the control of that; and
    in a cluster. They are missing without live kernels, where kernels are not square, or without an autoencoder of
    the size. `labels` has the commonest but `other`: pairs of a label and its share.
    """
    live = part.loc[~part["dead"]]
    named, coded = (len(live) > 0 and bool(live[name].notna().all()) for name in ("label", "cluster"))
    labels = live.loc[live["label"].notna() & (live["label"] != "other"), "label"].value_counts()
    return {
        "kernels": len(part),
        "dead": len(part) - len(live),
        "pattern_share": labels.sum() / len(live) if named else np.nan,
        "phase_share": _of_phases(live).mean() if named else np.nan,
        "clustered_share": (live["cluster"] >= 0).mean() if coded else np.nan,
        "labels": [(label, count / len(live)) for label, count in labels.head(FREQUENT).items()],
    }


def _of_phases(live: pd.DataFrame) -> pd.Series:
    """Whether a copy of each kernel with random phases has a pattern."""
    return live["scrambled"] > 1 - live["kh"].map(threshold_of)


def _ordered(table: pd.DataFrame, first: list[str]) -> pd.DataFrame:
    shares = ["pattern_share", "pattern_low", "pattern_high", "phase_share", "clustered_share"]
    order = list(dict.fromkeys([*first, "size", "kernels", "dead", *shares, "labels"]))
    return table[order + [name for name in table if name not in order]]


def _counts(part: pd.DataFrame) -> pd.DataFrame:
    """Kernels of each layer: all, live, dead, patterned, with a pattern once their phases are random, and by label."""
    live = ~part["dead"] & part["label"].notna()
    marks = {"all": True, "live": live, "patterned": live & (part["label"] != "other")}
    marks |= {"dead": part["dead"], PHASES: live & _of_phases(part)}
    wide = pd.DataFrame(marks, index=part.index).groupby(part["layer_index"]).sum()
    labels = pd.crosstab(part["layer_index"], part["label"]).drop(columns="dead", errors="ignore")
    return wide.join(labels).fillna(0)


def compare(one: pd.DataFrame, two: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """How the shares of labels change from one network to another.

    Parameters
    ----------
    one, two : DataFrame
        As `kernel_atlas.label` gives them for networks.
    seed : int

    Returns
    -------
    DataFrame
        size, label, share_a, share_b, change (share_b - share_a) with low and high, layers_a, layers_b and paired. The
        rows of a size are `with a pattern`, its control `random phases` (the same once phases are random), labels by
        the size of their change, and `dead`. Shares are of live kernels, that of `dead` is of all. The 95 % interval
        is by bootstrap over layers, drawn in pairs where both networks have the same ones; missing below five layers.
        What only one network has is missing in the other.
    """
    rows = []
    parts = [dict(list(table.groupby(sizes_of(table)))) for table in (one, two)]
    for size in sorted(parts[0].keys() | parts[1].keys(), key=lambda name: tuple(map(int, name.split("x")))):
        pair = [part.get(size, one.head(0)) for part in parts]
        rows += _compare(size, pair, seed_of(seed, size))
    names = ["size", "label", "share_a", "share_b", "change", "low", "high", "layers_a", "layers_b", "paired"]
    return pd.DataFrame(rows, columns=names)


def _compare(size: str, pair: list[pd.DataFrame], seed: list[int]) -> list[dict[str, object]]:
    """The rows of one size."""
    counts = [_counts(part) for part in pair]
    layers = [part.groupby("layer_index")["layer"].agg(["first", "size"]).to_numpy().tolist() for part in pair]
    paired = layers[0] == layers[1]
    random = np.random.default_rng(seed)
    draws = [draw_units(len(table), random) if len(table) else None for table in counts]
    draws[1] = draws[0] if paired else draws[1]
    same = {"size": size, "layers_a": len(counts[0]), "layers_b": len(counts[1]), "paired": paired}
    labels = set().union(*counts) - {"all", "live", "patterned", PHASES, "dead"}
    rows = []
    for label in [PATTERNED, PHASES, *sorted(labels), "dead"]:
        column = "patterned" if label == PATTERNED else label
        shares, resampled = [], []
        for table, draw in zip(counts, draws, strict=True):
            part = table.get(column, pd.Series(0.0, table.index)).to_numpy(float)
            whole = table["all" if label == "dead" else "live"].to_numpy(float)
            with np.errstate(invalid="ignore", divide="ignore"):
                shares.append(np.divide(part.sum(), whole.sum()))
                resampled.append(np.nan if draw is None else (draw @ part) / (draw @ whole))
        low, high = np.nan, np.nan
        if min(map(len, counts)) >= FEWEST:
            low, high = np.nanquantile(resampled[1] - resampled[0], TAILS)
        change = {"share_a": shares[0], "share_b": shares[1], "change": shares[1] - shares[0], "low": low, "high": high}
        rows.append(same | {"label": label} | change)
    rows[2:-1] = sorted(rows[2:-1], key=lambda row: (-np.nan_to_num(abs(row["change"])), row["label"]))
    return rows
