"""The formats of checkpoint files: safetensors, PyTorch and ONNX, each told by content and read without running code.

A new format is one more line in `file_reader` and its function. Errors tell the reason only; the caller knows the file.
"""

import argparse
import hashlib
import io
import itertools
import pickletools
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io import safetensors as safetensors_header
from kernel_atlas.io.checkpoint import Checkpoint, Choice, Form, Layer
from kernel_atlas.io.safetensors import Tensor

if TYPE_CHECKING:
    import torch

MAX_REPEATED = 2**26  # values of a tensor larger than its file: with strides of 0 a single value has any shape
MAX_PICKLE_BYTES = 16_000_000  # of a refused pickle, searched for the reason; names and shapes take a tenth of it


def file_reader(start: bytes) -> Callable[[Path, Choice], Checkpoint]:
    """The reader for a file that starts with these bytes; its name may say anything."""
    if start[8:9] == b"{":
        return _read_safetensors
    if start.startswith((b"PK\x03\x04", b"\x80")):
        return _read_torch
    if start.startswith(b"\x08"):  # protobuf has no magic; this is the tag of the field every ONNX file begins with
        return _read_onnx
    if start[257:262] == b"ustar":
        raise AtlasError("a tar archive; unpack it, or save the network again as safetensors")
    if start.startswith(b"version https://git-lfs"):
        raise AtlasError("a Git LFS pointer, not the file itself; run `git lfs pull`")
    if not start:
        raise AtlasError("the file is empty; fetch it again")
    raise AtlasError("unknown format; known are safetensors, PyTorch state dicts and ONNX")


def _read_safetensors(path: Path, choose: Choice) -> Checkpoint:
    """Header first, then only the byte ranges of the layers asked for."""
    with path.open("rb") as file:
        file_bytes = path.stat().st_size
        length = safetensors_header.header_bytes(file.read(safetensors_header.PREFIX_BYTES), file_bytes)
        tensors, metadata = safetensors_header.parse_header(file.read(length), file_bytes)
    chosen = choose_tensors(tensors, choose)

    def layers() -> Iterator[Layer]:
        with path.open("rb") as file:
            for name, tensor in chosen.items():
                file.seek(tensor.start)
                weight = safetensors_header.decode(tensor, file.read(tensor.stop - tensor.start))
                yield Layer(name, weight, safetensors_header.FLOATS[tensor.dtype])

    return Checkpoint(layers(), _licence(metadata))


def choose_tensors(tensors: list[Tensor], choose: Choice) -> dict[str, Tensor]:
    """The tensors of a safetensors header that are asked for, in the order wanted, by the names to give them.

    Writers of safetensors sort the names, "blocks.10" before "blocks.2"; the order that numbers give comes closest to
    the network's.
    """
    known = {tensor.name: tensor for tensor in tensors}
    names = sorted(known, key=lambda name: [int(p) if i % 2 else p for i, p in enumerate(re.split(r"(\d{1,9})", name))])
    chosen = choose({name: Form(known[name].shape) for name in names})
    return {new: known[name] for name, new in chosen.items() if known[name].dtype in safetensors_header.FLOATS}


# Where training scripts keep the weights, best first: the averaged ones are those that were evaluated. Whatever is
# beside them (optimizer, scheduler) holds tensors of the same shapes and is never looked at.
_WRAPPERS = (
    *("state_dict_ema", "model_ema", "params_ema", "ema_state_dict", "ema"),
    *("state_dict", "model_state_dict", "model_state", "model", "params", "net", "network", "weights", "module"),
)


def read_state(path: Path) -> "dict[str, torch.Tensor]":
    """All tensors of a checkpoint of safetensors or PyTorch by name, for a network to load; no code is run.

    Raises
    ------
    AtlasError
        It is damaged, holds no state dict or would run code.
    """
    import safetensors.torch
    from safetensors import SafetensorError

    with path.open("rb") as file:
        reader = file_reader(file.read(512))
    if reader is _read_torch:
        return _load_torch(path)[0]
    if reader is not _read_safetensors:
        raise AtlasError("not a state dict; save the network's state_dict() as safetensors")
    try:
        return safetensors.torch.load_file(path)
    except SafetensorError as error:
        raise AtlasError(f"damaged ({error}); fetch the file again") from error


