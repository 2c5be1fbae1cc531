"""The format of a checkpoint, told by how the file starts; its name does not count.

A new format is one module beside this one and one row of `SIGNATURES`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.checkpoint import Checkpoint, Choice, TensorFilter
from kernel_atlas.io.formats import containers, pytorch, safetensors
from kernel_atlas.io.formats.onnx import external_files, read_onnx
from kernel_atlas.io.formats.parts import index_of, parts_of, read_parts
from kernel_atlas.io.formats.pytorch import load_torch, read_torch
from kernel_atlas.io.formats.safetensors import read_safetensors
from kernel_atlas.io.formats.tflite import read_tflite

if TYPE_CHECKING:
    import numpy as np
    import torch

Reader = Callable[[Path, Choice], Checkpoint]
START_BYTES = 512  # a tar archive names itself at byte 257
_ARCHIVE = "archive; unpack it and name the file of weights in it"
SIGNATURES: list[tuple[int, bytes, Reader | str]] = [  # place, bytes there, reader or reason to refuse
    (4, b"TFL3", read_tflite),
    (4, b"ORTM", "a model in onnxruntime's own format; name the ONNX file that it was made from"),
    (8, b"{", read_safetensors),
    (0, b"PK\x03\x04", read_torch),  # once `containers.refuse_zip` has looked inside
    *((0, bytes([0x80, protocol]), read_torch) for protocol in range(2, 6)),  # a pickle
    *((0, start, read_torch) for start in (b"(dp", b"}q", b"ccollections\nOrderedDict")),  # one of Python 2
    (0, b"\x08\x01\x12", containers.SAVED_MODEL),  # no ONNX file is of version 1
    (0, b"\x08", read_onnx),  # protobuf has no magic; this is the tag of the field every ONNX file begins with
    (257, b"ustar", "a tar archive; unpack it, or save the network again as safetensors"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself; run `git lfs pull`"),
    (0, b"\x89HDF\r\n\x1a\n", f"an HDF5 file, as of Keras; {containers.KERAS}"),
    (0, b"\x93NUMPY", "one array of numpy (.npy) without a name; save it under one as safetensors"),
    (0, b"GGUF", "a GGUF file of llama.cpp; name the safetensors file that it is converted from"),
    (0, b"\x1f\x8b", f"a gzip {_ARCHIVE}"),
    (0, b"BZh", f"a bzip2 {_ARCHIVE}"),
    (0, b"\xfd7zXZ\0", f"an xz {_ARCHIVE}"),
    (0, b"\x28\xb5\x2f\xfd", f"a zstd {_ARCHIVE}"),
    (0, b"7z\xbc\xaf\x27\x1c", f"a 7z {_ARCHIVE}"),
    (0, b"Rar!\x1a\x07", f"a rar {_ARCHIVE}"),
    (0, b"PK\x05\x06", "an empty zip archive; name the file of weights"),
]
_LOADERS = {read_safetensors: safetensors.load_arrays, read_torch: pytorch.load_arrays}
_NO_STATE = "not a state dict; save the network's state_dict() as safetensors"


def file_reader(path: Path) -> Reader:
    """The reader of a file's format; of a part of a network, or of its index, that of all its parts.

    Raises
    ------
    AtlasError
        The reason alone: a folder, an empty file, or a format that is not read.
    """
    files = _files(path)
    if files != [path]:
        return lambda _, choose: read_parts(files, choose, _reader)
    return _reader(path)


def _files(path: Path) -> list[Path]:
    """An index and all its parts, or the file alone.

    Raises
    ------
    AtlasError
        An index or a part of a network whose other files are missing; a folder.
    """
    if path.is_dir():
        raise AtlasError(containers.folder_reason(path))
    index = path if _is_json(path) else index_of(path)
    return [index, *parts_of(index)] if index else [path]


def _is_json(path: Path) -> bool:
    """Whether a file begins like JSON; a safetensors file has zeros among its first 8 bytes."""
    with path.open("rb") as file:
        start = file.read(START_BYTES)
    return start.lstrip()[:1] in (b"{", b"[") and 0 not in start[:8]


def _reader(path: Path) -> Reader:
    """The reader of one file."""
    with path.open("rb") as file:
        start = file.read(START_BYTES)
    if not start:
        raise AtlasError("the file is empty; fetch it again")
    reader = next((found for place, magic, found in SIGNATURES if start.startswith(magic, place)), None)
    if reader is None:
        raise AtlasError(containers.unknown_reason(path, start))
    if isinstance(reader, str):
        raise AtlasError(reader)
    if start.startswith(b"PK"):
        containers.refuse_zip(path)
    return reader


def opened_files(path: Path) -> list[Path]:
    """All files that reading a checkpoint opens; none if it is missing. Of a damaged one reading says why."""
    if not path.is_file():
        return []
    try:
        files = _files(path)
        return files + (external_files(path) if len(files) == 1 and file_reader(path) is read_onnx else [])
    except (AtlasError, OSError):
        return [path]


def load_arrays(path: Path, wanted: TensorFilter) -> "dict[str, np.ndarray]":
    """The tensors of a safetensors or PyTorch checkpoint that are wanted, by name; no code is run.

    Raises
    ------
    AtlasError
        The file is damaged, holds no state dict or would run code.
    """
    files, found = _files(path), {}
    for file in files[1:] or files:
        load = _LOADERS.get(_reader(file))
        if load is None:
            raise AtlasError(_NO_STATE)
        found |= load(file, wanted)
    return found


def read_state(path: Path) -> "dict[str, torch.Tensor]":
    """All tensors of a safetensors or PyTorch checkpoint by name, for a network to load; no code is run.

    Raises
    ------
    AtlasError
        The file is damaged, holds no state dict or would run code.
    """
    files = _files(path)
    return {name: tensor for file in (files[1:] or files) for name, tensor in _read_state(file).items()}


def _read_state(path: Path) -> "dict[str, torch.Tensor]":
    import safetensors.torch
    from safetensors import SafetensorError

    reader = _reader(path)
    if reader is read_torch:
        return load_torch(path)
    if reader is not read_safetensors:
        raise AtlasError(_NO_STATE)
    try:
        return safetensors.torch.load_file(path)
    except SafetensorError as error:
        raise AtlasError(f"damaged ({error}); fetch the file again") from error
