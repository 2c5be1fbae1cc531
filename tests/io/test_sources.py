"""Loaders: what each format gives, and that nothing damaged or hostile gets through."""

import argparse
import ast
import collections
import hashlib
import json
import os
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import safetensors.torch
import timm
import torch
from checkpoint_files import KERNELS, conv, layers_of, only_layer, onnx_model, refusal
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.checkpoint import Form, is_dense, is_depthwise
from kernel_atlas.io.formats.signatures import opened_files, read_state
from kernel_atlas.io.sources import Wanted, read_layers

DATA = os.environ.get("KERNEL_ATLAS_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="KERNEL_ATLAS_DATA does not name the folder of real checkpoints")


# -- which layers count


@pytest.mark.parametrize(
    ("shape", "groups", "depthwise", "dense"),
    [
        ((8, 1, 3, 3), None, True, False),
        ((8, 1, 1, 7), None, True, False),
        ((8, 1, 1, 1), None, False, False),  # pointwise
        ((1, 1, 3, 3), None, False, False),  # one channel in, one out: says nothing
        ((8, 4, 3, 3), None, False, True),
        ((8, 1, 3), None, False, False),  # 1-D
        ((0, 1, 3, 3), None, False, False),
        ((8, 1, 3, 3), 8, True, False),
        ((16, 1, 3, 3), 8, True, False),  # depth multiplier 2
        ((8, 1, 3, 3), 1, False, True),  # dense, on a one-channel image
        ((8, 2, 3, 3), 4, False, False),  # grouped
    ],
)
def test_shape_and_groups_tell_which_layers_count(shape, groups, depthwise, dense):
    assert is_depthwise(Form(shape, groups)) == depthwise
    assert is_dense(Form(shape, groups)) == dense


def test_unknown_scheme_names_those_there_are(tmp_path):
    with pytest.raises(AtlasError, match="file:, package:, timm:, hf:, init:"):
        read_layers("ftp:somewhere", Wanted(tmp_path))


# -- safetensors


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.uint32, st.tuples(st.integers(2, 5), st.just(1), st.integers(2, 4), st.integers(1, 4))))
def test_float32_is_bit_exact(tmp_path_factory, bits):
    path = tmp_path_factory.mktemp("exact") / "model.safetensors"
    safetensors.numpy.save_file({"conv.weight": bits.view(np.float32)}, path)
    layer = only_layer(path)
    np.testing.assert_array_equal(layer.weight.view(np.uint32), bits)
    assert layer.dtype == "float32"


ALL_HALVES = np.arange(2**16, dtype=np.uint16)


def test_every_bfloat16_is_widened_exactly(tmp_path):
    weight = torch.from_numpy(ALL_HALVES.view(np.int16)).view(torch.bfloat16).reshape(-1, 1, 2, 2)
    safetensors.torch.save_file({"conv.weight": weight}, tmp_path / "model.safetensors")
    layer = only_layer(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(layer.weight.view(np.uint32).ravel(), ALL_HALVES.astype(np.uint32) << 16)
    assert layer.dtype == "bfloat16"


def test_every_float16_is_widened_exactly(tmp_path):
    safetensors.numpy.save_file({"w": ALL_HALVES.view(np.float16).reshape(-1, 1, 2, 2)}, tmp_path / "model.safetensors")
    layer = only_layer(tmp_path / "model.safetensors")
    expected = np.array(struct.unpack("<65536e", ALL_HALVES.tobytes()), np.float32)
    np.testing.assert_array_equal(layer.weight.ravel(), expected)  # NaN where NaN is expected
    assert layer.dtype == "float16"


def test_float64_is_rounded_and_says_so(tmp_path):
    weight = KERNELS.astype(np.float64) + 1e-12
    weight[0, 0, 0, 0] = 1e300
    safetensors.numpy.save_file({"w": weight}, tmp_path / "model.safetensors")
    layer = only_layer(tmp_path / "model.safetensors")
    assert layer.dtype == "float64"
    assert np.isinf(layer.weight[0, 0, 0, 0])
    np.testing.assert_array_equal(layer.weight[1:], weight[1:].astype(np.float32))


def test_safetensors_layers_come_in_natural_order_without_the_rest(tmp_path):
    names = ["blocks.2.dw.weight", "blocks.10.dw.weight", "head.dw.weight"]
    other = {"blocks.2.pw.weight": np.ones((4, 4, 1, 1), np.float32), "mask": np.ones((4, 1, 3, 3), np.int64)}
    path = tmp_path / "named_badly.pth"
    safetensors.numpy.save_file(dict.fromkeys(names, KERNELS) | other, path, metadata={"license": "mit"})
    os.utime(path, (0, 86400 * 366))
    checkpoint = read_layers(f"file:{path}", Wanted(Path("/nowhere"), "depthwise"))  # an absolute path needs no folder
    layers = list(checkpoint.layers)
    assert [layer.name for layer in layers] == names
    assert all(layer.stride is None and layer.dilation is None for layer in layers)
    assert checkpoint.metadata == {"licence": "mit", "date": "1971-01-02"}  # no sha256: the file was not read whole


def raw_safetensors(path: Path, header: dict | bytes, data: bytes = b"", length: int | None = None) -> Path:
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(content) if length is None else length).to_bytes(8, "little") + content + data)
    return path


