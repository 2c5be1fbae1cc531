"""What torch.save and torch.jit.save write, and pickles of numpy arrays: read as data, without torch; no code runs."""

import contextlib
import hashlib
import io
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.checkpoint import Checkpoint, Choice, Form, Layer, Selection, TensorFilter
from kernel_atlas.io.formats.rebuild import FLOATS, ReadBytes, Storage, Tensor, dtype_of, storage_dtype
from kernel_atlas.io.formats.unpickle import Stub, Unpickler
from kernel_atlas.io.formats.wrappers import find_state
from kernel_atlas.io.parametrised import make

if TYPE_CHECKING:
    import torch

MAX_REPEATED = 2**26  # values of a tensor larger than its file: strides of 0 repeat one value to any shape
MAX_PICKLE_BYTES = 16_000_000  # that a compressed archive may unpack to beyond twice its size
LEGACY = 0x1950A86A20F9469CFC6C  # the number at the start of files from before the zip format


@dataclass(frozen=True)
class State:
    """The state dict of a file. `key` leads to it, with dots; it is empty at the top of the file."""

    tensors: dict[str, Tensor]
    key: str
    file_bytes: int
    sha256: str

    def values(self, name: str, read: ReadBytes) -> np.ndarray:
        """The values of one tensor in their own dtype; of a quantized one as float32.

        Raises
        ------
        AtlasError
            It is damaged.
        """
        tensor = self.tensors[name]
        if math.prod(tensor.shape) > max(self.file_bytes, MAX_REPEATED):
            raise AtlasError(f"damaged: tensor {name[:100]!r} claims more values than the file has bytes")
        try:
            return tensor.values(read)
        except AtlasError:
            raise
        except Exception as error:  # a damaged archive can raise anything
            raise AtlasError(f"damaged: tensor {name[:100]!r} ({str(error)[:100]}); fetch the file again") from error


def open_state(path: Path) -> State:
    """The state dict of a file: names, shapes and places of its tensors, whose values stay in the file.

    Raises
    ------
    AtlasError
        The file is damaged, holds no state dict or would run code.
    """
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
        file.seek(0)
        archived = file.read(2) == b"PK"
        file.seek(0)
        root, foreign = _load_zip(file, size) if archived else _load_stream(file, size)
    keys, tensors = find_state(root, foreign)
    return State(
        {name.removeprefix("module."): tensor for name, tensor in tensors.items()}, ".".join(keys), size, sha256
    )


def read_torch(path: Path, choose: Choice) -> Checkpoint:
    """The layers chosen from a state dict; quantized weights are dequantized.

    Raises
    ------
    AtlasError
        The file is damaged, holds no state dict or would run code; also while iterating.
    """
    state = open_state(path)
    selection = choose_readable(state.tensors, choose)

    def layers() -> Iterator[Layer]:
        with _reader(path) as read:
            for weight in selection.weights:
                parts = [state.values(name, read) for name in weight.tensors]
                dtype = state.tensors[weight.tensors[0]].dtype
                yield Layer(weight.name, make(weight, parts), dtype, judged_by=selection.judged_by)

    metadata = {"sha256": state.sha256} | ({"key": state.key} if state.key else {})
    return Checkpoint(layers(), metadata, selection.not_read)


def choose_readable(tensors: Mapping[str, Tensor], choose: Choice) -> Selection:
    """The choice among the tensors of a state dict, without those that have no values."""
    forms = {name: Form(tensor.shape, storage=tensor.memory) for name, tensor in tensors.items()}
    selection = choose(forms)
    empty = [name for name, form in forms.items() if len(form.shape) == 4 and form.shape[1] == 1 and 0 in form.shape]
    if empty:
        selection.not_read["empty"] = empty
    readable = []
    for weight in selection.weights:
        reason = _why_not_read(tensors[weight.tensors[0]])
        if reason:
            selection.not_read.setdefault(reason, []).append(weight.name)
        else:
            readable.append(weight)
    return selection._replace(weights=readable)


def load_arrays(path: Path, wanted: TensorFilter) -> dict[str, np.ndarray]:
    """The tensors of a state dict that are wanted and have values, in their own dtype; quantized ones as float32.

    Raises
    ------
    AtlasError
        The file is damaged, holds no state dict or would run code.
    """
    state = open_state(path)
    with _reader(path) as read:
        return {
            name: state.values(name, read)
            for name, tensor in state.tensors.items()
            if not tensor.why_not and wanted(name, tensor.shape)
        }


def load_torch(path: Path) -> "dict[str, torch.Tensor]":
    """All tensors of a state dict that have values, for a network to load; quantized ones as float32.

    Raises
    ------
    AtlasError
        The file is damaged, holds no state dict or would run code.
    """
    import torch

    state, loaded = open_state(path), {}
    with _reader(path) as read:
        for name, tensor in state.tensors.items():
            if not tensor.why_not:
                values = state.values(name, read)
                if values.dtype.kind == "V" or "float8" in tensor.dtype or tensor.dtype == "bfloat16":  # not of numpy
                    bits = np.uint8 if values.itemsize == 1 else np.int16
                    loaded[name] = torch.tensor(values.view(bits)).view(getattr(torch, tensor.dtype))
                else:
                    loaded[name] = torch.tensor(values)
    return loaded


