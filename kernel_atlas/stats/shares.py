"""Shares of labels per layer, per model and across models, with intervals and controls.

A model's shares are bootstrapped over its layers, shares across models over models: kernels of one layer are trained
together and not independent, nor are layers of one model.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.spatial.distance import jensenshannon

from kernel_atlas.core.kernels import size_name
from kernel_atlas.core.patterns import threshold_of
from kernel_atlas.io.tables import columns_of, in_order, read_table
from kernel_atlas.stats.independence import one_per_group, related
from kernel_atlas.stats.resampling import DRIFT, bootstrap_share, mean_interval, seed_of

FIFTHS = ("0.0-0.2", "0.2-0.4", "0.4-0.6", "0.6-0.8", "0.8-1.0")  # of the depth
THRESHOLDS = np.arange(1, 51) / 50  # 0.02, 0.04, ..., 1
# Rows of totals.csv that are no labels: all labels but `other` and `dead`, and three marks of kernels.
PATTERNED, ABOVE_NULL, BEYOND, CLUSTERED = "with a pattern", "above the equal null", "beyond spectrum", "clustered"
SUMMARIES = (PATTERNED, ABOVE_NULL, BEYOND, CLUSTERED)
NULL = 0.05  # of kernels with random phases are above the cosine of the equal null
DRIFT_QUANTILES = [0.5, 0.9]


def fifth_of(depth: pd.Series | np.ndarray) -> pd.Series | np.ndarray:
    """Index into `FIFTHS` of depths from 0 to 1."""
    return np.minimum((depth * len(FIFTHS)).astype(int), len(FIFTHS) - 1)


class Counts(NamedTuple):
    """What `count_assignments` counts.

    - `labels`: model, layer_index, size, label, kernels.
    - `layers`: model, layer_index, size, live (kernels), and of these `beyond` their spectrum, `above_null` (more
      similar to a pattern than 95 % of the model's kernels of the size are with random phases), `scrambled` (with
      random phases within the threshold) and `clustered` (NaN for sizes without an autoencoder).
    - `below`: model, size, threshold, kernels (live), patterned and clustered (below the threshold).
    """

    labels: pd.DataFrame
    layers: pd.DataFrame
    below: pd.DataFrame


def count_assignments(paths: Iterable[str | Path], thresholds: Mapping[str, float]) -> Counts:
    """Count assignments, one file in memory at a time.

    Parameters
    ----------
    paths : iterable of path
    thresholds : mapping
        Size -> dissimilarity below which a kernel has a pattern; other sizes as `patterns.threshold_of`.
    """
    columns = ["model", "layer_index", "kh", "label", "similarity", "beyond_spectrum", "scrambled"]
    columns += ["dissimilarity", "cluster"]
    labels, layers, below = [], [], []
    for path in paths:
        table = read_table(path, columns).to_pandas()
        table["size"] = table["kh"].map(size_name)
        labels.append(table.groupby(["model", "layer_index", "size", "label"]).size())
        for (model, size), part in table.groupby(["model", "size"]):
            live = part[part["label"] != "dead"]
            null = live["scrambled"].quantile(1 - NULL)
            limit = 1 - threshold_of(int(part["kh"].iloc[0]), thresholds)
            clustered = part["cluster"].notna().any()
            marks = pd.DataFrame(
                {
                    "live": 1,
                    "beyond": live["beyond_spectrum"].astype(float),
                    "above_null": live["similarity"] > null,
                    "scrambled": live["scrambled"] > limit,
                    "clustered": live["cluster"] >= 0 if clustered else np.nan,
                }
            )
            every = part["layer_index"].unique()
            sums = marks.groupby(live["layer_index"]).sum(min_count=1).reindex(every).rename_axis("layer_index")
            sums[["live", "beyond", "above_null", "scrambled"]] = sums[
                ["live", "beyond", "above_null", "scrambled"]
            ].fillna(0)
            layers.append(sums.reset_index().assign(model=model, size=size))
            same = {"model": model, "size": size, "kernels": len(live), "threshold": THRESHOLDS}
            counted = {
                name: np.searchsorted(np.sort(values.dropna()), THRESHOLDS.astype(np.float32), side="left")
                for name, values in (("patterned", 1 - live["similarity"]), ("clustered", live["dissimilarity"]))
            }
            below.append(pd.DataFrame(same | counted))
    return Counts(
        pd.concat(labels).rename("kernels").reset_index(),
        pd.concat(layers, ignore_index=True),
        pd.concat(below, ignore_index=True),
    )


def _wide(counts: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Kernels per unit (rows) and label (columns, always with `dead` and `other`), zeros filled."""
    wide = counts.pivot_table(index=unit, columns="label", values="kernels", aggfunc="sum", fill_value=0)
    for label in ("dead", "other"):
        if label not in wide:
            wide[label] = 0
    return wide


