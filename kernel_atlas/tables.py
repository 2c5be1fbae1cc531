"""How results lie on disk: whole under their final name or not there, stamped with versions, checked when read."""

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from kernel_atlas import SCHEMA_VERSION, __version__
from kernel_atlas.errors import AtlasError, reason_of

if TYPE_CHECKING:
    import pandas as pd  # whose import takes longer than reading a model

_MANIFEST = "_SHA256SUMS"  # of a model's shards, as sha256sum writes and checks it


@contextlib.contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Give another name to write to, which becomes `path` at the end; nothing stays of a write that fails.

    The name is new each time: a job that outlived its killed Snakemake may still be writing the same file.
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


def write_csv(frame: "pd.DataFrame", path: str | Path, float_format: str | None = None) -> None:
    """Write a CSV file; where its name ends in tsv, with tabs."""
    with whole(path) as partial:
        frame.to_csv(partial, sep="\t" if str(path).endswith("tsv") else ",", index=False, float_format=float_format)


def read_csv(path: str | Path) -> "pd.DataFrame":
    """Read a CSV file of `write_csv`: only what is empty is missing, and models are named by text, be it `007`."""
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
        It is damaged, which may turn out while it is read, or of another version of the schema.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            _check_version(path, file.schema_arrow)
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if getattr(error, "errno", None):  # of the disk, not of what is on it
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
    """Refuse a table that is damaged or of another version of the schema; one that is not there is no matter.

    Raises
    ------
    AtlasError
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


class Shard(NamedTuple):
    """The Parquet file of one layer, and what its bytes must hash to."""

    path: Path
    sha256: str

    @contextlib.contextmanager
    def open(self) -> Iterator[pq.ParquetFile]:
        """Read the file into memory, check it and open it.

        Raises
        ------
        AtlasError
            It is not as it was written.
        """
        content = self.path.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.sha256:
            folder = self.path.parent
            raise AtlasError(f"model {folder.name}: {self.path} is damaged; remove the folder {folder} and run again")
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            yield file


def write_manifest(folder: Path) -> None:
    """Write down which shards a folder has, and the hash of each."""
    shards = sorted(folder.glob("*.parquet"), key=lambda shard: int(shard.stem))
    lines = [f"{hashlib.sha256(shard.read_bytes()).hexdigest()}  {shard.name}\n" for shard in shards]
    (folder / _MANIFEST).write_text("".join(lines), encoding="ascii")


def shards_of(model: str | Path) -> list[Shard]:
    """The shards of one model's folder, in layer order.

    Raises
    ------
    AtlasError
        The model could not be read, or shards are missing in its folder.
    """
    folder, reason = Path(model), reason_of(model)
    if reason is not None:
        raise AtlasError(f"no kernels of {folder.name}, it could not be read ({reason})")
    with contextlib.suppress(OSError, ValueError):
        there = set(os.listdir(folder))
        pairs = [line.split("  ") for line in (folder / _MANIFEST).read_text(encoding="ascii").splitlines()]
        if pairs and all(name in there for _, name in pairs):
            return [Shard(folder / name, sha256) for sha256, name in pairs]
    raise AtlasError(f"model {folder.name}: shards are missing in {folder}; remove the folder and run again")
