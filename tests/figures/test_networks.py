"""Figures that compare networks."""

import numpy as np
import pandas as pd
from drawing import drawn, network_tables

SIZE = "7x7"


def test_similarity_has_the_distances_of_pairs_on_both_sides():
    tables = network_tables(models=6)
    matrix = drawn("networks_similarity", tables, SIZE, 0.3).data.set_index("model")
    for pair in tables["architectures"].query("size == @SIZE").itertuples():
        assert matrix.loc[pair.model_a, pair.model_b] == matrix.loc[pair.model_b, pair.model_a] == pair.jensen_shannon


def test_networks_without_distances_are_not_alike():
    tables = network_tables(models=6)
    pairs = tables["architectures"]
    silent = "network_with_a_long_name_3"
    pairs.loc[(pairs["model_a"] == silent) | (pairs["model_b"] == silent), "jensen_shannon"] = np.nan
    assert silent not in drawn("networks_similarity", tables, SIZE, 0.3).data.to_numpy()


def test_a_pair_without_a_distance_is_missing_and_not_equal():
    tables = network_tables(models=6)
    here = tables["architectures"].query("size == @SIZE").index[0]
    tables["architectures"].loc[here, "jensen_shannon"] = np.nan
    drawing = drawn("networks_similarity", tables, SIZE, 0.3)
    assert drawing.data.drop(columns="model").isna().to_numpy().sum() == 2
    assert "are crossed out: 1." in drawing.caption and "nan" not in drawing.caption


def test_accuracy_has_shares_and_the_images_of_the_data_sets():
    tables = network_tables(models=14)
    drawing = drawn("networks_accuracy", tables, SIZE, 0.3)
    points = drawing.data.set_index("model").sort_index()
    known = tables["models"].query("size == @SIZE").set_index("model").sort_index()
    pd.testing.assert_series_equal(points["pattern_share"], known["pattern_share"])
    assert points.loc[known["dataset"] == "set 4", "images"].eq(1000).all()
    assert points.loc[known["dataset"] == "set 11", "images"].isna().all()
    assert [text.get_text() for text in drawing.figure.legends[0].get_texts()][-1].endswith("other data sets")


def test_what_few_networks_state_is_said_to_be_missing():
    tables = network_tables(models=14)
    tables["models"][["top1", "params"]] = np.nan
    drawing = drawn("networks_accuracy", tables, SIZE, 0.3)
    assert "not drawn: top-1 accuracy in %, parameters." in drawing.caption
    assert len(drawing.figure.axes) == 1  # of training images
    tables["datasets"] = tables["datasets"].iloc[:0]
    assert "Nothing to show" in drawn("networks_accuracy", tables, SIZE, 0.3).caption


def test_contrasts_beyond_a_page_are_thinned_and_no_kind_is_lost():
    tables = network_tables(models=20)
    drawing = drawn("networks_contrasts", tables, SIZE, 0.3)
    assert f"{len(drawing.data)} of 92 pairs" in drawing.caption and len(drawing.data) <= 60
    assert set(drawing.data["contrast"]) == {"seed", "images"}
    seeds = tables["contrasts"].query("size == @SIZE and contrast == 'seed'")["difference"]
    shown = drawing.data.query("contrast == 'seed'")["difference"]
    assert (shown.min(), shown.max()) == (seeds.min(), seeds.max())
