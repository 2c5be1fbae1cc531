"""Figures that compare networks, and sizes."""

import pandas as pd
from drawing import cluster_tables, drawn, evidence_tables


def test_panels_are_sizes_the_largest_first():
    tables = evidence_tables(sizes=("3x3", "11x11", "5x5"))
    for name in ("controls", "held_out", "stability"):
        titles = [axes.get_title("left").removesuffix(" in one pose") for axes in drawn(name, tables).figure.axes]
        assert list(dict.fromkeys(titles)) == ["11x11", "5x5", "3x3"], name


def test_the_largest_networks_are_shown_with_the_best_on_top():
    tables = cluster_tables(models=40)
    tables["models"].loc[tables["models"]["model"] == "net39", "kernels"] = 500
    data = drawn("shares_models", tables).data
    assert len(data) == 17 and {"net39", "chance"} < set(data["model"])  # 16 and the control
    assert data["pattern_share"].is_monotonic_decreasing


def test_sizes_without_an_autoencoder_are_left_out():
    tables = cluster_tables()
    other = tables["models"].assign(size="9x9", clustered_share=None)
    data = drawn("shares_models", tables | {"models": pd.concat([tables["models"], other])}).data
    assert set(data["size"]) == {"5x5"}


def test_networks_that_share_weights_count_once():
    tables = cluster_tables()
    tables["models"]["group"] = "same"
    assert (drawn("shares_models", tables).data["use"] != "control").sum() == 1


def test_depth_has_a_line_for_each_size():
    figure = drawn("networks_depth", evidence_tables()).figure
    lines = [sum(len(line.get_xdata()) > 2 for line in axes.get_lines()) for axes in figure.axes if axes.get_visible()]
    assert set(lines) == {2}
