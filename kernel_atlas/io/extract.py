"""From a model's checkpoint to its shards: one Parquet file per convolution layer, which all later stages read.

The metadata of a shard's schema hold its row of the inventory and its provenance. The inventory is read from the
footers alone.
"""

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import is_dead
from kernel_atlas.io.checkpoint import Layer, tell_not_read
from kernel_atlas.io.shards import read_source, reason_of, shards_of, write_manifest, write_source
from kernel_atlas.io.sources import Wanted, read_layers
from kernel_atlas.io.tables import columns_of, schema_of, stamped, whole_folder

BLOCK_TAPS = 2**20  # of a row group: 4 MB, which bounds the memory of writing and reading

INVENTORY = schema_of(
    "inventory.parquet",
    {
        **dict.fromkeys(
            ["model", "layer", "branch", "dtype", "convolution", "padding", "judged_by", "key"], pa.string()
        ),
        "folded": pa.bool_(),
        **dict.fromkeys(["layer_index", "channels", "kh", "kw"], pa.int32()),
        **dict.fromkeys(["stride", "dilation", "stage"], pa.int64()),
    },
)


def shard_schema(taps: int) -> pa.Schema:
    """The columns of a shard of kernels with `taps` taps."""
    return schema_of(
        "kernels/*/*.parquet",
        {
            **dict.fromkeys(["model", "layer"], pa.string()),
            **dict.fromkeys(["layer_index", "channel", "kh", "kw"], pa.int32()),
            **dict.fromkeys(["mean", "norm"], pa.float32()),
            "weight": pa.list_(pa.float32(), taps),
            "dead": pa.bool_(),
        },
    )


def extract_model(
    model: str,
    source: str,
    wanted: Wanted,
    shards: Path,
    *,
    dense_per_layer: int,
    seed: int,
    licence: str | None = None,
    permissive: bool = False,
) -> str | None:
    """Write the kernels of one model.

    Parameters
    ----------
    model, source : str
        As in the model sheet.
    wanted : Wanted
        What to read of it. Of a "dense" layer at most `dense_per_layer` slices, drawn with `seed`.
    shards : Path
        Folder that gets one `LLL.parquet` per layer (LLL: layer_index), whole or not at all; an old one is replaced.
    licence : str, optional
        From the sheet. It overrides the licence that the source states.
    permissive : bool
        Refuse weights whose licence is not permissive.

    Returns
    -------
    str or None
        One line about the layers that look as asked for and were not read.

    Raises
    ------
    AtlasError
        The source cannot be read, or has no layer of the kind asked for.
    """
    digest = hashlib.sha256()  # of names, shapes and taps: equal for equal kernels, whatever the container
    try:
        with whole_folder(shards) as partial:
            checkpoint = read_layers(source, wanted)
            provenance = stamped({"source": source, **checkpoint.metadata})
            if licence:
                provenance["licence"] = licence
            if permissive:
                _refuse_unless_permissive(provenance.get("licence"))
            with contextlib.closing(checkpoint.layers) as layers:
                for index, layer in enumerate(layers):
                    channels = np.arange(layer.weight.shape[0] * layer.weight.shape[1])
                    if wanted.convolution == "dense" and len(channels) > dense_per_layer:
                        draw = np.random.default_rng([seed, index])
                        channels = np.sort(draw.choice(channels, dense_per_layer, replace=False))
                    path = partial / f"{index:03d}.parquet"
                    _write_shard(path, model, index, layer, channels, wanted.convolution, provenance)
                    digest.update(f"{layer.name} {layer.weight.shape}\n".encode())
                    digest.update(np.ascontiguousarray(layer.weight))
            not_read = tell_not_read(checkpoint.not_read)
            write_manifest(partial)
            write_source(partial, {**provenance, "digest": digest.hexdigest(), "not_read": not_read})
    except AtlasError as error:
        raise AtlasError(f"model {model}: {source}: {error}") from error
    return not_read and f"model {model}: {source}: {not_read}"


def _refuse_unless_permissive(licence: str | None) -> None:
    from kernel_atlas.io.sheet import is_permissive  # imports pandas, which takes longer than reading a model

    if not is_permissive(licence):
        told = licence or "not stated"
        raise AtlasError(f"its licence is {told}, not permissive; state one in the sheet, or take the row out")


