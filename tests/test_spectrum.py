import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from kernel_atlas.clusters import cluster_of, read_clusters
from kernel_atlas.codes import SAMPLES, build_spectrum, sample_codes
from kernel_atlas.errors import AtlasError
from kernel_atlas.kernels import centre_and_normalise, taps_array
from kernel_atlas.patterns import templates
from kernel_atlas.spectrum import change_along, find_clusters


def spectrum(*parts, side=7):
    """Decoded samples that show (label, samples) one after another, each drawn at its middle scale."""
    family = templates(side)
    rows = []
    for label, samples in parts:
        own = [n for n, name in enumerate(family.labels) if name == label]
        rows += [family.taps[own[len(own) // 2]]] * samples
    return np.stack(rows)


def find(decoded, counts, boundary=0.25, smallest=0.01):
    return find_clusters(decoded, counts, boundary, smallest)


def test_stretches_are_found_and_named():
    decoded = spectrum(("On-Centre", 50), ("First-Derivative-E", 100), ("Off-Cross", 50))
    clusters = find(decoded, np.ones(200, int))
    assert clusters["label"].tolist() == ["On-Centre", "First-Derivative-E", "Off-Cross"]
    assert clusters["code_low"].tolist() == [0, 0.25, 0.75]
    assert clusters["code_high"].tolist() == [0.25, 0.75, 1]
    assert clusters["kernels"].tolist() == [50, 100, 50]
    assert_allclose(clusters["template_cosine"], 1, atol=1e-3)


def test_a_stretch_with_hardly_any_kernels_joins_the_neighbour_more_like_it():
    decoded = spectrum(("On-Centre", 80), ("On-Cross", 20), ("First-Derivative-E", 100))
    counts = np.ones(200, int) * 100
    counts[80:100] = 0
    clusters = find(decoded, counts)
    assert clusters["label"].tolist() == ["On-Centre", "First-Derivative-E"]
    assert clusters["code_high"].tolist()[0] == 0.5


def test_neighbours_of_one_name_and_nearly_one_prototype_are_one_cluster():
    centre = spectrum(("On-Centre", 1))
    near = centre_and_normalise(centre + 0.03 * spectrum(("On-Square", 1)))
    decoded = np.concatenate([np.repeat(centre, 100, 0), np.repeat(near, 100, 0)])
    assert len(find(decoded, np.ones(200, int))) == 1


def test_stretches_of_one_pattern_share_a_cluster_across_others():
    decoded = spectrum(("On-Centre", 50), ("First-Derivative-E", 100), ("On-Centre", 50))
    assert find(decoded, np.ones(200, int))["cluster"].tolist() == [0, 1, 0]


def test_the_prototype_is_where_the_kernels_are():
    decoded = spectrum(("On-Centre", 150), ("Off-Centre", 50))
    decoded[:100] = centre_and_normalise(decoded[:100] + 0.02 * spectrum(("On-Square", 1)))
    counts = np.zeros(200, int)
    counts[[120, 180]] = 1000  # the first stretch is half blurred, its kernels are where it is not
    assert_allclose(find(decoded, counts)["template_cosine"], 1, atol=1e-3)


def test_change_counts_less_where_kernels_crowd():
    decoded = spectrum(("On-Centre", 50), ("On-Cross", 50), ("On-Centre", 100))
    crowded = np.ones(200, int)
    crowded[45:55] = 1000
    change = change_along(decoded, crowded)
    assert change[49] < change[99] / 10
    assert_allclose(change[0], 0, atol=1e-6)


def test_a_spectrum_that_never_changes_is_one_cluster():
    clusters = find(spectrum(("On-Centre", 200)), np.ones(200, int))
    assert clusters[["code_low", "code_high"]].to_numpy().tolist() == [[0, 1]]


def test_a_weaker_boundary_is_dropped_by_a_stronger_parameter():
    centre, square = spectrum(("On-Centre", 1)), spectrum(("On-Square", 1))
    weak = centre_and_normalise(centre + square)
    decoded = np.concatenate([np.repeat(centre, 70, 0), np.repeat(weak, 60, 0), spectrum(("Off-Centre", 70))])
    assert len(find(decoded, np.ones(200, int), boundary=0.1)) >= len(find(decoded, np.ones(200, int), boundary=50))


def test_the_table_of_the_spectrum():
    decoded = spectrum(("On-Centre", SAMPLES))
    table = build_spectrum(decoded, np.array([0, 0.5, 0.5, 1]))
    assert_allclose(table["code"], sample_codes())
    assert table["kernels"].to_numpy().sum() == 4 and table["kernels"][SAMPLES - 1].as_py() == 1
    assert (taps_array(table["decoded"]) == decoded).all()


def test_a_code_on_a_boundary_belongs_to_the_stretch_above():
    clusters = pd.DataFrame({"code_low": [0, 0.25], "code_high": [0.25, 1]})
    assert cluster_of(np.array([0, 0.2, 0.25, 1]), clusters).tolist() == [0, 0, 1, 1]


GOOD = [(0, 0, 0.4, "mine"), (1, 0.4, 1, "yours")]


def write(path, rows):
    pd.DataFrame(rows, columns=["cluster", "code_low", "code_high", "label"]).to_csv(path, sep="\t", index=False)
    return path


def test_clusters_by_hand_need_no_templates(tmp_path):
    clusters = read_clusters(write(tmp_path / "c.tsv", GOOD[::-1]))
    assert clusters["label"].tolist() == ["mine", "yours"] and clusters["template"].isna().all()


@pytest.mark.parametrize(
    "rows, why",
    [
        ([(0, 0, 0.4, "a"), (1, 0.5, 1, "b")], "gap"),
        ([(0, 0, 0.6, "a"), (1, 0.5, 1, "b")], "overlap"),
        ([(0, 0, 0.6, "a")], "from 0 to 1"),
        ([(0, 0, 0.4, "a"), (1, 0.4, 1, "other")], "row 3.*reserved"),
        ([(0, 0, "x", "a")], "columns"),
    ],
)
def test_wrong_clusters_by_hand_are_refused(tmp_path, rows, why):
    with pytest.raises(AtlasError, match=why):
        read_clusters(write(tmp_path / "c.tsv", rows))


def test_a_missing_column_is_named(tmp_path):
    (tmp_path / "c.tsv").write_text("cluster\tcode_low\tcode_high\n0\t0\t1\n")
    with pytest.raises(AtlasError, match="label"):
        read_clusters(tmp_path / "c.tsv")