def _load_torch(path: Path) -> "tuple[dict[str, torch.Tensor], int, str]":
    """The tensors of a state dict from `torch.save`, the bytes of the file and its hash."""
    import torch  # here: 3 s and 250 MB that only these files pay for

    with path.open("rb") as file:
        # Only the zip format can be mapped; and a path that ends in .safetensors torch.load takes at its word.
        mapped = file.read(2) == b"PK" and path.suffix != ".safetensors"
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        file_bytes = file.tell()
        file.seek(0)
        try:
            # Namespace: the arguments that timm and others save beside the weights; a plain holder of values.
            # The warnings are of torch about torch.
            if mapped and _unpacked_bytes(file) > 2 * file_bytes + MAX_PICKLE_BYTES:
                raise ValueError("compressed, to unpack to much more; torch.save compresses nothing")
            with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings(action="ignore"):
                checkpoint = torch.load(
                    str(path) if mapped else file, map_location="cpu", mmap=mapped, weights_only=True
                )
        except Exception as error:  # a damaged pickle can raise anything
            raise AtlasError(_why_not_loaded(path, error)) from error
    state = _state_dict(checkpoint)
    if state is None:
        keys = list(checkpoint)[:5] if isinstance(checkpoint, dict) else []
        raise AtlasError(
            f"holds no state dict (found: {type(checkpoint).__name__} {keys}); save the network's state_dict() alone"
        )

    tensors = {
        str(name).removeprefix("module."): tensor for name, tensor in state.items() if isinstance(tensor, torch.Tensor)
    }
    return tensors, file_bytes, sha256


def _read_torch(path: Path, choose: Choice) -> Checkpoint:
    """A state dict from `torch.save`, of the zip or of the older format, loaded without running code."""
    import torch

    tensors, file_bytes, sha256 = _load_torch(path)
    chosen = choose({name: Form(tuple(tensor.shape)) for name, tensor in tensors.items()})

    def layers() -> Iterator[Layer]:
        for name, new in chosen.items():
            tensor = tensors[name]
            if tensor.numel() > max(file_bytes, MAX_REPEATED):
                raise AtlasError(f"damaged: tensor {name[:100]!r} claims more values than the file has bytes")
            if tensor.is_quantized or (tensor.is_floating_point() and tensor.layout == torch.strided):
                dtype = str(tensor.dtype).removeprefix("torch.")
                values = tensor.dequantize() if tensor.is_quantized else tensor.detach().to(torch.float32)
                yield Layer(new, values.contiguous().numpy(), dtype)

    return Checkpoint(layers(), {"sha256": sha256})


def _unpacked_bytes(file: BinaryIO) -> int:
    with zipfile.ZipFile(file) as archive:
        return sum(member.file_size for member in archive.infolist())


def _state_dict(checkpoint: object, depth: int = 3) -> dict | None:
    """The names and tensors of the network in what `torch.load` returned, None where there are none."""
    import torch

    if not isinstance(checkpoint, dict) or depth == 0:
        return None
    for wrapper in _WRAPPERS:
        found = _state_dict(checkpoint.get(wrapper), depth - 1)
        if found is not None:
            return found
    return checkpoint if any(isinstance(value, torch.Tensor) for value in checkpoint.values()) else None


def _why_not_loaded(path: Path, error: Exception) -> str:
    """The reason of torch.load's refusal in a few words: code by its name, or damage."""
    message = str(error)
    if "TorchScript" in message:
        return "would run code on loading: it is a TorchScript program; save the network's state_dict() instead"
    refused = re.search(r"GLOBAL (\S+)", message)
    name = refused[1] if refused else _foreign_global(path)
    if name:
        return f"would run code on loading: {name}; save the network's state_dict() alone, or as safetensors"
    first_line = message.strip().splitlines()[0] if message.strip() else type(error).__name__
    return f"PyTorch cannot load it, it is damaged or no state dict ({first_line[:120]}); fetch the file again"


