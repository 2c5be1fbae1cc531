"""The reader of pickles: the tensors as torch reads them, and nothing of a file runs, whatever it asks for."""

import collections
import copyreg
import io
import os
import pickle
import struct
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.formats import unpickle
from kernel_atlas.io.formats.pytorch import open_state
from kernel_atlas.io.formats.signatures import read_state
from kernel_atlas.io.sources import Wanted, read_layers

KERNELS = np.random.default_rng(0).standard_normal((6, 1, 5, 3), np.float32)


def load(content: bytes) -> object:
    return unpickle.Unpickler(io.BytesIO(content), len(content), lambda identity: unpickle.Stub("persistent")).load()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, -(2**70), 2.5, True, None, "ü", b"x"], "b": (1, (), (2,), (3, 4), (5, 6, 7), (1, 2, 3, 4))},
        {"long": "x" * 300, "bytes": b"y" * 300, "list": list(range(3000)), "deep": {"e": {"f": [[[]]]}}},
    ],
)
def test_plain_values_are_those_of_pickle(protocol, value):
    loaded = load(pickle.dumps(value, protocol))
    if protocol < 3:  # bytes are a call of _codecs.encode there, and stay text
        value, loaded = (str(each).replace("b'", "'") for each in (value, loaded))
    assert loaded == value


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numpy_state_dicts(tmp_path, protocol, dtype, order):
    """As Paddle and detectron2 write them."""
    state = {"dw.weight": np.asarray(KERNELS.astype(dtype), order=order), "step": np.int64(3), "names": {"a": "b"}}
    (tmp_path / "net.pdparams").write_bytes(pickle.dumps({"model": state, "objects": np.array([{}])}, protocol))
    if protocol < 2:  # such a pickle has no first byte of its own
        with (tmp_path / "net.pdparams").open("rb") as file:
            if file.read(3) not in (b"(dp", b"}q\0"):
                return
    (layer,) = read_layers("file:net.pdparams", Wanted(tmp_path)).layers
    np.testing.assert_array_equal(layer.weight, KERNELS.astype(dtype).astype(np.float32))
    assert layer.dtype == np.dtype(dtype).name


DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]
DTYPES += [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.bool, torch.complex64]


@pytest.mark.parametrize("legacy", [False, True])
def test_every_tensor_is_as_torch_reads_it(tmp_path, legacy):
    torch.manual_seed(0)
    base = 20 * torch.randn(4, 3, 5, 2)
    state = {f"a.{dtype}": base.to(dtype) for dtype in DTYPES}
    state |= {"a.view": base[1:, ::2, 1], "a.turned": base.permute(3, 1, 0, 2), "a.scalar": torch.tensor(3.0)}
    state |= {"a.same": base, "a.last": base.to(memory_format=torch.channels_last), "a.none": torch.empty(0, 3)}
    state["a.parameter"] = torch.nn.Parameter(base)
    state["a.parameter"].note = "kept beside"
    torch.save(state, tmp_path / "net", _use_new_zipfile_serialization=not legacy)
    loaded = read_state(tmp_path / "net")
    assert list(loaded) == list(state)
    for name, tensor in state.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name].float(), tensor.detach().float()), name
    tensors = open_state(tmp_path / "net").tensors
    assert tensors["a.same"].memory == tensors["a.parameter"].memory == tensors["a.torch.float32"].memory
    assert tensors["a.same"].memory != tensors["a.last"].memory


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [torch.qint8, torch.quint8, torch.qint32])
def test_quantized_tensors_are_dequantized_as_torch_does(tmp_path, kind):
    weight = torch.randn(6, 1, 5, 3, generator=torch.Generator().manual_seed(1))
    zeros = torch.zeros(6, dtype=torch.int64)
    state = {
        "a.tensor": torch.quantize_per_tensor(weight, 0.0371, 0, kind),
        "a.channel": torch.quantize_per_channel(weight, torch.linspace(0.01, 0.06, 6), zeros, 0, kind),
    }
    torch.save(state, tmp_path / "net.pt")
    for layer in read_layers("file:net.pt", Wanted(tmp_path)).layers:
        np.testing.assert_array_equal(layer.weight, state[layer.name].dequantize().numpy())


# -- nothing runs


