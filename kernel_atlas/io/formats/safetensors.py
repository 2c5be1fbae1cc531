"""safetensors files: the header, of a local file or of one on the hub, and the tensors chosen by it.

A file is an 8-byte little-endian header length, a JSON header, and the tensors' bytes. Every claim of the header is
checked before anything is read by it. Errors tell the reason only; the caller knows the file.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import ml_dtypes  # noqa: F401  (gives numpy the type bfloat16)
import numpy as np

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.checkpoint import Checkpoint, Choice, Form, Layer, Selection, TensorFilter, licence_of
from kernel_atlas.io.parametrised import make

PREFIX_BYTES = 8
MAX_HEADER_BYTES = 100_000_000  # the bound of the safetensors library itself

_BITS = {
    **{"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6},
    **dict.fromkeys(["BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"], 8),
    **dict.fromkeys(["I16", "U16", "F16", "BF16"], 16),
    **dict.fromkeys(["I32", "U32", "F32"], 32),
    **dict.fromkeys(["I64", "U64", "F64", "C64"], 64),
}
# Types read as kernels. Integers and 8-bit floats need a scale, which no header tells.
FLOATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
NUMPY = FLOATS | {"BOOL": "bool", "U8": "uint8", "I8": "int8"}  # and types of masks
ALL = NUMPY | {  # and all others that NumPy has
    **{"I16": "int16", "I32": "int32", "I64": "int64", "U16": "uint16", "U32": "uint32", "U64": "uint64"},
    **{"C64": "complex64", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu"},
    **{"F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz"},
}


@dataclass(frozen=True)
class Tensor:
    """One entry of a header: a tensor and its place in the file, bytes `start` to `stop`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


