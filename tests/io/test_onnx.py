"""ONNX: what the graph tells, weights behind other nodes, and what is passed over by name."""

import numpy as np
import onnx
from checkpoint_files import KERNELS, conv, layers_of, only_layer, onnx_model, read_and_passed_over, refusal
from onnx.helper import make_node

from kernel_atlas.io.sources import read_layers

INTEGERS = np.arange(-45, 45, dtype=np.int8).reshape(6, 1, 5, 3)
SCALES = np.linspace(0.01, 0.06, 6).astype(np.float32)
ZEROS = np.arange(6, dtype=np.int8)
COLUMN = (6, 1, 1, 1)
BY_CHANNEL = (INTEGERS.astype(np.float32) - ZEROS.reshape(COLUMN)) * SCALES.reshape(COLUMN)


def test_onnx_groups_decide(tmp_path):
    nodes = [
        conv("dilated", group=6, dilations=[1, 3], strides=[2, 2]),
        conv("one_channel_input"),
        conv("up", "ConvTranspose", group=6, strides=[2, 1]),
        conv("dense"),
        conv("grouped", group=2),
        conv("dilated", group=6),  # the same weight in a second node
        conv("computed", group=6),
    ]
    constants = dict.fromkeys(["dilated", "one_channel_input", "up"], KERNELS)
    constants |= {"dense": np.ones((4, 3, 3, 3), np.float32), "grouped": np.ones((4, 2, 3, 3), np.float32)}
    path = onnx_model(tmp_path / "model.onnx", nodes, constants)
    layers = layers_of(path)
    found = [(layer.name, layer.stride, layer.dilation) for layer in layers]
    assert found == [("dilated", 2, 3)]
    np.testing.assert_array_equal(layers[0].weight, KERNELS)
    assert [layer.name for layer in layers_of(path, "dense")] == ["one_channel_input", "dense"]
    _, passed_over = read_and_passed_over(path)
    assert passed_over == {"transposed convolution": ["up"], "its weight is not in the file": ["computed"]}
    metadata = read_layers(f"file:{path}", tmp_path, "depthwise").metadata
    assert metadata["licence"] == "apache-2.0"
    assert len(metadata["sha256"]) == 64


def test_onnx_weights_behind_other_nodes(tmp_path):
    nodes = [
        make_node("Constant", [], ["constant"], value=onnx.numpy_helper.from_array(KERNELS.astype(np.float16), "")),
        make_node("Cast", ["constant"], ["cast"], to=onnx.TensorProto.FLOAT),
        make_node("DequantizeLinear", ["integers", "scale"], ["by_tensor"]),
        make_node("DequantizeLinear", ["integers2", "scales", "zeros"], ["by_channel"], axis=0),
        make_node("Identity", ["circle"], ["circle"]),
        conv("cast", group=6),
        conv("by_tensor", group=6),
        conv("by_channel", group=6),
        conv("circle", group=6),
    ]
    constants = {"integers": INTEGERS, "integers2": INTEGERS, "scale": np.float32(0.5), "scales": SCALES}
    layers = layers_of(onnx_model(tmp_path / "model.onnx", nodes, constants | {"zeros": ZEROS}))
    assert [layer.dtype for layer in layers] == ["float16", "int8", "int8"]
    np.testing.assert_array_equal(layers[0].weight, KERNELS.astype(np.float16))
    np.testing.assert_array_equal(layers[1].weight, INTEGERS * np.float32(0.5))
    np.testing.assert_array_equal(layers[2].weight, BY_CHANNEL)


def test_onnx_external_data_stays_in_its_folder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    big = np.tile(KERNELS, (100, 1, 1, 1))
    path = onnx_model(
        folder / "model.onnx", [conv("w", group=600)], {"w": big}, save_as_external_data=True, location="w.bin"
    )
    np.testing.assert_array_equal(only_layer(path).weight, big)
    (folder / "w.bin").rename(tmp_path / "w.bin")
    assert "is missing; put it beside" in refusal(path)
    (folder / "w.bin").symlink_to(tmp_path / "w.bin")
    assert "lies outside the folder" in refusal(path)
    for location in ("../w.bin", str(tmp_path / "w.bin")):
        model = onnx.load(path, load_external_data=False)
        next(e for e in model.graph.initializer[0].external_data if e.key == "location").value = location
        path.write_bytes(model.SerializeToString())
        assert "lies outside the folder" in refusal(path)


def test_onnx_tensor_of_the_wrong_size_is_refused(tmp_path):
    lying = onnx.numpy_helper.from_array(KERNELS, "w")
    lying.dims[0] = 10**9
    path = onnx_model(tmp_path / "model.onnx", [conv("w", group=6)], {"w": lying})
    assert "damaged tensor 'w'" in refusal(path)
