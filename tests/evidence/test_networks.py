"""Comparisons of shares: planted contrasts, trends and knees are found, and nothing where nothing is."""

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from numpy.testing import assert_allclose

from kernel_atlas.evidence import networks as comparisons
from kernel_atlas.findings.networks import find_depth, find_distances, find_models
from kernel_atlas.io.sheet import images_of

DATASETS = pd.read_csv(ROOT / "resources/datasets.tsv", sep="\t")


def make_models(count: int, **columns) -> pd.DataFrame:
    same = {"size": "7x7", "use": "train", "convolution": "depthwise", "kernels": 100, "params": np.nan}
    same |= {"group": None, "recipe": None}
    same |= {"dataset": "toy", "family": "f", "top1": np.nan, "clustered_share": 0.5}
    return pd.DataFrame({"model": [f"m{index:03}" for index in range(count)]} | same | columns)


def make_layers(networks: dict[str, list[dict[str, int]]]) -> pd.DataFrame:
    """layers.csv of networks given as {label: kernels} per layer."""
    rows = [
        (model, index, f"l{index}", index / max(1, len(layers) - 1), "7x7", label, kernels, np.nan)
        for model, layers in networks.items()
        for index, layer in enumerate(layers)
        for label, kernels in layer.items()
    ]
    return pd.DataFrame(rows, columns=["model", "layer_index", "layer", "depth", "size", "label", "kernels", "share"])


@pytest.mark.parametrize(
    ("dataset", "images"),
    [
        ("ImageNet-1k", 1281167),
        ("ImageNet-22k then ImageNet-1k", 14197122),
        ("ImageNet-1k (FCMAE) then ImageNet-1k", 1281167),
        ("ImageNet-12k", 12100000),
        ("ImageNet-21k-W", 13153500),
        ("LAION-2B then ImageNet-12k", 2320000000),
        ("flowers (from scratch)", 3670),
        ("flowers (transfer, frozen ImageNet backbone)", 1281167),
        ("DIV2K super-resolution x4", 800),
        ("DIV2K/Flickr2K super-resolution x4", 3450),
        ("cifar10", 50000),
        ("Speech Commands", np.nan),
        (None, np.nan),
    ],
)
def test_images_of_a_data_set(dataset, images):
    assert_allclose(images_of(dataset, DATASETS), images)


@pytest.mark.parametrize("sheet", ["config/timm.tsv", "config/paper.tsv", "resources/zoo/zoo.tsv"])
def test_every_data_set_of_our_sheets_is_known(sheet):
    for dataset in pd.read_csv(ROOT / sheet, sep="\t")["dataset"].dropna().unique():
        assert np.isfinite(images_of(dataset, DATASETS)), dataset


PAIR = pd.DataFrame([("kind", "a", "b", "nothing")], columns=["contrast", "model", "against", "differs"])


def test_a_network_does_not_differ_from_itself():
    random = np.random.default_rng(0)
    layers = [{"On-Centre": int(n), "other": int(50 - n), "dead": 2} for n in random.integers(5, 45, 8)]
    found = comparisons.contrast(make_layers({"a": layers, "b": layers}), PAIR, 0)
    assert found.loc[0, ["difference", "low", "high", "jensen_shannon"]].tolist() == [0, 0, 0, 0]
    assert found.loc[0, "paired"] and found.loc[0, "chance"] > 0
    assert comparisons.summarise_contrasts(found, 0).loc[0, "beyond"] == 0


def test_a_contrast_that_is_planted_is_found():
    random = np.random.default_rng(1)
    shares = random.uniform(0.2, 0.6, 12)
    before = [{"On-Centre": round(200 * s), "other": 200 - round(200 * s)} for s in shares]
    after = [{"On-Centre": round(200 * (s + 0.1)), "other": 200 - round(200 * (s + 0.1))} for s in shares]
    found = comparisons.contrast(make_layers({"a": before, "b": after}), PAIR, 0).loc[0]
    assert_allclose([found["difference"], found["low"], found["high"]], 0.1, atol=0.005)
    assert found["jensen_shannon"] > found["chance_high"] > found["chance"]
    # without pairs the layers' own spread is in the interval
    unpaired = comparisons.contrast(make_layers({"a": before, "b": after[:-1]}), PAIR, 0).loc[0]
    assert not unpaired["paired"] and unpaired["high"] - unpaired["low"] > 0.1
    assert comparisons.contrast(make_layers({"a": before}), PAIR, 0).empty


def test_chance_is_what_two_samples_of_the_same_kernels_differ_by():
    random = np.random.default_rng(2)
    names, p = ["On-Centre", "Off-Centre", "On-Cross", "other"], [0.3, 0.3, 0.2, 0.2]
    distances, chances = [], []
    for sample in range(30):
        two = {model: [dict(zip(names, random.multinomial(400, p), strict=True))] for model in "ab"}
        found = comparisons.contrast(make_layers(two), PAIR, sample).loc[0]
        distances.append(found["jensen_shannon"])
        chances.append(found["chance"])
    assert_allclose(np.mean(distances), np.mean(chances), rtol=0.25)


