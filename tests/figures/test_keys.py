"""Sets of keys."""

from drawing import drawn, network_tables

SIZE = "7x7"


def test_keys_have_the_greedy_curve_and_the_filters_as_images():
    tables = network_tables()
    drawing = drawn("keys", tables, SIZE, 0.3)
    residual = tables["greedy_sets"].query("size == @SIZE")["residual"]
    assert (drawing.data.query("panel == 'greedy'")["residual"].to_numpy() == residual).all()
    assert sum(len(axes.images) for axes in drawing.figure.axes) == 8
    shown = drawing.data.query("panel == 'filters'").set_index(["filter", "subject"])["share"]
    known = tables["master_key_shares"].query("size == @SIZE").set_index(["filter", "subject"])["share"]
    assert shown.eq(known[shown.index]).all() and len(shown) == 8 * 3


def test_sizes_without_published_filters_have_the_sets_alone():
    tables = network_tables()
    tables["master_key_shares"] = tables["master_key_shares"].iloc[:0]
    drawing = drawn("keys", tables, SIZE, 0.3)
    assert "Right" not in drawing.caption and not any(axes.images for axes in drawing.figure.axes)
