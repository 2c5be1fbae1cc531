import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose

from kernel_atlas.core.kernels import centre_and_normalise, is_dead, taps_array, taps_column
from kernel_atlas.io.tables import write_table

finite = st.floats(-(2.0**100), 2.0**100, width=32)


def test_unit_kernels_are_centred_and_their_product_is_pearsons_r():
    raw = np.random.default_rng(0).normal(3, 2, (20, 49)).astype(np.float32)
    unit = centre_and_normalise(raw)
    assert_allclose(unit.sum(axis=1), 0, atol=1e-5)
    assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-6)
    assert_allclose(unit @ unit.T, np.corrcoef(raw), atol=1e-5)


@given(hnp.arrays(np.float32, (3, 9), elements=finite))
def test_unit_kernels_are_finite_and_of_length_one_or_zero(raw):
    lengths = np.linalg.norm(centre_and_normalise(raw), axis=1)
    assert ((np.abs(lengths - 1) < 1e-4) | (lengths == 0)).all()


@given(
    hnp.arrays(np.float32, (1, 9), elements=st.floats(-100, 100, width=32)), st.floats(0.1, 100), st.floats(-100, 100)
)
def test_scale_and_offset_do_not_matter(raw, scale, offset):
    if np.ptp(raw) < 1:
        return
    assert_allclose(centre_and_normalise(raw * scale + offset), centre_and_normalise(raw), atol=1e-3)


def test_a_constant_kernel_has_no_direction():
    assert (centre_and_normalise(np.full((1, 9), 0.1, np.float32)) == 0).all()


def test_extreme_weights_do_not_overflow():
    raw = np.array([[1e30, -1e30, 0, 0], [3e-38, 0, 0, 0]], np.float32)
    assert_allclose(np.linalg.norm(centre_and_normalise(raw), axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("tap, dead", [(np.nan, True), (np.inf, True), (1e-4, True), (-2e-4, False), (1e30, False)])
def test_dead(tap, dead):
    kernel = np.zeros((1, 9), np.float32)
    kernel[0, 4] = tap
    assert is_dead(kernel).tolist() == [dead]


def test_taps_survive_the_table(tmp_path):
    kernels = np.random.default_rng(0).normal(size=(10, 25)).astype(np.float32)
    write_table(pa.table({"weight": taps_column(kernels)}), tmp_path / "k.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["k.parquet"]
    column = pq.read_table(tmp_path / "k.parquet")["weight"]
    assert (taps_array(column) == kernels).all()
    assert (taps_array(pa.chunked_array([*column.slice(2, 3).chunks, *column.slice(5).chunks])) == kernels[2:]).all()
    assert taps_array(column.slice(0, 0)).shape == (0, 25)
