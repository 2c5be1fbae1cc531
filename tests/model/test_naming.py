import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import centre_and_normalise, taps_array
from kernel_atlas.core.patterns import resemble, templates
from kernel_atlas.model.clusters import cluster_of, median_sample, read_clusters
from kernel_atlas.model.coder import SAMPLES, build_spectrum, sample_codes
from kernel_atlas.model.naming import NEAR_EQUAL, change_along, find_clusters, name_clusters


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


def test_clusters_have_the_label_of_most_members_or_are_mixed():
    clusters = pd.DataFrame(
        {"cluster": [0, 1, 0, 2, 3], "code_low": np.arange(5) / 5, "code_high": np.arange(1, 6) / 5}
    )
    members = np.repeat([0, 1, 2, -1], [10, 10, 4, 7])
    labels = ["On-Centre"] * 5 + ["other"] * 4 + ["On-Cross"] + ["On-Square"] * 4 + ["On-Cross"] * 3 + ["other"] * 3
    labels += ["other"] * 4 + ["On-Shift-E"] * 7
    named = name_clusters(clusters.assign(kernels=1, label="x"), members, np.array(labels, object))
    assert named["label"].tolist() == ["On-Centre", "mixed", "On-Centre", "mixed", "mixed"]
    assert_allclose(named["purity"], [0.5, 0.4, 0.5, np.nan, np.nan])
    assert named["runner_up"].tolist()[:2] == ["other", "On-Cross"] and named["runner_up"][3] == "other"
    assert named["runner_up"].isna().tolist() == [False] * 4 + [True]


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
    assert find(decoded, counts)["label"].tolist() == ["On-Centre", "Off-Centre"]


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


def test_clusters_by_hand_need_no_members(tmp_path):
    clusters = read_clusters(write(tmp_path / "c.tsv", GOOD[::-1]))
    assert clusters["label"].tolist() == ["mine", "yours"] and clusters["purity"].isna().all()


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


def turning(*degrees):
    """Samples that turn in a plane by so many degrees from each to the next."""
    angles = np.radians(np.cumsum([0, *degrees]))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_change_is_angle_over_distance_as_a_multiple_of_its_mean():
    counts = np.array([1, 3, 6])
    angle = np.radians([10, 150])
    distance = (np.array([1, 1]) / 3 + np.array([2, 4.5]) / 10) / 2
    assert_allclose(change_along(turning(10, 150), counts), angle / distance / (angle.sum() / distance.sum()))
    # without kernels the code alone is the distance
    assert_allclose(change_along(turning(10, 150), np.zeros(3, int)), angle * 2 / angle.sum())


def test_an_opposite_pattern_is_as_far_as_can_be():
    family = templates(7)
    opposite = np.stack([family.taps[0], -family.taps[0], family.taps[0]])
    assert np.isfinite(change_along(opposite, np.ones(3, int))).all()
    assert_allclose(change_along(opposite, np.ones(3, int)), 1)


def test_a_boundary_must_rise_as_far_as_the_parameter_says():
    steps = np.full(199, 0.1)
    steps[49], steps[119] = 20, 8
    decoded = np.pad(turning(*steps), ((0, 0), (0, 47)))
    heights = change_along(decoded, np.ones(200, int))
    assert find(decoded, np.ones(200, int), boundary=heights[119] * 0.9)["code_low"].tolist() == [0, 0.25, 0.6]
    assert find(decoded, np.ones(200, int), boundary=heights[119] * 1.1)["code_low"].tolist() == [0, 0.25]
    assert find(decoded, np.ones(200, int), boundary=heights[49] * 1.1)["code_low"].tolist() == [0]


def test_a_change_at_the_rim_is_a_boundary_too():
    steps = np.full(199, 0.1)
    steps[0] = 30
    decoded = np.pad(turning(*steps), ((0, 0), (0, 47)))
    assert find(decoded, np.ones(200, int), smallest=0)["code_low"].tolist() == [0, 0.005]


def test_a_stretch_is_kept_from_the_smallest_share_on():
    decoded = spectrum(("On-Centre", 100), ("Off-Centre", 100))
    counts = np.repeat([99, 1], 100)
    assert len(find(decoded, counts, smallest=0.01)) == 2
    assert len(find(decoded, counts, smallest=0.011)) == 1


def test_like_prototypes_of_two_names_and_unlike_ones_of_one_name_stay_apart():
    centre, square = spectrum(("On-Centre", 1))[0], spectrum(("On-Square", 1))[0]
    for share in np.linspace(0.2, 0.8, 200):
        between = centre_and_normalise((centre * share + square * (1 - share))[None])[0]
        other = centre_and_normalise((centre * (share + 0.02) + square * (0.98 - share))[None])[0]
        if resemble(between[None])[0] != resemble(other[None])[0]:
            break
    assert between @ other > NEAR_EQUAL
    decoded = np.concatenate([np.repeat(between[None], 100, 0), np.repeat(other[None], 100, 0)])
    assert find(decoded, np.ones(200, int))["cluster"].tolist() == [0, 1]
    family = templates(7)
    widths = family.taps[[n for n, name in enumerate(family.labels) if name == "On-Centre"]]
    assert widths[0] @ widths[-1] < NEAR_EQUAL
    decoded = np.concatenate([np.repeat(widths[:1], 100, 0), np.repeat(widths[-1:], 100, 0)])
    assert find(decoded, np.ones(200, int))[["cluster", "label"]].to_numpy().tolist() == [
        [0, "On-Centre"],
        [1, "On-Centre"],
    ]


def test_the_median_sample_is_where_half_of_the_kernels_are_passed():
    assert median_sample(np.array([9, 0, 1, 5, 4, 9]), np.arange(1, 5)) == 3
    assert median_sample(np.array([0, 7, 1, 1]), np.arange(1, 4)) == 1
    assert median_sample(np.zeros(10, int), np.arange(2, 8)) == 5  # without kernels, the middle
