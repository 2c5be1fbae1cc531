import numpy as np
import pytest
from numpy.testing import assert_allclose

from kernel_atlas.kernels import centre_and_normalise
from kernel_atlas.patterns import COMPASS, resemble, templates

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
