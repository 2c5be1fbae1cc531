"""PyTorch state dicts, of the zip and of the older format, loaded without running code."""

import argparse
import hashlib
import io
import itertools
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.checkpoint import Checkpoint, Choice, Form, Layer
from kernel_atlas.io.state_dict import make

if TYPE_CHECKING:
    import torch

MAX_REPEATED = 2**26  # values of a tensor larger than its file: strides of 0 repeat one value to any shape
MAX_PICKLE_BYTES = 16_000_000  # of a refused pickle, searched for the reason; names and shapes take a tenth of it
# Keys under which training scripts keep the weights, best first: averaged weights are those that were evaluated.
# Optimizers and schedulers beside them hold tensors of the same shapes and are never opened.
_WRAPPERS = (
    *("state_dict_ema", "model_ema", "params_ema", "ema_state_dict", "ema"),
    *("state_dict", "model_state_dict", "model_state", "model", "params", "net", "network", "weights", "module"),
)


def load_torch(path: Path) -> "tuple[dict[str, torch.Tensor], int, str]":
    """The tensors of a state dict from `torch.save`, the size of the file in bytes and its hash.

    Raises
    ------
    AtlasError
        The file is damaged, holds no state dict or would run code.
    """
    import torch  # here: 3 s and 250 MB that only these files pay for

    with path.open("rb") as file:
        # Only the zip format can be mapped, and torch.load trusts a name that ends in .safetensors.
        mapped = file.read(2) == b"PK" and path.suffix != ".safetensors"
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        file_bytes = file.tell()
        file.seek(0)
        try:
            # Namespace holds the arguments that timm and others save beside the weights.
            # The warnings ignored are torch's about itself.
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


def read_torch(path: Path, choose: Choice) -> Checkpoint:
    """The layers chosen from a state dict of `torch.save`; quantized weights are dequantized."""
    import torch

    tensors, file_bytes, sha256 = load_torch(path)
    selection = choose({name: Form(tuple(tensor.shape), storage=_storage(tensor)) for name, tensor in tensors.items()})

    def values(name: str) -> np.ndarray:
        tensor = tensors[name]
        if tensor.numel() > max(file_bytes, MAX_REPEATED):
            raise AtlasError(f"damaged: tensor {name[:100]!r} claims more values than the file has bytes")
        tensor = tensor.dequantize() if tensor.is_quantized else tensor.detach()
        return tensor.to(torch.float64 if tensor.dtype == torch.float64 else torch.float32).contiguous().numpy()

    def layers() -> Iterator[Layer]:
        for weight in selection.weights:
            tensor = tensors[weight.tensors[0]]
            dtype = str(tensor.dtype).removeprefix("torch.")
            why = _why_not_read(tensor) if len(weight.tensors) == 1 else None
            if why:
                selection.not_read.setdefault(why, []).append(weight.name)
            else:
                yield Layer(weight.name, make(weight, [values(name) for name in weight.tensors]), dtype)

    return Checkpoint(layers(), {"sha256": sha256}, selection.not_read)


def _storage(tensor: "torch.Tensor") -> tuple | None:
    """What tensors with the same values in memory share: a module at several places of a network is one layer."""
    if tensor.is_meta or tensor.is_sparse or tensor.is_quantized or tensor.numel() == 0:
        return None
    return (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.shape, tensor.stride())


def _why_not_read(tensor: "torch.Tensor") -> str | None:
    """Why the values of a tensor are no taps; None if they are."""
    import torch

    if tensor.is_meta:
        return "without values, on the meta device"
    if tensor.layout != torch.strided:
        return "sparse"
    if tensor.is_quantized or tensor.dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        return None
    return f"stored as {str(tensor.dtype).removeprefix('torch.')}, whose scale no state dict tells"


def _unpacked_bytes(file: BinaryIO) -> int:
    with zipfile.ZipFile(file) as archive:
        return sum(member.file_size for member in archive.infolist())


def _state_dict(checkpoint: object, depth: int = 3) -> dict | None:
    """The state dict inside an object of `torch.load`, None if there is none."""
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

    torch does not name it from protocol 4 on, where names come from the stack.
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
        # the old format has three small pickles before the tensors
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
    except Exception:  # a damaged file can raise anything; the caller reports the damage
        pass
    return None
