"""ONNX files: weights of Conv nodes, with the groups, stride and dilation that the graph tells."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.checkpoint import Checkpoint, Choice, Form, Layer, licence_of


def read_onnx(path: Path, choose: Choice) -> Checkpoint:
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
            if name is None or name in seen or not choose({name: Form(tuple(constants[name].dims), groups)}).weights:
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
            yield Layer(name, weight, dtype, stride, dilation, judged_by="graph")

    licence = licence_of({entry.key: entry.value for entry in model.metadata_props})
    return Checkpoint(layers(), {"sha256": hashlib.sha256(content).hexdigest(), **licence})


def _is_inside(folder: Path, location: str) -> bool:
    """Whether a path, its links followed, stays in the folder it is relative to."""
    return (folder / location).resolve().is_relative_to(folder.resolve())


def _constant_behind(name: str, constants: dict, producers: dict) -> tuple:
    """Name of the constant that a weight comes from, and the DequantizeLinear node between, if any."""
    scaling = None
    for _ in range(4):  # a cast and a dequantization at most; a damaged graph may have cycles
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