def summarise_models(counts: Counts, sheet: pd.DataFrame, seed: int) -> pd.DataFrame:
    """models.csv: kernels, share with a pattern and share clustered with intervals over layers, per model and size."""
    rows = []
    layers = dict(list(counts.layers.groupby(["model", "size"])))
    for (model, size), part in counts.labels.groupby(["model", "size"]):
        wide = _wide(part, "layer_index")
        live = wide.drop(columns="dead").sum(axis=1)
        patterned, marks = live - wide["other"], layers[model, size]
        whole = marks["live"].sum()
        row = {"model": model, "size": size, "layers": len(wide), "kernels": live.sum() + wide["dead"].sum()}
        row |= {"dead": wide["dead"].sum(), "patterned": patterned.sum()}
        row["pattern_share"] = patterned.sum() / live.sum() if live.sum() else np.nan
        own_seed = seed_of(seed, model, size)
        row["pattern_low"], row["pattern_high"] = bootstrap_share(patterned.to_numpy(), live.to_numpy(), own_seed)
        for name, column in (
            ("beyond_share", "beyond"),
            ("equal_null_share", "above_null"),
            ("phase_share", "scrambled"),
        ):
            row[name] = marks[column].sum() / whole if whole else np.nan
        row |= dict.fromkeys(("clustered", "clustered_share", "share_low", "share_high"), np.nan)
        if marks["clustered"].notna().any():
            clustered = marks["clustered"].fillna(0).to_numpy()
            row["clustered"], row["clustered_share"] = clustered.sum(), clustered.sum() / whole if whole else np.nan
            row["share_low"], row["share_high"] = bootstrap_share(clustered, marks["live"].to_numpy(), own_seed)
        rows.append(row)
    about = sheet[sheet.columns.intersection(columns_of("models.csv"))]
    table = pd.DataFrame(rows).merge(about, on="model", how="left")
    return in_order(table.astype({"clustered": "Int64"}), "models.csv")


def summarise_labels(counts: Counts, seed: int) -> pd.DataFrame:
    """labels.csv: kernels and share of each label with interval over layers, per model and size.

    Shares are of live kernels; that of `dead` is of all kernels.
    """
    tables = [
        _label_shares(_wide(part, "layer_index"), seed_of(seed, model, size)).assign(model=model, size=size)
        for (model, size), part in counts.labels.groupby(["model", "size"])
    ]
    return in_order(pd.concat(tables, ignore_index=True), "labels.csv")


def summarise_totals(counts: Counts, models: pd.DataFrame) -> pd.DataFrame:
    """totals.csv: mean shares of labels over independent networks (`one_per_group`), with intervals over networks.

    The rows `SUMMARIES` are no labels.
    """
    tables = []
    for size, part in models.groupby("size"):
        chosen = one_per_group(part).set_index("model").sort_index()
        kept = counts.labels[(counts.labels["size"] == size) & counts.labels["model"].isin(chosen.index)]
        if kept.empty:
            continue
        wide = _wide(kept, "model").astype(float)
        live = wide.drop(columns="dead").sum(axis=1)
        dead = wide.pop("dead")
        marks = counts.layers[counts.layers["size"] == size].groupby("model")[["above_null", "beyond", "clustered"]]
        marks = marks.sum(min_count=1).reindex(wide.index)
        wide = wide.assign(**dict(zip(SUMMARIES, (live - wide["other"], *marks.to_numpy().T), strict=True)))
        wide = wide.dropna(axis="columns")
        wide["dead"] = dead
        for label, kernels in wide.items():
            whole = live + dead if label == "dead" else live
            low, high = mean_interval((kernels / whole)[whole > 0].to_numpy())
            row = {"size": size, "label": label, "models": len(wide), "kernels": int(kernels.sum())}
            row |= {"share": (kernels / whole)[whole > 0].mean(), "share_low": low, "share_high": high}
            tables.append(row)
    table = pd.DataFrame(tables, columns=columns_of("totals.csv"))
    return table[table["kernels"] > 0].reset_index(drop=True)