def test_only_the_ranges_of_layers_are_read(tmp_path):
    """A file of 1 GB, nearly all a hole of the file system, whose kernels lie at its end."""
    hole = 10**9
    header = {
        "head.weight": {"dtype": "F32", "shape": [hole // 4], "data_offsets": [0, hole]},
        "dw.weight": {"dtype": "F32", "shape": [6, 1, 5, 3], "data_offsets": [hole, hole + KERNELS.nbytes]},
    }
    path = raw_safetensors(tmp_path / "model.safetensors", header)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size + hole)
        file.write(KERNELS.tobytes())
    tracemalloc.start()
    layer = only_layer(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(layer.weight, KERNELS)
    assert peak < 1e6


def entry(shape=(2, 1, 3, 3), offsets=(0, 72), dtype="F32") -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"a": entry(offsets=(72, 144))}, "truncated: tensor 'a' ends at byte"),
        ({"a": entry(), "b": entry()}, "tensors 'a' and 'b' overlap"),
        ({"a": entry(offsets=(0, 71))}, "cannot fill 71 bytes"),
        ({"a": entry(offsets=(72, 0))}, "cannot fill -72 bytes"),
        ({"a": entry(shape=(2**40, 1, 3, 3))}, "cannot fill 72 bytes"),
        ({"a": entry(dtype="F16")}, "of dtype F16"),
        ({"a": entry(dtype="X9")}, "unknown dtype 'X9'"),
        ({"a": entry(shape=(-2, 1, 3, -3))}, "no whole number"),
        ({"a": entry(shape=(2.0, 1, 3, 3))}, "no whole number"),
        ({"a": entry(shape=(True, 1, 6, 3))}, "no whole number"),
        ({"a": entry(offsets=(0, 36, 72))}, "lacks dtype, shape or data_offsets"),
        ({"a": 7}, "lacks dtype, shape or data_offsets"),
        ({"a": {"dtype": ["F32"], "shape": [2], "data_offsets": [0, 8]}}, "unknown dtype"),
        ({"__metadata__": [1]}, "__metadata__"),
        (b'{"a": 1, "a": 2}', "key 'a' occurs twice"),
        (b'{"a": {"dtype": "F32", "dtype": "F16"}}', "key 'dtype' occurs twice"),
        (b"{" * 100_000, "not JSON"),
        (b'{"a": ' + b"[" * 100_000, "not JSON"),
        (b'{"a": \xff}', "not JSON"),
    ],
)
def test_a_header_that_lies_is_refused(tmp_path, header, reason):
    assert reason in refusal(raw_safetensors(tmp_path / "model.safetensors", header, b"\0" * 72))


