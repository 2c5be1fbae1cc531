import re

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from kernel_atlas.core import patterns
from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.core.patterns import COMPASS, resemble, templates

SIDES = [3, 5, 7, 9, 11]


@pytest.mark.parametrize("side", SIDES)
def test_templates_are_unit_kernels_and_all_patterns_are_there(side):
    family = templates(side)
    assert_allclose(family.taps.sum(axis=1), 0, atol=1e-5)
    assert_allclose(np.linalg.norm(family.taps, axis=1), 1, rtol=1e-5)
    names = {"Centre", "Cross"} | ({"Square"} if side > 2 else set())
    expected = {f"{sign}-{name}" for name in names for sign in ("On", "Off")}
    expected |= {f"First-Derivative-{direction}" for direction in COMPASS}
    expected |= {f"{s}-Second-Derivative-{axis}" for s in ("On", "Off") for axis in ("EW", "NE-SW", "NS", "NW-SE")}
    assert set(family.labels) == expected


@pytest.mark.parametrize("side", SIDES)
def test_every_template_resembles_itself(side):
    family = templates(side)
    labels, described, cosine = resemble(family.taps)
    assert_allclose(cosine, 1, rtol=1e-5)
    same = [label == own for label, own in zip(labels, family.labels, strict=True)]
    # on few taps some formulas coincide: a box of 2 is also a corner of another pattern
    assert np.mean(same) > (0.9 if side == 3 else 0.99)
    assert all(text.startswith(label) for text, label in zip(described, labels, strict=True))


