"""Shares of models and layers."""

from drawing import cluster_tables, drawn

from kernel_atlas.figures import shares_models


def test_models_stand_with_their_family():
    tables = cluster_tables(models=6)
    tables["models"]["family"] = ["a", "b", None, "a", "b", "a", None]
    tables["models"]["clustered_share"] = [0.1, 0.5, 0.9, 0.7, 0.6, 0.2, 0.05]
    families = drawn("shares_models", tables).data["family"].tolist()
    assert families == ["controls", "a", "a", "a", "b", "b", "no family stated"]  # from below


def test_many_models_are_cut_to_the_largest_and_the_caption_says_so():
    tables = cluster_tables(models=40)
    tables["models"].loc[tables["models"]["model"] == "net39", "kernels"] = 500
    drawing = drawn("shares_models", tables)
    assert len(drawing.data) == shares_models.MODELS + 1  # and the control
    assert {"net39", "chance"} < set(drawing.data["model"])
    assert "The 30 of 40 independent networks" in drawing.caption


def test_networks_that_share_weights_count_once():
    tables = cluster_tables()
    tables["models"]["group"] = "same"
    assert "The one independent network" in drawn("shares_layers", tables).caption
