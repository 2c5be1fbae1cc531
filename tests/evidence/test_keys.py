import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from conftest import ROOT
from numpy.testing import assert_allclose

from kernel_atlas.core.kernels import centre_and_normalise, taps_column
from kernel_atlas.core.patterns import templates
from kernel_atlas.evidence import keys as master_keys
from kernel_atlas.evidence.kernels import read_filters
from kernel_atlas.findings.keys import find_master_keys
from kernel_atlas.model.assign import Labeller
from kernel_atlas.model.clusters import find_prototypes
from kernel_atlas.model.coder import sample_codes


def units(random, count, taps=49):
    return centre_and_normalise(random.standard_normal((count, taps)))


@pytest.fixture(scope="module")
def filters():
    return read_filters(ROOT / "resources/master_key_filters.csv")


def planted_patterns():
    """Four patterns, nearly at right angles to each other, as the spectrum and its four clusters."""
    family = templates(7)
    names = ["On-Centre", "First-Derivative-E", "First-Derivative-N", "On-Second-Derivative-NE-SW"]
    own = [np.flatnonzero(np.array(family.labels) == name) for name in names]
    return names, family.taps[[rows[len(rows) // 2] for rows in own]]


@pytest.fixture(scope="module")
def given():
    """Kernels of twelve networks that are four patterns of either sign with noise, and of untrained ones."""
    random = np.random.default_rng(0)
    names, patterns = planted_patterns()
    decoded = np.repeat(patterns, 50, axis=0)
    counts = np.zeros(200, int)
    counts[25::50] = 100  # so that the median code of each cluster is in the middle of its stretch
    spectrum = pa.table({"code": sample_codes(), "kernels": counts, "decoded": taps_column(decoded)})
    edges = np.arange(5) / 4
    clusters = pd.DataFrame({"cluster": range(4), "code_low": edges[:-1], "code_high": edges[1:], "label": names})
    real = 5 * random.choice([-1, 1], (1200, 1)) * patterns[random.integers(4, size=1200)]
    weights = np.concatenate([real + random.normal(0, 0.2, real.shape) + 3, random.standard_normal((300, 49))])
    picked = pa.table(
        {
            "subject": ["real"] * 1200 + ["untrained"] * 300,
            "model": [f"net{n // 100}" for n in range(1200)] + ["init"] * 300,
            "layer_index": np.arange(1500) % 100 // 20,
            "depth": (np.arange(1500) % 100 // 20) / 4,
            "channel": np.arange(1500),
            "code": np.zeros(1500),
            "label": ["other"] * 1500,
            "weight": taps_column(weights.astype(np.float32)),
        }
    )
    return picked, spectrum, Labeller(None, clusters, 0.3, find_prototypes(spectrum, clusters))


@pytest.fixture(scope="module")
def tables(given, filters):
    return master_keys.answer("7x7", *given, filters, tolerance=0.05, seed=3)


def test_filters_are_those_published(filters, data):
    published = pd.read_csv(data / "reference/master_key_filters.csv", index_col="filter").to_numpy()
    assert (filters.reshape(8, 49) == published).all()


def test_likeness_of_the_filters(filters):
    keys = centre_and_normalise(filters.reshape(8, 49))
    cosines = np.abs(keys @ keys.T)
    assert_allclose([cosines[6, 7], cosines[0, 5]], [0.904, 0.724], atol=5e-4)  # arXiv 2509.11711


def test_residual_is_that_of_the_best_gain_and_constant():
    random = np.random.default_rng(0)
    kernels, keys = random.normal(size=(5, 9)), random.normal(size=(3, 9))
    found = master_keys.residuals(centre_and_normalise(kernels), centre_and_normalise(keys))
    for n, kernel in enumerate(centre_and_normalise(kernels)):
        for k, key in enumerate(keys):
            left = np.linalg.lstsq(np.column_stack([key, np.ones(9)]), kernel)[1]
            assert_allclose(found[n, k], np.sqrt(left[0]), rtol=1e-4)
    assert_allclose(master_keys.residuals(centre_and_normalise(kernels), -centre_and_normalise(keys)), found, rtol=1e-6)
    assert_allclose(
        master_keys.residuals(centre_and_normalise(2 - 3 * keys), centre_and_normalise(keys)).min(1), 0, atol=1e-3
    )


def test_greedy_search_finds_planted_keys():
    random = np.random.default_rng(1)
    _, patterns = planted_patterns()
    kernels = centre_and_normalise(
        random.choice([-1, 1], (800, 1)) * patterns[random.integers(4, size=800)] + random.normal(0, 0.02, (800, 49))
    )
    candidates = np.concatenate([units(random, 50), -patterns, units(random, 50)])
    chosen = master_keys.choose_greedily(kernels, candidates, 4)
    assert sorted(chosen) == [50, 51, 52, 53]
    first = master_keys.residuals(kernels, candidates).mean(axis=0)
    assert chosen[0] == first.argmin()
    assert len(master_keys.choose_greedily(patterns, patterns, 10)) == 4, "there are no more"


def test_greedy_search_stops_where_nothing_is_left_to_gain():
    _, patterns = planted_patterns()
    zero = np.zeros((3, 49), np.float32)
    assert master_keys.choose_greedily(zero, patterns, 4) == []


def test_line_centres_ignore_sign():
    random = np.random.default_rng(2)
    _, patterns = planted_patterns()
    kernels = random.choice([-1, 1], (600, 1)) * patterns[random.integers(4, size=600)]
    kernels = centre_and_normalise(kernels + random.normal(0, 0.02, kernels.shape))
    centres = master_keys.line_centres(kernels, 4, seed=0)
    assert_allclose(master_keys.residuals(patterns, centres).min(axis=1), 0, atol=0.05)
    assert_allclose(np.linalg.norm(centres, axis=1), 1, rtol=1e-5)


def test_sets_are_chosen_on_half_of_the_models():
    models = np.repeat(["a", "b", "c", "d"], [10, 20, 30, 40])
    half = master_keys.choosing_half(models, seed=0)
    assert not set(models[half]) & set(models[~half]) and 30 <= half.sum() <= 70
    assert master_keys.choosing_half(np.array(["a"] * 9), seed=0).sum() == 4


def test_prototypes_are_drawn_at_the_median_code(given):
    found = given[2].prototypes
    names, patterns = planted_patterns()
    assert found["label"].tolist() == names
    assert_allclose(np.stack(found["kernel"]), patterns)


def test_every_kernel_has_its_filter(tables, given, filters):
    table = tables["master_keys"]
    assert table.columns[:5].tolist() == ["model", "layer_index", "channel", "filter", "residual"]
    assert len(table) == 1500 and table["filter"].between(1, 8).all() and table["residual"].between(0, 1).all()
    assert table.groupby("subject")["residual"].mean().diff().iloc[-1] > 0, "noise is fitted worse"


def test_shares_add_up(tables):
    shares = tables["master_key_shares"]
    assert set(shares["subject"]) == {"real", "untrained", *master_keys.MADE}
    parts = shares[shares["filter"] != "all"].groupby(["subject", "depth"])["share"].sum()
    assert_allclose(parts, 1)
    whole = shares[(shares["depth"] == "all") & (shares["filter"] == "all")].set_index("subject")
    assert whole.loc["real", "kernels"] == 1200 and whole.loc["real", "over"] == "models"
    assert whole.loc["untrained", "over"] == "layers", "of a single network"
    depths = shares[(shares["subject"] == "real") & (shares["filter"] == "all") & (shares["depth"] != "all")]
    assert depths["kernels"].sum() == 1200 and len(depths) == 5


def test_sets_fit_their_kernels_and_not_noise(tables):
    sets = tables["key_sets"].set_index(["set", "subject"])
    assert sets.index.get_level_values("set").unique().tolist() == [
        *("published", "random kernels", "prototypes", "greedy prototypes", "k-means", "greedy")
    ]
    real, noise = (sets.xs(subject, level="subject")["mean"] for subject in ("real", "gaussian"))
    assert (real < noise).all() and real["prototypes"] < real["published"]
    assert sets.loc[("published", "gaussian"), "mean"] > 0.95
    assert (sets["mean_low"] <= sets["mean"]).all() and (sets["mean"] <= sets["mean_high"]).all()
    assert (sets["median_low"] <= sets["median"] + 1e-3).all() and (sets["median"] <= sets["median_high"] + 1e-3).all()
    assert sets.loc[("prototypes", "real"), "keys"] == 4 and sets.loc[("greedy", "real"), "kernels"] == 600


def test_four_patterns_need_four_keys(tables):
    greedy = tables["greedy_sets"]
    assert (greedy["source"].head(4) == "spectrum").all() and len(greedy) == master_keys.LARGEST
    names, _ = planted_patterns()
    assert set(greedy["label"].head(4)) == set(names)
    assert greedy["residual_choosing"].is_monotonic_decreasing and greedy["residual"].is_monotonic_decreasing
    assert greedy["within_tolerance"].idxmax() == 3
    assert greedy["residual_gaussian"].min() > 0.9
    assert greedy.loc[greedy["source"] == "kernel", "channel"].notna().all()


def test_other_sizes_have_the_sets_only_and_equal_seeds_give_equal_tables(given, tables, filters):
    again = master_keys.answer("7x7", *given, filters[:, 1:6, 1:6], tolerance=0.05, seed=3)
    assert again["master_keys"].empty and again["master_key_shares"].empty
    assert again["master_keys"].columns.equals(tables["master_keys"].columns)
    pd.testing.assert_frame_equal(again["greedy_sets"], tables["greedy_sets"])
    sets = tables["key_sets"][tables["key_sets"]["set"] != "published"].reset_index(drop=True)
    pd.testing.assert_frame_equal(again["key_sets"], sets)


def test_findings_are_cells(tables):
    sets = tables["key_sets"]
    found = find_master_keys(sets)
    assert len(found) == 2 and found[1].startswith("Residual on held-out networks")
    numbers = sets.select_dtypes(float).to_numpy().ravel()
    cells = {f"{cell:.2f}" for cell in numbers} | {f"{100 * cell:.1f}" for cell in numbers}
    assert all(number in cells for sentence in found for number in re.findall(r"\d+\.\d+", sentence))
    assert find_master_keys(sets.assign(mean_low=np.nan)) == []