def summarise_chance(noise: Counts, models: pd.DataFrame, thresholds: Mapping[str, float]) -> pd.DataFrame:
    """chance.csv: shares with a pattern and clustered of noise, of random phases and of untrained networks, per size.

    Regular convolutions are trained and therefore excluded. An autoencoder clusters kernels with random phases in a
    table of its own, controls.csv.

    Parameters
    ----------
    noise : Counts
        Of the noise control.
    models : DataFrame
        models.csv.
    thresholds : mapping
        Size -> dissimilarity.

    Returns
    -------
    DataFrame
        Per size Gaussian noise first, then random phases, then networks by descending share.
    """
    drawn = noise.layers.merge(noise.labels[noise.labels["label"] == "other"], on=["model", "layer_index", "size"])
    gaussian = pd.DataFrame(
        {
            "size": drawn["size"],
            "control": "Gaussian noise",
            "kernels": drawn["live"].astype(int),
            "pattern_share": 1 - drawn["kernels"] / drawn["live"],
            "clustered_share": drawn["clustered"] / drawn["live"],
        }
    )
    tables = [gaussian]
    for size, part in models.groupby("size"):
        real = one_per_group(part)
        live = real["kernels"] - real["dead"]
        row = {"size": size, "control": "random phases", "kernels": live.sum()}
        tables.append(pd.DataFrame([row | {"pattern_share": real["phase_share"].mean(), "clustered_share": np.nan}]))
    networks = models[(models["use"] == "control") & (models["convolution"] == "depthwise")]
    networks = networks.assign(control=networks["model"], kernels=networks["kernels"] - networks["dead"])
    tables.append(networks.sort_values(["size", "pattern_share"], ascending=[True, False]))
    table = pd.concat(tables, ignore_index=True)
    table = table[table["size"].isin(models["size"])].sort_values("size", kind="stable")
    table["threshold"] = [threshold_of(int(size.split("x")[0]), thresholds) for size in table["size"]]
    return table[columns_of("chance.csv")].reset_index(drop=True)


def count_analysed(sheet: pd.DataFrame, inventory: pd.DataFrame, sides: list[int]) -> pd.DataFrame:
    """analysed.csv: number of models, layers and kernels read, without layers and kernels of regular convolutions."""
    sheet = sheet[sheet["model"].isin(inventory["model"])]
    inventory = inventory[inventory["convolution"] == "depthwise"]
    counted = sheet[(sheet["use"] != "control") & (sheet["convolution"] == "depthwise")]
    left_out = inventory[~inventory["kh"].isin(sides) | (inventory["kh"] != inventory["kw"])]
    counts = {
        "models": len(sheet),
        **{f"models to {use}": (sheet["use"] == use).sum() for use in ("train", "assign", "control")},
        "independent networks": related(counted).nunique(),
        "layers": len(inventory),
        "kernels": inventory["channels"].sum(),
        "layers of other sizes": len(left_out),
        "kernels of other sizes": left_out["channels"].sum(),
    }
    return pd.DataFrame({"quantity": list(counts), "count": list(counts.values())})


def _label_shares(wide: pd.DataFrame, seed: list[int]) -> pd.DataFrame:
    live = wide.drop(columns="dead")
    shares = []
    for part, whole in ((live, live.sum(axis=1)), (wide[["dead"]], wide.sum(axis=1))):
        low, high = bootstrap_share(part.to_numpy(), whole.to_numpy(), seed)
        kernels = part.sum()
        share = kernels / whole.sum() if whole.sum() else np.nan
        shares.append(pd.DataFrame({"kernels": kernels, "share": share, "share_low": low, "share_high": high}))
    table = pd.concat(shares).rename_axis("label").reset_index()
    return table[table["kernels"] > 0]


def summarise_layers(counts: Counts, inventory: pd.DataFrame) -> pd.DataFrame:
    """layers.csv: kernels and share of each label per layer, with `layer_depths`.

    Shares are of live kernels; that of `dead` is of all kernels of the layer.
    """
    places = inventory.assign(depth=layer_depths(inventory))
    table = counts.labels.merge(places[["model", "layer_index", "layer", "depth"]], on=["model", "layer_index"])
    every = table.groupby(["model", "layer_index"])["kernels"].transform("sum")
    dead = table["kernels"].where(table["label"] == "dead", 0).groupby([table["model"], table["layer_index"]])
    table["share"] = table["kernels"] / np.where(table["label"] == "dead", every, every - dead.transform("sum"))
    return in_order(table, "layers.csv")


