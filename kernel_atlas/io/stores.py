"""Checkpoints behind an address: of a web server, or of any store that fsspec knows (s3://, gs://, memory:// ...).

Of safetensors files, and of the shards that an index names, only headers and chosen tensors are read. Files of other
formats, and those of servers without ranges, are fetched whole into the cache of huggingface_hub.
"""

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit

import fsspec
import huggingface_hub
from fsspec.core import url_to_fs

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.checkpoint import Checkpoint, Choice, Layer, licence_of
from kernel_atlas.io.formats.parts import index_name
from kernel_atlas.io.formats.safetensors import PREFIX_BYTES, choose_tensors
from kernel_atlas.io.formats.signatures import file_reader
from kernel_atlas.io.parametrised import make
from kernel_atlas.io.ranges import Located, NoRanges, Remote, read_arrays, read_headers, shards_named
from kernel_atlas.io.web import CHANGED, WebFile, brief, fetch_web, open_web

MAX_INDEX_BYTES = 50_000_000  # of an index of shards; that of any network is smaller
# Names that stores have for the state of a file, best first. Others change with each reading, such as times of access.
VERSIONS = ("ETag", "etag", "generation", "sha", "LastModified", "last_modified", "mtime", "modify", "created")
_SERIAL = threading.Lock()  # a store that is not asynchronous may have one connection for all threads


@dataclass
class StoreFile:
    """A file of `size` bytes in a store of fsspec; `version` is what the store tells of this state, None if nothing."""

    store: fsspec.AbstractFileSystem
    path: str
    size: int
    version: str | None

    def read(self, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop`, as `ranges.Remote`."""
        with contextlib.nullcontext() if self.store.async_impl else _SERIAL:
            data = self.store.cat_file(self.path, start=start, end=stop)
        if len(data) != stop - start:
            raise AtlasError(f"asked for {stop - start} bytes from {start} on, got {len(data)}; try again")
        return data

    def check(self) -> None:
        """Raise an AtlasError if the file has changed since it was opened."""
        self.store.invalidate_cache()
        told = self.store.info(self.path)
        if (told["size"], _version_of(told)) != (self.size, self.version):
            raise AtlasError(CHANGED)


def read_store(address: str, choose: Choice) -> Checkpoint:
    """Open a checkpoint behind an address.

    Parameters
    ----------
    address : str
        `https://HOST/FILE`, or SCHEME://PATH of a store that fsspec knows. Its content decides the format.
    choose : Choice
        Which tensors to read.

    Raises
    ------
    AtlasError
        It is not there, not to be read, damaged, of an unknown format, or would run code; or the package of its scheme
        is not installed. Also while iterating.
    """
    if index := index_name(PurePosixPath(urlsplit(address).path).name):
        raise AtlasError(f"one of several parts of a network; name their index {index}")
    located = locate_store(address)
    if located.files:
        with contextlib.suppress(NoRanges), located.one_line():
            return _read_ranges(located.files, choose)
    path = located.whole()
    return file_reader(path)(path, choose)


def _read_ranges(files: list[Remote], choose: Choice) -> Checkpoint:
    """The layers chosen among the tensors of some safetensors files."""
    places, metadata = read_headers(files)
    selection = choose_tensors([place.tensor for place in places.values()], choose)
    found = read_arrays({name: places[name] for weight in selection.weights for name in weight.tensors})

    def layers() -> Iterator[Layer]:
        for weight in selection.weights:
            parts = [found[name] for name in weight.tensors]
            yield Layer(weight.name, make(weight, parts), str(parts[0].dtype), judged_by=selection.judged_by)

    return Checkpoint(layers(), licence_of(metadata) | _revision_of(files), selection.not_read)


def _revision_of(files: list[Remote]) -> dict[str, str]:
    versions = [file.version.strip('W/"') for file in files if file.version]
    return {"revision": versions[0]} if len(versions) == 1 else {}


def locate_store(address: str) -> Located:
    """Where the bytes of a file are, or of the shards that it names.

    Raises
    ------
    AtlasError
        As `read_store`.
    """
    try:
        with _one_line():
            file = _open_file(address)
            start = file.read(0, min(PREFIX_BYTES + 1, file.size))
            if start.startswith(b"{") and 0 not in start and file.size <= MAX_INDEX_BYTES:  # JSON
                shards = shards_named(file.read(0, file.size))
                return Located([_open_file(_beside(address, str(shard))) for shard in shards], _refuse_whole, _one_line)
            files = [file] if start.endswith(b"{") else []  # safetensors, else another format
            return Located(files, lambda: _fetch(address, file.version), _one_line)
    except NoRanges:
        return Located([], lambda: _fetch(address, None))


def _open_file(address: str) -> WebFile | StoreFile:
    """The file at an address, at this state."""
    scheme = address.partition("://")[0]
    if scheme in ("http", "https"):
        return open_web(address)
    try:
        fsspec.get_filesystem_class(scheme)
    except ValueError as error:
        raise AtlasError(f"no kind of store is called {scheme}://; use https://, s3://, gs:// or file:") from error
    store, path = url_to_fs(address)
    store.invalidate_cache()  # of listings, which may be old
    told = store.info(path)
    if told["type"] == "directory":
        raise AtlasError("a folder; name the file of weights in it")
    if told["size"] is None:
        raise NoRanges
    if not told["size"]:
        raise AtlasError("the file is empty; write it again")
    return StoreFile(store, path, told["size"], _version_of(told))


def _version_of(told: Mapping[str, Any]) -> str | None:
    """What a store tells of the state of a file: its hash or version, else the time of its last change."""
    return next((str(told[name]) for name in VERSIONS if told.get(name)), None)


def _beside(address: str, name: str) -> str:
    """The address of a file in the folder of another; of a signed address the signature holds for one file alone."""
    web = address.startswith(("http://", "https://"))
    folder = (address.partition("?")[0] if web else address).rpartition("/")[0]
    return f"{folder}/{quote(name) if web else name}"


def _refuse_whole() -> Path:
    raise AtlasError("its server sends whole files only; fetch the index with its shards and name its path")


def _fetch(address: str, version: str | None) -> Path:
    """The whole file in the cache; fetched where this version of it is not there, or the server does not tell."""
    key = hashlib.sha256(f"{address}\n{version}".encode()).hexdigest()[:32]
    path = huggingface_hub.cached_assets_path("kernel-atlas", namespace="addresses", subfolder=key)
    path /= f"checkpoint{PurePosixPath(urlsplit(address).path).suffix}"
    if version and path.exists():
        return path
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        with _one_line():
            if address.startswith(("http://", "https://")):
                fetch_web(address, partial)
            else:
                store, place = url_to_fs(address)
                store.get_file(place, str(partial))
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """Say in one line what fails."""
    try:
        yield
    except (AtlasError, NoRanges):
        raise
    except ImportError as error:
        package = getattr(error.__cause__, "name", None) or error.name
        raise AtlasError(f"needs {package}, which is not installed: pip install {package}") from error
    except Exception as error:  # a store may raise anything
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (404, 410) or (status is None and isinstance(error, FileNotFoundError)):
            raise AtlasError("not there; check the address") from error
        if status in (401, 403) or (status is None and isinstance(error, PermissionError)):
            raise AtlasError("no right to read it; give a signed address, or the credentials of the store") from error
        raise AtlasError(f"cannot be read ({brief(error)}); check the address and the network, try again") from error
