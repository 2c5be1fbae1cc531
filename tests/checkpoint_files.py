"""What tests of formats share: files to read, and what reading gives."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.checkpoint import Layer
from kernel_atlas.io.sources import Wanted, read_layers

KERNELS = np.random.default_rng(0).standard_normal((6, 1, 5, 3), np.float32)


def layers_of(path: Path, convolution: str = "depthwise") -> list[Layer]:
    return list(read_layers(f"file:{path.name}", Wanted(path.parent, convolution)).layers)


def only_layer(path: Path, convolution: str = "depthwise") -> Layer:
    (layer,) = layers_of(path, convolution)
    return layer


def refusal(path: Path) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(AtlasError) as caught:
        layers_of(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def read_and_passed_over(path: Path) -> tuple[list[Layer], dict[str, list[str]]]:
    """The layers of a file, and the names of those that only look depthwise by the reason."""
    checkpoint = read_layers(f"file:{path.name}", Wanted(path.parent))
    return list(checkpoint.layers), checkpoint.not_read


def onnx_model(
    path: Path, nodes: list, constants: dict, functions: list | None = None, opset: int = 21, **options
) -> Path:
    """A model of nodes that take the input x; arrays and tensors by name are its initializers."""
    graph = onnx.helper.make_graph(
        nodes,
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, None)],
        [],
        [
            value if isinstance(value, onnx.TensorProto) else onnx.numpy_helper.from_array(np.asarray(value), name)
            for name, value in constants.items()
        ],
    )
    domains = {"": opset, "local": 1, "com.microsoft": 1}
    opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in domains.items()]
    model = onnx.helper.make_model(graph, functions=functions, opset_imports=opsets)
    onnx.helper.set_model_props(model, {"license": "apache-2.0"})
    onnx.save(model, path, **options)
    return path


def conv(weight: str, kind: str = "Conv", **attributes) -> onnx.NodeProto:
    return onnx.helper.make_node(kind, ["x", weight], [f"y_{weight}_{len(attributes)}"], **attributes)
