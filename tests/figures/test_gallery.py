"""Kernels of each label."""

from drawing import cluster_tables, drawn
from matplotlib.image import AxesImage


def test_each_label_has_a_row_the_commonest_first_with_its_most_similar_kernels_first():
    tables = cluster_tables()
    gallery = drawn("gallery", tables).data
    assert set(gallery["label"]) == set(tables["sample"]["label"])
    known = tables["totals"].set_index("label")["share"]
    for label, part in gallery.groupby("label"):
        own = tables["sample"][tables["sample"]["label"] == label]
        assert part["channel"].is_unique and set(part["channel"]) <= set(own["channel"])
        assert part["similarity"].is_monotonic_decreasing and len(part) == min(15, len(own))
        assert part["share"].eq(known[label]).all()
    assert gallery["share"][gallery["label"] != "other"].is_monotonic_decreasing
    assert gallery["label"].iloc[-1] == "other"


def test_rare_labels_have_no_row():
    tables = cluster_tables()
    label = tables["totals"]["label"][0]
    tables["totals"].loc[0, "share"] = 0.001
    assert label not in set(drawn("gallery", tables).data["label"])


def test_kernels_are_coloured_from_minus_to_plus_their_largest_tap():
    for image in drawn("spectrum", cluster_tables()).figure.findobj(AxesImage):
        if image.get_array().ndim == 2:  # a prototype; rows of kernels are coloured already
            assert image.norm.vmin == -image.norm.vmax
