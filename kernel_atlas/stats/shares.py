"""Shares of labels per layer, per model and across models, with intervals and controls.

A model's shares are bootstrapped over its layers, shares across models over models: kernels of one layer are trained
together and not independent, nor are layers of one model.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial.distance import jensenshannon

from kernel_atlas.core.kernels import size_name
from kernel_atlas.io.tables import columns_of, in_order, read_table
from kernel_atlas.stats.independence import one_per_group, related
from kernel_atlas.stats.resampling import bootstrap_share, seed_of

FIFTHS = ("0.0-0.2", "0.2-0.4", "0.4-0.6", "0.6-0.8", "0.8-1.0")  # of the depth
THRESHOLDS = np.arange(1, 51) / 50  # 0.02, 0.04, ..., 1
MODEL_COLUMNS = [
    "family",
    "architecture",
    "dataset",
    "top1",
    "params",
    "group",
    "recipe",
    "licence",
    "use",
    "convolution",
]
DRIFT_QUANTILES = [0.5, 0.9]
DRIFT = 0.2  # share beyond the training kernels' 90 % quantile: twice their own


def fifth_of(depth: pd.Series | np.ndarray) -> pd.Series | np.ndarray:
    """Index into `FIFTHS` of depths from 0 to 1."""
    return np.minimum((depth * len(FIFTHS)).astype(int), len(FIFTHS) - 1)


def count_assignments(paths: Iterable[str | Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Count assignments, one file in memory at a time.

    Returns
    -------
    counts : DataFrame
        model, layer_index, size, label, kernels.
    below : DataFrame
        model, size, threshold, kernels (live), clustered (dissimilarity below the threshold).
    """
    counts, below = [], []
    for path in paths:
        table = read_table(path, ["model", "layer_index", "kh", "label", "dissimilarity"]).to_pandas()
        table["size"] = table["kh"].map(size_name)
        counts.append(table.groupby(["model", "layer_index", "size", "label"]).size())
        for (model, size), values in table.groupby(["model", "size"])["dissimilarity"]:
            live = np.sort(values.dropna())
            clustered = np.searchsorted(live, THRESHOLDS.astype(np.float32), side="left")
            same = {"model": model, "size": size, "kernels": len(live)}
            below.append(pd.DataFrame(same | {"threshold": THRESHOLDS, "clustered": clustered}))
    return pd.concat(counts).rename("kernels").reset_index(), pd.concat(below, ignore_index=True)