def measure_drift(paths: Iterable[str | Path], sheet: pd.DataFrame, seed: int) -> pd.DataFrame:
    """drift.csv: coverage of each model by the autoencoder, relative to its training kernels.

    `beyond` is the share of live kernels with a dissimilarity above the 90 % quantile of the training kernels: 0.1 for
    similar kernels, more for unknown patterns and noise.

    Parameters
    ----------
    paths : iterable of path
        Assignments of every model.
    sheet : DataFrame
        From `read_sheet`.
    seed : int

    Returns
    -------
    DataFrame
        advice for models with use = assign: `retrain` if the interval of `beyond` lies above `DRIFT`, else `covered`;
        `too few layers` without interval.
    """
    columns = ["layer_index", "kh", "dissimilarity"]
    tables = {Path(path).stem: read_table(path, columns).to_pandas().dropna() for path in paths}
    uses, rows = sheet.set_index("model")["use"], []
    for side in sorted({side for table in tables.values() for side in table["kh"].unique()}):
        parts = {model: table[table["kh"] == side] for model, table in tables.items() if (table["kh"] == side).any()}
        trained = np.concatenate([part["dissimilarity"] for model, part in parts.items() if uses[model] == "train"])
        usual = np.quantile(trained, DRIFT_QUANTILES)
        for model, part in parts.items():
            layers = (part["dissimilarity"] > usual[-1]).groupby(part["layer_index"]).agg(["sum", "size"])
            low, high = bootstrap_share(*layers.to_numpy().T, seed_of(seed, model, size_name(side)))
            advice = "too few layers" if np.isnan(low) else "retrain" if low > DRIFT else "covered"
            own = np.quantile(part["dissimilarity"], DRIFT_QUANTILES)
            beyond = layers["sum"].sum() / layers["size"].sum()
            row = {"model": model, "use": uses[model], "size": size_name(side), "kernels": len(part)}
            row |= {"median": own[0], "q90": own[1], "training_median": usual[0], "training_q90": usual[1]}
            row |= {"beyond": beyond, "beyond_low": low, "beyond_high": high}
            rows.append(row | {"advice": advice if uses[model] == "assign" else ""})
    return in_order(pd.DataFrame(rows), "drift.csv")


def jensen_shannon(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Jensen-Shannon distance, base 2, of each pair of rows of counts or shares, float arrays [n, labels]."""
    return np.nan_to_num(jensenshannon(a, b, base=2, axis=1))  # rounding below 0 gives NaN


def compare_architectures(labels: pd.DataFrame) -> pd.DataFrame:
    """architectures.csv: Jensen-Shannon distance (base 2) of label shares incl. `other`, per pair and size."""
    tables = []
    for size, part in labels[labels["label"] != "dead"].groupby("size"):
        wide = part.pivot_table(index="model", columns="label", values="share", fill_value=0)
        shares = wide.to_numpy(np.float64)
        for row in range(len(wide) - 1):
            distance = jensen_shannon(shares[row][None], shares[row + 1 :])
            pair = {"size": size, "model_a": wide.index[row], "model_b": wide.index[row + 1 :]}
            tables.append(pd.DataFrame(pair | {"jensen_shannon": distance}))
    return in_order(pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(), "architectures.csv")


def summarise_thresholds(*counts: Counts) -> pd.DataFrame:
    """thresholds.csv: shares with a pattern and clustered at each threshold; rows of model `noise` are the control."""
    below = pd.concat([each.below for each in counts], ignore_index=True)
    whole = below["kernels"].where(below["kernels"] > 0)
    below = below.assign(pattern_share=below["patterned"] / whole, clustered_share=below["clustered"] / whole)
    coded = pd.concat([each.layers for each in counts]).groupby(["model", "size"])["clustered"].sum(min_count=1)
    without = coded[coded.isna()].index
    below.loc[pd.MultiIndex.from_frame(below[["model", "size"]]).isin(without), "clustered_share"] = np.nan
    return below[columns_of("thresholds.csv")]


def layer_depths(inventory: pd.DataFrame) -> pd.Series:
    """Relative depth of layers of the inventory: 0 at the first layer of the model, 1 at the last, over all sizes."""
    return inventory["layer_index"] / inventory.groupby("model")["layer_index"].transform("max").clip(lower=1)
