"""Whatever is in a file: its kernels or one line, and no crash, no hang, no gigabytes, no code, nothing written.

Here a few examples, the same each time; `FUZZ=100` tries a hundred times as many, others each time.
"""

import contextlib
import faulthandler
import io
import json
import os
import pickle
import pickletools
import resource
import signal
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pytest
import safetensors.numpy
import torch
import yaml
from conftest import ROOT
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tflite_files import Operator, Tensor, conv, depthwise, tflite_model

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.formats import safetensors as safetensors_header
from kernel_atlas.io.sheet import check_config, read_sheet
from kernel_atlas.io.sources import Wanted, read_layers
from kernel_atlas.model.clusters import read_clusters

SCHEMA = ROOT / "schemas/config.schema.yaml"
TIMES = int(os.environ.get("FUZZ", "1"))
SECONDS = 10  # that one file may take
MEMORY = 2**30  # that one file may take beyond what the process has; the files here are of 4 kB


def fuzz(examples: int):
    """Settings of one fuzz."""
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(
        max_examples=examples * TIMES,
        deadline=None,
        suppress_health_check=checks,
        database=None,
        derandomize=TIMES == 1,
    )


class Forbidden(BaseException):
    """Not an `Exception`, so that no loader can take it for a damaged file."""


FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "subprocess.",
    "socket.",
    "os.remove",
    "os.rename",
)
watching = []
pa.array([0])  # Arrow takes 1 GB of addresses at its first use, which are not the memory that a file takes


def _audit(event: str, arguments: tuple) -> None:
    if not watching:
        return
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if writes or event.startswith(FORBIDDEN):
        watching.append(f"{event} {arguments}")
        raise Forbidden(event)


sys.addaudithook(_audit)


def _too_long(*_) -> None:
    raise Forbidden(f"more than {SECONDS} s")


