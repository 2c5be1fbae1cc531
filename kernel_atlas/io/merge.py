"""Merge the kernels that train an autoencoder, one Parquet file per size."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import centre_and_normalise, size_name, taps_array
from kernel_atlas.io.shards import reason_of, shards_of
from kernel_atlas.io.tables import open_table, stamped, whole

ROWS = 65_536  # kernels of a row group: 13 MB of 7x7 taps, which bounds the memory for any number of models


def count_kernels(models: Iterable[str | Path], sides: list[int], minimum: int) -> pd.DataFrame:
    """Count the kernels of each size; a size needs enough of them for an autoencoder.

    Parameters
    ----------
    models : iterable of path
        Folders of shards. Those that could not be read do not count.
    sides : list of int
        The sizes asked for.
    minimum : int
        Live kernels that a size needs.

    Returns
    -------
    DataFrame
        size, kernels, dead, layers, models, trained (bool); a row for each side in `sides`.
    """
    counts = {side: [0, 0, 0, 0] for side in sides}
    for model in models:
        if reason_of(model) is not None:
            continue
        seen = set()
        for shard in shards_of(model):
            with shard.open() as file:
                side = _side(file)
                if side in counts:
                    dead = pc.sum(file.read(["dead"])["dead"]).as_py() or 0
                    counts[side][0] += file.metadata.num_rows
                    counts[side][1] += dead
                    counts[side][2] += 1
                    seen.add(side)
        for side in seen:
            counts[side][3] += 1
    table = pd.DataFrame.from_dict(counts, orient="index", columns=["kernels", "dead", "layers", "models"])
    table.insert(0, "size", [size_name(side) for side in table.index])
    table["trained"] = table["kernels"] - table["dead"] >= minimum
    return table


def merge_kernels(models: Iterable[str | Path], side: int, output: str | Path) -> int:
    """Write every kernel of one size, dead kernels included, with the columns of the shards; return their number.

    Models are sorted by name, so that the order of the sheet does not matter.

    Raises
    ------
    AtlasError
        No model has a kernel of the size.
    """
    groups = _row_groups(models, side)
    first = next(groups, None)
    if first is None:
        raise AtlasError(f"{output}: no {size_name(side)} kernels in the models that train: add one to the sheet")
    rows = 0
    with whole(output) as partial:
        schema = first.schema.with_metadata(stamped())
        with pq.ParquetWriter(partial, schema, compression="zstd", write_page_checksum=True) as writer:
            for group in itertools.chain([first], groups):
                writer.write_table(group, row_group_size=ROWS)
                rows += group.num_rows
    return rows


def _row_groups(models: Iterable[str | Path], side: int) -> Iterator[pa.Table]:
    """The kernels of one size from the shards of models, in tables of at least `ROWS` rows but for the last."""
    waiting = []
    for model in sorted(models, key=lambda model: Path(model).name):
        for shard in shards_of(model):
            with shard.open() as file:
                if _side(file) == side:
                    waiting.append(file.read().replace_schema_metadata())
            if sum(table.num_rows for table in waiting) >= ROWS:
                yield pa.concat_tables(waiting)
                waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def training_kernels(merged: str | Path) -> np.ndarray:
    """The kernels of a merged file that are not dead, centred and normalised: float32 [n, taps].

    Read one row group at a time into the final array: at most the array and one row group are in memory.
    """
    with open_table(merged) as file:
        live = sum(len(dead) - (pc.sum(dead).as_py() or 0) for dead in _columns(file, "dead"))
        kernels = np.empty((live, file.schema_arrow.field("weight").type.list_size), np.float32)
        low = 0
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, ["weight", "dead"])
            part = centre_and_normalise(taps_array(table["weight"])[~table["dead"].to_numpy()])
            kernels[low : low + len(part)] = part
            low += len(part)
    return kernels


def _columns(file: pq.ParquetFile, name: str) -> Iterator[pa.ChunkedArray]:
    return (file.read_row_group(group, [name])[name] for group in range(file.num_row_groups))


def _side(file: pq.ParquetFile) -> int | None:
    """The side of a shard's square kernels; None where they are not square. All rows of a shard agree."""
    statistics = [
        file.metadata.row_group(0).column(file.schema_arrow.get_field_index(n)).statistics for n in ("kh", "kw")
    ]
    kh, kw = (column.min for column in statistics)
    return kh if kh == kw else None
