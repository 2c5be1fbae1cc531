"""Offsets of kernels by padding: the inventory's by layer, else the sheet's by model; a planted push is found."""

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose

from kernel_atlas.core.kernels import centre_and_normalise, taps_column
from kernel_atlas.evidence.padding import answer, centre_of_energy, style_of, tabulate_offsets
from kernel_atlas.findings.padding import find_offsets


@pytest.mark.parametrize(
    "padding, style",
    [
        (None, None),
        ("valid", None),
        ("same", "same"),
        ("2 2 2 2", "symmetric"),
        ("0 3 0 3", "symmetric"),
        ("0 0 1 1", "same"),
        ("1 2 2 2", "same"),
        ("1 1 0 0", None),
        ("0 0 2 2", None),
    ],
)
def test_the_style_of_a_layers_padding(padding, style):
    assert style_of(padding) == style


def shifted_dots(count, dx, dy, side=7, spread=0.0, seed=0):
    """Gaussian dots of sigma 0.8 that far off the middle (x right, y up), with the same number of each."""
    random = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(side) - (side - 1) / 2, (side - 1) / 2 - np.arange(side))
    place = np.array([dx, dy]) + random.normal(0, spread, (count, 2))
    square = (x - place[:, 0, None, None]) ** 2 + (y - place[:, 1, None, None]) ** 2
    return np.exp(-square / 2 / 0.8**2).reshape(count, -1)


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (0.5, 0), (0, 0.5), (-0.5, -0.5), (1, -0.3)])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_shifted_kernel_has_its_centre_there(dx, dy, sign):
    unit = centre_and_normalise(sign * shifted_dots(1, dx, dy))
    assert_allclose(centre_of_energy(unit)[0], [dx, dy], atol=0.08)
    assert_allclose(centre_of_energy(np.zeros((1, 49))), 0)


def make_picked(parts, padding=None):
    """A table of picked kernels; each part is (subject, model, label, stride, kernels); and their layers' padding."""
    tables = [
        pa.table(
            {
                "subject": [subject] * len(kernels),
                "model": [model] * len(kernels),
                "layer_index": [0] * len(kernels),
                "stride": pa.array([stride] * len(kernels), pa.float32()),
                "padding": pa.array([padding] * len(kernels), pa.string()),
                "label": [label] * len(kernels),
                "weight": taps_column(kernels),
            }
        )
        for subject, model, label, stride, kernels in parts
    ]
    return pa.concat_tables(tables).combine_chunks()


@pytest.fixture(scope="module")
def pushed():
    """Squares that stride-2 layers of symmetric padding push right and down, and those of SAME left and up."""
    parts, padding = [], {}
    for model in range(12):
        name, way = f"net{model:02}", 1 if model < 6 else -1
        padding[name] = "symmetric" if model < 6 else "same"
        parts.append(("real", name, "On-Square", 2.0, shifted_dots(30, 0.5 * way, -0.5 * way, spread=0.1, seed=model)))
        parts.append(("real", name, "Off-Square", 1.0, -shifted_dots(10, 0, 0, spread=0.1, seed=model)))
        parts.append(("real", name, "On-Centre", 1.0, shifted_dots(40, 0, 0, spread=0.1, seed=model + 50)))
    return answer("7x7", make_picked(parts), padding, 0)


def test_a_push_by_padding_is_found(pushed):
    tests = pushed["padding"].set_index("test")
    for style in ("symmetric", "same"):
        assert_allclose(tests.loc[f"push square, stride 2, {style}", "value"], np.sqrt(0.5), atol=0.07)
        assert tests.loc[f"push square, stride 2, {style}", "low"] > 0.5
        assert tests.loc[f"push square, stride 1, {style}", "low"] < 0.02
    assert tests.loc["square - centre", "low"] > 0.3
    assert_allclose(tests.loc["square share, stride 2", "value"], 1)
    words = find_offsets(pushed["padding"])
    assert len(words) == 3 and "with SAME padding" in words[1] and "with symmetric padding" in words[1]


def test_offsets_by_label_stride_and_padding(pushed):
    table = pushed["offsets"].set_index(["label", "stride", "padding"])
    right = table.loc[("On-Square", "2", "symmetric")]
    assert_allclose(right[["dx", "dy", "direction"]].astype(float), [0.5, -0.5, 315], rtol=0.06)
    assert_allclose(table.loc[("On-Square", "2", "same"), "direction"], 135, atol=5)
    whole = table.loc[("On-Square", "all", "all")]
    assert abs(whole["shift"]) < 0.05 and whole["length"] > whole["chance_high"], "both ways cancel, lengths do not"
    assert table.loc[("On-Centre", "all", "all"), "length"] < table.loc[("On-Centre", "all", "all"), "chance"]
    assert table.loc[("all", "all", "all"), "kernels"] == 960


def test_offsets_say_nothing_where_nothing_is_known():
    parts = [("real", f"net{n}", "On-Centre", None, shifted_dots(5, 0, 0)) for n in range(3)]
    found = answer("7x7", make_picked(parts), {}, 0)
    assert set(found["offsets"]["stride"]) == {"all"} and found["padding"]["low"].isna().all()
    assert find_offsets(found["padding"]) == []
    control = make_picked([("untrained", "net", "other", None, shifted_dots(5, 0, 0))])
    assert answer("7x7", control, {}, 0)["padding"].empty


def test_a_layers_own_padding_goes_before_that_of_its_model():
    part = ("real", "net", "On-Centre", 2.0, shifted_dots(3, 0, 0))
    known, unknown = (make_picked([part], padding) for padding in ("2 2 2 2", None))
    assert set(tabulate_offsets(known, {"net": "same"})["padding"]) == {"symmetric"}
    assert set(tabulate_offsets(unknown, {"net": "same"})["padding"]) == {"same"}
    assert set(tabulate_offsets(unknown, {})["padding"]) == {"unknown"}
