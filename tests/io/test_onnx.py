"""ONNX: what the graph tells, weights behind other nodes, and what is passed over by name."""

import hashlib
import time

import numpy as np
import onnx
import pytest
from checkpoint_files import KERNELS, conv, layers_of, only_layer, onnx_model, read_and_passed_over, refusal
from onnx import TensorProto
from onnx.helper import make_function, make_graph, make_node, make_opsetid, make_tensor_value_info
from onnx.numpy_helper import from_array

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.formats.onnx import external_files
from kernel_atlas.io.formats.signatures import opened_files
from kernel_atlas.io.sources import Wanted, read_layers

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
    metadata = read_layers(f"file:{path}", Wanted(tmp_path)).metadata
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
    big = np.tile(KERNELS, (100, 1, 1, 1)) * np.arange(1, 601, dtype=np.float32)[:, None, None, None]
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


def test_weights_are_computed_from_constants(tmp_path):
    """Each chain of nodes gives the same kernels, as exporters write them."""
    factors = np.arange(1, 7, dtype=np.float32).reshape(COLUMN)
    constants = {
        "hwoi": KERNELS.transpose(2, 3, 0, 1).copy(),
        "shape": np.array([5, 3, 1, 6]),
        "small": KERNELS / factors,
        "large": KERNELS * factors,
        "factors": factors,
        "flat": KERNELS.reshape(6, 5, 3),
        "squeezed": KERNELS.reshape(6, 1, 1, 5, 3),
        "axis": np.array([1]),
        "packed": np.stack([KERNELS, 2 * KERNELS]),
        "second": np.array(1),
        "magnitude": np.sqrt((KERNELS**2).sum((1, 2, 3), keepdims=True)) * 2,
        "yes": np.array(True),
    }
    chosen = make_graph([make_node("Identity", ["large"], ["out"])], "b", [], [make_tensor_value_info("out", 1, None)])
    nodes = [
        make_node("Reshape", ["hwoi", "shape"], ["hwio"]),
        make_node("Transpose", ["hwio"], ["by_transpose"], perm=[3, 2, 0, 1]),
        make_node("Mul", ["small", "factors"], ["by_mul"]),
        make_node("Div", ["large", "factors"], ["by_div"]),
        make_node("Unsqueeze", ["flat", "axis"], ["by_unsqueeze"]),
        make_node("Squeeze", ["squeezed", "axis"], ["by_squeeze"]),
        make_node("Gather", ["packed", "second"], ["by_gather"], axis=0),
        make_node("ReduceL2", ["large"], ["norm"], keepdims=1, axes=[1, 2, 3]),
        make_node("Div", ["large", "norm"], ["direction"]),
        make_node("Mul", ["direction", "magnitude"], ["by_weight_norm"]),
        make_node("If", ["yes"], ["by_if"], then_branch=chosen, else_branch=chosen),
        *(conv(f"by_{how}", group=6) for how in ("transpose", "mul", "div", "unsqueeze", "squeeze", "gather")),
        conv("by_weight_norm", group=6),
        conv("by_if", group=6),
    ]
    layers = {layer.name: layer for layer in layers_of(onnx_model(tmp_path / "m.onnx", nodes, constants, opset=13))}
    # Named by the constants that they come from, or where several do, by the input of the convolution.
    assert list(layers) == ["hwoi", "small", "large", "flat", "squeezed", "packed", "by_weight_norm", "by_if"]
    for name, times in {"hwoi": 1, "small": 1, "large": 1, "flat": 1, "squeezed": 1, "packed": 2}.items():
        np.testing.assert_allclose(layers[name].weight, times * KERNELS, rtol=1e-6)
    np.testing.assert_allclose(layers["by_weight_norm"].weight, 2 * KERNELS, rtol=1e-5)
    np.testing.assert_array_equal(layers["by_if"].weight, KERNELS * factors)
    assert {(layer.dtype, layer.judged_by) for layer in layers.values()} == {("float32", "graph")}


