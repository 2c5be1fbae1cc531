"""Assign kernels: a code, the dissimilarity to the own reconstruction, a cluster and a label each."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from kernel_atlas.core.kernels import centre_and_normalise, draw_noise, taps_array
from kernel_atlas.io.shards import shards_of
from kernel_atlas.io.tables import open_table, read_table, write_table
from kernel_atlas.model.clusters import cluster_of
from kernel_atlas.model.coder import Coder

OTHER = -1  # the cluster of a kernel unlike its reconstruction, and of a dead one
# The types of the tables of assignments; schemas/tables.yaml says what the columns mean.
SCHEMA = pa.schema(
    {
        "model": pa.string(),
        "layer_index": pa.int32(),
        "channel": pa.int32(),
        "kh": pa.int16(),
        "kw": pa.int16(),
        "code": pa.float32(),
        "dissimilarity": pa.float32(),
        "cluster": pa.int32(),
        "label": pa.string(),
        "tap_sum": pa.float32(),
    }
)
PLACE, ASSIGNED = SCHEMA.names[:5], SCHEMA.names[5:]  # where a kernel is, and what it is assigned


class Labeller(NamedTuple):
    """Labels the kernels of one size.

    Attributes
    ----------
    coder : Coder
    clusters : DataFrame
        From `read_clusters`.
    threshold : float
        Dissimilarity below which a kernel is clustered.
    prototypes : DataFrame, optional
        From `find_prototypes`.
    """

    coder: Coder
    clusters: pd.DataFrame
    threshold: float
    prototypes: pd.DataFrame | None = None

    def assign(self, kernels: np.ndarray, dead: np.ndarray) -> dict[str, np.ndarray]:
        """The columns `ASSIGNED`, arrays [n], of raw kernels, float32 [n, taps], some of them dead, bool [n].

        A kernel belongs to the cluster of its code if its dissimilarity is below the threshold (Babaiee et al. 2024);
        otherwise it is `other`. Dead kernels have no code and no dissimilarity (NaN).
        """
        codes, dissimilarities = np.full((2, len(kernels)), np.nan, np.float32)
        codes[~dead], dissimilarities[~dead] = self.coder.reconstruct(centre_and_normalise(kernels[~dead]))
        row = cluster_of(codes, self.clusters)
        near = dissimilarities < self.threshold  # False for NaN
        return {
            "code": codes,
            "dissimilarity": dissimilarities,
            "cluster": np.where(near, self.clusters["cluster"].to_numpy()[row], OTHER),
            "label": np.where(dead, "dead", np.where(near, self.clusters["label"].to_numpy(str)[row], "other")),
            "tap_sum": kernels.sum(axis=1),
        }


def assign_model(model: str | Path, labellers: Mapping[int, Labeller], output: str | Path) -> None:
    """Assign the kernels of one model's shards, layer after layer; sizes without a labeller have no rows.

    Parameters
    ----------
    model : path
        Folder of shards.
    labellers : mapping
        Side of the kernels -> Labeller.
    output : path
        Parquet file as assignments/*.parquet of schemas/tables.yaml.
    """
    tables = [SCHEMA.empty_table()]
    for shard in shards_of(model):
        with shard.open() as file:
            table = file.read()
        side, width = (table[name][0].as_py() for name in ("kh", "kw"))
        if side == width and side in labellers:
            kept = {name: table[name] for name in PLACE}
            assigned = kept | labellers[side].assign(taps_array(table["weight"]), table["dead"].to_numpy())
            tables.append(pa.table(assigned).cast(SCHEMA))
    write_table(pa.concat_tables(tables), output)


def assign_noise(labellers: Mapping[int, Labeller], count: int, seed: int, output: str | Path) -> None:
    """Assign `count` Gaussian-noise kernels of each size: the control that a clustered share is compared with.

    The table looks like that of a model named `noise` with one layer for each size.
    """
    tables = [SCHEMA.empty_table()]
    for layer, (side, labeller) in enumerate(sorted(labellers.items())):
        kernels = draw_noise(count, side, seed)
        places = pd.DataFrame({"model": "noise", "layer_index": layer, "channel": range(count), "kh": side, "kw": side})
        columns = places.to_dict("series") | labeller.assign(kernels, np.zeros(count, bool))
        tables.append(pa.table(columns).cast(SCHEMA))
    write_table(pa.concat_tables(tables), output)


def sample_assigned(
    merged: str | Path, assignments: Sequence[str | Path], count: int, seed: int, output: str | Path
) -> None:
    """Draw kernels of one size, taps beside labels, for figures that cannot show millions.

    Parameters
    ----------
    merged : path
        The kernels of the models that train.
    assignments : sequence of path
        The assignments of these models.
    count : int
        Kernels drawn, all where there are fewer; dead kernels are left out.
    seed : int
    output : path
        Parquet file as samples/*.parquet of schemas/tables.yaml.
    """
    keys = ["model", "layer_index", "channel"]
    # draw, then read one row group at a time, as memory must not grow with the number of models
    with open_table(merged) as file:
        live = np.flatnonzero(~file.read(["dead"])["dead"].to_numpy())
        drawn = np.sort(np.random.default_rng(seed).choice(live, min(count, len(live)), replace=False))
        parts, start = [], 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            here = drawn[(drawn >= start) & (drawn < start + rows)] - start
            parts.append(file.read_row_group(group, [*keys, "layer", "weight"]).take(here))
            start += rows
    sample = pa.concat_tables(parts).combine_chunks()
    labels = pa.concat_tables(read_table(path, [*keys, *ASSIGNED]) for path in assignments)
    # Arrow's join loses the order and cannot carry lists: keep the place, and take the taps by it
    place = pa.array(np.arange(len(sample)))
    joined = sample.select(keys).append_column("place", place).join(labels, keys, join_type="inner").sort_by("place")
    taps = sample.select(["layer", "weight"]).take(joined["place"])
    for name in taps.column_names:
        joined = joined.append_column(name, taps[name])
    write_table(joined.drop_columns("place"), output)
