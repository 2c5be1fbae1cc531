"""TFLite: values, what operators tell, what is passed over by name, and what is refused."""

import collections
import os
from pathlib import Path

import numpy as np
import pytest
from checkpoint_files import layers_of, only_layer, read_and_passed_over, refusal
from tflite_files import Operator, Tensor, conv, depthwise, tflite_model

DATA = os.environ.get("KERNEL_ATLAS_DATA")
CHANNELS = 6
WEIGHT = np.random.default_rng(0).standard_normal((1, 5, 3, CHANNELS)).astype(np.float32)
KERNELS = WEIGHT.transpose(3, 0, 1, 2)
INTEGERS = np.arange(-45, 45, dtype=np.int8).reshape(1, 5, 3, CHANNELS)
SCALES = tuple(np.linspace(0.01, 0.06, CHANNELS).tolist())
ZEROS = tuple(range(CHANNELS))
X = Tensor("x", (1, 8, 8, CHANNELS))
Y = Tensor("y", (1, 8, 8, CHANNELS))
BIAS = Tensor("bias", (CHANNELS,), np.arange(CHANNELS, dtype=np.float32))
NO_BIAS = Tensor("none", (CHANNELS,), np.zeros(CHANNELS, np.float32))


def written(path: Path, weights: list[Tensor], operators: list[Operator], image: Tensor = X, **options) -> Path:
    """A model of one subgraph: its tensors are x, y, a bias, a bias of zeros, and the weights from place 4 on."""
    path.write_bytes(tflite_model([([image, Y, BIAS, NO_BIAS, *weights], operators)], **options))
    return path


def single(path: Path, weight: Tensor, **options) -> Path:
    return written(path, [weight], [depthwise([0, 4, 2], 1)], **options)


def test_a_depthwise_convolution_with_what_its_operator_tells(tmp_path):
    operators = [depthwise([0, 4, 2], 1, stride=2, dilation=3), depthwise([0, 5, 3], 1, padding=1)]
    weights = [Tensor("first", WEIGHT.shape, WEIGHT), Tensor("second", WEIGHT.shape, 2 * WEIGHT)]
    first, second = layers_of(written(tmp_path / "net", weights, operators))
    np.testing.assert_array_equal(first.weight, KERNELS)
    assert first.weight.flags.c_contiguous and first.weight.dtype == np.float32
    told = [(layer.name, layer.dtype, layer.stride, layer.dilation, layer.padding) for layer in (first, second)]
    assert told == [("first", "float32", 2, 3, "same"), ("second", "float32", 1, 1, "valid")]
    assert {first.judged_by, second.judged_by} == {"graph"}
    assert (first.folded, second.folded) == (True, None)  # a bias of zeros is the converter's


def test_integers_are_dequantized_by_tensor_and_by_channel(tmp_path):
    by_channel = Tensor("w", INTEGERS.shape, INTEGERS, SCALES, ZEROS, axis=3)
    layer = only_layer(single(tmp_path / "net", by_channel))
    scales, zeros = np.array(SCALES, np.float32), np.array(ZEROS, np.float32)
    np.testing.assert_array_equal(layer.weight, ((INTEGERS - zeros) * scales).transpose(3, 0, 1, 2))
    assert (layer.dtype, layer.folded) == ("int8", True)
    for dtype, zero in (("uint8", 128), ("int16", 0), ("int8", -3)):
        values = (INTEGERS.astype(np.int64) + (128 if dtype == "uint8" else 0)).astype(dtype)
        layer = only_layer(single(tmp_path / "net", Tensor("w", values.shape, values, (0.5,), (zero,))))
        np.testing.assert_array_equal(layer.weight, (values.transpose(3, 0, 1, 2) - np.float32(zero)) * np.float32(0.5))
        assert layer.dtype == dtype


def test_four_bits(tmp_path):
    values = np.arange(-8, 7, dtype=np.int8).repeat(6)
    packed = (values[0::2] & 15) | (values[1::2] << 4)
    weight = Tensor("w", (1, 5, 3, 6), packed.astype(np.int8), SCALES, axis=3, kind="int4")
    layer = only_layer(single(tmp_path / "net", weight))
    expected = values.reshape(1, 5, 3, 6) * np.array(SCALES, np.float32)
    np.testing.assert_array_equal(layer.weight, expected.transpose(3, 0, 1, 2))
    assert layer.dtype == "int4"


