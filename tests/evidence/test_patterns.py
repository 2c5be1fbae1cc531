"""The choice of reference patterns: its grid, its textbook, its measures, and what it refuses."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import centre_and_normalise, draw_noise
from kernel_atlas.core.patterns import draw_patterns, read_patterns, templates
from kernel_atlas.evidence import patterns


@pytest.fixture(scope="module")
def sample():
    """Two networks of 5x5 kernels: one of patterns, a third as large as the other, of noise."""
    random, taps = np.random.default_rng(0), templates(5).taps
    own = centre_and_normalise(taps[random.integers(len(taps), size=300)] + random.normal(0, 0.02, (300, 25)))
    return patterns.draw_samples({5: {"patterns": own, "noise": centre_and_normalise(draw_noise(900, 5, 1))}}, 0)[5]


def test_every_candidate_has_all_its_turns_and_both_signs():
    for candidate in patterns.grid():
        drawn = draw_patterns(candidate, 51).taps.reshape(-1, 51, 51)
        for turned in (np.rot90(drawn[0]), drawn[0][:, ::-1], -drawn[0]):
            assert np.abs(drawn - turned).max(axis=(1, 2)).min() < 1e-4, candidate


def test_the_textbook_is_in_the_reference_by_name():
    for side in (5, 11, 21):
        assert set(patterns.textbook(side)["name"]) <= set(templates(side).labels)


def test_networks_weigh_the_same_whatever_their_size(sample):
    found = patterns.measure(read_patterns(), sample, [0, 1], 0.8, 0)
    alone = [patterns.measure(read_patterns(), sample, [network], 0.8, 0)["coverage"] for network in (0, 1)]
    assert_allclose(found["coverage"], np.mean(alone))
    assert sorted(np.round(alone)) == [0, 1] and found["gaussian"] < 0.002
    # at equal null one twentieth of the scrambled kernels passes
    best = (sample.scrambled @ templates(5).taps.T).max(axis=1)
    assert_allclose((best > found["null_cosine"]) @ sample.weights([0, 1]), 0.05, atol=0.01)


def test_labels_of_patterns_survive_noise(sample):
    table = patterns.survival(read_patterns(), sample.units[sample.network == 1], 0.8, (0.0, 0.01), 0)
    assert table["margin"].tolist() == [0, 0.01] and (table["survive"] > 0.9).all()


def test_too_few_networks_are_refused_in_one_line():
    with pytest.raises(AtlasError, match=r"^patterns: 0 independent networks with 5x5 kernels train; 5 are needed"):
        patterns.choose_from([], {}, {"5x5": 0.2, "7x7": 0.3}, 0)
