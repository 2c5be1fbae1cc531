"""Networks in memory: modules, state dicts, lists of tensors. torch is never imported here: who has a module has it."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io import timm_layers as architectures
from kernel_atlas.io.checkpoint import Checkpoint, Choice, Layer, Rule
from kernel_atlas.io.formats.pytorch import choose_readable
from kernel_atlas.io.formats.rebuild import Tensor
from kernel_atlas.io.formats.wrappers import MAX_DEPTH, find_state
from kernel_atlas.io.parametrised import make
from kernel_atlas.io.state_dict import bare_name

if TYPE_CHECKING:
    import torch

KINDS = "an nn.Module, a state dict, a list of tensors [n, 1, kh, kw], a path, or a source such as timm:NAME.TAG"


def read_object(network: Any, choose: Choice, rule: Rule) -> Checkpoint:
    """The layers of a network in memory; their weights are copies, as training may go on.

    Parameters
    ----------
    network : nn.Module, mapping, array, or list of arrays
        A module is asked for its convolutions, and where it has none that the rule accepts, for its state dict. A
        mapping is read as a file of torch.save would be. Arrays are [n, 1, kh, kw] or [n, kh, kw] (numpy, torch or
        whatever numpy takes), a layer each.
    choose : Choice
        Which tensors of a state dict to read.
    rule : Rule
        `is_depthwise` or `is_dense`.

    Raises
    ------
    AtlasError
        It is none of these; also while iterating.
    """
    if _is_module(network):
        checkpoint = read_module(network, rule)
        return checkpoint or _read_mapping(network.state_dict(), choose)
    if isinstance(network, Mapping):
        return _read_mapping(network, choose)
    arrays = [network] if _is_array(network) else network
    if isinstance(arrays, (list, tuple)) and arrays and all(map(_is_array, arrays)):
        return _read_arrays(arrays)
    raise AtlasError(f"of a type that has no kernels; give {KINDS}")


def read_module(network: "torch.nn.Module", rule: Rule) -> Checkpoint | None:
    """Read the weights of a network's convolutions as they are now; None if `rule` takes no convolution."""
    found = list(architectures.find_layers(network, rule))

    def layers() -> Iterator[Layer]:
        for known, module in found:
            name = bare_name(known.name).lstrip(".")  # a convolution alone has no path
            layer = Layer(name, values_of(module.weight), _dtype(module.weight), judged_by="architecture")
            yield replace(layer, **known.place())

    return Checkpoint(layers(), {}) if found else None


def _read_mapping(mapping: Mapping[str, Any], choose: Choice) -> Checkpoint:
    """The layers chosen from a state dict, bare or in a training checkpoint."""
    _, found = find_state(_held(mapping, MAX_DEPTH), None)
    tensors = {name.removeprefix("module."): tensor for name, tensor in found.items()}
    selection = choose_readable(tensors, choose)

    def layers() -> Iterator[Layer]:
        for weight in selection.weights:
            parts = [values_of(tensors[name].array) for name in weight.tensors]
            yield Layer(weight.name, make(weight, parts), tensors[weight.tensors[0]].dtype)

    return Checkpoint(layers(), {}, selection.not_read)


def _read_arrays(arrays: Sequence[Any]) -> Checkpoint:
    def layers() -> Iterator[Layer]:
        for index, array in enumerate(arrays):
            weight = values_of(array)
            weight = weight[:, None] if weight.ndim == 3 else weight
            if weight.ndim != 4 or not weight.size:
                raise AtlasError(f"tensor {index} is of shape {list(weight.shape)[:8]}; give taps [n, 1, kh, kw]")
            yield Layer(str(index), weight, _dtype(array))

    return Checkpoint(layers(), {})


class _Held(Tensor):
    """A tensor in memory, in the form in which the search of a file meets it."""

    __slots__ = ("array",)

    def __init__(self, array: Any):
        super().__init__(tuple(array.shape), _dtype(array))
        self.array = array
        if getattr(array, "is_meta", False):
            self.why_not = "on the meta device, without values"

    @property
    def memory(self) -> tuple:
        place = self.array.data_ptr() if hasattr(self.array, "data_ptr") else id(self.array)
        return (place, 0, self.shape, ())


def _held(value: Any, depth: int) -> Any:
    """What a mapping holds, its tensors as `_Held`; containers deeper than `depth` are left out."""
    if _is_array(value):
        return _Held(value)
    if _is_module(value):
        value = value.state_dict()
    if isinstance(value, (Mapping, list, tuple)):
        if not depth:
            return None
        if isinstance(value, Mapping):
            return {str(key): _held(member, depth - 1) for key, member in value.items()}
        return [_held(member, depth - 1) for member in value]
    return value


def _is_module(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype") and hasattr(value, "__array__")


def _dtype(array: Any) -> str:
    return str(array.dtype).removeprefix("torch.")


def values_of(array: Any) -> np.ndarray:
    """A copy as float32, of a tensor on any device.

    Raises
    ------
    AtlasError
        It has no values, or others than numbers.
    """
    if getattr(array, "is_meta", False):
        raise AtlasError("on the meta device, without values; load its weights first")
    try:
        if hasattr(array, "detach"):
            array = array.detach().float().cpu().numpy()
        return np.array(array, np.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise AtlasError(f"a tensor of dtype {_dtype(array)} is not read ({str(error)[:100]})") from error