def taps(formula, side=7):
    x, y = np.meshgrid(np.arange(side) - side // 2, side // 2 - np.arange(side))
    return centre_and_normalise(formula(x.astype(float), y.astype(float)).reshape(1, -1))


def gaussian(x, y, sigma):
    return np.exp(-(x**2 + y**2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)


@pytest.mark.parametrize(
    "label, formula",
    [
        ("On-Centre", lambda x, y: gaussian(x, y, 1) - gaussian(x, y, 2.2)),
        ("Off-Centre", lambda x, y: -gaussian(x, y, 0.9)),
        ("On-Square", lambda x, y: ((np.abs(x) <= 2) & (np.abs(y) <= 2)) * 1.0),
        ("On-Cross", lambda x, y: np.exp(-(x**2) / 1 - y**2 / 30) + np.exp(-(x**2) / 30 - y**2 / 1)),
        ("First-Derivative-E", lambda x, y: x * gaussian(x, y, 1.2)),
        ("First-Derivative-N", lambda x, y: y * gaussian(x, y, 1.2)),
        ("First-Derivative-SW", lambda x, y: (-x - y) * gaussian(x, y, 1.2)),
        ("Off-Second-Derivative-EW", lambda x, y: (x**2 - 1.2**2) * gaussian(x, y, 1.2)),
        ("On-Second-Derivative-NS", lambda x, y: (1.2**2 - y**2) * gaussian(x, y, 1.2)),
        ("Off-Second-Derivative-NE-SW", lambda x, y: ((x + y) ** 2 / 2 - 1.2**2) * gaussian(x, y, 1.2)),
    ],
)
def test_formulas_get_their_names(label, formula):
    labels, _, cosine = resemble(taps(formula))
    assert labels == [label]
    assert cosine[0] > 0.95


def test_north_is_the_top_row():
    family = templates(7)
    north = family.taps[family.labels.index("First-Derivative-N")].reshape(7, 7)
    assert north[:3].sum() > 0 > north[4:].sum()


def test_what_resembles_nothing_is_numbered():
    checkers = taps(lambda x, y: np.where((x + y) % 2, 1.0, -1.0))
    labels, described, cosine = resemble(np.concatenate([checkers, checkers]))
    assert labels == ["pattern-1", "pattern-2"]
    assert (cosine < 0.7).all() and "sigma" in described[0]


X, Y = np.meshgrid(np.arange(-3, 4), np.arange(3, -4, -1))  # y is up
POINTS = np.stack([X, Y], axis=-1)


def bell(sigma_x, sigma_y):
    """A Gaussian with the value 1 in its middle, by scipy."""
    density = multivariate_normal([0, 0], np.diag([sigma_x**2, sigma_y**2]))
    return density.pdf(POINTS) / density.pdf([0, 0])


def drawn(formula, sigma):
    """(label, parameters) -> taps of one formula at one scale."""
    return {(label, parameters): taps for label, parameters, taps in formula(X, Y, np.array([sigma]))}


@pytest.mark.parametrize("sigma", [0.7, 1.3])
def test_centres_are_differences_of_gaussians_of_equal_volume(sigma):
    found = drawn(patterns.centre, sigma)
    for ratio in (1.6, 4):
        expected = bell(sigma, sigma) / sigma**2 - bell(ratio * sigma, ratio * sigma) / (ratio * sigma) ** 2
        assert_allclose(found["On-Centre", f"sigma={sigma:.2f} ratio={ratio}"], expected)
        assert_allclose(found["Off-Centre", f"sigma={sigma:.2f} ratio={ratio}"], -expected)
    assert len(found) == 4


@pytest.mark.parametrize("sigma", [0.7, 1.3])
def test_crosses_are_two_bars_at_right_angles(sigma):
    found = drawn(patterns.cross, sigma)
    for times in (2, 3, 5):
        expected = bell(sigma, times * sigma) + bell(times * sigma, sigma)
        assert_allclose(found["On-Cross", f"sigma={sigma:.2f} elongation={times}"], expected)
        assert_allclose(found["Off-Cross", f"sigma={sigma:.2f} elongation={times}"], -expected)
    assert len(found) == 6


@pytest.mark.parametrize("sigma", [0.7, 1.3])
def test_second_derivatives_are_those_of_the_gaussian(sigma):
    found = drawn(patterns.second_derivative, sigma)
    angles = {"EW": 0, "NE-SW": 45, "NS": 90, "NW-SE": 135}
    for axis, degrees in angles.items():
        step = 1e-4 * np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
        density = multivariate_normal([0, 0], sigma**2 * np.eye(2))
        second = (density.pdf(POINTS + step) - 2 * density.pdf(POINTS) + density.pdf(POINTS - step)) / 1e-8
        expected = second * sigma**2 / density.pdf([0, 0])
        assert_allclose(found[f"Off-Second-Derivative-{axis}", f"sigma={sigma:.2f}"], expected, atol=1e-5)
        assert_allclose(found[f"On-Second-Derivative-{axis}", f"sigma={sigma:.2f}"], -expected, atol=1e-5)
    assert len(found) == 8


def test_squares_are_boxes_in_the_middle_or_half_a_tap_towards_each_corner():
    found = drawn(patterns.square, 1)
    boxes = {key: taps for key, taps in found.items() if key[0] == "On-Square"}
    assert len(boxes) == 3 * 4 + 2 and len(found) == 2 * len(boxes)
    for side in range(2, 7):
        own = [taps for (_, parameters), taps in boxes.items() if parameters.startswith(f"side={side} ")]
        middles = {(X[taps == 1].mean(), Y[taps == 1].mean()) for taps in own}
        corners = {(x, y) for x in (-0.5, 0.5) for y in (-0.5, 0.5)}
        assert middles == (corners if side % 2 == 0 else {(0, 0)})
        assert all(taps.sum() == side**2 and set(np.unique(taps)) == {0, 1} for taps in own)
        assert all(np.ptp(X[taps == 1]) == np.ptp(Y[taps == 1]) == side - 1 for taps in own)
    for (_, parameters), taps in boxes.items():
        x, y = (float(value) for value in re.fullmatch(r"side=\d x=(\S+) y=(\S+)", parameters).groups())
        assert (X[taps == 1].mean(), Y[taps == 1].mean()) == (x, y)
