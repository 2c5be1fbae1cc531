"""Assign kernels: a label by the reference patterns; code, dissimilarity and cluster by the autoencoder; a pose."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from kernel_atlas.core.kernels import centre_and_normalise, draw_noise, is_dead, taps_array
from kernel_atlas.core.patterns import Matcher, draw_patterns, threshold_of
from kernel_atlas.io.shards import shards_of
from kernel_atlas.io.tables import open_table, read_table, write_table
from kernel_atlas.model.clusters import cluster_of
from kernel_atlas.model.coder import Coder
from kernel_atlas.model.poses import PosedCoder

OTHER = -1  # the cluster of a kernel unlike its reconstruction, and of a dead one
# The types of the tables of assignments; schemas/tables.yaml says what the columns mean.
SCHEMA = pa.schema(
    {
        "model": pa.string(),
        "layer_index": pa.int32(),
        "channel": pa.int32(),
        "kh": pa.int16(),
        "kw": pa.int16(),
        "label": pa.string(),
        "similarity": pa.float32(),
        "second": pa.string(),
        "margin": pa.float32(),
        "beyond_spectrum": pa.bool_(),
        "scrambled": pa.float32(),
        "code": pa.float32(),
        "dissimilarity": pa.float32(),
        "cluster": pa.int32(),
        "pose": pa.int8(),
        "pose_code": pa.float32(),
        "pose_dissimilarity": pa.float32(),
        "tap_sum": pa.float32(),
    }
)
PLACE, ASSIGNED = SCHEMA.names[:5], SCHEMA.names[5:]  # where a kernel is, and what it is assigned


class Labeller(NamedTuple):
    """The autoencoder of one size with its clusters, and that of kernels in one pose.

    Attributes
    ----------
    coder : Coder
    clusters : DataFrame
        From `read_clusters`.
    threshold : float
        Dissimilarity below which a kernel is clustered.
    prototypes : DataFrame, optional
        From `find_prototypes`.
    posed : PosedCoder, optional
        Without it kernels have no pose.
    usual : float, optional
        Dissimilarity that a tenth of the training kernels exceed.
    """

    coder: Coder
    clusters: pd.DataFrame
    threshold: float
    prototypes: pd.DataFrame | None = None
    posed: PosedCoder | None = None
    usual: float | None = None

    def assign(self, units: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Code, dissimilarity and cluster [n] of centred unit kernels, float32 [n, taps].

        A kernel belongs to the cluster of its code if its dissimilarity is below the threshold (Babaiee et al. 2024).
        """
        codes, dissimilarities = self.coder.reconstruct(units)
        number = self.clusters["cluster"].to_numpy()[cluster_of(codes, self.clusters)]
        return codes, dissimilarities, np.where(dissimilarities < self.threshold, number, OTHER)


class Assigner:
    """Assigns kernels of every square size.

    Parameters
    ----------
    patterns : DataFrame
        From `read_patterns`.
    labellers : mapping
        Side of the kernels -> Labeller; kernels of other sides have no code and are in no cluster.
    thresholds : mapping
        Size (`7x7`) -> dissimilarity to the pattern from which on a kernel is `other`; others as in the paper.
    """

    def __init__(
        self, patterns: pd.DataFrame, labellers: Mapping[int, Labeller], thresholds: Mapping[str, float] | None = None
    ):
        self.patterns, self.labellers, self.thresholds = patterns, labellers, thresholds or {}
        self._matchers: dict[int, Matcher] = {}

    def knows(self, side: int) -> bool:
        """Whether kernels of a side can have a pattern."""
        return ((self.patterns["smallest"] <= side) & (side <= self.patterns["largest"])).any()

    def label(self, units: np.ndarray) -> dict[str, np.ndarray]:
        """The columns label, similarity, second and margin [n] of live centred unit kernels, float32 [n, taps].

        `second` is the most similar name of another family; of kernels that are `other`, the most similar name at all.
        """
        found = self._matcher(units).match(units)
        limit = 1 - threshold_of(self._matcher(units).side, self.thresholds)
        near = found.similarity > np.float32(limit)
        return {
            "label": np.where(near, found.name, "other"),
            "similarity": found.similarity,
            "second": np.where(near, found.second, found.name),
            "margin": found.margin,
        }

    def assign(self, kernels: np.ndarray) -> dict[str, np.ndarray]:
        """The columns `ASSIGNED`, arrays [n], of raw kernels, float32 [n, taps]. Of dead ones only tap_sum has a value.

        `scrambled` is the similarity of one copy of the kernel with random phases, of which `beyond_spectrum` has
        `DRAWS`: it is true where at most one of them is as similar to a pattern as the kernel, by chance in 5 %.
        """
        dead = is_dead(kernels)
        units = centre_and_normalise(kernels[~dead])
        matcher, columns = self._matcher(units), self.label(units)
        copies = matcher.match_scrambled(units)
        columns["beyond_spectrum"] = (copies >= columns["similarity"][:, None]).sum(axis=1) <= 1
        # another copy for each kernel, and the same one in every file
        drawn = (copies.sum(axis=1, dtype=np.float64) * 2**20).astype(np.int64) % copies.shape[1]
        columns["scrambled"] = copies[np.arange(len(units)), drawn]
        labeller = self.labellers.get(matcher.side)
        no_number, none = np.full(len(units), np.nan, np.float32), np.full(len(units), None)
        found = labeller.assign(units) if labeller else (no_number, no_number, none)
        posed = labeller.posed.reconstruct(units) if labeller and labeller.posed else (none, no_number, no_number)
        columns |= dict(zip(("code", "dissimilarity", "cluster"), found, strict=True))
        columns |= dict(zip(("pose", "pose_code", "pose_dissimilarity"), posed, strict=True))
        missing = {"label": "dead", "cluster": OTHER if labeller else None}
        missing |= dict.fromkeys(("second", "beyond_spectrum", "pose"))
        spread = {name: _spread(column, dead, missing.get(name, np.nan)) for name, column in columns.items()}
        return spread | {"tap_sum": kernels.sum(axis=1)}

    def _matcher(self, kernels: np.ndarray) -> Matcher:
        side = round(kernels.shape[1] ** 0.5)
        if side not in self._matchers:
            self._matchers[side] = Matcher(draw_patterns(self.patterns, side))
        return self._matchers[side]


