"""kernel_atlas as a library and as a command, on real files: what comes in, what comes out, what is refused."""

import doctest
import importlib
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
from conftest import ROOT
from PIL import Image
from safetensors.numpy import load_file, save, save_file

import kernel_atlas
from kernel_atlas import AtlasError, assign, extract
from kernel_atlas.api import ENCODER, describe_layers, measure_unlikeness, place_networks
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


def test_the_five_lines_of_the_readme(monkeypatch):
    monkeypatch.chdir(ROOT)
    (lines,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    names = {}
    exec(lines, names)
    assert isinstance(names["kernel_atlas"].templates(7).taps, np.ndarray)


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
            layers = describe_layers(assign(extract(data / "checkpoints" / name)))
        square = layers["pattern_share"].notna()
        assert layers["kernels"].iloc[:-1][square.iloc[:-1]].sum() == layers["kernels"].iloc[-1] > 0
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


def test_networks_are_placed_among_those_of_the_reference():
    table = pd.read_csv(ROOT / "resources/reference/networks.csv")
    known = table.loc[table["size"] == "5x5", "pattern_share"]
    half = pd.DataFrame({"kh": 5, "dead": [False] * 4 + [True], "label": ["On-Centre", "other"] * 2 + ["dead"]})
    (row,) = place_networks(half).itertuples()
    assert (row.size, row.pattern_share, row.networks) == ("5x5", 0.5, len(known))
    assert row.above == (known < 0.5).mean() and row.low < row.median < row.high
    assert place_networks(half.assign(kh=11)).empty, "one network of 11x11 is no company"


def test_a_network_unlike_what_trained_the_encoder_is_said_to_be(tmp_path):
    random = np.random.default_rng(0)
    noise = assign(random.standard_normal((200, 7, 7)))
    (row,) = measure_unlikeness(noise).itertuples()
    assert row.size == "7x7" and row.kernels == 200 and row.beyond > 0.9 and row.unlike
    drawn = kernel_atlas.templates(7)
    alike = assign(
        np.stack([taps.reshape(7, 7) for taps in drawn.taps[[name.endswith("Centre") for name in drawn.labels]]])
    )
    assert not measure_unlikeness(alike)["unlike"].any()
    assert measure_unlikeness(assign(random.standard_normal((20, 13, 13)))).empty


def test_a_table_of_ones_own_names_the_kernels(tmp_path):
    lines = (ROOT / "resources/patterns/v1.tsv").read_text().splitlines()
    mine = [lines[0], *(line.replace("On-Centre", "Dot", 1) for line in lines[1:] if line.startswith("On-Centre"))]
    (tmp_path / "mine.tsv").write_text("\n".join(mine))
    kernels = extract(NET)
    assert set(assign(kernels, patterns=tmp_path / "mine.tsv")["label"]) == {"Dot", "other"}
    done = label(NET, "--patterns", "mine.tsv", folder=tmp_path)
    assert done.returncode == 0 and "Dot" in done.stdout and "On-Centre" not in done.stdout


def test_no_kernels_are_no_fault():
    assert assign(np.empty((0, 3, 3))).columns.tolist() == ["kh", "kw", "weight", *ASSIGNED]


@pytest.mark.parametrize(
    "kernels, line",
    [
        (np.ones((4, 2, 3, 3)), r"kernels: of shape \[4, 2, 3, 3\]; give taps \[n, kh, kw\]"),
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
    done = label(NET, "--encoder", results, folder=tmp_path)
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


# The command


def label(*arguments, folder: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "kernel_atlas", "label", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_the_command_prints_a_table_and_draws_the_kernels(tmp_path):
    done = label(NET, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [re.split(" {2,}", line) for line in done.stdout.split("\n\n")[0].splitlines()]
    assert rows[0] == ["layer", "size", "kernels", "dead", "with a pattern", "clustered", "commonest patterns"]
    kernels = assign(extract(NET))
    first = kernels[kernels["layer_index"] == 0]
    shares = [f"{share:.0%}" for share in ((first["label"] != "other").mean(), (first["cluster"] >= 0).mean())]
    assert rows[1][:6] == ["stages.0.1.depthwise.weight", "7x7", "48", "0", *shares] and len(rows) == 10
    label_, share = rows[1][6].split(", ")[0].rsplit(" ", 1)
    assert share == f"{(first['label'] == label_).mean():.0%}" and label_.endswith("-Centre")
    assert rows[-1][:2] == ["all square", "912"]
    share = (kernels.loc[kernels["kh"] == 7, "label"] != "other").mean()
    assert f"\n7x7: {share:.0%} of the kernels have a pattern, more than in " in done.stdout
    with Image.open(tmp_path / "cifar10_7x7_s0_kernels.png") as sheet:
        assert sheet.format == "PNG" and sheet.width == 1800
    assert [path.name for path in tmp_path.iterdir()] == ["cifar10_7x7_s0_kernels.png"]


def test_settings_of_matplotlib_change_no_picture(tmp_path, monkeypatch):
    pictures = set()
    of_user = ("module://matplotlib_inline.backend_inline", "font.size: 30\ntext.usetex: True\n")
    for backend, settings in (("", ""), of_user):
        monkeypatch.setenv("MPLBACKEND", backend)
        (tmp_path / "matplotlibrc").write_text(settings)
        assert label(NET, "--sheet", "mine.png", folder=tmp_path).returncode == 0
        pictures.add((tmp_path / "mine.png").read_bytes())
    assert len(pictures) == 1


def test_the_command_says_what_has_no_label_or_encoder_and_what_is_dead(odd, tmp_path):
    done = label(odd, "--encoder", ENCODER, "--sheet", "mine.png", folder=tmp_path)
    assert done.returncode == 0 and (tmp_path / "mine.png").exists()
    lines = {line.split()[0]: re.split(" {2,}", line)[1:6] for line in done.stdout.splitlines()[1:5]}
    assert lines["b.weight"] == ["1x5", "6", "0", "not square", "no encoder"]
    assert lines["c.weight"][2:] == ["1", "0%", "no encoder"] and lines["a.weight"][2] == "2"
    assert lines["d.weight"][:4] == ["3x3", "3", "3", "all dead"]


@pytest.mark.parametrize(
    "arguments, line",
    [
        (["none.pth"], "error: none.pth: cannot read none.pth: No such file or directory; check the path"),
        ([ROOT / "README.md"], f"error: {ROOT / 'README.md'}: unknown format; known are safetensors, PyTorch"),
        ([NET, "--encoder", NET], f"error: {NET}: not an encoder of kernel-atlas"),
        ([NET, "--sheet", "none/sheet.png"], "error: none/sheet.png: No such file or directory; name another"),
    ],
)
def test_what_the_command_cannot_do_is_one_line(arguments, line, tmp_path):
    done = label(*arguments, folder=tmp_path)
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
    assert len(canvas.images) == 12 * 76 + 12 * 10 + 1  # and the scale
