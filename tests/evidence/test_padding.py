"""Offsets by padding: the inventory's by layer, else the sheet's by model, and a planted push is found."""

import numpy as np
import pyarrow as pa
import pytest

from kernel_atlas.core.kernels import taps_column
from kernel_atlas.core.patterns import sample
from kernel_atlas.evidence.padding import answer, centre_of_energy, style_of, tabulate_offsets


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


def picked(rows: list[tuple[str, float, str | None, float]], each: int = 30) -> pa.Table:
    """Squares of 2 taps a side and dots: of each row the model, stride, padding, and shift to the right and down."""
    columns: dict[str, list] = {name: [] for name in ("subject", "model", "layer_index", "label", "stride", "padding")}
    taps = []
    for layer, (model, stride, padding, shift) in enumerate(rows):
        for number in range(each):
            off = shift + 0.01 * number / each
            values = ("real", model, layer, "On-Square" if shift else "On-Centre", stride, padding)
            for name, value in zip(columns, values, strict=True):
                columns[name].append(value)
            taps.append(sample(5, "centre", sigma=0.9, ratio=np.inf, x=off, y=-off))
    return pa.table(columns | {"weight": taps_column(np.stack(taps))})


def test_a_layers_own_padding_goes_before_that_of_its_model():
    table = tabulate_offsets(
        picked([("a", 2.0, "2 2 2 2", 0.5), ("a", 2.0, None, 0.5), ("b", 1.0, None, 0)]), {"a": "same"}
    )
    styles = table.groupby("layer_index")["padding"].first()
    assert styles.tolist() == ["symmetric", "same", "unknown"]
    assert (table.groupby("layer_index")["stride"].first() == ["2", "2", "1"]).all()


def test_a_push_along_the_padding_is_found():
    rows = [(f"net{n}", stride, "2 2 2 2", 0.5 * (stride == 2)) for n in range(6) for stride in (1.0, 2.0)]
    found = answer("5x5", picked(rows), {}, 0)["padding"].set_index("test")
    push = found.loc["push all, stride 2, symmetric"]
    assert push["low"] > 0.2 and push["expected"] == "> 0"
    assert abs(found.loc["push all, stride 1, symmetric", "value"]) < 0.05
    assert found.loc["square share, stride 2", "value"] == 1 and found.loc["square share, stride 1", "value"] == 0


def test_the_centre_of_a_dot_is_where_it_is():
    dot = np.zeros((1, 5, 5))
    dot[0, 1, 4] = 1
    assert centre_of_energy(dot.reshape(1, 25)).tolist() == [[2, 1]]