def header_bytes(prefix: bytes, file_bytes: int) -> int:
    """Length of the header that the first 8 bytes of a file announce.

    Raises
    ------
    AtlasError
        The file is shorter, or the header above 100 MB. Nothing has been allocated by then.
    """
    length = int.from_bytes(prefix[:PREFIX_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise AtlasError(f"damaged header: it claims {length} bytes, more than the {MAX_HEADER_BYTES} allowed")
    if PREFIX_BYTES + length > file_bytes:
        raise AtlasError(f"truncated: a header of {length} bytes in a file of {file_bytes}; fetch the file again")
    return length


def read_header(file: BinaryIO, file_bytes: int) -> tuple[list[Tensor], dict[str, str]]:
    """As `parse_header`, from a file at its beginning."""
    return parse_header(file.read(header_bytes(file.read(PREFIX_BYTES), file_bytes)), file_bytes)


def parse_header(header: bytes, file_bytes: int) -> tuple[list[Tensor], dict[str, str]]:
    """All tensors of a file, in the header's order, and the file's own metadata.

    Parameters
    ----------
    header : bytes
        The JSON after the 8-byte prefix.
    file_bytes : int
        Size of the whole file.

    Raises
    ------
    AtlasError
        The header is no JSON or repeats a key; or a range does not fit its dtype and shape, lies outside the file or
        overlaps another.
    """
    try:
        entries = json.loads(header, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise AtlasError(f"damaged header: not JSON ({error})") from error
    if not isinstance(entries, dict):
        raise AtlasError("damaged header: not a JSON object")
    metadata = entries.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict):
        raise AtlasError("damaged header: __metadata__ is not an object")
    tensors = [_tensor(name, entry, PREFIX_BYTES + len(header), file_bytes) for name, entry in entries.items()]
    previous = None
    for tensor in sorted(tensors, key=lambda tensor: (tensor.start, tensor.stop)):
        if previous and tensor.start < previous.stop:
            raise AtlasError(f"damaged header: tensors {previous.name[:100]!r} and {tensor.name[:100]!r} overlap")
        previous = tensor
    return tensors, {name: str(value) for name, value in metadata.items()}


def choose_tensors(tensors: list[Tensor], choose: Choice) -> Selection:
    """The choice among the tensors of a file; weights in other types than floats are not read.

    Writers of safetensors sort the names, "blocks.10" before "blocks.2". Sorting by numbers restores the order of the
    network in most files.
    """
    known = {tensor.name: tensor for tensor in tensors}
    names = sorted(known, key=lambda name: [int(p) if i % 2 else p for i, p in enumerate(re.split(r"(\d{1,9})", name))])
    selection = choose({name: Form(known[name].shape) for name in names})
    weights = []
    for weight in selection.weights:
        allowed = FLOATS if len(weight.tensors) == 1 else NUMPY
        others = {known[name].dtype for name in weight.tensors} - set(allowed)
        if others:
            selection.not_read.setdefault(f"{ALL.get(kind := others.pop(), kind)} without a scale", []).append(
                weight.name
            )
        else:
            weights.append(weight)
    return selection._replace(weights=weights)


def read_safetensors(path: Path, choose: Choice) -> Checkpoint:
    """The layers chosen from a file as float32, and the licence in its metadata.

    float16 and bfloat16 are widened exactly. float64 is rounded, and `Layer.dtype` tells so.

    Raises
    ------
    AtlasError
        The file is damaged; also while iterating.
    """
    with path.open("rb") as file:
        tensors, metadata = read_header(file, path.stat().st_size)
    selection = choose_tensors(tensors, choose)
    known = {tensor.name: tensor for tensor in tensors}

    def layers() -> Iterator[Layer]:
        with path.open("rb") as file:
            for weight in selection.weights:
                parts = [known[name] for name in weight.tensors]
                made = make(weight, [_read(file, part) for part in parts])
                yield Layer(weight.name, made, NUMPY[parts[0].dtype], judged_by=selection.judged_by)

    return Checkpoint(layers(), licence_of(metadata), selection.not_read)


def load_arrays(path: Path, wanted: TensorFilter) -> dict[str, np.ndarray]:
    """The tensors of a file that are wanted, in their own dtype.

    Raises
    ------
    AtlasError
        The file is damaged, or NumPy has no such dtype.
    """
    with path.open("rb") as file:
        tensors, _ = read_header(file, path.stat().st_size)
        return {tensor.name: _read(file, tensor) for tensor in tensors if wanted(tensor.name, tensor.shape)}


def array_of(tensor: Tensor, data: bytes) -> np.ndarray:
    """The values of a tensor, by its bytes.

    Raises
    ------
    AtlasError
        NumPy has no such dtype.
    """
    if tensor.dtype not in ALL:
        raise AtlasError(f"tensor {tensor.name[:100]!r} is of dtype {tensor.dtype}, which NumPy has not; leave it out")
    return np.frombuffer(data, ALL[tensor.dtype]).reshape(tensor.shape)


def _read(file: BinaryIO, tensor: Tensor) -> np.ndarray:
    # Read, as the library maps: a mapped file that is truncated meanwhile kills the process (SIGBUS).
    file.seek(tensor.start)
    data = file.read(tensor.stop - tensor.start)
    if len(data) < tensor.stop - tensor.start:
        raise AtlasError(f"truncated: tensor {tensor.name[:100]!r} ends early; fetch the file again")
    return array_of(tensor, data)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object; repeated keys are refused, because readers disagree which one holds."""
    entries = dict(pairs)
    if len(entries) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in names if names.count(name) > 1)!r} occurs twice")
    return entries


def _tensor(name: str, entry: object, data_start: int, file_bytes: int) -> Tensor:
    """One checked entry."""
    where = f"damaged header: tensor {name[:100]!r}"
    try:
        dtype, shape, (start, stop) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise AtlasError(f"{where} lacks dtype, shape or data_offsets") from error
    if not all(type(number) is int and 0 <= number < 2**63 for number in (*shape, start, stop)):
        raise AtlasError(f"{where} has a shape or an offset that is no whole number below 2**63")
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise AtlasError(f"{where} has the unknown dtype {dtype!r}")
    bits = 0 if 0 in shape else _BITS[dtype]
    for side in shape:
        bits *= side
        if bits > 8 * file_bytes:  # the product of thousands of large numbers takes minutes
            break
    if bits != 8 * (stop - start):
        raise AtlasError(f"{where} of dtype {dtype} and shape {list(shape)[:8]} cannot fill {stop - start} bytes")
    if data_start + stop > file_bytes:
        raise AtlasError(
            f"truncated: tensor {name[:100]!r} ends at byte {data_start + stop} of {file_bytes}; fetch it again"
        )
    return Tensor(name, dtype, shape, data_start + start, data_start + stop)
