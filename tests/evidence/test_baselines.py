import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose

from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.core.patterns import templates
from kernel_atlas.evidence import baselines
from kernel_atlas.evidence.kernels import Units, training_units
from kernel_atlas.findings.baselines import find_baselines
from kernel_atlas.io.tables import write_table
from kernel_atlas.model import autoencoder
from kernel_atlas.model.assign import Labeller
from kernel_atlas.model.coder import SAMPLES, Coder, sample_codes
from kernel_atlas.model.naming import find_clusters

PATTERNS = ("On-Centre", "Off-Centre", "First-Derivative-E")  # what 200 steps find from any start
UNITS = np.arange(600) % 12


@pytest.fixture(scope="module")
def kernels():
    """Three patterns, and a little noise."""
    random, family = np.random.default_rng(0), templates(5)
    drawn = family.taps[random.choice([family.labels.index(label) for label in PATTERNS], len(UNITS))]
    return centre_and_normalise(drawn + random.normal(0, 0.05, drawn.shape))


@pytest.fixture(scope="module")
def atlas(kernels):
    coder = Coder(autoencoder.train(kernels, 0, 1, 200)[0].state_dict())
    counts = np.histogram(coder.encode(kernels), SAMPLES, (0, 1))[0]
    return Labeller(coder, find_clusters(coder.decode(sample_codes()), counts, 0.25, 0.01), 0.2)


def tables_of(kernels, atlas, steps=200, units=UNITS, splits=1):
    return baselines.answer(
        "5x5", kernels, Units("networks", units), atlas, sample=550, splits=splits, restarts=1, steps=steps, seed=0
    )


@pytest.fixture(scope="module")
def tables(kernels, atlas):
    return tables_of(kernels, atlas)


def test_what_was_planted_is_found(tables):
    rows = tables["baselines"].set_index(["method", "k"])
    for key in [("retrained", 1), ("retrained", 3), ("kmeans", 4), ("kmeans", 32), ("hdbscan", 3), ("pca", 8)]:
        assert rows.loc[key, ["clustered_share", "held_out_share"]].min() > 0.95, key
    assert rows.loc[("autoencoder", 1), "clustered_share"] > 0.95
    assert rows.loc[("kmeans", 4), "silhouette"] > rows.loc[("kmeans", 32), "silhouette"]
    assert (np.diff(rows.loc["pca", "clustered_share"]) > -0.01).all()
    prototypes = rows.drop(index="pca", level="method")
    assert prototypes["noise_share"].max() < 0.02


def test_intervals_and_differences(tables):
    table = tables["baselines"]
    fitted = table[["low", "clustered_share", "high"]].to_numpy()
    assert (np.diff(fitted, axis=1) >= -1e-9).all()
    rows = table[table["method"] != "autoencoder"].set_index(["method", "k"]).sort_index()
    expected = rows.loc[("retrained", 1), "held_out_share"] - rows["held_out_share"]
    assert_allclose(rows["difference"], expected, atol=1e-12)
    seen = table[table["method"] == "autoencoder"]
    assert seen[["held_out_share", "difference"]].isna().all(axis=None)
    assert (table["kernels"] + table["held_out_kernels"] == 550).all()
    assert table.columns[:4].tolist() == ["size", "method", "k", "clustered_share"]


def test_a_share_over_splits_is_that_of_each_kernel_in_the_splits_that_held_it_out(kernels, atlas):
    """Kernels of two networks: what k-means with four prototypes holds out depends on which network is fitted."""
    random = np.random.default_rng(1)
    noise = centre_and_normalise(random.normal(size=(300, 25)))
    tables = tables_of(np.concatenate([kernels[:300], noise]), atlas, 20, np.repeat([0, 1], 300), splits=3)
    row = tables["baselines"].set_index(["method", "k"]).loc[("kmeans", 4)]
    assert row["splits"] == 3 and (row["held_out_lowest"], row["held_out_highest"]) == (0, 0)
    hdbscan = tables["baselines"].query("method == 'hdbscan'")
    assert len(hdbscan) == 1 and hdbscan["splits"].item() == 3  # whatever it found in each


def test_splits_differ_and_their_mean_lies_between(kernels, atlas):
    mixed = kernels.copy()
    mixed[UNITS % 3 == 0] = centre_and_normalise(np.random.default_rng(2).normal(size=(200, 25)))
    table = tables_of(mixed, atlas, 20, splits=3)["baselines"].set_index(["method", "k"])
    means = table.loc["kmeans"]
    assert (means["held_out_lowest"] < means["held_out_share"]).all()
    assert (means["held_out_share"] < means["held_out_highest"]).all()
    assert table.loc[("autoencoder", 1), ["held_out_share", "held_out_lowest"]].isna().all()


def test_labelings_of_the_same_clusters_agree(tables):
    pairs = tables["agreement"].set_index(["method_a", "k_a", "method_b", "k_b"])["adjusted_rand"]
    assert pairs[("kmeans", 4, "hdbscan", 3)] > 0.7
    assert pairs[("autoencoder", 1, "hdbscan", 3)] > 0.9
    assert len(pairs) == 12 * 11 / 2


def test_a_labeling_agrees_with_itself_and_not_with_chance():
    random = np.random.default_rng(0)
    labels = random.integers(0, 5, 2000)
    methods = [
        baselines.Method(name, 5, None, given)
        for name, given in (("a", labels), ("b", labels), ("c", random.permutation(labels)))
    ]
    table = pd.DataFrame(baselines._agreement(methods, np.arange(2000) % 10, random))
    itself, chance = table.iloc[0], table.iloc[1]
    assert itself[["adjusted_rand", "normalised_mutual_information", "low", "high"]].eq(1).all()
    assert abs(chance["adjusted_rand"]) < 0.01 and chance["low"] < 0 < chance["high"]


def test_as_many_components_as_dimensions_fit_noise_too():
    noise = centre_and_normalise(np.random.default_rng(0).normal(size=(500, 9)))
    shares = {m.k: (m.dissimilarity(noise) < 0.2).mean() for m in baselines._components(noise, 0)}
    assert shares[8] == 1 and shares[1] < 0.1


def test_no_cluster_clusters_nothing():
    kernels = templates(3).taps[:10]
    assert (baselines._nearest(np.empty((0, 9)))(kernels) >= 1).all()


def test_two_calls_are_equal(kernels, atlas):
    first, second = (tables_of(kernels, atlas, steps=20) for _ in range(2))
    for name, table in first.items():
        pd.testing.assert_frame_equal(table, second[name])


def test_units_are_models_where_there_are_ten(tmp_path):
    def merged(models, layers):
        rows = [(f"m{m}", layer, False) for m in range(models) for layer in range(layers)] + [("m0", 0, True)]
        columns = dict(zip(("model", "layer_index", "dead"), zip(*rows, strict=True), strict=True))
        write_table(pa.table({name: list(values) for name, values in columns.items()}), tmp_path / "merged.parquet")
        return training_units(tmp_path / "merged.parquet")

    assert merged(9, 3).kind == "layers" and len(np.unique(merged(9, 3).number)) == 27
    kind, many = merged(10, 3)
    assert kind == "networks" and len(np.unique(many)) == 10 and len(many) == 30


def test_findings_are_silent_without_an_interval(kernels, atlas, tables):
    (found,) = find_baselines(tables["baselines"])
    assert found.startswith("Of kernels that neither was fitted on, a code of one number clusters ")
    few = tables_of(kernels, atlas, steps=20, units=UNITS % 4)
    assert few["baselines"]["low"].isna().all()
    assert find_baselines(few["baselines"]) == []