def _foreign_global(path: Path) -> str | None:
    """The first name outside torch that the pickle of a checkpoint would import.

    For those pickles that torch refuses without saying why: from protocol 4 on, names come from the stack.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
                with archive.open(name) as member:
                    pickled = member.read(MAX_PICKLE_BYTES)
        else:
            with path.open("rb") as file:
                pickled = file.read(MAX_PICKLE_BYTES)
        stream = io.BytesIO(pickled)
        strings: list[str] = []
        # the old format has three small pickles before that of the tensors
        for opcode, argument, _ in itertools.chain.from_iterable(pickletools.genops(stream) for _ in range(4)):
            if opcode.name in ("GLOBAL", "INST"):
                name = argument.replace(" ", ".")
            elif opcode.name == "STACK_GLOBAL":
                name = ".".join(strings[-2:])
            else:
                if isinstance(argument, str):
                    strings.append(argument)
                continue
            if name.split(".")[0] not in ("torch", "collections"):
                return name
    except Exception:  # a damaged file, which can raise anything; the caller says that it is
        pass
    return None


def _read_onnx(path: Path, choose: Choice) -> Checkpoint:
    """The Conv nodes of a graph whose weights are constants; the graph tells groups, stride and dilation."""
    import onnx
    from google.protobuf.message import DecodeError

    content = path.read_bytes()
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise AtlasError("unknown format, or a truncated ONNX file; fetch the file again") from error
    folder, graph = path.parent, model.graph
    if not graph.node:
        raise AtlasError("unknown format, or an ONNX file without a graph")
    constants = {tensor.name: tensor for tensor in graph.initializer}
    producers = {}
    for node in graph.node:
        if node.op_type == "Constant":
            constants.update((node.output[0], a.t) for a in node.attribute if a.name == "value")
        producers.update(dict.fromkeys(node.output, node))

    def values(name: str) -> np.ndarray:
        tensor = constants[name]
        outside = [e.value for e in tensor.external_data if e.key == "location" and not _is_inside(folder, e.value)]
        if outside:
            raise AtlasError(f"external data {outside[0]!r} of tensor {name!r} lies outside the folder of the model")
        try:
            return onnx.numpy_helper.to_array(tensor, base_dir=str(folder))
        except Exception as error:  # sizes that do not fit, files that are missing: ValueError, OSError, onnx's own
            raise AtlasError(f"damaged tensor {name!r} ({str(error).splitlines()[0][:120]})") from error

    def layers() -> Iterator[Layer]:
        seen = set()  # detection heads use one weight in several nodes
        for node in graph.node:
            if node.op_type not in ("Conv", "ConvTranspose") or len(node.input) < 2:
                continue
            attributes = {attribute.name: attribute for attribute in node.attribute}
            groups = attributes["group"].i if "group" in attributes else 1
            name, scaling = _constant_behind(node.input[1], constants, producers)
            if name is None or name in seen or not choose({name: Form(tuple(constants[name].dims), groups)}):
                continue
            seen.add(name)
            weight = values(name)
            dtype = onnx.helper.tensor_dtype_to_np_dtype(constants[name].data_type).name
            if scaling is not None:
                weight = _dequantized(weight, scaling, values)
            with np.errstate(over="ignore"):  # float64, as in safetensors
                weight = weight.astype(np.float32, copy=False)
            stride, dilation = (
                max(attributes[key].ints, default=1) if key in attributes else 1 for key in ("strides", "dilations")
            )
            yield Layer(name, weight, dtype, stride, dilation)

    licence = _licence({entry.key: entry.value for entry in model.metadata_props})
    return Checkpoint(layers(), {"sha256": hashlib.sha256(content).hexdigest(), **licence})


def _is_inside(folder: Path, location: str) -> bool:
    """Whether a path, its links followed, stays in the folder it is relative to."""
    return (folder / location).resolve().is_relative_to(folder.resolve())


def _constant_behind(name: str, constants: dict, producers: dict) -> tuple:
    """Name of the constant that a weight comes from, and the DequantizeLinear node between, if any."""
    scaling = None
    for _ in range(4):  # exporters put no more than a cast and a dequantization between; and a graph may lie in cycles
        if name in constants:
            return name, scaling
        node = producers.get(name)
        if node is None or node.op_type not in ("Identity", "Cast", "DequantizeLinear"):
            break
        scaling = node if node.op_type == "DequantizeLinear" else scaling
        name = node.input[0]
    return None, None


def _dequantized(weight: np.ndarray, node, values: Callable[[str], np.ndarray]) -> np.ndarray:
    """(weight - zero point) * scale, per tensor or per channel, as DequantizeLinear defines it."""
    try:
        scale, *zero = (values(name).astype(np.float32) for name in node.input[1:] if name)
        if scale.size > 1:
            shape = [1] * weight.ndim
            shape[next((a.i for a in node.attribute if a.name == "axis"), 1)] = -1
            scale, zero = scale.reshape(shape), [z.reshape(shape) for z in zero]
        return (weight.astype(np.float32) - (zero[0] if zero else 0)) * scale
    except (KeyError, ValueError, IndexError) as error:
        raise AtlasError(f"cannot dequantize the weight of {node.output[0]!r}: {error}") from error


def _licence(metadata: dict[str, str]) -> dict[str, str]:
    """The licence that a file's own metadata names, if it does."""
    licence = metadata.get("license") or metadata.get("licence")
    return {"licence": licence} if licence else {}
