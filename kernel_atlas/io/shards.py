"""A model's folder: its shards, checked when read, or the reason why the model could not be read."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from kernel_atlas.core.errors import AtlasError

_MANIFEST = "_SHA256SUMS"  # of a model's shards, as sha256sum writes and checks it
_SOURCE = "_source.json"  # where the kernels come from: a row of sources.csv


class Shard(NamedTuple):
    """The Parquet file of one layer, and the hash of its bytes."""

    path: Path
    sha256: str

    @contextlib.contextmanager
    def open(self) -> Iterator[pq.ParquetFile]:
        """Read the file into memory, check it and open it.

        Raises
        ------
        AtlasError
            The bytes are not those that were written.
        """
        content = self.path.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.sha256:
            folder = self.path.parent
            raise AtlasError(f"model {folder.name}: {self.path} is damaged; remove the folder {folder} and run again")
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            yield file


def write_manifest(folder: Path) -> None:
    """Write the manifest of a folder: its shards and the hash of each."""
    shards = sorted(folder.glob("*.parquet"), key=lambda shard: int(shard.stem))
    lines = [f"{hashlib.sha256(shard.read_bytes()).hexdigest()}  {shard.name}\n" for shard in shards]
    (folder / _MANIFEST).write_text("".join(lines), encoding="ascii")


def write_source(folder: Path, told: Mapping[str, str | None]) -> None:
    """Keep where the kernels of a folder come from."""
    (folder / _SOURCE).write_text(json.dumps(dict(told), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_source(model: str | Path) -> dict[str, str | None]:
    """What `write_source` kept.

    Raises
    ------
    AtlasError
        It is missing or damaged.
    """
    folder = Path(model)
    try:
        return json.loads((folder / _SOURCE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AtlasError(
            f"model {folder.name}: {folder / _SOURCE} is damaged; remove {folder} and run again"
        ) from error


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


REASON = "_failed"  # in place of the shards of a model that cannot be read


def reason_of(model: str | Path) -> str | None:
    """Why a model could not be read, from the folder of its shards; None if it could."""
    reason = Path(model, REASON)
    return reason.read_text(encoding="utf-8").strip() if reason.exists() else None


def leave_reason(model: str | Path, reason: str) -> None:
    """Put the reason why a model could not be read in place of its shards."""
    shutil.rmtree(model, ignore_errors=True)
    Path(model).mkdir(parents=True)
    Path(model, REASON).write_text(f"{reason}\n", encoding="utf-8")
