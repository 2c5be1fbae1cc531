"""The format of a checkpoint, told by how the file starts; its name does not count.

A new format is one module beside this one and one row of `SIGNATURES`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.checkpoint import Checkpoint, Choice
from kernel_atlas.io.formats.onnx import read_onnx
from kernel_atlas.io.formats.pytorch import load_torch, read_torch
from kernel_atlas.io.formats.safetensors import read_safetensors

if TYPE_CHECKING:
    import torch

Reader = Callable[[Path, Choice], Checkpoint]
START_BYTES = 512  # a tar archive names itself at byte 257
SIGNATURES: list[tuple[int, bytes, Reader | str]] = [  # place, bytes there, reader or reason to refuse
    (8, b"{", read_safetensors),
    (0, b"PK\x03\x04", read_torch),
    (0, b"\x80", read_torch),  # a pickle
    (0, b"\x08", read_onnx),  # protobuf has no magic; this is the tag of the field every ONNX file begins with
    (257, b"ustar", "a tar archive; unpack it, or save the network again as safetensors"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself; run `git lfs pull`"),
    (0, b"", "unknown format; known are safetensors, PyTorch state dicts and ONNX"),
]


def file_reader(path: Path) -> Reader:
    """The reader of a file's format.

    Raises
    ------
    AtlasError
        The reason alone: the file is empty, or of a format that is not read.
    """
    with path.open("rb") as file:
        start = file.read(START_BYTES)
    if not start:
        raise AtlasError("the file is empty; fetch it again")
    reader = next(found for place, magic, found in SIGNATURES if start.startswith(magic, place))
    if isinstance(reader, str):
        raise AtlasError(reader)
    return reader


def read_state(path: Path) -> "dict[str, torch.Tensor]":
    """All tensors of a safetensors or PyTorch checkpoint by name, for a network to load; no code is run.

    Raises
    ------
    AtlasError
        The file is damaged, holds no state dict or would run code.
    """
    import safetensors.torch
    from safetensors import SafetensorError

    reader = file_reader(path)
    if reader is read_torch:
        return load_torch(path)
    if reader is not read_safetensors:
        raise AtlasError("not a state dict; save the network's state_dict() as safetensors")
    try:
        return safetensors.torch.load_file(path)
    except SafetensorError as error:
        raise AtlasError(f"damaged ({error}); fetch the file again") from error
