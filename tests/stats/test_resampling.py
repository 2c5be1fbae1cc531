import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import bootstrap

from kernel_atlas.stats.resampling import bootstrap_share


def test_bootstrap_agrees_with_scipy():
    random = np.random.default_rng(0)
    whole = random.integers(20, 60, 12)
    part = random.binomial(whole, 0.4)
    low, high = bootstrap_share(part, whole, [0])
    expected = bootstrap(
        (part, whole),
        lambda p, w, axis: p.sum(axis) / w.sum(axis),
        paired=True,
        method="percentile",
        n_resamples=9999,
        rng=1,
    ).confidence_interval
    assert_allclose([low, high], [expected.low, expected.high], atol=0.01)


def test_five_units_have_an_interval_and_four_have_none():
    part, whole = np.array([1, 5, 2, 9, 4]), np.full(5, 10)
    assert np.isfinite(bootstrap_share(part, whole, [0])).all()
    labels = np.stack([part, 10 - part], axis=1)
    low, high = bootstrap_share(labels, whole, [0])
    assert_allclose(low + high[::-1], 1)  # shares that add up to one have mirrored intervals
    low, high = bootstrap_share(labels[:4], whole[:4], [0])
    assert low.shape == high.shape == (2,) and np.isnan([low, high]).all()


def test_an_interval_holds_95_of_100_resamples():
    random = np.random.default_rng(3)
    part, whole = random.binomial(50, 0.3, 40), np.full(40, 50)
    low, high = bootstrap_share(part, whole, [1])
    shares = part[random.integers(0, 40, (20_000, 40))].sum(axis=1) / whole.sum()
    assert np.mean((shares >= low) & (shares <= high)) == pytest.approx(0.95, abs=0.012)
    assert np.mean(shares < low) == pytest.approx(0.025, abs=0.01)
