"""Measures of layers, on kernels of which the answer is known."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose

from kernel_atlas.core.kernels import centre_and_normalise, is_dead, size_name, taps_column
from kernel_atlas.core.patterns import templates
from kernel_atlas.evidence import layers
from kernel_atlas.findings.layers import find_layers
from kernel_atlas.io.shards import write_manifest
from kernel_atlas.io.tables import write_table


@pytest.fixture(scope="module")
def references():
    return {side: layers.refer(side, 0) for side in (3, 7)}


def measure(kernels, reference):
    kernels = np.asarray(kernels, np.float32)
    return layers.measure_layer(kernels, is_dead(kernels), reference, 0)


# Layers


@pytest.mark.parametrize("side", [3, 7])
def test_gaussian_layers_are_what_the_reference_says(side, references):
    random = np.random.default_rng(1)
    for count in (16, 100, 1000, 6000):
        found = measure(random.normal(0, 3, (count, side * side)), references[side])
        assert_allclose(found["variance_entropy"], 1, atol=0.07 if count == 16 else 0.02)
    assert_allclose(found["noisy"], 0.95, atol=0.02)
    for name in ("orthogonality", "row_energy", "column_energy"):
        assert_allclose(found[name], layers.chance_of(name, side), rtol=0.02)
    assert_allclose(found["banding"], 0, atol=0.06)
    assert found["dead"] == found["sparsity"] == 0


def test_the_entropy_of_noise_depends_on_the_shape():
    """That of 3x3 is near log10(9) for many filters; 7x7 layers have up to log10(49)."""
    assert_allclose(layers.gaussian_entropy(4096, 9, 0), np.log10(9), rtol=0.02)
    assert_allclose(layers.gaussian_entropy(4096, 49, 0), np.log10(49), rtol=0.02)


def test_orthogonal_kernels(references):
    assert_allclose(layers.orthogonality(np.eye(49) * 3), 1)
    assert_allclose(layers.orthogonality(np.ones((5, 9))), 0, atol=1e-12)
    assert_allclose(layers.orthogonality(np.eye(2) - 0.0), 1)
    both = np.vstack([np.eye(9), -np.eye(9)])  # each has one other that is parallel, of 17
    assert_allclose(layers.orthogonality(both), 1 - 1 / 17)
    assert np.isnan(layers.orthogonality(np.ones((1, 9))))
    many = np.random.default_rng(0).normal(size=(layers.BLOCK + 50, 9))
    unit = many / np.linalg.norm(many, axis=1, keepdims=True)
    cosines = np.abs(unit @ unit.T)[~np.eye(len(many), dtype=bool)]
    assert_allclose(layers.orthogonality(many), 1 - cosines.mean())


def test_entropy_counts_directions():
    assert_allclose(layers.variance_entropy(np.outer([1, 2, 3, 5], np.arange(9))), 0, atol=1e-9)
    two = np.zeros((400, 9))
    two[:200, 0], two[200:, 1] = np.tile([1, -1], 100), np.tile([1, -1], 100)
    assert_allclose(layers.variance_entropy(two), np.log10(2))
    assert np.isnan(layers.variance_entropy(np.ones((10, 9))))
    kernels = np.random.default_rng(0).normal(size=(20, 49))  # fewer kernels than taps
    shares = np.linalg.svd(kernels - kernels.mean(axis=0), compute_uv=False) ** 2
    shares /= shares.sum()
    assert_allclose(layers.variance_entropy(kernels), -(shares * np.log10(shares)).sum())


def test_banded_kernels(references):
    horizontal = np.repeat(np.random.default_rng(0).normal(size=(50, 7)), 7, axis=1)  # every row is constant
    assert_allclose(layers.bands(centre_and_normalise(horizontal)), [1, 0], atol=1e-6)
    noisy = horizontal + np.random.default_rng(1).normal(0, 1, horizontal.shape)
    assert measure(noisy, references[7])["banding"] > 2
    turned = noisy.reshape(-1, 7, 7).transpose(0, 2, 1).reshape(-1, 49)
    assert measure(turned, references[7])["banding"] < -2


def test_dead_sparse_and_noisy_kernels(references):
    random = np.random.default_rng(2)
    family = templates(7).taps
    good = family[random.integers(len(family), size=60)] + random.normal(0, 0.02, (60, 49))
    noise = random.normal(0, 0.2, (20, 49))
    faint, dead, broken = np.full((10, 49), 1e-3), np.zeros((5, 49)), np.full((5, 49), np.nan)
    found = measure(np.vstack([good, noise, faint * noise[:10], dead, broken]), references[7])
    assert found["dead"] == 10 / 100 + (np.abs(faint * noise[:10]).max(axis=1) <= 1e-4).mean() / 10
    assert_allclose(found["sparsity"], 15 / 95)
    live = measure(np.vstack([good, noise]), references[7])
    assert_allclose(live["noisy"], 0.25, atol=0.03)
    every = measure(dead, references[7])
    assert every["dead"] == every["sparsity"] == 1 and np.isnan(every["noisy"])
    assert np.isnan(measure(broken, references[7])["sparsity"])
    scaled = measure(np.vstack([good, noise]) * 1e30, references[7])
    assert_allclose([scaled[name] for name in layers.MEASURES], [live[name] for name in layers.MEASURES], rtol=1e-4)


def write_model(folder, kernels_of_layers):
    """Shards as extraction writes them, of square kernels [n, taps]."""
    folder.mkdir(parents=True)
    rows = []
    for index, kernels in enumerate(kernels_of_layers):
        kernels = np.asarray(kernels, np.float32)
        columns = {"channel": np.arange(len(kernels)), "weight": taps_column(kernels), "dead": is_dead(kernels)}
        write_table(pa.table(columns), folder / f"{index:03}.parquet")
        side = round(kernels.shape[1] ** 0.5)
        rows.append((folder.name, index, f"l{index}", len(kernels), side, side, 1.0))
    write_manifest(folder)
    return rows


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Six networks with oriented kernels, banded in their last layer, two of which share weights; and a control."""
    folder, rows = tmp_path_factory.mktemp("kernels"), []
    steps = templates(3).taps[[templates(3).labels.index(f"First-Derivative-{way}") for way in "NSEW"]]
    for model in range(6):
        random = np.random.default_rng([3, model])
        wide = [steps[random.integers(4, size=40)] + random.normal(0, 0.1, (40, 9)) for _ in range(4)]
        banded = np.repeat(random.normal(size=(40, 3)), 3, axis=1) + random.normal(0, 0.2, (40, 9))
        rows += write_model(folder / f"net{model}", [*wide, banded])
    rows += write_model(folder / "chance", [np.random.default_rng([4, n]).normal(size=(40, 9)) for n in range(5)])
    names = ["model", "layer_index", "layer", "channels", "kh", "kw", "stride"]
    subjects = {f"net{model}": "real" for model in range(6)} | {"chance": "untrained"}
    inventory = pd.DataFrame(rows, columns=names)
    models = inventory.groupby("model")["channels"].sum().rename("kernels").reset_index().assign(size="3x3")
    models = models.assign(use=models["model"].map(lambda name: "train" if name.startswith("net") else "control"))
    models = models.assign(
        convolution="depthwise", recipe=None, group=models["model"].map({"net0": "twins", "net1": "twins"})
    )
    models.loc[models["model"] == "net1", "kernels"] += 1
    return layers.answer(
        sorted(folder.iterdir()),
        inventory,
        models,
        subjects,
        {"net0": "twins", "net1": "twins"},
        [3, 5],
        0,
    )