def test_weights_behind_dequantize(tmp_path):
    half = WEIGHT.astype(np.float16)
    weights = [
        Tensor("half", WEIGHT.shape, half),
        Tensor("half_dequantized", WEIGHT.shape),
        Tensor("integers", WEIGHT.shape, INTEGERS, SCALES, axis=3),
        Tensor("integers_dequantized", WEIGHT.shape),
    ]
    operators = [Operator(6, [4], [5]), Operator(6, [6], [7]), depthwise([0, 5, 2], 1), depthwise([0, 7, 2], 1)]
    first, second = layers_of(written(tmp_path / "net", weights, operators))
    np.testing.assert_array_equal(first.weight, half.transpose(3, 0, 1, 2).astype(np.float32))
    np.testing.assert_array_equal(second.weight, (INTEGERS * np.float32(SCALES)).transpose(3, 0, 1, 2))
    assert (first.dtype, second.dtype) == ("float16", "int8")


def test_values_after_the_flatbuffer(tmp_path):
    path = single(tmp_path / "net", Tensor("w", WEIGHT.shape, WEIGHT), outside=True)
    np.testing.assert_array_equal(only_layer(path).weight, KERNELS)
    path.write_bytes(path.read_bytes()[:-1])
    assert "damaged or truncated TFLite file" in refusal(path)


def test_groups_decide(tmp_path):
    """A grouped CONV_2D with one channel a group is depthwise; DEPTHWISE_CONV_2D on one channel is a dense stem."""
    ohwi = WEIGHT.transpose(3, 1, 2, 0)
    dense = np.arange(4 * 3 * 3 * CHANNELS, dtype=np.float32).reshape(4, 3, 3, CHANNELS)
    weights = [
        Tensor("grouped", ohwi.shape, ohwi),
        Tensor("dense", dense.shape, dense),
        Tensor("by_two", (4, 3, 3, 2), dense[..., :2].copy()),
        Tensor("grey", (1, 8, 8, 1)),
        Tensor("stem", WEIGHT.shape, WEIGHT),
        Tensor("one_tap", (1, 1, 1, CHANNELS), WEIGHT[:, :1, :1].copy()),
    ]
    operators = [conv([0, 4], 1), conv([0, 5, 2], 1), conv([0, 6, 2], 1), depthwise([7, 8, 2], 1)]
    path = written(tmp_path / "net", weights, [*operators, depthwise([0, 9, 2], 1)])
    layer = only_layer(path)
    np.testing.assert_array_equal(layer.weight, KERNELS)
    assert (layer.name, layer.stride, layer.padding) == ("grouped", 2, "valid")
    first, second = layers_of(path, "dense")
    np.testing.assert_array_equal(first.weight, dense.transpose(0, 3, 1, 2))
    assert (first.name, second.name) == ("dense", "stem")
    assert read_and_passed_over(path)[1] == {}


def test_a_depth_multiplier_keeps_the_order_of_outputs(tmp_path):
    weight = np.concatenate([WEIGHT, -WEIGHT], axis=3)
    layer = only_layer(single(tmp_path / "net", Tensor("w", weight.shape, weight)))
    np.testing.assert_array_equal(layer.weight, np.concatenate([KERNELS, -KERNELS]))


def test_a_pad_before_counts_and_space_to_batch_dilates(tmp_path):
    pads = np.array([[0, 0], [0, 1], [2, 3], [0, 0]], np.int32)
    weights = [
        Tensor("w", WEIGHT.shape, WEIGHT),
        Tensor("pads", (4, 2), pads),
        Tensor("padded", (1, 9, 13, CHANNELS)),
        Tensor("v", WEIGHT.shape, 2 * WEIGHT),
        Tensor("block", (2,), np.array([4, 4], np.int32)),
        Tensor("batches", (16, 2, 2, CHANNELS)),
    ]
    operators = [
        Operator(34, [0, 5], [6]),
        depthwise([6, 4, 2], 1, padding=1),
        Operator(38, [0, 8, 5], [9]),
        depthwise([9, 7, 2], 1, padding=1),
    ]
    first, second = layers_of(written(tmp_path / "net", weights, operators))
    assert (first.padding, first.dilation) == ("0 2 1 3", 1)
    assert (second.padding, second.dilation) == (None, 4)