@pytest.mark.parametrize("length", [2**31, 2**63, 10_000])
def test_a_header_length_that_lies_allocates_nothing(tmp_path, length):
    path = raw_safetensors(tmp_path / "model.safetensors", {"a": entry()}, b"\0" * 72, length)
    tracemalloc.start()
    assert "header" in refusal(path)
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_a_file_truncated_while_it_is_read_is_refused(tmp_path):
    weights = {f"{layer}.weight": np.arange(980_000, dtype=np.float32).reshape(-1, 1, 7, 7) for layer in range(3)}
    safetensors.numpy.save_file(weights, tmp_path / "net")
    layers = read_layers("file:net", Wanted(tmp_path)).layers
    next(layers)
    os.truncate(tmp_path / "net", 5_000_000)
    with pytest.raises(AtlasError, match="ends early"):
        list(layers)


# -- PyTorch


def save_torch(path: Path, content: object, **options) -> Path:
    torch.save(content, path, **options)
    return path


STATE = collections.OrderedDict(
    [("module.dw.weight", torch.from_numpy(KERNELS)), ("module.pw.weight", torch.ones(4, 4, 1, 1))]
)
OPTIMIZER = {"state": {0: {"exp_avg": torch.ones(6, 1, 5, 3)}}, "param_groups": [{"lr": 0.1}]}
AVERAGED = {"dw.weight": torch.from_numpy(2 * KERNELS)}


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}], ids=["zip", "legacy"])
@pytest.mark.parametrize("ending", ["pth", "safetensors", "tar"])
def test_state_dicts_of_both_formats_by_any_name(tmp_path, options, ending):
    path = save_torch(tmp_path / f"model.{ending}", STATE, **options)
    layer = only_layer(path)
    assert (layer.name, layer.dtype, layer.stride) == ("dw.weight", "float32", None)
    np.testing.assert_array_equal(layer.weight, KERNELS)
    assert len(read_layers(f"file:{path}", Wanted(tmp_path)).metadata["sha256"]) == 64


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "params", "params_ema", "ema"])
def test_wrappers_are_opened_and_optimizers_are_not(tmp_path, wrapper):
    training = {"epoch": 3, "optimizer": OPTIMIZER, "args": argparse.Namespace(lr=0.1), wrapper: STATE}
    path = save_torch(tmp_path / "model.tar", training)
    np.testing.assert_array_equal(only_layer(path).weight, KERNELS)


@pytest.mark.parametrize(
    "training",
    [
        {"model": STATE, "ema": AVERAGED},
        {"params": STATE, "params_ema": AVERAGED},
        {"state_dict": STATE, "state_dict_ema": AVERAGED},
        {"model": STATE, "ema": {"module": AVERAGED, "decay": 0.99}},
        {"model": AVERAGED, "ema": None},
        {"state": {"model": STATE}, "model": {"state_dict": AVERAGED}},
    ],
)
def test_averaged_weights_are_preferred(tmp_path, training):
    path = save_torch(tmp_path / "model.pth", training)
    np.testing.assert_array_equal(only_layer(path).weight, 2 * KERNELS)


RAW = {"dw.weight": torch.from_numpy(KERNELS), "pw.weight": torch.ones(4, 4, 1, 1)}
OTHER = {"c.weight": torch.ones(8, 4, 3, 3)}