def test_distances_within_a_family_and_between():
    models = make_models(9, family=list("aaabbbccc"), dataset=["x", "y", "z"] * 3)
    pairs = [(a, b) for a in range(9) for b in range(a + 1, 9)]
    table = pd.DataFrame(
        {
            "size": "7x7",
            "model_a": [f"m{a:03}" for a, _ in pairs],
            "model_b": [f"m{b:03}" for _, b in pairs],
            "jensen_shannon": [0.1 if a // 3 == b // 3 else 0.5 for a, b in pairs],
        }
    )
    found = comparisons.summarise_distances(table, models, 0).set_index("pairs_of")
    assert found["pairs"].to_dict() == {"all": 36, "family": 9, "dataset": 9, "neither": 18}
    assert_allclose(found["jensen_shannon"], [0.4, 0.1, 0.5, 0.5])
    assert_allclose(found.loc["family", ["low", "high"]].astype(float), 0.1)
    assert found.loc["all", "low"] < 0.4 < found.loc["all", "high"]
    (words,) = find_distances(found.reset_index())
    assert "in common: 0.10 [0.10, 0.10] against " in words
    assert find_distances(found.reset_index().head(1)) == []


def test_crosses_that_grow_with_depth():
    random = np.random.default_rng(3)
    networks = {}
    for model in range(8):
        crosses = np.clip(np.linspace(5, 50, 10) + random.normal(0, 3, 10), 0, 60).astype(int)
        networks[f"m{model:03}"] = [{"On-Cross": int(n), "On-Centre": 30, "other": 70 - int(n)} for n in crosses]
    tables = comparisons._families(make_layers(networks), make_models(8))
    depth, trends = comparisons.smooth_depth(tables, 0), comparisons.trend_with_depth(tables, 0).set_index("family")
    assert trends.loc["Cross", "low"] > 0.9 and trends.loc["other", "high"] < -0.9
    assert "On-Centre" not in trends.index, "a share that never changes has no trend"
    crosses = depth[depth["family"] == "Cross"].set_index("depth")["share"]
    assert_allclose(crosses.loc[[0.0, 0.5, 1.0]], [0.09, 0.275, 0.46], atol=0.03)  # the ends are drawn inwards
    assert_allclose(depth[depth["family"] == "On-Centre"]["share"], 0.3)
    (halves,) = (comparisons.compare_halves(tables, 0),)
    (row,) = halves.itertuples()
    assert row.models == 8 and row.jensen_shannon > 1.5 * row.chance_high and row.low < row.jensen_shannon < row.high
    sentence, moves = find_depth(halves, trends.reset_index().assign(models=10))
    assert sentence.startswith("Labels change with depth at 7x7 (")
    assert moves == "With depth at 7x7: grow On-Cross; fall other."


def test_layers_alike_do_not_change_with_depth():
    random = np.random.default_rng(4)
    networks = {
        f"m{n:03}": [{"On-Centre": int(k), "other": int(60 - k)} for k in random.integers(20, 40, 12)] for n in range(9)
    }
    halves = comparisons.compare_halves(comparisons._families(make_layers(networks), make_models(9)), 0)
    assert halves.loc[0, "jensen_shannon"] < halves.loc[0, "chance_high"]
    (sentence,) = find_depth(halves, pd.DataFrame(columns=["size", "low", "high", "family", "models", "spearman"]))
    assert sentence.startswith("Labels do not clearly change with depth at 7x7")


def test_contrasts_are_judged_by_what_seeds_differ_by():
    pairs = [("seed", 0.1, 0.02), ("seed", 0.2, 0.02), ("images", 0.15, 0.02), ("images", 0.3, 0.02)]
    table = pd.DataFrame(pairs, columns=["contrast", "jensen_shannon", "chance_high"])
    table = table.assign(size="7x7", difference=0.1, chance=0.01)
    found = comparisons.summarise_contrasts(table, 0).set_index("contrast")
    assert found.loc["images", ["compared_with", "limit", "beyond"]].tolist() == ["seeds", 0.2, 1]
    assert found.loc["seed", ["compared_with", "beyond"]].tolist() == ["kernels", 2]
    alone = comparisons.summarise_contrasts(table[2:], 0).iloc[0]
    assert (alone["compared_with"], alone["beyond"]) == ("kernels", 2)


def test_depth_is_silent_where_no_layers_are():
    layers = make_layers({f"m{n:03}": [{"On-Centre": 5, "other": 5}] * 6 for n in range(6)})
    layers["depth"] *= 0.3
    depth = comparisons.smooth_depth(comparisons._families(layers, make_models(6)), 0)
    assert depth.loc[depth["depth"] > 0.55, "share"].isna().all()
    assert_allclose(depth.loc[depth["depth"] < 0.45, "share"].dropna(), 0.5)


def test_the_knee_is_where_the_slope_changes():
    x = np.arange(1, 51) / 50
    bent = np.where(x < 0.3, 3 * x, 0.9 + (x - 0.3) / 7)
    assert x[comparisons.knee_of(x, bent)] == 0.3
    assert comparisons.knee_of(x, np.zeros(50)) == 0


def test_knees():
    x = np.arange(1, 51) / 50
    curves = {f"m{n:03}": np.clip((2 + 0.1 * n) * x, 0, 1) for n in range(7)} | {"noise": np.clip(2 * (x - 0.6), 0, 1)}
    thresholds = pd.concat(
        pd.DataFrame({"model": model, "size": "7x7", "threshold": x, "clustered_share": y})
        for model, y in curves.items()
    )
    knees = comparisons.locate_knees(thresholds, make_models(7), {"7x7": 0.3}, 0).set_index("model")
    row = knees.loc["all"]
    assert_allclose(row[["threshold", "share", "noise"]].astype(float), [0.3, 0.69, 0], atol=1e-9)
    assert 0.38 <= row["knee_low"] <= row["knee"] <= row["knee_high"] <= 0.5
    assert row["noise_floor"] == 0.6 and row["floor_share"] == 1 and knees["knee_low"].notna().sum() == 1


def test_the_networks_with_the_least_and_the_most_are_named():
    models = make_models(4, pattern_share=[0.2, 0.5, 0.9, 0.95]).assign(use=["train", "assign", "train", "control"])
    (sentence,) = find_models(models)
    assert sentence.endswith("most at 7x7: 20.0 % in m000 to 90.0 % in m002.")
    assert find_models(models.head(1)) == []