def _spread(values: np.ndarray, dead: np.ndarray, missing: object) -> np.ndarray:
    """Values of the live kernels at their places among all, `missing` at those of the dead."""
    if not dead.any():
        return values
    column = np.full(len(dead), missing, object if missing is None else values.dtype)
    column[~dead] = values
    return column


def assign_model(model: str | Path, assigner: Assigner, output: str | Path) -> None:
    """Assign the square kernels of one model's shards, layer after layer.

    Parameters
    ----------
    model : path
        Folder of shards.
    assigner : Assigner
    output : path
        Parquet file as assignments/*.parquet of schemas/tables.yaml.
    """
    tables = [SCHEMA.empty_table()]
    for shard in shards_of(model):
        with shard.open() as file:
            table = file.read()
        height, width = (table[name][0].as_py() for name in ("kh", "kw"))
        if height == width and assigner.knows(height):
            kept = {name: table[name] for name in PLACE}
            tables.append(_typed(kept | assigner.assign(taps_array(table["weight"]))))
    write_table(pa.concat_tables(tables), output)


def assign_noise(assigner: Assigner, sides: Sequence[int], count: int, seed: int, output: str | Path) -> None:
    """Assign `count` Gaussian-noise kernels of each size: the control that shares are compared with.

    The table looks like that of a model named `noise` with one layer for each size.
    """
    tables = [SCHEMA.empty_table()]
    for layer, side in enumerate(sorted(sides)):
        places = pd.DataFrame({"model": "noise", "layer_index": layer, "channel": range(count), "kh": side, "kw": side})
        tables.append(_typed(places.to_dict("series") | assigner.assign(draw_noise(count, side, seed))))
    write_table(pa.concat_tables(tables), output)


def _typed(columns: Mapping[str, pa.ChunkedArray | np.ndarray | pd.Series]) -> pa.Table:
    """Columns as `SCHEMA` has them, missing values null."""
    arrays = {
        name: column if isinstance(column, pa.ChunkedArray) else pa.array(column, from_pandas=True)
        for name, column in columns.items()
    }
    return pa.table(arrays).select(SCHEMA.names).cast(SCHEMA)


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
    # draw, then read one row group and one model at a time, as memory must not grow with the number of models
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
    # Arrow's join loses the order and cannot carry lists: keep the place, and take the taps by it
    places = sample.select(keys).append_column("place", pa.array(np.arange(len(sample))))
    labels = (read_table(path, [*keys, *ASSIGNED]) for path in assignments)
    joined = pa.concat_tables(places.join(table, keys, join_type="inner") for table in labels).sort_by("place")
    taps = sample.select(["layer", "weight"]).take(joined["place"])
    for name in taps.column_names:
        joined = joined.append_column(name, taps[name])
    write_table(joined.drop_columns("place"), output)