@contextlib.contextmanager
def watched():
    """Refuse to the code inside what reading a file has no business with, and much time or memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    byte_code = sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # an import that comes late may write none
    before = signal.signal(signal.SIGALRM, _too_long)
    faulthandler.dump_traceback_later(6 * SECONDS, exit=True)  # for loops that no signal stops
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, limits[1]))
    signal.alarm(SECONDS)
    watching.append("")
    try:
        yield
        assert watching == [""], watching
    finally:
        watching.clear()
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, limits)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)
        sys.dont_write_bytecode = byte_code


def read(path: Path, content: bytes, convolution: str = "depthwise") -> None:
    """Read a checkpoint: layers that are what they say, or an `AtlasError` of one line."""
    path.write_bytes(content)
    with watched():
        try:
            for layer in read_layers(f"file:{path.name}", Wanted(path.parent, convolution)).layers:
                assert layer.weight.dtype == np.float32 and layer.weight.ndim == 4
                assert layer.weight.nbytes <= max(16 * len(content), 2**28)
        except AtlasError as error:
            assert "\n" not in str(error) and len(str(error)) < 2000


KERNELS = np.random.default_rng(0).standard_normal((6, 1, 3, 3), np.float32)


def _safetensors() -> bytes:
    return safetensors.numpy.save({"dw.weight": KERNELS, "half": KERNELS.astype(np.float16), "fc": np.ones((4, 4))})


def _torch(**options) -> bytes:
    file = io.BytesIO()
    dw = torch.from_numpy(KERNELS)
    quantized = torch.quantize_per_tensor(dw, 0.05, 120, torch.quint8)
    torch.save({"model": {"dw.weight": dw, "q": quantized, "half": dw.bfloat16()}, "epoch": 3}, file, **options)
    return file.getvalue()


def _onnx() -> bytes:
    make = onnx.helper.make_node
    inner = [onnx.numpy_helper.from_array(2 * KERNELS, "inner")]
    branch = onnx.helper.make_graph([make("Conv", ["a", "inner"], ["y"], group=6)], "b", [], [], inner)
    body = [make("Transpose", ["k"], ["t"], perm=[0, 1, 3, 2]), make("Conv", ["i", "t"], ["o"], group=6)]
    function = onnx.helper.make_function("local", "F", ["i", "k"], ["o"], body, [onnx.helper.make_opsetid("", 21)])
    nodes = [
        make("Conv", ["x", "w"], ["a"], group=6, strides=[2, 2]),
        make("DequantizeLinear", ["q", "scale"], ["d"]),
        make("Reshape", ["d", "shape"], ["r"]),
        make("Conv", ["a", "r"], ["b"], group=6),
        make("If", ["yes"], ["c"], then_branch=branch, else_branch=branch),
        make("Tile", ["w", "times"], ["tiled"]),
        make("F", ["b", "tiled"], ["e"], domain="local"),
        make("ConvInteger", ["a", "q"], ["f"], group=6),
    ]
    constants = {"w": KERNELS, "q": (10 * KERNELS).astype(np.int8), "scale": np.float32(0.1), "yes": np.array(True)}
    constants |= {"shape": np.array([6, 1, 3, 3]), "times": np.array([2, 1, 1, 1])}
    tensors = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = onnx.helper.make_graph(nodes, "g", [], [], tensors)
    opsets = [onnx.helper.make_opsetid("", 21), onnx.helper.make_opsetid("local", 1)]
    return onnx.helper.make_model(graph, functions=[function], opset_imports=opsets).SerializeToString()


def _tflite(outside: bool = False) -> bytes:
    weight = KERNELS.transpose(1, 2, 3, 0)
    tensors = [
        Tensor("x", (1, 8, 8, 6)),
        Tensor("y", (1, 8, 8, 6)),
        Tensor("w", weight.shape, weight),
        Tensor("q", weight.shape, (10 * weight).astype(np.int8), (0.1,) * 6, axis=3),
        Tensor("half", weight.shape, weight.astype(np.float16)),
        Tensor("full", weight.shape),
        Tensor("dense", (6, 3, 3, 1), KERNELS),
    ]
    operators = [depthwise([0, 2], 1), depthwise([0, 3], 1), Operator(6, [4], [5]), depthwise([0, 5], 1)]
    return tflite_model([(tensors, [*operators, conv([0, 6], 1)])], outside)


def _network() -> bytes:
    """A whole network beside values of other classes."""
    network = torch.nn.Sequential(torch.nn.Conv2d(4, 4, 3, groups=4), torch.nn.BatchNorm2d(4))
    file = io.BytesIO()
    torch.save({"model": network, "when": Path("a"), "seen": {1, 2}, "range": slice(3)}, file)
    return file.getvalue()


def _script() -> bytes:
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Sequential(torch.nn.Conv2d(4, 4, 3, groups=4))), file)
    return file.getvalue()


FILES = {
    "safetensors": _safetensors(),
    "zip": _torch(),
    "legacy": _torch(_use_new_zipfile_serialization=False),
    "onnx": _onnx(),
    "tflite": _tflite(),
    "tflite_outside": _tflite(outside=True),
    "network": _network(),
    "script": _script(),
    "numpy": pickle.dumps({"model": {"dw.weight": KERNELS, "fc": np.ones((4, 4))}, "step": np.int64(3)}, 4),
}

BYTES = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [
            b"\xff" * 8,
            b"\0" * 8,
            b"\x7f" * 4,
            b"\xff\xff\xff\xff\x0f",
            b"9" * 20,
            b"}",
            b"\x80\x02",
            b"cos\nsystem\n",
            b"R.",
        ]
    ),
)
EDITS = st.lists(
    st.tuples(st.sampled_from(["flip", "set", "insert", "remove", "double", "cut"]), st.floats(0, 1), BYTES),
    min_size=1,
    max_size=6,
)


def edited(content: bytes, edits: list[tuple[str, float, bytes]]) -> bytes:
    """A file after random edits, at places given as a share of its length."""
    for kind, share, data in edits:
        place = min(int(share * len(content)), max(0, len(content) - 1))
        before, after = content[:place], content[place:]
        content = {
            "flip": before + bytes([after[0] ^ (1 << len(data) % 8)]) + after[1:] if after else content,
            "set": before + data + after[len(data) :],
            "insert": before + data + after,
            "remove": before + after[len(data) :],
            "double": before + after[:64] + after,
            "cut": before,
        }[kind]
    return content


@pytest.mark.parametrize("kind", FILES)
@fuzz(600)
@given(edits=EDITS)
def test_files_with_random_edits(tmp_path, kind, edits):
    read(tmp_path / "net", edited(FILES[kind], edits))


NAMES = [b"cos\nsystem\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n", b"cnumpy\ndtype\n"]
STEPS = st.one_of(
    st.sampled_from([opcode.code.encode("latin-1") for opcode in pickletools.opcodes]),
    st.sampled_from([*NAMES, b"cnumpy.core.multiarray\n_reconstruct\n", b"X\1\0\0\0a", b"K\1", b"q\0", b"h\0"]),
    st.sampled_from([b"N", b"}", b")", b"]", b"(", b"R", b"b", b"s"]),
    st.binary(max_size=4),
)


@fuzz(2000)
@given(steps=st.lists(STEPS, max_size=40))
def test_random_programs_of_pickle(tmp_path, steps):
    read(tmp_path / "net", b"\x80\x02" + b"".join(steps) + b".")


@pytest.mark.parametrize("kind", ["zip", "network", "script"])
@fuzz(600)
@given(edits=EDITS)
def test_torch_files_whose_pickle_was_edited_and_whose_checksums_hold(tmp_path, kind, edits):
    repacked = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(FILES[kind])) as before, zipfile.ZipFile(repacked, "w") as after:
        for member in before.infolist():
            content = before.read(member)
            after.writestr(member.filename, edited(content, edits) if member.filename.endswith(".pkl") else content)
    read(tmp_path / "net.pth", repacked.getvalue())


@fuzz(600)
@given(content=st.binary(max_size=300))
@example(b"\x80\x02cos\nsystem\n(S'touch mark'\ntR.")
@example(b"PK\x03\x04" + b"\0" * 40)
def test_random_bytes(tmp_path, content):
    for start in (
        b"",
        b"\x80\x02",
        b"PK\x03\x04",
        b"\x08\x07",
        b"\x10\0\0\0TFL3",
        len(content).to_bytes(8, "little") + b"{",
    ):
        read(tmp_path / "net", start + content)


NUMBERS = st.one_of(st.integers(-2, 400), st.sampled_from([2**31, 2**63, 2**70, 0.5, True, None, "9"]))
ENTRY = st.one_of(
    st.fixed_dictionaries(
        {
            "dtype": st.one_of(st.sampled_from([*safetensors_header.FLOATS, "I8", "F4", "X"]), NUMBERS),
            "shape": st.one_of(st.lists(NUMBERS, max_size=5), st.just([6, 1, 3, 3]), NUMBERS),
            "data_offsets": st.one_of(st.lists(NUMBERS, max_size=3), st.just([0, 216]), NUMBERS),
        }
    ),
    st.recursive(
        NUMBERS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner), max_leaves=5
    ),
)


@fuzz(600)
@given(
    entries=st.dictionaries(st.one_of(st.text(max_size=8), st.sampled_from(["__metadata__", "dw"])), ENTRY, max_size=4)
)
@example({"dw": {"dtype": "F32", "shape": [2**62] * 60_000, "data_offsets": [0, 216]}})
@example({"dw": {"dtype": "F32", "shape": [2**63, 2**63, 0, 3], "data_offsets": [0, 0]}})
def test_headers_of_safetensors(tmp_path, entries):
    header = json.dumps(entries).encode()
    for convolution in ("depthwise", "dense"):
        read(tmp_path / "net", len(header).to_bytes(8, "little") + header + bytes(400), convolution)


def test_a_torch_tensor_larger_than_its_file_is_refused(tmp_path):
    """A view with strides of 0 claims any shape of a few values."""
    torch.save({"dw.weight": torch.zeros(1).expand(2**40, 1, 3, 3)}, tmp_path / "net.pth")
    with watched(), pytest.raises(AtlasError, match=r"'dw\.weight' claims more values than the file has bytes"):
        list(read_layers("file:net.pth", Wanted(tmp_path)).layers)


def test_a_torch_file_that_unpacks_to_much_more_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "net.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(2**27))
        archive.writestr("archive/version", "3\n")
    with watched(), pytest.raises(AtlasError, match="compressed, to unpack to much more"):
        read_layers("file:net.pth", Wanted(tmp_path))


CELLS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        ["a", "file:a.pth", "timm:x.y", "hf:a/b:c", "init:x", "train", "assign", "dense", "../x", "CON", "nan", "1e400"]
    ),
)
COLUMNS = ["model", "source", "use", "convolution", "top1", "params", "group", "licence", "mine"]


@fuzz(600)
@given(
    names=st.lists(st.sampled_from(COLUMNS) | st.text(max_size=5), max_size=8),
    rows=st.lists(st.lists(CELLS, max_size=8), max_size=5),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    start=st.sampled_from([b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\0"]),
)
def test_sheets(tmp_path, names, rows, end, start):
    text = end.join("\t".join(row) for row in [names, *rows])
    (tmp_path / "sheet.tsv").write_bytes(start + text.encode("utf-8", "surrogatepass"))
    try:
        with watched():
            sheet = read_sheet(tmp_path / "sheet.tsv")
    except AtlasError as error:
        assert "\n" not in str(error)
    else:
        assert sheet["model"].str.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*").all()
        assert (sheet["top1"].isna() | sheet["top1"].between(0, 100)).all()


RULES = yaml.safe_load(SCHEMA.read_text())
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([0.3, 3, 3.0, "7x7"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["7x7", "13x13", "steps", "restarts", "boundary"]) | st.text(max_size=3), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@fuzz(100)
@given(config=st.dictionaries(st.sampled_from(sorted(RULES["properties"])) | st.text(max_size=4), VALUES, max_size=4))
@example({"thresholds": {"7x7": float("nan")}})
@example({"sizes": [3.0]})
@example({"seed": 10**30})
def test_configurations(config):
    try:
        with watched():
            checked = check_config(config, SCHEMA)
    except AtlasError as error:
        assert "\n" not in str(error)
    else:
        assert all(type(side) is int and 2 <= side <= 63 for side in checked["sizes"])
        assert all(0 < threshold <= 2 for threshold in checked["thresholds"].values())
        assert type(checked["seed"]) is int and 0 <= 1000 * checked["seed"] < 2**63


@fuzz(200)
@given(
    rows=st.lists(
        st.tuples(*[st.sampled_from(["0", "0.5", "1", "-1", "nan", "inf", "x", ""]) | st.text(max_size=3)] * 4),
        max_size=4,
    ),
)
@example([("0", "0", "0.5", "a"), ("1", "0.5", "1", "b")])
@example([("0.5", "0", "1", "a")])
def test_clusters_by_hand(tmp_path, rows):
    lines = ["cluster\tcode_low\tcode_high\tlabel", *("\t".join(row) for row in rows)]
    (tmp_path / "mine.tsv").write_text("\n".join(lines), encoding="utf-8", errors="replace")
    try:
        with watched():
            clusters = read_clusters(tmp_path / "mine.tsv")
    except AtlasError as error:
        assert "\n" not in str(error)
    else:
        assert clusters["code_low"].min() == 0 and clusters["code_high"].max() == 1
        assert set(clusters["cluster"]) == {float(row[0]) for row in rows}