@pytest.mark.parametrize(
    ("training", "key", "factor"),
    [
        ({"state_dict": AVERAGED, "ema_state_dict": {**RAW, "steps": torch.tensor(5)}}, "state_dict", 2),  # mmengine
        ({"state_dict": AVERAGED, "ema_state_dict": RAW, "message_hub": {}}, "state_dict", 2),
        ({"state_dict": AVERAGED, "ema_state_dict": RAW, "meta": {"mmengine_version": "0.9"}}, "state_dict", 2),
        ({"state_dict": RAW, "ema_state_dict": AVERAGED}, "ema_state_dict", 2),
        ({"student": RAW, "teacher": {**RAW, **AVERAGED}, "center": torch.ones(1, 9)}, "teacher", 2),  # DINO
        ({"student": RAW, "teacher": OTHER}, "student", 1),  # a distillation
        ({"g": RAW, "d": OTHER, "g_ema": AVERAGED}, "g_ema", 2),
        ({"generator": RAW, "discriminator": {"dw.weight": torch.ones(2, 1, 3, 3)}}, "generator", 1),
        ({"net_g": RAW, "step": torch.tensor(3)}, "net_g", 1),
        ({"epoch": 3, "loss": torch.tensor(0.3), "backbone": RAW}, "backbone", 1),
        ({"state_dict": RAW, "ema": {"decay": torch.tensor(0.9), "num_updates": torch.tensor(7)}}, "state_dict", 1),
        ({"state_dict": RAW, "ema": {"shadow": AVERAGED, "decay": 0.9}}, "ema.shadow", 2),
        ({"model": RAW, "swa_model": {"module.dw.weight": 2 * RAW["dw.weight"]}}, "swa_model", 2),
        ({"app": {"model": RAW, "optim": {"state": {"dw.weight": {"exp_avg": 3 * RAW["dw.weight"]}}}}}, "app.model", 1),
        ({"model": [RAW]}, "model.0", 1),
        ((RAW, 3), "0", 1),
        ({"a": {"model": {"state_dict": {"module": RAW}}}}, "a.model.state_dict.module", 1),
        ({"model": RAW, "best": {"encoder": RAW, "decoder": AVERAGED}}, "model", 1),
        ({**RAW, "optimizer.state.dw.weight.exp_avg": 3 * RAW["dw.weight"]}, None, 1),
        ({**RAW, "args": argparse.Namespace(lr=0.1), "epoch": 3}, None, 1),
        ({"model": {"upscaler.dw.weight": RAW["dw.weight"]}}, "model", 1),
    ],
)
def test_the_copy_that_was_evaluated_is_read_and_its_key_said(tmp_path, training, key, factor):
    path = save_torch(tmp_path / "model.pth", training)
    np.testing.assert_array_equal(only_layer(path).weight, factor * KERNELS)
    assert read_layers(f"file:{path}", Wanted(tmp_path)).metadata.get("key") == key


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"optimizer": OPTIMIZER}, ["optimizer"]),
        ([torch.ones(2, 1, 3, 3)], ["list"]),
        (OPTIMIZER, ["param_groups"]),
        ({"state_dict": RAW, "ema": {"decay": 0.9, "shadow_params": [torch.ones(6, 1, 5, 3)]}}, ["'ema'", "no names"]),
        ({"encoder": RAW, "decoder": AVERAGED}, ["'encoder', 'decoder'"]),
        ({"net_a": RAW, "x": {"p": RAW, "q": AVERAGED}}, ["'net_a', 'x'"]),
        ({"model": RAW, "ema_1": RAW, "ema_2": AVERAGED}, ["'ema_1', 'ema_2'"]),
    ],
)
def test_what_holds_no_state_dict_or_several_is_refused(tmp_path, training, words):
    reason = refusal(save_torch(tmp_path / "a.pth", training))
    assert all(word in reason for word in words), reason


def test_dtypes_of_torch(tmp_path):
    weight = torch.from_numpy(KERNELS)
    per_channel = torch.quantize_per_channel(weight, torch.linspace(0.01, 0.06, 6), torch.arange(6), 0, torch.qint8)
    state = {
        "half": weight.half(),
        "brain": weight.bfloat16(),
        "double": weight.double(),
        "transposed": weight.transpose(2, 3),
        "per_tensor": torch.quantize_per_tensor(weight, 0.05, 120, torch.quint8),
        "per_channel": per_channel,
        "mask": torch.ones(4, 1, 3, 3, dtype=torch.int64),
        "sparse": torch.ones(4, 1, 3, 3).to_sparse(),
        "int8": weight.to(torch.int8),
        "float8": weight.to(torch.float8_e4m3fn),
        "complex": weight.to(torch.complex64),
        "meta": weight.to("meta"),
        "empty": weight[:0],
    }
    checkpoint = read_layers(f"file:{save_torch(tmp_path / 'model.pth', state)}", Wanted(tmp_path))
    assert checkpoint.not_read == {
        "empty": ["empty"],
        "a table or a buffer, by its name": ["mask"],
        "sparse": ["sparse"],
        "int8 without a scale": ["int8"],
        "float8_e4m3fn without a scale": ["float8"],
        "complex64": ["complex"],
        "on the meta device, without values": ["meta"],
    }
    layers = {layer.name: layer for layer in checkpoint.layers}
    dtypes = ["float16", "bfloat16", "float64", "float32", "quint8", "qint8"]
    assert [layer.dtype for layer in layers.values()] == dtypes
    assert all(layer.weight.dtype == np.float32 for layer in layers.values())
    np.testing.assert_array_equal(layers["half"].weight, KERNELS.astype(np.float16))
    np.testing.assert_array_equal(layers["transposed"].weight, KERNELS.transpose(0, 1, 3, 2))
    np.testing.assert_allclose(layers["per_tensor"].weight, (KERNELS / 0.05).round() * 0.05, rtol=1e-5)
    np.testing.assert_array_equal(layers["per_channel"].weight, per_channel.dequantize().numpy())


