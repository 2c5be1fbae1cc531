"""What timm knows, as the committed table tells it: rebuilt in part, complete, and what the model sheets make of it."""

import pandas as pd
import pyarrow.parquet as pq
import pytest
import timm
import torch
import yaml
from conftest import ROOT

from kernel_atlas.io.checkpoint import is_dense, is_depthwise
from kernel_atlas.io.sheet import permissive_only, read_sheet
from kernel_atlas.io.timm_layers import TABLE, build_on_meta, find_layers, known_layers, list_layers

# plain, re-parameterised (two families), with conditional convolutions, with bands, from somebody else's repository
SAMPLE = [
    "mobilenetv3_small_050.lamb_in1k",
    "fastvit_t8.apple_in1k",
    "repvit_m1.dist_in1k",
    "tf_efficientnet_cc_b0_4e.in1k",
    "inception_next_tiny.sail_in1k",
    "fastvit_mci0.apple_mclip",
]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.read_parquet(TABLE)


def test_a_sample_rebuilt_is_the_committed_table(table):
    layers, left_out = list_layers(SAMPLE)
    assert pq.read_schema(TABLE).metadata[b"timm"].decode() == timm.__version__
    rebuilt = layers.to_pandas()
    kept = table[table["model"].isin(SAMPLE)].sort_values(["model", "layer_index"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(rebuilt, kept)
    listed = pd.read_csv(ROOT / "resources/timm_left_out.tsv", sep="\t")
    expected = listed[listed["architecture"].isin([tag.partition(".")[0] for tag in SAMPLE])]
    columns = ["architecture", "what"]
    pd.testing.assert_frame_equal(
        left_out.to_pandas().sort_values(columns).reset_index(drop=True),
        expected.sort_values(columns).reset_index(drop=True),
    )
    assert expected["what"].str.contains("CondConv2d").sum() == 1


def test_the_table_answers_as_timm_does(table, monkeypatch):
    tag = "fastvit_t8.apple_in1k"
    told = known_layers(tag, is_depthwise)
    monkeypatch.setattr("kernel_atlas.io.timm_layers.TABLE", TABLE.with_name("none.parquet"))
    assert known_layers(tag, is_depthwise) == told
    branches = [layer.branch for layer in told[1]]
    assert {"conv_kxk.0.conv", "large_conv.conv", "small_conv.conv", None} == set(branches)


def test_stage_is_the_resolution_at_which_a_layer_works():
    network = build_on_meta("mobilenetv3_small_050")
    seen = {}
    for path, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda m, i, o, path=path: seen.update({f"{path}.weight": o.shape[-1]}))
    network(torch.empty(1, 3, 224, 224, device="meta"))
    layers = [layer for layer, _ in find_layers(network, is_depthwise)]
    sizes = sorted({seen[layer.name] for layer in layers}, reverse=True)
    assert [sizes.index(seen[layer.name]) for layer in layers] == [layer.stage - layers[0].stage for layer in layers]


def test_groups_tell_dense_from_depthwise():
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3), torch.nn.Conv2d(8, 8, 3, groups=8), torch.nn.Conv2d(8, 8, 1)
    )
    assert [layer.name for layer, _ in find_layers(network, is_depthwise)] == ["1.weight"]
    assert [layer.name for layer, _ in find_layers(network, is_dense)] == ["0.weight"]


def test_the_table_holds_every_tag(table, data):
    reference = pd.read_csv(data / "reference/timm_depthwise_tags.csv")
    assert set(table["model"]) == set(reference["model"])
    default = table[table["model"].isin(reference.loc[reference["default"], "model"])]
    assert default["channels"].sum() == 7_167_253 and default["model"].nunique() == 471
    assert (4 * default["channels"] * default["kh"] * default["kw"]).sum() == pytest.approx(0.576e9, rel=0.001)


def test_the_sheets_name_what_there_is(table):
    sheet = read_sheet(ROOT / "config/timm.tsv")
    assert sorted(sheet["model"]) == sorted(table["model"].unique())
    assert (sheet["source"] == "timm:" + sheet["model"]).all()
    paper = read_sheet(ROOT / "config/paper.tsv")
    ours = paper[paper["source"].str.startswith("timm:")].set_index("model")
    pd.testing.assert_frame_equal(ours, sheet.set_index("model").loc[ours.index], check_dtype=False)
    for family in ("ConvNeXt", "ConvNeXtV2", "ConvMixer", "EfficientNet", "MobileNetV3", "HorNet", "MogaNet"):
        assert family in paper["family"].tolist()
    contrasts = pd.read_csv(ROOT / "config/contrasts.tsv", sep="\t")
    zoo = pd.read_csv(ROOT / "resources/zoo/zoo.tsv", sep="\t")
    assert set(contrasts["model"]) | set(contrasts["against"]) <= set(sheet["model"]) | set(zoo["model"])
    free = permissive_only(sheet)
    assert len(free) < len(sheet) and not free["model"].str.startswith("convnextv2").any()


@pytest.mark.parametrize("name", ["timm", "paper"])
def test_the_configurations_name_their_sheets(name):
    config = yaml.safe_load((ROOT / f"config/{name}.yaml").read_text())
    assert (ROOT / config["models"]).exists()