def _why_not_read(tensor: Tensor) -> str | None:
    """Why a tensor that was chosen gives no kernels: its values are missing, or are not the weights."""
    if tensor.why_not or tensor.scales or tensor.dtype in FLOATS:
        return tensor.why_not
    return tensor.dtype if tensor.dtype in ("bool", "complex64", "complex128") else f"{tensor.dtype} without a scale"


@contextlib.contextmanager
def _reader(path: Path) -> Iterator[ReadBytes]:
    """Reads the storages of a file."""
    with path.open("rb") as file:
        if file.read(2) == b"PK":
            with zipfile.ZipFile(file) as archive:

                def read(storage: Storage, start: int, size: int) -> bytes:
                    with archive.open(storage.place) as member:
                        member.seek(start)
                        return member.read(size)

                yield read
        else:

            def read(storage: Storage, start: int, size: int) -> bytes:
                file.seek(storage.place + start)
                return file.read(size)

            yield read


def _load_zip(file: BinaryIO, size: int) -> tuple[object, str | None]:
    """The object of an archive, and the first name of a program in it.

    A frozen TorchScript has its weights as constants.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            if sum(member.file_size for member in archive.infolist()) > 2 * size + MAX_PICKLE_BYTES:
                raise AtlasError("damaged: compressed, to unpack to much more; torch.save compresses nothing")
            names = set(archive.namelist())
            top = next(name for name in archive.namelist() if name.split("/", 1)[-1] == "data.pkl").removesuffix(
                "data.pkl"
            )
            if f"{top}byteorder" in names and archive.read(f"{top}byteorder") == b"big":
                raise AtlasError("written on a big-endian computer; load it there and save it as safetensors")
            root, foreign = _load_member(archive, f"{top}data.pkl", f"{top}data/")
            if f"{top}constants.pkl" in names and isinstance(root, Stub) and isinstance(root.state, dict):
                constants, _ = _load_member(archive, f"{top}constants.pkl", f"{top}constants/")
                if isinstance(constants, tuple):
                    root.state |= {
                        f"CONSTANTS.c{i}": each for i, each in enumerate(constants) if isinstance(each, Tensor)
                    }
    except AtlasError:
        raise
    except Exception as error:  # a damaged archive can raise anything
        raise AtlasError(f"a damaged zip archive ({str(error)[:100]}); fetch the file again") from error
    return root, foreign


def _load_member(archive: zipfile.ZipFile, name: str, data: str) -> tuple[object, str | None]:
    """The object of one pickle, whose storages are members of a folder of the archive."""
    content = archive.read(name)
    unpickler = Unpickler(io.BytesIO(content), len(content), _storages(lambda key: data + key))
    return unpickler.load(), unpickler.foreign


def _load_stream(file: BinaryIO, size: int) -> tuple[object, str | None]:
    """The object of a bare pickle or of torch's format before the zip, and the first name of a program in it."""
    known: dict[str, Storage] = {}
    unpickler = Unpickler(file, size, _storages(lambda key: None, known))
    root = unpickler.load()
    if root != LEGACY:
        return root, unpickler.foreign
    unpickler.load()  # the version of the format
    unpickler.load()  # the sizes of types where it was written
    root, keys = unpickler.load(), unpickler.load()
    try:
        for key in keys:
            storage = known[key]
            count = int.from_bytes(file.read(8), "little")
            if count != storage.count:
                raise ValueError("a storage of another size")
            storage.place = file.tell()
            if file.seek(count * dtype_of(storage.dtype).itemsize, io.SEEK_CUR) > size:
                raise AtlasError("truncated: its weights end early; fetch the file again")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise AtlasError("damaged: its storages are not those of its tensors; fetch the file again") from error
    return root, unpickler.foreign


def _storages(
    place: Callable[[str], str | None], known: dict[str, Storage] | None = None
) -> Callable[[object], object]:
    """From the persistent ids of torch.save to storages, each built once."""
    known = {} if known is None else known

    def find(identity: object) -> object:
        if not isinstance(identity, tuple) or not identity:
            return Stub("a persistent id")
        kind, *rest = identity
        if kind == "module" and rest:  # a class with its source
            return rest[0]
        if kind != "storage":
            return Stub("a persistent id")
        dtype, key, _, count, *view = rest
        if not isinstance(key, str) or type(count) is not int or not 0 <= count < 2**63:
            raise ValueError("no storage")
        storage = known.setdefault(key, Storage(place(key), storage_dtype(dtype), count))
        if storage_dtype(dtype) != storage.dtype:
            raise ValueError("a storage of two types")
        if view and view[0]:
            raise AtlasError("of a form of PyTorch before 1.0; load it with PyTorch and save it again")
        return storage

    return find
