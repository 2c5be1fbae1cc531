"""Kernels of each label."""

from drawing import cluster_tables, drawn
from matplotlib.image import AxesImage

from kernel_atlas.figures.gallery import MEMBERS


def test_each_label_has_a_row_of_its_kernels_the_most_similar_first():
    tables = cluster_tables()
    gallery = drawn("gallery", tables).data
    assert set(gallery["label"]) == set(tables["sample"]["label"])
    for label, part in gallery.groupby("label"):
        own = tables["sample"][tables["sample"]["label"] == label]
        assert part["channel"].is_unique and set(part["channel"]) <= set(own["channel"])
        assert part["similarity"].is_monotonic_decreasing and len(part) == min(MEMBERS, len(own))
    assert gallery["label"].iloc[-1] == "other"


def test_taps_are_coloured_from_minus_to_plus_the_largest():
    for image in drawn("gallery", cluster_tables()).figure.findobj(AxesImage):
        assert image.norm.vmin == -image.norm.vmax