def _write_shard(
    path: Path, model: str, index: int, layer: Layer, channels: np.ndarray, convolution: str, provenance: dict[str, str]
) -> None:
    """Write one layer's shard: the kernels of `channels`, in blocks that bound the memory."""
    *_, kh, kw = layer.weight.shape
    kernels = layer.weight.reshape(-1, kh * kw)
    row = {"model": model, "layer_index": index, "layer": layer.name, "channels": len(kernels), "kh": kh, "kw": kw}
    row |= {name: getattr(layer, name) for name in INVENTORY.names if hasattr(layer, name)}
    known = {name: str(value) for name, value in row.items() if value is not None} | {"convolution": convolution}
    schema = shard_schema(kh * kw).with_metadata(known | provenance)
    # Names repeat, so that dictionaries save space; taps do not.
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=["model", "layer"]) as writer:
        step = max(1, BLOCK_TAPS // (kh * kw))
        for start in range(0, len(channels), step):
            block = channels[start : start + step]
            taps = kernels[block]
            with np.errstate(invalid="ignore", over="ignore"):  # dead kernels with Inf, and norms beyond float32
                mean = taps.mean(axis=1, dtype=np.float64)
                norm = np.linalg.norm(taps - mean[:, None], axis=1)
                mean, norm = mean.astype(np.float32), norm.astype(np.float32)
            rows = len(taps)
            columns = {"model": _repeated(model, rows), "layer": _repeated(layer.name, rows)}
            whole = {
                "layer_index": np.full(rows, index),
                "channel": block,
                "kh": np.full(rows, kh),
                "kw": np.full(rows, kw),
            }
            columns |= {name: _column(values, schema.field(name).type) for name, values in whole.items()}
            columns["weight"] = pa.FixedSizeListArray.from_arrays(_column(taps.reshape(-1), pa.float32()), kh * kw)
            columns |= {"mean": _column(mean, pa.float32()), "norm": _column(norm, pa.float32())}
            dead = pa.py_buffer(np.packbits(is_dead(taps), bitorder="little"))
            columns["dead"] = pa.Array.from_buffers(pa.bool_(), rows, [None, dead])
            writer.write_table(pa.table(columns, schema=schema))


def _column(values: np.ndarray, type: pa.DataType) -> pa.Array:
    """Numbers as a column, from buffers: `pa.array` imports pandas, which takes longer than reading a model."""
    values = np.ascontiguousarray(values, type.to_pandas_dtype())
    return pa.Array.from_buffers(type, len(values), [None, pa.py_buffer(values)])


def _repeated(text: str, rows: int) -> pa.Array:
    """A column with the same text in every row."""
    data = text.encode()
    offsets = np.arange(rows + 1, dtype=np.int32) * len(data)
    return pa.Array.from_buffers(pa.string(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(data * rows)])


def read_inventory(directories: Iterable[Path]) -> pa.Table:
    """The layers of models, one row each, from the footers of their shards.

    Parameters
    ----------
    directories : iterable of Path
        Folders of shards, in the order wanted. Models that could not be read have no rows.

    Returns
    -------
    pyarrow.Table
        With the schema `INVENTORY`.
    """
    footers = [footer for directory in directories for footer in _footers(directory)]
    columns = []
    for field in INVENTORY:
        values = [footer.get(field.name.encode()) for footer in footers]
        columns.append(pa.array([value and value.decode() for value in values], pa.string()).cast(field.type))
    return pa.Table.from_arrays(columns, schema=INVENTORY)


def read_sources(directories: Iterable[Path], sources: Mapping[str, str]) -> pa.Table:
    """The origin of each model's kernels, the number of its layers, or why it could not be read.

    Parameters
    ----------
    directories : iterable of Path
        As for `read_inventory`.
    sources : mapping
        Model -> source, as in the sheet.

    Returns
    -------
    pyarrow.Table
        sources.csv, one row a model, in the order of the folders.
    """
    rows, names = [], columns_of("sources.csv")
    for directory in map(Path, directories):
        failure = reason_of(directory)
        told = read_source(directory) if failure is None else {}
        footers = _footers(directory)
        counts = {"layers": len(footers), "folded": sum(footer.get(b"folded") == b"True" for footer in footers)}
        place = {"model": directory.name, "source": sources[directory.name], "failure": failure}
        rows.append({name: told.get(name) for name in names} | counts | place)
    types = dict.fromkeys(names, pa.string()) | dict.fromkeys(["layers", "folded"], pa.int32())
    return pa.Table.from_pylist(rows, pa.schema(types))


def _footers(directory: Path) -> list[dict[bytes, bytes]]:
    """The metadata of a model's shards, in the order of its layers; empty if the model could not be read."""
    footers = []
    for shard in shards_of(directory) if reason_of(directory) is None else []:
        with shard.open() as file:
            footers.append(file.schema_arrow.metadata)
    return footers