@pytest.fixture
def mark(tmp_path, monkeypatch):
    """A file that every trick tries to make, and a module whose code makes it."""
    path = tmp_path / "mark"
    trap = types.ModuleType("trap")

    class Trap(dict):
        def __new__(cls, *_, **__):
            path.touch()
            return super().__new__(cls)

        def __init__(self, *_):
            path.touch()

        def __setstate__(self, _):
            path.touch()

        def __setitem__(self, *_):
            path.touch()

        def append(self, _):
            path.touch()

        extend = update = add = append

    trap.Trap = Trap
    monkeypatch.setitem(sys.modules, "trap", trap)
    return path


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def asked(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


TRAP = asked("trap", "Trap")
COMMAND = text("touch MARK") + b"\x85R"
TRICKS = {
    "reduce": asked("os", "system") + COMMAND,
    "global": b"cposix\nsystem\n" + COMMAND,
    "eval": asked("builtins", "eval") + text("open('MARK', 'w')") + b"\x85R",
    "exec": b"c__builtin__\nexec\n" + text("open('MARK', 'w')") + b"\x85R",
    "new": TRAP + b")\x81",
    "new_with_names": TRAP + b")}\x92",
    "instance": b"(itrap\nTrap\n",
    "object": b"(" + TRAP + b"o",
    "state": TRAP + b")R}b",
    "state_of_slots": TRAP + b")R}" + b"}" + text("a") + b"K\1s\x86b",
    "item": TRAP + b")\x81" + text("a") + b"K\1s",
    "items": TRAP + b")\x81(" + text("a") + b"K\1u",
    "append": TRAP + b")\x81K\1a",
    "appends": TRAP + b")\x81(K\1e",
    "add": TRAP + b")\x81(K\1\x90",
    "a_call_of_a_call": TRAP + b")R)R",
    "persistent": asked("os", "system") + COMMAND + b"Q",
    "nested_persistent": text("storage") + asked("os", "system") + COMMAND + b"\x86Q" + b"Q",
    "text_persistent": b"Pstorage\n",
    "dotted_1": asked("torch._utils", "_rebuild_tensor_v2.__globals__.get") + text("os") + b"\x85R",
    "dotted_2": asked("torch", "os.system") + COMMAND,
    "dotted_3": asked("collections", "OrderedDict.__reduce__") + b")R",
    "dotted_4": asked("torch._utils._rebuild_tensor_v2", "__globals__") + b")R",
    "partial": asked("functools", "partial") + asked("os", "system") + text("touch MARK") + b"\x86R)R",
    "torch_load": asked("torch", "load") + text("MARK") + b"\x85R",
    "torch_jit": asked("torch.jit", "load") + text("MARK") + b"\x85R",
    "getattr": asked("builtins", "getattr") + asked("os", "x") + text("system") + b"\x86R" + COMMAND,
    "ordered_of_a_call": asked("collections", "OrderedDict") + TRAP + b")R\x85R",
    "wrapped": asked("torch._utils", "_rebuild_parameter") + TRAP + b")R\x89N\x87R",
    "subclass": asked("torch._tensor", "_rebuild_from_type_v2") + b"(" + asked("os", "system") + TRAP
    + text("touch MARK") + b"\x85}tR",
    "array_of_objects": asked("numpy.core.multiarray", "_reconstruct") + TRAP + b"K\0\x85" + text("b") + b"\x87R"
    + b"(K\1K\1\x85" + asked("numpy", "dtype") + text("O8") + b"\x85R\x89]" + TRAP + b")Ratb",
    "numpy_load": asked("numpy", "load") + text("MARK") + b"\x85R",
    "reconstructor": b"ccopy_reg\n_reconstructor\n" + TRAP + b"cbuiltins\ndict\n}\x87R",
    "getstate_name": TRAP + b")R" + asked("os", "system") + b"b",
}  # fmt: skip


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("place", ["root", "beside", "inside"])
@pytest.mark.parametrize("how", ["zip", "stream"])
def test_no_trick_runs_anything(tmp_path, mark, trick, place, how):
    """Each in the place of everything, beside the weights, and among them."""
    code, before = TRICKS[trick], set(tmp_path.iterdir())
    weights = pickle.dumps({"dw.weight": KERNELS}, 2)[2:-1]  # without protocol and end
    content = {
        "root": code,
        "beside": b"(}" + text("net") + weights + b"s" + text("x") + code + b"s",
        "inside": weights + text("dw2.weight") + code + b"s",
    }[place]
    content = b"\x80\x02" + content.removeprefix(b"(") + b"."
    path = tmp_path / "net"
    if how == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("net/data.pkl", content)
    else:
        path.write_bytes(content)
    workplace = Path.cwd()
    os.chdir(tmp_path)
    try:
        checkpoint = read_layers("file:net", Wanted(tmp_path))
        (layer,) = checkpoint.layers
        np.testing.assert_array_equal(layer.weight, KERNELS)
        assert place != "root"
    except AtlasError as error:
        assert "\n" not in str(error)
    finally:
        os.chdir(workplace)
    assert not mark.exists()
    assert set(tmp_path.iterdir()) - before == {path}


@pytest.mark.parametrize("trick", ["reduce", "new", "state", "eval", "subclass", "dotted_2"])
def test_in_the_place_of_a_tensor_a_trick_is_refused(tmp_path, mark, trick):
    weights = pickle.dumps({"dw.weight": KERNELS}, 2)[2:-1]
    (tmp_path / "net").write_bytes(b"\x80\x02" + weights + text("dw2.weight") + TRICKS[trick] + b"s.")
    with pytest.raises(AtlasError, match=r"would run code on loading|damaged"):
        list(read_layers("file:net", Wanted(tmp_path)).layers)


def test_names_of_the_extension_registry_are_never_looked_up(tmp_path, mark):
    copyreg.add_extension("trap", "Trap", 0x7E)
    try:
        for code in (b"\x82\x7e", b"\x83\x7e\0", b"\x84\x7e\0\0\0"):
            (tmp_path / "net").write_bytes(b"\x80\x02" + code + b")R.")
            with pytest.raises(AtlasError, match="copyreg's registry"):
                read_layers("file:net", Wanted(tmp_path))
    finally:
        copyreg.remove_extension("trap", "Trap", 0x7E)
    assert not mark.exists()


@pytest.mark.parametrize(
    "code",
    [
        b"\x95" + b"\xff" * 7 + b"\x0f",  # a frame
        b"\x8e" + struct.pack("<Q", 2**40),  # bytes
        b"\x96" + struct.pack("<Q", 2**40),  # a bytearray
        b"\x8b" + struct.pack("<I", 2**31 - 1),  # an integer
        b"0" * 100,
        b"\x95",
        b"q\1",
        b"h\1",
        b"t",
        b"\x97",
        b"K\1}b",
        b"K\1K\1a",
        b"](K\1K\1u",
    ],
)
def test_a_pickle_that_lies_is_refused(code):
    with pytest.raises(AtlasError, match="damaged"):
        load(b"\x80\x05" + code + b".")


def test_containers_in_each_other_end(tmp_path):
    """A list of twice the last list is small in the file, and endless for who walks it."""
    code = b"\x80\x02})q\0" + b"".join(b"h" + bytes([n]) + b"2\x86q" + bytes([n + 1]) for n in range(200)) + b"."
    (tmp_path / "net").write_bytes(code)
    with pytest.raises(AtlasError):
        read_layers("file:net", Wanted(tmp_path))
    module = b"ca\nb\n)R}" + text("_modules")
    inner = b"}q\0"
    for n in range(60):
        pair = text("a") + b"h" + bytes([n]) + b"s" + text("b") + b"h" + bytes([n]) + b"s"
        inner += module + b"}" + pair + b"sbq" + bytes([n + 1])
    (tmp_path / "net").write_bytes(b"\x80\x02" + inner + b".")
    with pytest.raises(AtlasError, match=r"without end|no state dict"):
        read_layers("file:net", Wanted(tmp_path))


def test_a_long_pickle_is_given_up(monkeypatch):
    monkeypatch.setattr(unpickle, "MAX_STEPS", 1000)
    with pytest.raises(AtlasError, match="more than 1000 steps"):
        load(b"\x80\x02" + b"]" * 2000 + b".")
    pairs = b"](" + b"".join(text(str(n)) + b"N\x86" for n in range(200)) + b"eq\0"
    with pytest.raises(AtlasError, match="more than 1000 steps"):
        load(b"\x80\x02" + pairs + b"ccollections\nOrderedDict\nq\1" + b"h\1h\0\x85R" * 50 + b".")


def test_dictionaries_of_other_classes_keep_their_items(tmp_path):
    class AttributeDict(collections.OrderedDict):
        pass

    AttributeDict.__qualname__, AttributeDict.__module__ = "AttributeDict", "gone"
    gone = types.ModuleType("gone")
    gone.AttributeDict = AttributeDict
    sys.modules["gone"] = gone
    try:
        torch.save({"state_dict": AttributeDict({"dw.weight": torch.from_numpy(KERNELS)})}, tmp_path / "net.pt")
    finally:
        del sys.modules["gone"]
    (layer,) = read_layers("file:net.pt", Wanted(tmp_path)).layers
    np.testing.assert_array_equal(layer.weight, KERNELS)
