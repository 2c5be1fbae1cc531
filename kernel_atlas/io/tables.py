"""Results on disk: whole under their final name or absent, stamped with versions, checked when read."""

import contextlib
import functools
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from kernel_atlas import SCHEMA_VERSION, __version__
from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.files import data_file

if TYPE_CHECKING:
    import pandas as pd  # whose import takes longer than reading a model

DESCRIPTIONS = data_file("schemas/tables.yaml")

# Columns of kernels whose values repeat. A dictionary shrinks these, and makes taps half as large again.
REPEATED = ["model", "layer_index", "layer", "kh", "kw", "cluster", "label", "use"]


@contextlib.contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Give another name to write to, which becomes `path` at the end; a failed write leaves nothing.

    The name is random: a job that outlived its killed Snakemake may still write the same file.
    """
    path = Path(path)
    for left_over in path.parent.glob(f"{path.name}.*.partial"):
        left_over.unlink(missing_ok=True)
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    try:
        yield partial
        os.replace(partial, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(partial)):
            error.filename = str(path)  # Arrow and pandas do not say which file the disk was too full for
        raise


@contextlib.contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """As `whole`, a folder to write files in, which becomes `path` at the end; an old one is replaced."""
    path = Path(path)
    for left_over in path.parent.glob(f".{path.name}~*"):  # by a run that was killed; no id of a model has a ~
        shutil.rmtree(left_over, ignore_errors=True)
    partial = path.with_name(f".{path.name}~{secrets.token_hex(4)}")
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial)
        raise
    shutil.rmtree(path, ignore_errors=True)
    os.rename(partial, path)


def stamped(metadata: Mapping[str, str] | None = None) -> dict[str, str]:
    """The metadata of a table, with the versions that made it."""
    return {**(metadata or {}), "version": __version__, "schema": str(SCHEMA_VERSION)}


def write_table(table: pa.Table, path: str | Path) -> None:
    """Write a Parquet file, stamped with versions, its pages with checksums."""
    with whole(path) as partial:
        pq.write_table(table.replace_schema_metadata(stamped()), partial, compression="zstd", write_page_checksum=True)


@functools.cache
def _described(table: str) -> dict[str, str]:
    """Column -> description of a table; see `columns_of`."""
    described = yaml.load(DESCRIPTIONS.read_bytes(), yaml.CSafeLoader)
    named = [name for name in described if f"/{name}".endswith(f"/{table}")]
    if len(named) != 1:
        raise KeyError(f"schemas/tables.yaml describes {len(named)} tables {table}")
    return described[named[0]]["columns"]


def columns_of(table: str) -> list[str]:
    """The columns of a table of results, in order, as schemas/tables.yaml describes them.

    Parameters
    ----------
    table : str
        The end of its name there: `models.csv`. `ablation/summary.csv` needs its folder, as another table has its name.

    Raises
    ------
    KeyError
        No table, or more than one, is described by that name.
    """
    return list(_described(table))


def schema_of(table: str, types: Mapping[str, pa.DataType]) -> pa.Schema:
    """The schema of a table: columns, order and descriptions from schemas/tables.yaml, with the types given.

    Raises
    ------
    KeyError
        As `columns_of`, or a column has no type.
    """
    described = _described(table).items()
    return pa.schema([pa.field(name, types[name], metadata={"description": text}) for name, text in described])


def in_order(frame: "pd.DataFrame", table: str) -> "pd.DataFrame":
    """A table with its columns as `columns_of` orders them; a table without rows gets them here.

    Raises
    ------
    KeyError
        A column is missing, or not described.
    """
    import pandas as pd

    names = columns_of(table)
    if frame.empty and not len(frame.columns):
        return pd.DataFrame(columns=names)
    if set(names) != set(frame.columns):
        raise KeyError(f"{table}: columns {sorted(set(names) ^ set(frame.columns))} are described or there, not both")
    return frame[names]


def write_csv(frame: "pd.DataFrame", path: str | Path, float_format: str | None = None) -> None:
    """Write a CSV file; where its name ends in tsv, with tabs."""
    with whole(path) as partial:
        frame.to_csv(partial, sep="\t" if str(path).endswith("tsv") else ",", index=False, float_format=float_format)


def read_csv(path: str | Path) -> "pd.DataFrame":
    """Read a CSV file of `write_csv`: only empty cells are missing, and names of models stay text, even `007`."""
    import pandas as pd

    texts = dict.fromkeys(["model", "model_a", "model_b", "against", "revision", "date", "licence", "failure"], str)
    tabs = "\t" if str(path).endswith("tsv") else ","
    return pd.read_csv(path, sep=tabs, dtype=texts, keep_default_na=False, na_values=[""])


@contextlib.contextmanager
def open_table(path: str | Path) -> Iterator[pq.ParquetFile]:
    """Open a file of `write_table`.

    Raises
    ------
    AtlasError
        The file is damaged (also raised while reading), or of another version of the schema.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            _check_version(path, file.schema_arrow)
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if getattr(error, "errno", None):  # a fault of the disk, not of the file
            raise
        why = str(error).splitlines()[0][:120]
        raise AtlasError(f"{path}: damaged ({why}); remove it and run again") from error


def read_table(path: str | Path, columns: list[str] | None = None) -> pa.Table:
    """Read a file of `write_table`, or some columns of it.

    Raises
    ------
    AtlasError
        As `open_table`.
    """
    with open_table(path) as file:
        return file.read(columns)


def check_schema(path: str | Path) -> None:
    """Refuse a table that is damaged or of another version of the schema; a missing file passes.

    Raises
    ------
    AtlasError
        As `open_table`.
    """
    if os.path.exists(path):
        with open_table(path):
            pass


def _check_version(path: str | Path, schema: pa.Schema) -> None:
    found = (schema.metadata or {}).get(b"schema", b"none").decode()
    if found != str(SCHEMA_VERSION):
        raise AtlasError(
            f"{path}: made with version {found} of the tables, this is version {SCHEMA_VERSION}; "
            "remove the results, or name another folder with --directory"
        )