def _wide(counts: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Kernels per unit (rows) and label (columns, always with `dead` and `other`), zeros filled."""
    wide = counts.pivot_table(index=unit, columns="label", values="kernels", aggfunc="sum", fill_value=0)
    for label in ("dead", "other"):
        if label not in wide:
            wide[label] = 0
    return wide


def summarise_models(counts: pd.DataFrame, sheet: pd.DataFrame, seed: int) -> pd.DataFrame:
    """models.csv: kernels, dead, clustered and share clustered with interval over layers, per model and size."""
    rows = []
    for (model, size), part in counts.groupby(["model", "size"]):
        wide = _wide(part, "layer_index")
        live = wide.drop(columns="dead").sum(axis=1)
        clustered = live - wide["other"]
        low, high = bootstrap_share(clustered.to_numpy(), live.to_numpy(), seed_of(seed, model, size))
        share = clustered.sum() / live.sum() if live.sum() else np.nan
        dead = wide["dead"].sum()
        row = {"model": model, "size": size, "layers": len(wide), "kernels": live.sum() + dead, "dead": dead}
        row |= {"clustered": clustered.sum(), "clustered_share": share, "share_low": low, "share_high": high}
        rows.append(row)
    table = pd.DataFrame(rows).merge(sheet[["model", *MODEL_COLUMNS]], on="model", how="left")
    return in_order(table, "models.csv")


def summarise_labels(counts: pd.DataFrame, seed: int) -> pd.DataFrame:
    """labels.csv: kernels and share of each label with interval over layers, per model and size.

    Shares are of live kernels; that of `dead` is of all kernels.
    """
    tables = [
        _label_shares(_wide(part, "layer_index"), seed_of(seed, model, size)).assign(model=model, size=size)
        for (model, size), part in counts.groupby(["model", "size"])
    ]
    return in_order(pd.concat(tables, ignore_index=True), "labels.csv")


def summarise_totals(counts: pd.DataFrame, models: pd.DataFrame, seed: int) -> pd.DataFrame:
    """totals.csv: shares of labels over independent networks (`one_per_group`), with intervals over networks.

    Row `clustered` is the sum of all labels except `other` and `dead`.
    """
    tables = []
    for size, part in models.groupby("size"):
        kept = counts[(counts["size"] == size) & counts["model"].isin(one_per_group(part)["model"])]
        if len(kept):
            wide = _wide(kept, "model")
            sums = wide[["dead", "other"]].assign(clustered=wide.drop(columns=["dead", "other"]).sum(axis=1))
            for table in (wide, sums):
                shares = _label_shares(table, seed_of(seed, size)).assign(size=size, models=kept["model"].nunique())
                tables.append(shares if table is wide else shares[shares["label"] == "clustered"])
    return in_order(pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(), "totals.csv")


def summarise_chance(noise: pd.DataFrame, models: pd.DataFrame, thresholds: Mapping[str, float]) -> pd.DataFrame:
    """chance.csv: share clustered of Gaussian noise and untrained networks, per size.

    Regular convolutions are trained and therefore excluded.

    Parameters
    ----------
    noise : DataFrame
        Counts of the noise control, from `count_assignments`.
    models : DataFrame
        models.csv.
    thresholds : mapping
        Size -> dissimilarity.

    Returns
    -------
    DataFrame
        Per size Gaussian noise first, then networks by descending share.
    """
    other = noise["kernels"].where(noise["label"] == "other", 0)
    by_size = pd.DataFrame({"size": noise["size"], "kernels": noise["kernels"], "other": other}).groupby("size").sum()
    by_chance = by_size.assign(control="Gaussian noise", clustered_share=1 - by_size["other"] / by_size["kernels"])
    networks = models[(models["use"] == "control") & (models["convolution"] == "depthwise")]
    networks = networks.assign(control=networks["model"], kernels=networks["kernels"] - networks["dead"])
    networks = networks.sort_values(["size", "clustered_share"], ascending=[True, False])
    table = pd.concat([by_chance.reset_index(), networks], ignore_index=True)
    table = table.assign(threshold=table["size"].map(thresholds)).sort_values("size", kind="stable")
    return table[columns_of("chance.csv")]


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


def summarise_layers(counts: pd.DataFrame, inventory: pd.DataFrame) -> pd.DataFrame:
    """layers.csv: kernels and share of each label per layer, with `layer_depths`.

    Shares are of live kernels; that of `dead` is of all kernels of the layer.
    """
    places = inventory.assign(depth=layer_depths(inventory))
    table = counts.merge(places[["model", "layer_index", "layer", "depth"]], on=["model", "layer_index"])
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


def compare_architectures(labels: pd.DataFrame) -> pd.DataFrame:
    """architectures.csv: Jensen-Shannon distance (base 2) of label shares incl. `other`, per pair and size."""
    tables = []
    for size, part in labels[labels["label"] != "dead"].groupby("size"):
        wide = part.pivot_table(index="model", columns="label", values="share", fill_value=0)
        shares = wide.to_numpy(np.float64)
        for row in range(len(wide) - 1):
            distance = jensenshannon(shares[row][None], shares[row + 1 :], base=2, axis=1)
            distance = np.nan_to_num(distance)  # rounding below 0 gives NaN
            pair = {"size": size, "model_a": wide.index[row], "model_b": wide.index[row + 1 :]}
            tables.append(pd.DataFrame(pair | {"jensen_shannon": distance}))
    return in_order(pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(), "architectures.csv")


def summarise_thresholds(below: pd.DataFrame) -> pd.DataFrame:
    """thresholds.csv: share clustered at each threshold; rows of model `noise` are the control."""
    share = below["clustered"] / below["kernels"].where(below["kernels"] > 0)
    return below.assign(clustered_share=share)[columns_of("thresholds.csv")]


def layer_depths(inventory: pd.DataFrame) -> pd.Series:
    """Relative depth of layers of the inventory: 0 at the first layer of the model, 1 at the last, over all sizes."""
    return inventory["layer_index"] / inventory.groupby("model")["layer_index"].transform("max").clip(lower=1)