def test_tables_of_a_run(run):
    assert len(run["layer_measures"]) == 35
    depths = run["layer_depths"].set_index(["subject", "depth", "measure"])
    assert depths.loc[("real", "all", "noisy"), ["models", "layers"]].tolist() == [5, 25], "one of each group"
    noisy = depths.loc[("real", "0.0-0.2", "noisy")]
    assert noisy["low"] <= noisy["mean"] <= noisy["high"] < 0.5 < depths.loc[("untrained", "all", "noisy"), "mean"]
    assert np.isnan(depths.loc[("untrained", "all", "noisy"), "low"]), "one network has no interval"


def test_banding_of_the_last_layers(run):
    banding = run["banding"].set_index("subject")
    assert banding.loc["real", "low"] > 1 and banding.loc["real", "row_energy"] > 0.8
    assert_allclose(banding.loc["untrained", ["last", "difference"]].astype(float), 0, atol=0.5)


def test_covariances_are_alike_where_networks_are(run):
    thirds = run["covariance_thirds"].set_index(["subject", "third"])
    assert thirds.loc[("real", "first"), "similarity_low"] > 0.95 > thirds.loc[("real", "first"), "shuffled_high"]
    assert_allclose(*thirds.loc[("untrained", "all"), ["similarity", "shuffled"]], atol=0.1)
    others = run["covariance"].set_index("model")["others"]
    assert (others["net0"] == 4).all() and (others["net2"] == 4).all() and (others["chance"] == 5).all()


def test_covariance_against_others_pair_by_pair():
    """The mean of the others, without a loop over pairs, is the mean of the others."""
    random = np.random.default_rng(5)
    flat = [random.normal(size=9).astype(np.float32) for _ in range(6)]
    names = ["a", "a", "b", "c", "c", "d"]
    table = pd.DataFrame({"model": names, "layer_index": range(6), "size": "3x3", "depth": 0.1, "kernels": 40})
    found = layers.compare_covariances(layers.Covariances(table, flat, flat), {"3x3": {"a", "b", "c"}}, {})
    means = {name: np.mean([f for f, n in zip(flat, names, strict=True) if n == name], axis=0) for name in "abc"}
    for row, (own, values) in zip(found.itertuples(), zip(names, flat, strict=True), strict=True):
        other = np.mean([mean for name, mean in means.items() if name != own], axis=0)
        expected = values @ other / np.linalg.norm(values) / np.linalg.norm(other)
        assert_allclose(row.similarity, expected, rtol=1e-4)


def test_sentences_about_layers(run):
    words = find_layers(run["layer_depths"], run["banding"], run["covariance_thirds"])
    assert [text.split(",")[0].split(" ")[0] for text in words] == ["Kernels", "Banding", "Covariances"]
    assert "in the last fifth of the depth against the first" in words[0]
    few = [run[name][run[name]["subject"] != "real"] for name in ("layer_depths", "banding", "covariance_thirds")]
    assert find_layers(*few) == []


def test_names_of_sizes_are_those_of_the_run(run):
    assert set(run["layer_depths"]["size"]) == {size_name(3)}