class Hostile:
    """Pickles as a call that leaves a mark if it is ever made."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch '{self.mark}'",)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("wrapped", ["bare", "beside", "inside", "among"])
@pytest.mark.parametrize("how", ["zip", "legacy", "pickle"])
def test_a_file_that_would_run_code_runs_none(tmp_path, protocol, wrapped, how):
    """Beside the weights it is passed over; in their place the file is refused by the name of what it asks for."""
    hostile = Hostile(tmp_path / "mark")
    content = {
        "bare": hostile,
        "beside": {"model": dict(STATE), "x": hostile},
        "inside": {"model": {"w": hostile}},
        "among": {"model": {**STATE, "w": hostile}},
    }[wrapped]
    path = tmp_path / "model.pth"
    if how == "pickle":
        path.write_bytes(pickle.dumps(hostile, protocol=protocol))
    else:
        torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=how == "zip")
    if wrapped == "beside" and how != "pickle":
        np.testing.assert_array_equal(only_layer(path).weight, KERNELS)
    else:
        assert "would run code on loading: posix.system" in refusal(path)
    assert not hostile.mark.exists()


def test_whole_networks_and_programs_are_read_and_not_run(tmp_path):
    network = torch.nn.Sequential(torch.nn.Conv2d(4, 4, 3, groups=4), torch.nn.Sequential(torch.nn.Conv2d(4, 4, 1)))
    network.register_buffer("filter", torch.ones(4, 1, 3, 3), persistent=False)
    save_torch(tmp_path / "network.pth", {"epoch": 3, "ema": None, "model": network})
    save_torch(tmp_path / "old.pth", network, _use_new_zipfile_serialization=False)
    scripted = torch.jit.script(network)
    torch.jit.save(scripted, tmp_path / "script.pt")
    frozen = torch.jit.freeze(scripted.eval())
    torch.jit.save(frozen, tmp_path / "frozen.pt")
    expected = network[0].weight.detach().numpy()
    for name in ("network.pth", "old.pth", "script.pt", "frozen.pt"):
        layers = layers_of(tmp_path / name)  # a program does not tell which of its buffers are kept
        np.testing.assert_array_equal(layers[-1].weight, expected, name)
    assert [layer.name for layer in layers_of(tmp_path / "network.pth")] == ["0.weight"]
    assert read_layers("file:network.pth", Wanted(tmp_path)).metadata["key"] == "model"
    state = {name: value for name, value in network.state_dict().items()}
    assert {name: value.tolist() for name, value in read_state(tmp_path / "network.pth").items()} == {
        name: value.tolist() for name, value in state.items()
    }


# -- files that are no checkpoints


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html>", "an HTML page"),
        (b"<?xml version='1.0'?><Error>", "an XML page"),
        (b"<?xml version='1.0'?><net name='a'>", "OpenVINO"),
        (b'{"error": "no such file"}', "JSON, no weights"),
        (b"Entry not found", "a text that begins 'Entry not found'"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x93NUMPY", "one array of numpy"),
        (b"GGUF\3", "GGUF"),
        (b"\x1f\x8b\x08", "a gzip archive; unpack it"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it"),
        (b"\x08\x01\x12\x04abcd", "SavedModel"),
        (b"\x0a\x20\x0a\x05input", "frozen graph"),
        (b"\x81\xa6params\x82", "Flax"),
        (b"\0\1\2\3", "unknown format"),
        (b"\x18\0\0\0ORTM" + b"\0" * 40, "name the ONNX file"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b"\0" * 257 + b"ustar", "tar archive"),
        (b"\x08\xff\xff", "ONNX"),
        (b"\x08\x07", "ONNX"),
        (b"PK\x03\x04 no archive", "a damaged zip archive"),
        (b"\x80\x02 no pickle", "damaged, or no pickle"),
    ],
)
def test_unknown_contents_are_refused(tmp_path, content, reason):
    (tmp_path / "model.pth").write_bytes(content)
    assert reason in refusal(tmp_path / "model.pth")


def test_missing_files_and_folders_are_refused(tmp_path):
    assert "No such file" in refusal(tmp_path / "missing.pth")
    folder = tmp_path / "folder"
    folder.mkdir()
    assert "it has none that is known" in refusal(folder)
    save_torch(folder / "net.pth", STATE)
    assert "name the file of weights in it (net.pth)" in refusal(folder)
    (folder / ".metadata").touch()
    assert "dcp_to_torch" in refusal(folder)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        (["config.json", "metadata.json", "model.weights.h5"], "a Keras archive"),
        (["dw.weight.npy"], "arrays of numpy"),
        (["net/archive_format", "net/models/model.json", "net/data/weights/w"], "torch.export"),
        (["released/net.pth", "README"], "with 'released/net.pth' in it; unpack it"),
        (["README"], "without a checkpoint that is known"),
    ],
)
def test_archives_say_what_they_are(tmp_path, members, reason):
    with zipfile.ZipFile(tmp_path / "net", "w") as archive:
        for member in members:
            archive.writestr(member, "x")
    assert reason in refusal(tmp_path / "net")


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_a_network_in_parts_is_read_by_its_index(tmp_path, kind):
    save = safetensors.torch.save_file if kind == "safetensors" else torch.save
    name = "model" if kind == "safetensors" else "pytorch_model"
    parts = [tmp_path / f"{name}-0000{number}-of-00002.{kind}" for number in (1, 2)]
    weights = {"a.dw.weight": torch.from_numpy(KERNELS), "b.dw.weight": torch.from_numpy(2 * KERNELS)}
    save({"a.dw.weight": weights["a.dw.weight"], "x": torch.ones(3)}, parts[0])
    save({"b.dw.weight": weights["b.dw.weight"], "c": torch.ones(4, 1, 3, 3, dtype=torch.int8)}, parts[1])
    index = tmp_path / f"{name}.{kind}.index.json"
    assert f"put {index.name} and the other parts beside it" in refusal(parts[0])
    where = {"a.dw.weight": parts[0].name, "x": parts[0].name, "b.dw.weight": parts[1].name, "c": parts[1].name}
    index.write_text(json.dumps({"metadata": {}, "weight_map": where}))
    for path in (index, *parts):
        layers = layers_of(path)
        assert [layer.name for layer in layers] == list(weights)
        np.testing.assert_array_equal(layers[1].weight, 2 * KERNELS)
        assert opened_files(path) == [index, *parts]
        assert sorted(read_state(path)) == ["a.dw.weight", "b.dw.weight", "c", "x"]
    if kind == "bin":
        checkpoint = read_layers(f"file:{index}", Wanted(tmp_path))
        lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in (index, *parts)]
        assert checkpoint.metadata["sha256"] == hashlib.sha256("".join(lines).encode()).hexdigest()
        list(checkpoint.layers)
        assert checkpoint.not_read == {"int8 without a scale": ["c"]}
    for lying, reason in [
        ({"a": parts[0].name}, "names 1 of 2 parts"),
        ({"a": "../other.bin"}, "outside its folder"),
        ({"a": "/etc/passwd"}, "outside its folder"),
        ({"a": 3}, "names no files"),
        ({"a": "missing.bin"}, "parts are missing"),
        ({}, "JSON, no weights"),
    ]:
        index.write_text(json.dumps({"weight_map": lying}))
        assert reason in refusal(index)


@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy", "onnx"])
def test_truncated_files_are_refused(tmp_path, kind):
    path = tmp_path / "model"
    if kind == "safetensors":
        safetensors.numpy.save_file({"w": KERNELS}, path)
    elif kind == "onnx":
        onnx_model(path, [conv("w", group=6)], {"w": KERNELS})
    else:
        save_torch(path, STATE, _use_new_zipfile_serialization=kind == "zip")
    whole = path.read_bytes()
    assert layers_of(path)
    for cut in np.linspace(9, len(whole) - 1, 12).astype(int):
        path.write_bytes(whole[:cut])
        refusal(path)


# -- untrained networks


def test_init_builds_an_untrained_network_from_its_seed(tmp_path):
    first, again, other = (
        list(read_layers(f"init:mobilenetv3_small_050{seed}", Wanted(tmp_path)).layers) for seed in ("", ":0", ":1")
    )
    network = timm.create_model("mobilenetv3_small_050", pretrained=False)
    modules = [module for module in network.modules() if getattr(module, "groups", 1) > 1]
    assert [layer.weight.shape for layer in first] == [tuple(module.weight.shape) for module in modules]
    assert [layer.stride for layer in first] == [module.stride[0] for module in modules]
    assert (first[0].name, first[0].stride, first[0].dilation) == ("blocks.0.0.conv_dw.weight", 2, 1)
    for one, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one.weight, same.weight)
        assert not np.array_equal(one.weight, different.weight)
    (stem,) = (
        layer
        for layer in read_layers("init:mobilenetv3_small_050", Wanted(tmp_path, "dense")).layers
        if layer.weight.shape[2] > 1
    )
    assert stem.weight.shape == (16, 3, 3, 3)
    state = torch.random.get_rng_state()
    read_layers("init:mobilenetv3_small_050:5", Wanted(tmp_path))
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("name", ["no_such_network", "hf-hub:timm/x", "mobilenetv3_small_050:one"])
def test_init_of_unknown_networks_is_refused(tmp_path, name):
    with pytest.raises(AtlasError, match=r"cannot build|not of the form"):
        read_layers(f"init:{name}", Wanted(tmp_path))


# -- real files


def counts(path: Path) -> dict[str, int]:
    sizes = collections.Counter()
    for layer in layers_of(path):
        sizes["{2}x{3}".format(*layer.weight.shape)] += len(layer.weight)
    return dict(sizes)


@needs_data
def test_real_checkpoints_give_their_counts():
    """No graph corrects a count: the one ONNX file has no dense convolution on a one-channel input."""
    folder = Path(DATA, "checkpoints")
    table = pd.read_csv(folder / "checkpoints.tsv", sep="\t")
    assert len(table) == 13
    for row in table.itertuples():
        part = 2 if row.file.startswith("gtcrn") else 1  # half of its layers are transposed convolutions
        read = {size: part * count for size, count in counts(folder / row.file).items()}
        assert read == ast.literal_eval(row.one_channel_kernels_by_shape), row.file
        checkpoint = read_layers(f"file:{row.file}", Wanted(folder))
        assert checkpoint.metadata.get("sha256") in (row.sha256, None)


@needs_data
def test_whole_networks_and_programs_of_others_give_their_counts():
    folder = Path(DATA, "checkpoints_next")
    assert counts(folder / "leyolo_nano.pt") == {"3x3": 1296, "5x5": 4512}
    assert counts(folder / "proxyless_yolox.torchscript.pt") == {"3x3": 960, "5x5": 696, "7x7": 1128}


@needs_data
def test_real_kernels_give_their_counts():
    folder = Path(DATA, "kernels")
    table = pd.read_csv(folder / "models.tsv", sep="\t")
    assert len(table) == 234
    for row in table.itertuples():
        part = 2 if row.file.startswith("gtcrn") else 1  # half of its layers are transposed convolutions
        assert {size: part * count for size, count in counts(folder / row.file).items()} == json.loads(row.kernels)
        assert part * len(layers_of(folder / row.file)) == row.layers
