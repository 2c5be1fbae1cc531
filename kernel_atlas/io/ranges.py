"""Tensors of safetensors files elsewhere: first the headers, then the bytes of the chosen tensors alone."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

import numpy as np

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.formats.safetensors import PREFIX_BYTES, Tensor, array_of, header_bytes, parse_header

HEADER_GUESS = 131_072  # bytes of the first request, which hold the header of most networks
GAP = 131_072  # bytes between tensors that cost less than a request: of 20 ms at 50 MB/s, shared by those in flight
LONGEST = 8_388_608  # bytes of a request for several tensors, which bounds the memory
AT_ONCE = 16  # requests in flight


class NoRanges(Exception):
    """Only the whole file can be had: of another format, or from a server that knows no ranges."""


class Remote(Protocol):
    """A file elsewhere, of `size` bytes."""

    size: int

    def read(self, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop`, all of them.

        Raises
        ------
        AtlasError
            They are not to be had, or the file has changed since it was opened.
        NoRanges
            The server sends whole files only.
        """
        ...

    def check(self) -> None:
        """Raise an AtlasError if the file has changed since it was opened, unless each `read` tells."""
        ...


class Located(NamedTuple):
    """Where a checkpoint is.

    `files` are the safetensors files to read ranges of, none where that cannot be; `one_line` is a context in which
    what fails while they are read is an AtlasError. `whole` gives the path of the whole file.
    """

    files: Sequence[Remote]
    whole: Callable[[], Path]
    one_line: Callable[[], AbstractContextManager] = nullcontext


class Place(NamedTuple):
    """A tensor and the file that it lies in."""

    tensor: Tensor
    file: Remote


def read_headers(files: Sequence[Remote]) -> tuple[dict[str, Place], dict[str, str]]:
    """Every tensor of some safetensors files by its name, and the files' own metadata.

    Raises
    ------
    AtlasError
        A header is damaged, or a tensor lies in two files; and as `Remote.read`.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        headers = list(pool.map(_header, files))
    places, metadata = {}, {}
    for file, (tensors, told) in zip(files, headers, strict=True):
        twice = next((tensor.name for tensor in tensors if tensor.name in places), None)
        if twice:
            raise AtlasError(f"damaged: tensor {twice[:100]!r} lies in two of its parts")
        places |= {tensor.name: Place(tensor, file) for tensor in tensors}
        metadata |= told
    return places, metadata


def read_arrays(places: Mapping[str, Place]) -> dict[str, np.ndarray]:
    """Tensors by their names, in their own dtype; near ones of a file are asked for at once.

    Raises
    ------
    AtlasError
        NumPy has no such dtype; and as `Remote.read`.
    """
    files = {id(place.file): place.file for place in places.values()}
    ranges = [
        (file, group)
        for file in files.values()
        for group in _merged(place.tensor for place in places.values() if place.file is file)
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        bodies = list(pool.map(lambda part: part[0].read(part[1][0].start, part[1][-1].stop), ranges))
    for file in files.values():
        file.check()
    found = {
        tensor.name: array_of(tensor, body[tensor.start - group[0].start : tensor.stop - group[0].start])
        for (_, group), body in zip(ranges, bodies, strict=True)
        for tensor in group
    }
    return {name: found[name] for name in places}


def shards_named(index: bytes) -> list[PurePosixPath]:
    """The files that an index of shards (`*.safetensors.index.json`) names, relative to it.

    Raises
    ------
    AtlasError
        It is no index, or names files elsewhere or of another format.
    """
    try:
        paths = sorted({PurePosixPath(name) for name in json.loads(index)["weight_map"].values()})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise AtlasError("damaged: no index of shards with a weight_map") from error
    if not paths or any(path.is_absolute() or ".." in path.parts or path.suffix != ".safetensors" for path in paths):
        raise AtlasError("damaged: its index names shards outside the repository or folder, or of another format")
    return paths


def _header(file: Remote) -> tuple[list[Tensor], dict[str, str]]:
    """The tensors of a safetensors file, and its metadata."""
    start = file.read(0, min(HEADER_GUESS, file.size))
    end = PREFIX_BYTES + header_bytes(start, file.size)
    if end > len(start):
        start += file.read(len(start), end)
    return parse_header(start[PREFIX_BYTES:end], file.size)


def _merged(tensors: Iterable[Tensor]) -> list[list[Tensor]]:
    """Tensors of one file in the groups to ask for at once."""
    groups: list[list[Tensor]] = []
    for tensor in sorted(tensors, key=lambda tensor: tensor.start):
        last = groups[-1] if groups else None
        if last and tensor.start - last[-1].stop <= GAP and tensor.stop - last[0].start <= LONGEST:
            last.append(tensor)
        else:
            groups.append([tensor])
    return groups
