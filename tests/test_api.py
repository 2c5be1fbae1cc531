"""kernel_atlas as a library and as a command, on real files: what comes in, what comes out, what is refused."""

import doctest
import importlib
import json
import os
import pickle
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from checkpoint_files import conv, onnx_model
from conftest import ROOT
from hub_server import Hub
from PIL import Image
from safetensors.numpy import load_file, save, save_file
from safetensors.torch import save_file as save_torch
from scipy.stats import binomtest

import kernel_atlas
from kernel_atlas import AtlasError, assign, describe, diff, extract, label
from kernel_atlas.api import ENCODER
from kernel_atlas.figures import contact_sheet
from kernel_atlas.io.extract import extract_model
from kernel_atlas.io.formats.safetensors import PREFIX_BYTES
from kernel_atlas.io.shards import shards_of
from kernel_atlas.io.sources import Wanted
from kernel_atlas.model.assign import ASSIGNED

NET = ROOT / "resources/zoo/cifar10_7x7_s0.safetensors"
MISSING = ["code", "dissimilarity", "cluster", "pose", "pose_code", "pose_dissimilarity"]  # without an encoder
RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> Path:
    """A network with dead kernels, sizes without an encoder, and a layer that is dead as a whole."""
    shapes = {"a": (40, 1, 3, 3), "b": (6, 1, 1, 5), "c": (5, 1, 13, 13), "d": (3, 1, 3, 3), "fc": (10, 40)}
    weights = {name: RANDOM.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    weights["a"][0], weights["a"][1, 0, 1, 1], weights["c"][0], weights["d"][:] = 0, np.nan, np.inf, 1e-5
    path = tmp_path_factory.mktemp("odd") / "odd.safetensors"
    save_file({f"{name}.weight": weight for name, weight in weights.items()}, path)
    return path


@pytest.mark.parametrize("module", ["api"])
def test_the_examples_of_the_documentation(module, monkeypatch):
    monkeypatch.chdir(ROOT)
    result = doctest.testmod(importlib.import_module(f"kernel_atlas.{module}"))
    assert result.attempted and not result.failed


def test_the_lines_of_the_start_page(monkeypatch):
    monkeypatch.chdir(ROOT)
    (lines,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/start.md").read_text(), re.S)
    names = {}
    exec(lines.replace("my_network.pth", "resources/zoo/cifar10_7x7_s0.safetensors"), names)
    assert names["described"].sizes["size"].tolist() == ["3x3", "7x7"] and len(names["kernels"]) > 900


def test_kernels_are_those_of_the_shards(odd, tmp_path):
    extract_model("odd", f"file:{odd}", Wanted(Path()), tmp_path / "odd", dense_per_layer=1, seed=0)
    shards = pd.concat([pd.read_parquet(shard.path) for shard in shards_of(tmp_path / "odd")], ignore_index=True)
    kernels = extract(odd)
    assert kernels.columns.tolist() == ["layer_index", "layer", "channel", "kh", "kw", "weight", "dead"]
    for name in kernels.columns.drop("weight"):
        assert kernels[name].tolist() == shards[name].tolist()
    for ours, theirs in zip(kernels["weight"], shards["weight"], strict=True):
        assert ours.dtype == np.float32 and ours.tobytes() == theirs.tobytes()


def test_dense_convolutions(tmp_path):
    weight = RANDOM.standard_normal((4, 3, 3, 3), np.float32)
    torch.save({"state_dict": {"conv.weight": torch.from_numpy(weight)}}, tmp_path / "net.pth")
    kernels = extract(tmp_path / "net.pth", convolution="dense")
    np.testing.assert_array_equal(np.stack(kernels["weight"]), weight.reshape(12, 9))
    with pytest.raises(AtlasError, match=r"net.pth: no depthwise convolution in it; check"):
        extract(tmp_path / "net.pth")


def test_other_peoples_checkpoints(data):
    """One of each format: all are labelled, and the shares add up."""
    for name in ("fastestdet_coco.pth", "proxyless_pfld.onnx", "gtcrn_vctk_training_state.tar"):
        with warnings.catch_warnings(action="ignore"):
            layers = describe(data / "checkpoints" / name)
        kernels = layers.groupby("size")["kernels"].sum()
        assert kernels.to_dict() == layers.sizes.set_index("size")["kernels"].to_dict() and kernels.sum() > 0
        assert layers.sizes["pattern_share"].notna().any()
        for row in layers.itertuples():
            assert not row.labels or sum(share for _, share in row.labels) <= row.pattern_share + 1e-9


class Harm:
    def __reduce__(self):
        return os.system, ("touch harmed",)


def test_a_checkpoint_that_would_run_code_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("bad.pth").write_bytes(pickle.dumps({"weight": Harm()}))
    with pytest.raises(AtlasError, match=r"^bad.pth: .*") as refused:
        extract("bad.pth")
    assert "\n" not in str(refused.value) and not Path("harmed").exists()


def test_arrays_tensors_and_tables_are_labelled_alike():
    weight = load_file(NET)["stages.0.1.depthwise.weight"]
    kernels = extract(NET)
    table = assign(kernels[kernels["layer_index"] == 0])
    parameter = torch.nn.Parameter(torch.from_numpy(weight))
    for given in (weight, weight[:, 0], weight.astype(np.float64), parameter):
        other = assign(given)
        assert other.columns.tolist() == ["kh", "kw", "weight", *ASSIGNED]
        for name in ASSIGNED:
            assert other[name].equals(table[name]), name
    half = assign(parameter.bfloat16())
    assert (half["code"] - table["code"]).abs().median() < 0.01
    assert set(table["label"]) > {"other", "On-Centre"}


def test_the_given_table_comes_back_with_its_columns_and_index():
    kernels = extract(NET).iloc[[5, 700, 3, 3]].assign(mine=list("abcd"), label="old")
    kernels.index = [7, 7, "x", 1]
    before = kernels.copy()
    assigned = assign(kernels)
    assert assigned.index.tolist() == [7, 7, "x", 1] and assigned["mine"].tolist() == list("abcd")
    pd.testing.assert_frame_equal(kernels, before)
    whole = assign(extract(NET))
    assert assigned["label"].tolist() == whole["label"].iloc[[5, 700, 3, 3]].tolist()


def test_what_is_not_square_has_no_label_and_what_has_no_encoder_no_code(odd):
    assigned = assign(extract(odd))
    without = assigned["kh"].ne(assigned["kw"])
    assert without.sum() == 6 and assigned.loc[without, ASSIGNED].isna().all(axis=None)
    assert all(label is None for label in assigned.loc[without, "label"])
    uncoded = assigned["kh"].eq(13)
    assert assigned.loc[uncoded, MISSING].isna().all(axis=None) and assigned.loc[uncoded, "label"].notna().all()
    dead = assigned[assigned["dead"] & ~without]
    assert len(dead) == 6 and set(dead["label"]) == {"dead"} and set(dead["cluster"].dropna()) == {-1}
    assert dead[["code", "dissimilarity", "similarity"]].isna().all(axis=None)


def described(**columns) -> pd.DataFrame:
    """The sizes of a network of one layer with these columns of kernels."""
    known = {"layer_index": 0, "layer": "a", "weight": None, "dead": False, "scrambled": 0.0, "label": "other"}
    known |= {"dissimilarity": np.nan, "cluster": None}
    table = pd.DataFrame(known | columns)
    return describe(table.assign(kw=table["kh"])).sizes


def test_networks_are_placed_among_those_of_the_reference():
    table = pd.read_csv(ROOT / "resources/reference/networks.csv")
    known = table.loc[table["size"] == "5x5", "pattern_share"]
    half = {"dead": [False] * 4 + [True], "label": ["On-Centre", "other"] * 2 + ["dead"]}
    (row,) = described(kh=5, **half).itertuples()
    assert (row.size, row.pattern_share, row.networks) == ("5x5", 0.5, len(known))
    assert row.above == (known < 0.5).mean() and row.reference_low < row.reference_median < row.reference_high
    (row,) = described(kh=11, **half).itertuples()
    assert row.pattern_share == 0.5 and np.isnan(row.networks), "one network of 11x11 is no company"


def test_a_network_unlike_what_trained_the_encoder_is_said_to_be():
    random = np.random.default_rng(0)
    (row,) = describe(random.standard_normal((200, 7, 7))).sizes.itertuples()
    assert row.size == "7x7" and row.kernels == 200 and row.beyond > 0.9 and row.unlike
    drawn = kernel_atlas.templates(7)
    centres = np.stack(
        [taps.reshape(7, 7) for name, taps in zip(drawn.labels, drawn.taps, strict=True) if name.endswith("Centre")]
    )
    assert not describe(centres).sizes["unlike"].any()
    assert describe(random.standard_normal((20, 13, 13))).sizes["unlike"].isna().all()


def test_shares_have_intervals_and_controls():
    table = label(NET)
    sizes = describe(table).sizes.set_index("size")
    live = table[table["kh"] == 3]
    assert sizes.loc["3x3", "pattern_share"] == (live["label"] != "other").mean()
    assert sizes.loc["3x3", "phase_share"] == (live["scrambled"] > 0.8).mean()
    assert sizes.loc["3x3", "pattern_low"] < sizes.loc["3x3", "pattern_share"] < sizes.loc["3x3", "pattern_high"]
    assert np.isnan(sizes.loc["7x7", "pattern_low"]), "three layers tell no interval"
    layers = describe(table)
    assert (layers["pattern_low"] < layers["pattern_share"]).all()
    low, high = binomtest(32, 48).proportion_ci(method="wilson")
    np.testing.assert_allclose(layers.loc[0, ["pattern_low", "pattern_high"]].tolist(), [low, high], atol=1e-6)


def test_two_networks_are_compared_layer_by_layer():
    other = ROOT / "resources/zoo/cifar10_7x7_s1.safetensors"
    change = diff(NET, other).set_index(["size", "label"])
    shares = [describe(net).sizes.set_index("size")["pattern_share"] for net in (NET, other)]
    for size in ("3x3", "7x7"):
        row = change.loc[size, "with a pattern"]
        assert (row["share_a"], row["share_b"]) == (shares[0][size], shares[1][size]) and row["paired"]
        assert row["change"] == row["share_b"] - row["share_a"] == -change.loc[(size, "other"), "change"]
        of_labels = change.loc[size].drop(["with a pattern", "random phases", "dead"])
        np.testing.assert_allclose(of_labels[["share_a", "share_b"]].sum(), 1)
    assert change.loc[("3x3", "with a pattern"), "low"] <= change.loc[("3x3", "with a pattern"), "high"]
    same = diff(NET, NET)
    assert not same["change"].any() and not same[["low", "high"]].fillna(0).any(axis=None)
    alone = diff(NET, ROOT / "resources/zoo/cifar10_5x5_s0.safetensors").set_index(["size", "label"])
    assert np.isnan(alone.loc[("5x5", "with a pattern"), "share_a"]) and alone.loc[("5x5", "dead"), "layers_a"] == 0
    pruned = {name: weight * (np.arange(len(weight)) % 2)[:, None, None, None] for name, weight in convolutions(NET)}
    dead = diff(NET, pruned).set_index(["size", "label"])
    assert dead.loc[("7x7", "dead"), "change"] == 0.5


def convolutions(path: Path) -> list[tuple[str, np.ndarray]]:
    return [(name, weight) for name, weight in load_file(path).items() if "depthwise.weight" in name]


def test_a_table_of_ones_own_names_the_kernels(tmp_path):
    lines = (ROOT / "resources/patterns/v1.tsv").read_text().splitlines()
    mine = [lines[0], *(line.replace("On-Centre", "Dot", 1) for line in lines[1:] if line.startswith("On-Centre"))]
    (tmp_path / "mine.tsv").write_text("\n".join(mine))
    kernels = extract(NET)
    assert set(assign(kernels, patterns=tmp_path / "mine.tsv")["label"]) == {"Dot", "other"}
    done = called("label", NET, "--patterns", "mine.tsv", folder=tmp_path)
    assert done.returncode == 0 and "Dot" in done.stdout and "On-Centre" not in done.stdout


def test_no_kernels_are_no_fault():
    assert assign(np.empty((0, 3, 3))).columns.tolist() == ["kh", "kw", "weight", *ASSIGNED]


@pytest.mark.parametrize(
    "kernels, line",
    [
        (np.ones((4, 2, 3, 3)), r"kernels: of shape \[4, 2, 3, 3\]; give taps \[n, kh, kw\]"),
        (torch.empty((4, 1, 3, 3), device="meta"), "on the meta device, without values"),
        (np.full((1, 3, 3), "taps"), "a tensor of dtype <U4 is not read"),
        (np.ones(9), r"kernels: of shape \[9\]; give"),
        (pd.DataFrame({"weight": [np.ones(9)]}), "kernels: the table has no column kh; give what"),
        (pd.DataFrame({"kh": [3], "kw": [3], "weight": [np.ones(8)]}), "kernels: a weight is not 9 numbers"),
        (pd.DataFrame({"kh": 3, "kw": 3, "weight": [np.ones(9), np.ones(4)]}), "kernels: a weight is not 9 numbers"),
        (pd.DataFrame({"kh": [3], "kw": [3], "weight": ["taps"]}), "kernels: a weight is not 9 numbers"),
    ],
)
def test_what_are_no_kernels_is_one_line(kernels, line):
    with pytest.raises(AtlasError, match=line):
        assign(kernels)


def edited(change) -> bytes:
    """The shipped encoder with something changed: its tensors, or its metadata as text."""
    content = ENCODER.read_bytes()
    length = int.from_bytes(content[:PREFIX_BYTES], "little")
    header = content[PREFIX_BYTES : PREFIX_BYTES + length].decode()
    new = change(header).encode()
    return len(new).to_bytes(8, "little") + new + content[PREFIX_BYTES + length :]


FOREIGN = "not an encoder of kernel-atlas, or damaged; name the encoder.safetensors of a run or of a release"


@pytest.mark.parametrize(
    "content, line",
    [
        (lambda: None, "no such file; name the encoder.safetensors of a run or of a release"),
        (lambda: b"", FOREIGN),
        (lambda: b"RIFF" * 100, FOREIGN),
        (lambda: NET.read_bytes(), FOREIGN),
        (lambda: ENCODER.read_bytes()[:-1000], FOREIGN),
        (
            lambda: save({"3x3.encoder.0.weight": np.ones((2, 9), np.float32)}, {"kernel_atlas": '{"sizes": {}'}),
            FOREIGN,
        ),
        (lambda: edited(lambda header: header.replace("7x7.encoder.0.weight", "7x7.encoder.9.weight")), FOREIGN),
        (lambda: edited(lambda header: header.replace("[256,49]", "[49,256]")), FOREIGN),
        (lambda: edited(lambda header: header.replace(r"\"threshold\"", r"\"treshold\"")), FOREIGN),
        (lambda: edited(lambda header: header.replace(r"\"label\"", r"\"lable\"")), "'label'"),
        (lambda: edited(lambda header: header.replace(r"\"code_low\": 0.0", r"\"code_low\": 0.01")), "without gap"),
    ],
)
def test_what_is_no_encoder_is_one_line(content, line, tmp_path):
    path = tmp_path / "mine.safetensors"
    if content() is not None:
        path.write_bytes(content())
    with pytest.raises(AtlasError) as refused:
        assign(np.ones((1, 3, 3)), path)
    assert str(refused.value).startswith(f"{path}: ") and line in str(refused.value)


def test_a_folder_of_results_names_its_encoder(tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    with pytest.raises(AtlasError, match=r"results/encoder.safetensors: no such file; name"):
        assign(np.ones((1, 3, 3)), results)
    (results / "encoder.safetensors").write_bytes(ENCODER.read_bytes())
    kernels = extract(NET)
    pd.testing.assert_frame_equal(assign(kernels, results), assign(kernels))
    done = called("label", NET, "--encoder", results, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_importing_costs_nothing_and_labelling_no_torch():
    script = (
        "import sys, kernel_atlas; assert not {'numpy', 'pandas', 'pyarrow'} & set(sys.modules)\n"
        f"kernel_atlas.assign(kernel_atlas.extract({str(NET)!r})); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
    assert {"extract", "assign", "templates"} <= set(dir(kernel_atlas))
    with pytest.raises(AttributeError, match="no attribute 'lable'"):
        _ = kernel_atlas.lable


# Networks in memory


class Net(torch.nn.Module):
    """A small network with a normalisation that nothing folds, a parametrised layer and a transposed one."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = torch.nn.Conv2d(3, 16, 3)
        self.blocks = torch.nn.ModuleList(
            torch.nn.Sequential(torch.nn.Conv2d(16, 16, side, groups=16), torch.nn.Conv2d(16, 16, 1))
            for side in (3, 5, 5, 7, 3, 3, 3, 3, 3, 3, 3)
        )
        self.head = torch.nn.Linear(16, 10)


def as_onnx(network: Net, path: Path) -> Path:
    constants = {name: value.numpy() for name, value in network.state_dict().items() if value.ndim == 4}
    nodes = [conv(name, group=16 if weight.shape[1] == 1 else 1) for name, weight in constants.items()]
    return onnx_model(path, nodes, constants)


def test_one_network_is_one_table_however_it_is_given(tmp_path):
    network = Net()
    state = network.state_dict()
    torch.save({"epoch": 3, "model": state, "optimizer": {"state": {}}}, tmp_path / "net.pth")
    save_torch(state, tmp_path / "net.safetensors")
    as_onnx(network, tmp_path / "net.onnx")
    table = describe(network)
    given = {
        "state dict": state,
        "checkpoint in memory": {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}},
        "arrays by name": {name: value.numpy() for name, value in state.items()},
        "module in a wrapper": torch.nn.DataParallel(network),
        **{kind: tmp_path / f"net.{kind}" for kind in ("pth", "safetensors", "onnx")},
        "text": str(tmp_path / "net.pth"),
        "source": f"file:{tmp_path / 'net.pth'}",
        "table": extract(network),
    }
    assert len(table) == 11 and table.sizes["size"].tolist() == ["3x3", "5x5", "7x7"]
    for kind, one in given.items():
        other = describe(one)
        pd.testing.assert_frame_equal(other, table, obj=kind)
        pd.testing.assert_frame_equal(other.sizes, table.sizes, obj=kind)
    script = (
        "import sys, kernel_atlas\ntable = kernel_atlas.describe(sys.argv[1])\n"
        "table.to_pickle(sys.argv[2])\ntable.sizes.to_pickle(sys.argv[2] + '.sizes')"
    )
    with Hub() as hub:
        hub.add("me/net", {"net.safetensors": tmp_path / "net.safetensors"})
        environment = os.environ | {"HF_ENDPOINT": hub.endpoint, "NO_PROXY": "127.0.0.1", "HF_HOME": str(tmp_path)}
        for source in ("hf:me/net:net.safetensors", f"{hub.endpoint}/me/net/resolve/main/net.safetensors"):
            command = [sys.executable, "-c", script, source, str(tmp_path / "table")]
            subprocess.run(command, cwd=ROOT, env=environment, check=True)
            pd.testing.assert_frame_equal(pd.DataFrame(pd.read_pickle(tmp_path / "table")), pd.DataFrame(table))
            pd.testing.assert_frame_equal(pd.read_pickle(tmp_path / "table.sizes"), table.sizes)


def test_tensors_and_layers_alone_are_networks():
    network = Net()
    weights = [block[0].weight for block in network.blocks]
    listed, whole = label(weights), label(network)
    assert listed["layer"].unique().tolist() == [str(place) for place in range(11)]
    assert listed["label"].tolist() == whole["label"].tolist()
    assert label(network.blocks[0][0])["layer"].unique().tolist() == ["weight"]
    half = label(Net().half())
    assert (half["label"] == whole["label"]).mean() > 0.95
    dense = extract(network, convolution="dense")
    assert len(dense) == 3 * 16 and set(dense["layer"]) == {"stem.weight"}


def test_kernels_of_a_network_do_not_change_when_it_is_trained_on():
    network = Net()
    for given in (network, network.state_dict()):
        table = extract(network)
        before = table["weight"][0].copy()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(1)
        np.testing.assert_array_equal(table["weight"][0], before)
        assert not np.array_equal(extract(given)["weight"][0], before)


def test_parametrised_weights_are_those_that_are_computed():
    network = Net()
    torch.nn.utils.parametrizations.weight_norm(network.blocks[0][0])
    of_module, of_state = extract(network), extract(network.state_dict())
    assert of_module["layer"].tolist() == of_state["layer"].tolist()
    np.testing.assert_allclose(np.stack(of_module["weight"][:16]), np.stack(of_state["weight"][:16]), rtol=1e-5)


with torch.device("meta"):
    EMPTY = Net()


@pytest.mark.parametrize(
    "network, line",
    [
        (3, "int: of a type that has no kernels; give an nn.Module"),
        (None, "NoneType: of a type"),
        ([1, 2], "list: of a type"),
        ([], "list: of a type"),
        (object(), "object: of a type"),
        (Net, "type: of a type"),
        (torch.optim.SGD(Net().parameters()), "SGD: of a type"),
        (torch.nn.Linear(300, 300), "Linear: no depthwise convolution in it"),
        ({}, "dict: holds no state dict"),
        ({"a": 1}, "dict: holds no state dict"),
        ({"model": "x" * 10**5}, "dict: holds no state dict"),
        (dict(Net().named_modules()), "dict: holds several networks"),
        ([np.ones((4, 2))], r"list: tensor 0 is of shape [4, 2]; give taps"),
        ([np.full((4, 1, 3, 3), "a")], "list: a tensor of dtype <U1 is not read"),
        (EMPTY, "Net: on the meta device, without values"),
        (EMPTY.state_dict(), "OrderedDict: no depthwise convolution was read"),
        ("a\0b", "'a\\x00b': a text that is neither a path nor a source"),
        ("x" * 10**5, f"'{'x' * 40}': a text that is neither"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_network_is_one_short_line(network, line):
    for read in (extract, label, describe, lambda given: diff(given, NET)):
        with pytest.raises(AtlasError) as refused:
            read(network)
        assert str(refused.value).startswith(line) and "\n" not in str(refused.value)
        assert len(str(refused.value)) < 400


def test_a_package_that_is_not_installed_is_named_with_its_extra(tmp_path, monkeypatch):
    path = as_onnx(Net(), tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(
        AtlasError, match=r"net.onnx: needs onnx, which is not installed: pip install 'kernel-atlas\[onnx"
    ):
        extract(path)


def test_tables_show_themselves(tmp_path):
    table, described, change = (
        label(NET),
        describe(NET),
        diff(NET, ROOT / "resources/zoo/cifar10_7x7_s0_init.safetensors"),
    )
    for shown in (table, table[table["label"] == "On-Centre"], extract(NET), described, change):
        assert shown.plot("a title")._repr_png_().startswith(b"\x89PNG")
        assert "</table>" in shown._repr_html_()
    described.plot().savefig(tmp_path / "described.svg")
    assert "<svg" in (tmp_path / "described.svg").read_text()
    assert table._repr_html_().count("<img") == 10
    assert type(table[["label"]]) is pd.DataFrame and table[["similarity"]].plot is not table.plot
    flat = describe([RANDOM.standard_normal((9, 1, 1, 5), np.float32)])
    with pytest.raises(AtlasError, match="nothing to draw"):
        flat.plot()


# The command


def called(*arguments, folder: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "kernel_atlas", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_the_command_prints_a_table_and_draws_the_kernels(tmp_path):
    done = called("label", NET, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    sizes, layers, *said = done.stdout.split("\n\n")
    rows = [re.split(" {2,}", line) for line in layers.splitlines()]
    names = ["kernels", "dead", "with a pattern", "random phases", "clustered", "commonest patterns"]
    assert rows[0] == ["layer", "size", *names] and len(rows) == 9
    kernels = label(NET)
    first = kernels[kernels["layer_index"] == 0]
    share, scrambled = (first["label"] != "other").mean(), (first["scrambled"] > 0.7).mean()
    assert rows[1][:4] == ["stages.0.1.depthwise.weight", "7x7", "48", "0"]
    assert rows[1][4].startswith(f"{share:.1%} [".replace("%", " %")) and rows[1][5] == f"{100 * scrambled:.1f} %"
    assert rows[1][6] == f"{100 * (first['cluster'] >= 0).mean():.1f} %"
    label_, share = rows[1][7].split(", ")[0].rsplit(" ", 1)
    assert share == f"{(first['label'] == label_).mean():.0%}" and label_.endswith("-Centre")
    assert [line.split()[:2] for line in sizes.splitlines()[1:]] == [["3x3", "768"], ["7x7", "144"]]
    assert said[0].splitlines()[1].startswith("7x7: a larger share with a pattern than 22% of 9 reference networks")
    with Image.open(tmp_path / "cifar10_7x7_s0_kernels.png") as sheet:
        assert sheet.format == "PNG" and sheet.width == 1800
    assert [path.name for path in tmp_path.iterdir()] == ["cifar10_7x7_s0_kernels.png"]


def test_every_command_gives_its_table_as_csv_and_json(tmp_path):
    wanted = {
        "extract": pd.DataFrame(extract(NET)),
        "label": pd.DataFrame(label(NET)),
        "describe": pd.DataFrame(describe(NET)),
        "diff": pd.DataFrame(diff(NET, NET)),
    }
    for verb, table in wanted.items():
        networks = [NET, NET] if verb == "diff" else [NET]
        done = called(verb, *networks, "--csv", "table.csv", "--json", folder=tmp_path)
        assert (done.returncode, done.stderr) == (0, ""), verb
        given = json.loads(done.stdout)
        rows = given["layers"] if verb == "describe" else given
        assert list(rows[0]) == list(table) and len(rows) == len(table)
        written = pd.read_csv(tmp_path / "table.csv")
        assert set(table) <= set(written) and len(written) == len(table) + 2 * (verb == "describe")
        if "weight" in table:
            taps = np.array(written["weight"][0].split(), np.float32)
            assert taps.tobytes() == table["weight"][0].tobytes(), "nine digits are all of a float32"
    assert [row["size"] for row in json.loads(called("diff", NET, NET, "--json", folder=tmp_path).stdout)].count("7x7")


def test_one_size_alone_and_the_version(tmp_path):
    done = called("describe", NET, "--only", "7x7", folder=tmp_path)
    assert done.returncode == 0 and "7x7" in done.stdout and "3x3" not in done.stdout
    done = called("describe", NET, "--only", "9x9", folder=tmp_path)
    assert (done.returncode, done.stderr) == (1, f"error: {NET}: no kernels of 9x9; it has 3x3, 7x7\n")
    assert called("--version", folder=tmp_path).stdout == f"kernel-atlas {kernel_atlas.__version__}\n"


def test_a_network_without_an_answer_is_an_error(tmp_path):
    save_file({"a.weight": RANDOM.standard_normal((9, 1, 1, 5), np.float32)}, tmp_path / "flat.safetensors")
    for verb in ("describe", "label"):
        done = called(verb, "flat.safetensors", folder=tmp_path)
        assert done.returncode == 1 and "not square" in done.stdout
        assert done.stderr == (
            "error: flat.safetensors: no kernel is square and alive, so that none can have a reference pattern\n"
        )


def test_settings_of_matplotlib_change_no_picture(tmp_path, monkeypatch):
    pictures = set()
    of_user = ("module://matplotlib_inline.backend_inline", "font.size: 30\ntext.usetex: True\n")
    for backend, settings in (("", ""), of_user):
        monkeypatch.setenv("MPLBACKEND", backend)
        (tmp_path / "matplotlibrc").write_text(settings)
        assert called("label", NET, "--sheet", "mine.png", folder=tmp_path).returncode == 0
        pictures.add((tmp_path / "mine.png").read_bytes())
    assert len(pictures) == 1


def test_the_command_says_what_has_no_label_or_encoder_and_what_is_dead(odd, tmp_path):
    done = called("label", odd, "--encoder", ENCODER, "--sheet", "mine.png", folder=tmp_path)
    assert done.returncode == 0 and (tmp_path / "mine.png").exists()
    lines = {line.split()[0]: re.split(" {2,}", line)[1:] for line in done.stdout.split("\n\n")[1].splitlines()}
    assert lines["b.weight"] == ["1x5", "6", "0", "not square", "no encoder"]
    assert lines["c.weight"][2] == "1" and lines["c.weight"][3].startswith("0.0 % [0.0, 49.0]")
    assert lines["c.weight"][5] == "no encoder" and lines["a.weight"][2] == "2"
    assert lines["d.weight"][:4] == ["3x3", "3", "3", "all dead"]
    sizes = [line.split()[0] for line in done.stdout.split("\n\n")[0].splitlines()[1:]]
    assert sizes == ["1x5", "3x3", "13x13"], "every size has an answer"


@pytest.mark.parametrize(
    "arguments, line",
    [
        (["none.pth"], "error: none.pth: cannot read none.pth: No such file or directory; check the path"),
        (["hf://me/net/a.pth"], "error: hf://me/net/a.pth: not of the form hf:OWNER/REPO[@REVISION]:FILE"),
        (["http:///a.pth"], "error: http:///a.pth: not of the form https://HOST/FILE"),
        (
            ["http://127.0.0.1:9/me/net/resolve/main/a.safetensors?signature=1"],
            "error: http://127.0.0.1:9/me/net/resolve/main/a.safetensors: cannot be read (",
        ),
        (["nosuch://net"], "error: nosuch://net: no kind of store is called nosuch://; use https://, s3://, gs://"),
        (["nosuch:net"], "error: nosuch:net: cannot read nosuch:net: No such file or directory; check the path"),
        ([ROOT / "README.md"], f"error: {ROOT / 'README.md'}: unknown format; known are safetensors, PyTorch"),
        ([NET, "--encoder", NET], f"error: {NET}: not an encoder of kernel-atlas"),
        ([NET, "--sheet", "none/sheet.png"], "error: none/sheet.png: No such file or directory; name another"),
    ],
)
def test_what_the_command_cannot_do_is_one_line(arguments, line, tmp_path):
    done = called("label", *arguments, folder=tmp_path)
    assert done.returncode == 1 and done.stderr.startswith(line) and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_large_network_is_thinned_evenly_and_says_so(tmp_path):
    weights = {f"{layer:02d}.weight": RANDOM.standard_normal((100, 1, 3, 3), np.float32) for layer in range(60)}
    for layer in range(1, 60, 2):
        weights[f"{layer:02d}.weight"] = RANDOM.standard_normal((10, 1, 5, 5), np.float32)
    save_file(weights, tmp_path / "large.safetensors")
    with warnings.catch_warnings(action="ignore"):
        kernels = assign(extract(tmp_path / "large.safetensors"))
    canvas = contact_sheet.draw_sheet(kernels, "large").axes[0]
    words = [text.get_text().replace("\n", " ") for text in canvas.texts]
    assert any("24 layers are shown, of each size evenly along the network" in text for text in words)
    names = [int(match[1]) for text in words if (match := re.fullmatch(r"(\d+)  \d\d.weight", text))]
    assert len(names) == 24 and sum(name % 2 for name in names) == 12 and {0, 59} <= set(names)
    assert words.count("3x3, 76 of 100 kernels, 0% with a pattern") <= 12
    assert sum("76 of 100 kernels" in text for text in words) == 12
    patterns = sum("most often" in text for text in words)  # at the left of a layer
    assert len(canvas.images) == 12 * 76 + 12 * 10 + patterns