@pytest.mark.parametrize("opset", [10, 13, 19, 21])
def test_scales_of_quantised_weights_by_opset(tmp_path, opset):
    nodes = [make_node("DequantizeLinear", ["q", "s", "z"], ["d"]), conv("d", group=6)]
    constants = {"q": INTEGERS, "s": np.float32(0.3), "z": np.int8(-5)}
    layer = only_layer(onnx_model(tmp_path / "m.onnx", nodes, constants, opset=opset))
    np.testing.assert_array_equal(layer.weight, (INTEGERS.astype(np.float32) + 5) * np.float32(0.3))


def test_blocks_four_bits_and_float8(tmp_path):
    four = np.clip(INTEGERS // 8, -8, 7).astype(np.int8)
    blocks = np.arange(1, 6 * 3 * 3 + 1, dtype=np.float32).reshape(6, 1, 3, 3)  # of two rows, the last of one
    eight = onnx.helper.make_tensor("e", TensorProto.FLOAT8E4M3FN, KERNELS.shape, KERNELS.ravel())
    nodes = [
        make_node("DequantizeLinear", ["i4", "s"], ["d4"], axis=0),
        make_node("DequantizeLinear", ["q", "blocks"], ["db"], axis=2, block_size=2),
        make_node("Cast", ["e"], ["d8"], to=TensorProto.FLOAT),
        make_node("DequantizeLinear", ["q16", "s"], ["d16"], axis=0, domain="com.microsoft"),
        *(conv(name, group=6) for name in ("d4", "db", "d8", "d16")),
    ]
    integers4 = onnx.helper.make_tensor("i4", TensorProto.INT4, KERNELS.shape, four.ravel())
    constants = {"i4": integers4, "s": SCALES, "q": INTEGERS, "blocks": blocks, "e": eight}
    constants |= {"q16": INTEGERS.astype(np.int16) * 100}
    layers = layers_of(onnx_model(tmp_path / "m.onnx", nodes, constants))
    assert [layer.dtype for layer in layers] == ["int4", "int8", "float8_e4m3fn", "int16"]
    np.testing.assert_array_equal(layers[0].weight, four * SCALES.reshape(COLUMN))
    np.testing.assert_array_equal(layers[1].weight, INTEGERS * blocks.repeat(2, axis=2)[:, :, :5])
    np.testing.assert_allclose(layers[2].weight, KERNELS, rtol=0.07, atol=0.01)
    np.testing.assert_array_equal(layers[3].weight, INTEGERS * np.float32(100) * SCALES.reshape(COLUMN))


def test_convolutions_on_integers(tmp_path):
    names = ["s", "z", "q", "scales", "zeros", "s", "z"]
    second = ["s", "z", "q2", "scales", "zeros", "s", "z"]
    nodes = [
        make_node("QLinearConv", ["x", *names, "b"], ["a"], group=6, pads=[0, 1, 2, 3]),
        make_node(
            "QLinearConv", ["x", *(n.replace("q", "q2") for n in names)], ["b2"], group=6, domain="com.microsoft"
        ),
        make_node("ConvInteger", ["x", "q3", "zu", "zeros"], ["c"], group=6),
        # onnxruntime's dynamic quantisation: the scales of input and weight are multiplied beside.
        make_node("DynamicQuantizeLinear", ["x"], ["xq", "xs", "xz"]),
        make_node("ConvInteger", ["xq", "q4", "xz", "zeros"], ["d"], group=6),
        make_node("Cast", ["d"], ["df"], to=TensorProto.FLOAT),
        make_node("Mul", ["xs", "scales4"], ["both"]),
        make_node("Mul", ["df", "both"], ["e"]),
    ]
    constants = {"s": np.float32(0.1), "z": np.int8(0), "zu": np.uint8(0), "scales": SCALES, "zeros": ZEROS}
    constants |= {f"q{i}": np.roll(INTEGERS, int(i or 0)) for i in ("", "2", "3", "4")}
    constants |= {"b": np.ones(6, np.int32), "scales4": SCALES.reshape(1, 6, 1, 1)}
    first, second, third, fourth = layers_of(onnx_model(tmp_path / "m.onnx", nodes, constants))
    np.testing.assert_array_equal(first.weight, BY_CHANNEL)
    assert (first.dtype, first.padding, first.folded) == ("int8", "0 1 2 3", True)
    shifted = [np.roll(INTEGERS, i).astype(np.float32) - ZEROS.reshape(COLUMN) for i in (2, 3, 4)]
    np.testing.assert_array_equal(second.weight, shifted[0] * SCALES.reshape(COLUMN))
    np.testing.assert_array_equal(third.weight, shifted[1])  # no scale follows
    np.testing.assert_array_equal(fourth.weight, shifted[2] * SCALES.reshape(COLUMN))


def test_fused_operators_and_layouts_of_onnxruntime(tmp_path):
    last = KERNELS.transpose(0, 2, 3, 1).copy()
    microsoft = {"group": 6, "domain": "com.microsoft", "kernel_shape": [5, 3]}
    nodes = [
        conv("w1", "FusedConv", activation="Relu", **microsoft),
        conv("w2", "NhwcFusedConv", **microsoft),
        conv("w3", "NhwcConv", **microsoft),
        make_node("Conv", ["x", "w4"], ["y4"], group=6, domain="com.microsoft.nchwc"),
        make_node("SpecialConv2D", ["x", "w5"], ["y5"], domain="acme"),
    ]
    constants = {"w1": KERNELS, "w2": 2 * KERNELS, "w3": 3 * last, "w4": KERNELS, "w5": KERNELS}
    layers, passed_over = read_and_passed_over(onnx_model(tmp_path / "m.onnx", nodes, constants))
    for layer, times in zip(layers, (1, 2, 3), strict=True):
        np.testing.assert_array_equal(layer.weight, times * KERNELS)
    assert passed_over == {
        "layout in blocks (com.microsoft.nchwc)": ["w4"],
        "unknown operator acme.SpecialConv2D": ["w5"],
    }


def branch(weight: np.ndarray, name: str = "inner") -> onnx.GraphProto:
    out = make_tensor_value_info("out", TensorProto.FLOAT, None)
    return make_graph([make_node("Conv", ["x", name], ["out"], group=6)], "b", [], [out], [from_array(weight, name)])


def test_subgraphs_and_the_names_around_them(tmp_path):
    shadow = make_graph(
        [make_node("Conv", ["x", "outer"], ["o"], group=6), make_node("Conv", ["x", "state"], ["p"], group=6)],
        "body",
        [make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("i", "c", "state")],
        [make_tensor_value_info("c", TensorProto.BOOL, None), make_tensor_value_info("p", TensorProto.FLOAT, None)],
    )
    nodes = [
        make_node("If", ["yes"], ["a"], then_branch=branch(KERNELS), else_branch=branch(KERNELS, "copy")),
        make_node("If", ["yes"], ["b"], then_branch=branch(2 * KERNELS), else_branch=branch(3 * KERNELS)),
        make_node("Loop", ["", "yes", "start"], ["l"], body=shadow),
    ]
    constants = {"yes": np.array(True), "outer": 4 * KERNELS, "start": 5 * KERNELS, "state": KERNELS}
    layers, passed_over = read_and_passed_over(onnx_model(tmp_path / "m.onnx", nodes, constants))
    assert len({layer.name for layer in layers}) == 4
    for layer, times in zip(layers, (1, 3, 2, 4), strict=True):  # onnx sorts attributes: else before then
        np.testing.assert_array_equal(layer.weight, times * KERNELS)
    assert passed_over == {"its weight is an input of the graph": ["state"]}


def test_functions_take_weights_attributes_and_other_functions(tmp_path):
    """A block called with two weights and strides, and one that holds its own weight."""
    opsets = [make_opsetid("", 21), make_opsetid("local", 1)]
    step = make_node("Conv", ["i", "t"], ["o"], group=6)
    step.attribute.add(name="strides", ref_attr_name="steps", type=onnx.AttributeProto.INTS)
    block = make_function(
        "local", "Block", ["i", "k"], ["o"], [make_node("Neg", ["k"], ["t"]), step], opsets, attributes=["steps"]
    )
    inner = [
        make_node("Constant", [], ["own"], value=from_array(3 * KERNELS, "")),
        make_node("Block", ["i", "own"], ["o"], domain="local", steps=[3, 3]),
    ]
    nodes = [
        make_node("Block", ["x", "a"], ["y"], domain="local", steps=[2, 2]),
        make_node("Block", ["y", "b"], ["z"], domain="local"),
        make_node("Outer", ["z"], ["v"], domain="local"),
        make_node("Outer", ["v"], ["u"], domain="local"),
        make_node("Half", ["a"], ["half"], domain="local"),
        conv("half", group=6),
    ]
    half = make_function("local", "Half", ["k"], ["o"], [make_node("Add", ["k", "k"], ["o"])], opsets)
    functions = [block, make_function("local", "Outer", ["i"], ["o"], inner, opsets), half]
    path = onnx_model(tmp_path / "m.onnx", nodes, {"a": KERNELS, "b": 2 * KERNELS}, functions)
    layers = layers_of(path)
    assert [(layer.name, layer.stride) for layer in layers] == [("a", 2), ("b", 1), ("own", 3), ("half", 1)]
    for layer, times in zip(layers, (-1, -2, -3, 2), strict=True):
        np.testing.assert_array_equal(layer.weight, times * KERNELS)


def test_functions_that_call_each_other_without_end_are_refused(tmp_path):
    opsets = [make_opsetid("", 21), make_opsetid("local", 1)]

    def calling(name: str, called: str, times: int) -> onnx.FunctionProto:
        nodes = [make_node(called, ["i"], [f"o{i}"], domain="local") for i in range(times)]
        return make_function("local", name, ["i"], ["o0"], nodes, opsets)

    nodes = [make_node("F0", ["x"], ["y"], domain="local")]
    path = onnx_model(tmp_path / "m.onnx", nodes, {}, [calling("F0", "F0", 1)])
    assert "nested more than 40 deep" in refusal(path)
    path = onnx_model(tmp_path / "m.onnx", nodes, {}, [calling(f"F{i}", f"F{i + 1}", 10) for i in range(12)])
    assert "come to more than 100000 nodes" in refusal(path)


def test_a_small_file_does_not_make_for_much_work(tmp_path):
    """A thousand convolutions whose weights would each be computed in a hundred steps of four million values."""
    nodes = [make_node("ConstantOfShape", ["shape"], ["c0"])]
    nodes += [make_node("Exp", [f"c{i}"], [f"c{i + 1}"]) for i in range(100)]
    nodes += [make_node("Mul", ["c100", f"f{i}"], [f"w{i}"]) for i in range(1000)]
    nodes += [conv(f"w{i}", group=6) for i in range(1000)] + [conv("w", group=6)]
    constants = {f"f{i}": np.float32(i) for i in range(1000)}
    constants |= {"shape": np.array([6, 1, 2**10, 2**9]), "w": KERNELS}
    start = time.perf_counter()
    layers, passed_over = read_and_passed_over(onnx_model(tmp_path / "m.onnx", nodes, constants))
    assert time.perf_counter() - start < 10
    assert [layer.name for layer in layers] == ["w"]
    assert len(passed_over["its weight takes more computing than its file is large"]) == 1000


def test_names_that_are_no_text_are_refused(tmp_path):
    path = onnx_model(tmp_path / "m.onnx", [conv("weight", group=6)], {"weight": KERNELS})
    for name in (b"weight", b"Conv"):
        damaged = tmp_path / "damaged.onnx"
        damaged.write_bytes(path.read_bytes().replace(name, b"\xff" * len(name)))
        assert "a name in its graph is no text" in refusal(damaged)


def test_sparse_weights_have_their_zeros(tmp_path):
    dense = np.where(np.abs(KERNELS) > 0.5, KERNELS, 0)
    places = np.flatnonzero(dense)
    model = onnx.load(onnx_model(tmp_path / "m.onnx", [conv("w", group=6), conv("v", group=6)], {}))
    for name, indices in (("w", places), ("v", np.argwhere(dense))):
        values = from_array(dense.ravel()[places], name)
        model.graph.sparse_initializer.append(
            onnx.helper.make_sparse_tensor(values, from_array(indices, ""), KERNELS.shape)
        )
    onnx.save(model, tmp_path / "m.onnx")
    first, second = layers_of(tmp_path / "m.onnx")
    np.testing.assert_array_equal(first.weight, dense)
    np.testing.assert_array_equal(second.weight, dense)


def test_what_looks_depthwise_and_is_not_read_is_named(tmp_path):
    line, box = np.ones((6, 1, 3), np.float32), np.ones((6, 1, 1, 3, 3), np.float32)
    constants = {"line": line, "box": box, "up": np.ones((6, 2, 3, 3), np.float32), "deform": KERNELS, "w": KERNELS}
    constants |= {"tap": np.ones((6, 1, 1, 1), np.float32), "up_by_two": np.ones((6, 1, 3, 3), np.float32)}
    constants |= {
        "huge": np.array([6, 1, 10**9, 10**9]),
        "words": np.array(["a"] * 54).reshape(6, 1, 3, 3),
        "q": INTEGERS,
        "s": SCALES[:4],
    }
    nodes = [
        conv("line", group=6),
        conv("box", group=6),
        conv("up", "ConvTranspose", group=6),
        conv("up_by_two", "ConvTranspose", group=3),
        conv("deform", "DeformConv", group=6),
        conv("tap", group=6),
        conv("from_image", group=6),
        conv("tap_from_image", group=6, kernel_shape=[1, 1]),
        conv("dense_from_image"),
        conv("random", group=6),
        conv("larger", group=6),
        conv("words", group=6),
        conv("uneven", group=6),
        conv("w", group=6),
        make_node("Add", ["w", "x"], ["from_image"]),
        make_node("RandomNormal", [], ["random"], shape=[6, 1, 3, 3]),
        make_node("ConstantOfShape", ["huge"], ["larger"]),
        make_node("DequantizeLinear", ["q", "s"], ["uneven"], axis=0),
    ]
    layers, passed_over = read_and_passed_over(onnx_model(tmp_path / "m.onnx", nodes, constants))
    assert [layer.name for layer in layers] == ["w"]
    (uneven,) = [reason for reason, names in passed_over.items() if names == ["uneven"]]
    assert uneven.startswith("its weight cannot be computed by DequantizeLinear (")
    del passed_over[uneven]
    assert passed_over == {
        "Conv1d": ["line"],
        "Conv3d": ["box"],
        "transposed convolution": ["up"],
        "deformable convolution": ["deform"],
        "its weight is an input of the graph": ["from_image"],
        "its weight is computed by RandomNormal": ["random"],
        "its weight takes more computing than its file is large": ["larger"],
        "its weight is stored as string": ["words"],
    }


def test_a_stated_shape_tells_whether_a_computed_weight_looks_depthwise(tmp_path):
    shapes = {"grouped": [6, 2, 3, 3], "one_tap": [6, 1, 1, 1], "single": [6, 1, 3, 3], "line": [6, 1, 3]}
    model = onnx.load(onnx_model(tmp_path / "m.onnx", [conv(n, group=3) for n in [*shapes, "w"]], {"w": KERNELS}))
    infos = [make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    model.graph.input.extend(infos)
    onnx.save(model, tmp_path / "m.onnx")
    _, passed_over = read_and_passed_over(tmp_path / "m.onnx")
    assert passed_over == {"its weight is an input of the graph": ["single"], "Conv1d": ["line"]}


@pytest.mark.parametrize(
    ("attributes", "padding"),
    [
        ({}, "valid"),
        ({"pads": [0, 0, 0, 0]}, "valid"),
        ({"pads": [1, 2, 3, 4]}, "1 2 3 4"),
        ({"auto_pad": "SAME_UPPER"}, "same"),
        ({"auto_pad": "SAME_LOWER"}, "same"),
        ({"auto_pad": "VALID"}, "valid"),
        ({"auto_pad": "NOTSET", "pads": [1, 1, 1, 1]}, "1 1 1 1"),
    ],
)
def test_padding(tmp_path, attributes, padding):
    path = onnx_model(tmp_path / "m.onnx", [conv("w", group=6, **attributes)], {"w": KERNELS})
    assert only_layer(path).padding == padding


def test_a_pad_before_counts(tmp_path):
    nodes = [
        make_node("Pad", ["x", "pads"], ["p"]),
        make_node("Conv", ["p", "w"], ["y"], group=6, pads=[1, 1, 1, 1]),
        make_node("Pad", ["x", "y"], ["q"]),
        make_node("Conv", ["q", "v"], ["z"], group=6),
    ]
    constants = {"w": KERNELS, "v": 2 * KERNELS, "pads": np.array([0, 0, 0, 1, 0, 0, 2, 3])}
    first, second = layers_of(onnx_model(tmp_path / "m.onnx", nodes, constants))
    assert (first.padding, second.padding) == ("1 2 3 4", None)


NORM = [make_node("BatchNormalization", ["y", "one", "one", "one", "one"], ["n"])]


@pytest.mark.parametrize(
    ("inputs", "others", "folded"),
    [
        (["x", "w"], [], None),
        (["x", "w", "one"], [], True),
        (["x", "w", "zero"], [], True),  # an untrained network
        (["x", "w", "x"], [], None),
        (["x", "w"], [make_node("Add", ["y", "one"], ["b"])], True),
        (["x", "w"], [make_node("Add", ["y", "x"], ["b"])], None),
        (["x", "w"], NORM, False),
        (["x", "w"], [make_node("Cast", ["y"], ["z"], to=1), make_node("BatchNormalization", ["z"], ["n"])], False),
        (["x", "w", "one"], [make_node("InstanceNormalization", ["x", "one", "one"], ["n"])], None),
        (["x", "w", "one"], [make_node("Sqrt", ["x"], ["n"])], None),  # LayerNorm of older exporters
        (["x", "w", "one"], [make_node("LpNormalization", ["x"], ["n"])], True),
    ],
)
def test_folded_where_the_graph_tells(tmp_path, inputs, others, folded):
    nodes = [make_node("Conv", inputs, ["y"], group=6), *others]
    constants = {"w": KERNELS, "one": np.ones(6, np.float32), "zero": np.zeros(6, np.float32)}
    assert only_layer(onnx_model(tmp_path / "m.onnx", nodes, constants)).folded is folded


def external(tensor: onnx.TensorProto, location: str) -> onnx.TensorProto:
    """A tensor that says that its values lie in another file, from its first byte."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def test_external_files_are_listed_and_hashed_wherever_tensors_stand(tmp_path):
    """In initializers, constants, subgraphs, functions and sparse tensors."""
    (tmp_path / "parts").mkdir()
    files = ["parts/a", "b", "c", "d", "e", "f"]
    for name in files:
        (tmp_path / name).write_bytes(KERNELS.tobytes())
    tensors = [external(from_array(KERNELS, name), name) for name in files]
    own = make_function(
        "local", "F", ["i"], ["o"], [make_node("Constant", [], ["o"], value=tensors[2])], [make_opsetid("", 21)]
    )
    inner = branch(KERNELS)
    inner.initializer[0].CopyFrom(tensors[3])
    nodes = [
        conv(files[0], group=6),
        make_node("Constant", [], ["k"], value=tensors[1]),
        make_node("F", ["x"], ["f"], domain="local"),
        make_node("If", ["yes"], ["i"], then_branch=inner, else_branch=inner),
    ]
    path = onnx_model(tmp_path / "m.onnx", nodes, {files[0]: tensors[0], "yes": np.array(True)}, [own])
    model = onnx.load(path, load_external_data=False)
    sparse = model.graph.sparse_initializer.add(dims=[6, 1, 5, 3])
    sparse.values.CopyFrom(tensors[4])
    sparse.indices.CopyFrom(tensors[5])
    onnx.save(model, path)
    listed = [tmp_path / name for name in sorted(files)]
    assert external_files(path) == listed
    assert opened_files(path) == [path, *listed]
    lines = "".join(
        f"{hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()}  {name}\n" for name in ["m.onnx", *sorted(files)]
    )
    metadata = read_layers("file:m.onnx", Wanted(tmp_path)).metadata
    assert metadata["sha256"] == hashlib.sha256(lines.encode()).hexdigest()
    (tmp_path / "b").unlink()
    with pytest.raises(AtlasError, match="external data 'b' of tensor 'b' is missing"):
        external_files(path)
    assert opened_files(path) == [path]  # so that it fails its own model alone
    assert opened_files(tmp_path / "missing.onnx") == []


def test_a_model_without_external_data_has_its_own_hash(tmp_path):
    path = onnx_model(tmp_path / "m.onnx", [conv("w", group=6)], {"w": KERNELS})
    assert external_files(path) == []
    metadata = read_layers("file:m.onnx", Wanted(tmp_path)).metadata
    assert metadata["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
