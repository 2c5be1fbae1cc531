"""Sample the kernels of one size for the evidence, from real networks and from control networks."""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from kernel_atlas.core.kernels import centre_and_normalise, taps_array
from kernel_atlas.io.shards import shards_of
from kernel_atlas.io.tables import in_order, read_table
from kernel_atlas.stats.independence import largest_of
from kernel_atlas.stats.resampling import FEWEST
from kernel_atlas.stats.shares import layer_depths

# `real`: independent networks that train the autoencoder, or depthwise ones that are assigned; `untrained`: depthwise
# models with use = control; `dense`: slices of regular convolutions outside the training set.
SUBJECTS = ("real", "untrained", "dense")
ASSIGNED = ["label", "code", "dissimilarity", "cluster"]


def pick_kernels(
    models: Sequence[str | Path],
    assignments: Sequence[str | Path],
    inventory: pd.DataFrame,
    subjects: Mapping[str, str],
    units: Mapping[str, str],
    side: int,
    count: int,
    dense_per_layer: int,
    seed: int,
) -> pa.Table:
    """Draw up to `count` kernels of each subject uniformly; drop dead ones.

    Parameters
    ----------
    models, assignments : sequence of path
        Folders of shards and files of assignments.
    inventory : DataFrame
        inventory.parquet.
    subjects : mapping
        Model -> one of `SUBJECTS`.
    units : mapping
        Model -> what it is a part of (`independence.related`). The real model with most kernels represents it.
    side, count : int
    dense_per_layer : int
        Slices drawn from each layer of a regular convolution; the inventory counts all.
    seed : int

    Returns
    -------
    pyarrow.Table
        With the columns of `evidence/*x*/kernels.parquet` in schemas/tables.yaml.
    """
    # square layers of independent networks, with the number of their kernels
    layers = inventory.assign(depth=layer_depths(inventory))
    layers = layers[(layers["kh"] == side) & (layers["kw"] == side)]
    layers = _independent(layers.assign(subject=layers["model"].map(subjects)), units)
    layers["channels"] = layers["channels"].mask(
        layers["subject"] == "dense", layers["channels"].clip(upper=dense_per_layer)
    )
    folders = {Path(path).name: path for path in models}
    tables = {Path(path).stem: path for path in assignments}
    drawn = []
    for subject in SUBJECTS:
        # positions in the concatenation of all layers
        there = layers[layers["subject"] == subject]
        ends = there["channels"].cumsum().to_numpy()
        total = int(ends[-1]) if len(ends) else 0
        random = np.random.default_rng([seed, side, zlib.crc32(subject.encode())])
        places = np.sort(random.choice(total, min(count, total), replace=False))
        layer = np.searchsorted(ends, places, side="right")
        # read each drawn layer once
        there = there.assign(row=np.arange(len(there)))
        for model, part in there[there["row"].isin(layer)].groupby("model", sort=False):
            assigned = read_table(tables[model], ["layer_index", *ASSIGNED])
            shards = {int(shard.path.stem): shard for shard in shards_of(folders[model])}
            for one in part.itertuples():
                rows = places[layer == one.row] - (ends[one.row] - one.channels)
                with shards[one.layer_index].open() as file:
                    taps = file.read(["channel", "weight", "dead"]).take(rows)
                same = {name: getattr(one, name) for name in ("subject", "model", "layer_index", "depth")}
                columns = {name: pa.array([value] * len(rows)) for name, value in same.items()}
                columns["stride"] = pa.array([one.stride] * len(rows), pa.float32(), from_pandas=True)
                columns["padding"] = pa.array([one.padding] * len(rows), pa.string(), from_pandas=True)
                columns["channel"] = taps["channel"]
                mine = assigned.filter(pa.array(assigned["layer_index"].to_numpy() == one.layer_index)).take(rows)
                columns |= {name: mine[name] for name in ASSIGNED} | {"weight": taps["weight"]}
                drawn.append(pa.table(columns).filter(pa.array(~taps["dead"].to_numpy())))
    return pa.concat_tables(drawn).combine_chunks()


class Units(NamedTuple):
    """What kernels are parts of and intervals are over: `networks` or `layers`, and each kernel's number, int [n]."""

    kind: str
    number: np.ndarray


def training_units(merged: str | Path) -> Units:
    """Units of the kernels of `merge.training_kernels`: networks; layers if half of the networks give no interval."""
    table = read_table(merged, ["model", "layer_index", "dead"]).to_pandas()
    live = table[~table["dead"]]
    many = live["model"].nunique() >= 2 * FEWEST
    names = ["model"] if many else ["model", "layer_index"]
    return Units("networks" if many else "layers", live.groupby(names).ngroup().to_numpy())


def read_filters(path: str | Path) -> np.ndarray:
    """Read the published master key filters, float array [8, 7, 7], from resources/master_key_filters.csv."""
    return pd.read_csv(path, index_col="filter").to_numpy().reshape(-1, 7, 7)


def unit_kernels(picked: pa.Table, subject: str) -> np.ndarray:
    """Centred unit kernels of one subject, float32 [n, taps]; n may be 0."""
    mine = picked.filter(pa.array(picked["subject"].to_numpy() == subject))
    return centre_and_normalise(taps_array(mine["weight"]))


def _independent(layers: pd.DataFrame, units: Mapping[str, str]) -> pd.DataFrame:
    """Drop layers of real models that are related to a model with more kernels."""
    models = layers[layers["subject"] == "real"].groupby("model")["channels"].sum().rename("kernels").reset_index()
    counted = largest_of(models, models["model"].map(lambda model: units.get(model, model)))
    return layers[~layers["model"].isin(set(models["model"]) - set(counted["model"]))]


def of_size(size: str, tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Add the column `size` and order columns as in schemas/tables.yaml."""
    return {
        name: in_order(table.assign(size=size) if len(table.columns) else table, f"{name}.csv")
        for name, table in tables.items()
    }