def test_what_looks_depthwise_and_is_not_read_is_named(tmp_path):
    video = np.ones((3, 3, 3, 1, CHANNELS), np.float32)
    up = np.ones((CHANNELS, 3, 3, 1), np.float32)
    weights = [
        Tensor("plain", WEIGHT.shape, WEIGHT),
        Tensor("sparse", WEIGHT.shape, WEIGHT, sparse=True),
        Tensor("computed", WEIGHT.shape),
        Tensor("densified", WEIGHT.shape),
        Tensor("video", video.shape, video),
        Tensor("up", up.shape, up),
        Tensor("raw", INTEGERS.shape, INTEGERS),
        Tensor("numbers", INTEGERS.shape, INTEGERS.astype(np.int32)),
        Tensor("clip", (1, 4, 8, 8, CHANNELS)),
        Tensor("hlo", (CHANNELS, 1, 3, 3), np.ones((CHANNELS, 1, 3, 3), np.float32)),
    ]
    operators = [
        *(depthwise([0, place, 2], 1) for place in (4, 5, 6)),
        Operator(124, [5], [7]),
        depthwise([0, 7, 2], 1),
        Operator(132, [12, 8], [1]),
        Operator(67, [3, 9, 0], [1]),
        depthwise([0, 10, 2], 1),
        depthwise([0, 11, 2], 1),
        depthwise([0, 5, 2], 1),  # once more
        Operator(171, [0, 13], [1], ("StablehloConvolutionOptions", {"FeatureGroupCount": CHANNELS})),
    ]
    layers, passed_over = read_and_passed_over(written(tmp_path / "net", weights, operators))
    assert [layer.name for layer in layers] == ["plain"]
    assert passed_over == {
        "its weight is sparse": ["sparse", "densified"],
        "its weight is computed while the network runs": ["computed"],
        "Conv3d": ["video"],
        "transposed convolution": ["up"],
        "its weight is stored as int8 without a scale": ["raw"],
        "its weight is stored as type 2 of the schema": ["numbers"],
        "operator of StableHLO": ["hlo"],
    }


def test_a_weight_of_several_operators_and_subgraphs_is_one_layer(tmp_path):
    weight = Tensor("w", WEIGHT.shape, WEIGHT)
    operators = [depthwise([0, 2], 1), depthwise([0, 2], 1), depthwise([0, 3], 1)]
    other = ([X, Y, Tensor("w", WEIGHT.shape, 3 * WEIGHT)], [depthwise([0, 2], 1)])
    path = tmp_path / "net"
    path.write_bytes(tflite_model([([X, Y, weight, Tensor("w", WEIGHT.shape, 2 * WEIGHT)], operators), other]))
    assert [layer.name for layer in layers_of(path)] == ["w", "w (2)", "w (0)"]


@pytest.mark.parametrize("norm", [Operator(76, [0], [1]), Operator(32, [0], [1], custom="GroupNorm")])
def test_folded_is_unknown_beside_other_norms(tmp_path, norm):
    path = written(tmp_path / "net", [Tensor("w", WEIGHT.shape, WEIGHT)], [norm, depthwise([0, 4, 2], 1)])
    assert only_layer(path).folded is None


@pytest.mark.parametrize(
    ("weight", "reason"),
    [
        (Tensor("w", (1, 2**30, 2**30, CHANNELS), WEIGHT), "in 360 bytes"),
        (Tensor("w", (1, -5, -3, CHANNELS), WEIGHT), "no depthwise"),
        (Tensor("w", (5, 3, CHANNELS), WEIGHT), "a weight of 3 axes"),
        (Tensor("w", WEIGHT.shape, INTEGERS, SCALES[:4], axis=3), "4 scales"),
        (Tensor("w", WEIGHT.shape, INTEGERS, SCALES, axis=-7), "6 scales"),
    ],
)
def test_a_weight_that_lies_is_refused(tmp_path, weight, reason):
    assert reason in refusal(single(tmp_path / "net", weight))


def test_tensors_that_are_not_there_are_refused(tmp_path):
    for inputs in ([0, 99, 2], [0, -1, 2], [0]):
        assert "damaged" in refusal(written(tmp_path / "net", [], [depthwise(inputs, 1)]))


def test_weights_that_come_to_more_than_the_file_are_refused(tmp_path):
    """Tensors can share the bytes of one buffer."""
    values = np.zeros((1, 50, 50, CHANNELS), np.int8)
    shared = [Tensor(f"w{i}", values.shape, scale=(1.0 + i,), kind="int8", buffer=1) for i in range(20)]
    tensors = [X, Y, Tensor("w", values.shape, values, (0.5,)), *shared]
    path = tmp_path / "net"
    path.write_bytes(tflite_model([(tensors, [depthwise([0, 2 + i], 1) for i in range(20)])]))
    assert "its buffers overlap" in refusal(path)


@pytest.mark.skipif(not DATA, reason="KERNEL_ATLAS_DATA does not name the folder of real checkpoints")
def test_a_real_network_gives_its_counts():
    name = "mcunet-320kb_in1k_int8.tflite"
    path = next(
        path for path in (Path(DATA, "checkpoints", name), Path(DATA, "checkpoints_next", name)) if path.exists()
    )
    layers, passed_over = read_and_passed_over(path)
    sizes = collections.Counter()
    for layer in layers:
        sizes["{2}x{3}".format(*layer.weight.shape)] += len(layer.weight)
        half = layer.weight.shape[2] // 2
        assert (layer.dtype, layer.padding, layer.folded) == ("int8", " ".join([str(half)] * 4), True)
    assert sizes == {"3x3": 1136, "5x5": 1552, "7x7": 808} and passed_over == {}
