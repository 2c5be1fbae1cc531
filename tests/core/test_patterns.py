import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import centre_and_normalise, draw_noise
from kernel_atlas.core.patterns import (
    COMPASS,
    DRAWS,
    REFERENCE,
    Matcher,
    draw_patterns,
    family_of,
    read_patterns,
    resemble,
    sample,
    templates,
    threshold_of,
)
from kernel_atlas.core.vocabulary import AXES

SIDES = [5, 7, 9, 11]
BOTH = ((1, "On"), (-1, "Off"))


def textbook(side):
    """Names and values at the taps of kernels whose name nobody would dispute."""
    found = []
    for sigma in np.linspace(0.5, side / 4, 9):
        for sign, side_of in BOTH:
            found += [
                (f"{side_of}-Centre", sign * sample(side, "centre", sigma=sigma, ratio=r)) for r in (1.6, 4, np.inf)
            ]
            for axis in AXES:
                ridge = sample(side, "second_derivative", direction=axis, sigma=sigma)
                found.append((f"{side_of}-Second-Derivative-{axis}", sign * ridge))
        for way in COMPASS:
            found.append((f"First-Derivative-{way}", sample(side, "first_derivative", direction=way, sigma=sigma)))
    for sign, side_of in BOTH:
        for width in range(2, side - 1):
            off = 0 if width % 2 else 0.5
            found.append((f"{side_of}-Square", sign * sample(side, "square", width=width, x=off, y=off)))
        for sigma in np.linspace(0.4, side / 8, 4):
            bars = [sample(side, "cross", sigma=sigma, elongation=times) for times in (3, 5, np.inf)]
            found += [(f"{side_of}-Cross", sign * bar) for bar in bars]
    return [name for name, _ in found], centre_and_normalise(np.stack([taps for _, taps in found]))


def names_of(units):
    side = round(units.shape[1] ** 0.5)
    found = Matcher(templates(side)).match(units)
    return np.where(found.similarity > 1 - threshold_of(side), found.name, "other")


@pytest.mark.parametrize("side", SIDES)
def test_textbook_kernels_have_their_names_also_in_noise(side):
    names, units = textbook(side)
    assert names_of(units).tolist() == names
    random = np.random.default_rng(0)
    for decibels, least in ((20, 0.99), (10, 0.96)):
        noise = [centre_and_normalise(random.standard_normal(units.shape)) for _ in range(10)]
        found = [names_of(centre_and_normalise(units + 10 ** (-decibels / 20) * each)) for each in noise]
        assert np.mean([each == names for each in found]) >= least


def test_what_3x3_cannot_tell_has_no_name_there():
    """Squares, shifted spots and crosses are too like spots on nine taps."""
    assert {family_of(name) for name in templates(3).labels} == {
        *(f"{side}-{family}" for side in ("On", "Off") for family in ("Centre", "Second-Derivative")),
        "First-Derivative",
    }


@pytest.mark.parametrize("side", [3, 4, 5, 7, 9, 11, 13, 31, 51])
def test_patterns_are_drawn_at_every_size(side):
    drawn = templates(side)
    assert_allclose(drawn.taps.sum(axis=1), 0, atol=1e-4)
    assert_allclose(np.linalg.norm(drawn.taps, axis=1), 1, rtol=1e-5)
    assert {f"First-Derivative-{way}" for way in COMPASS} <= set(drawn.labels)


def test_noise_has_no_pattern_and_is_beyond_its_spectrum_by_chance():
    for side, most in ((5, 0.002), (7, 0.002)):
        units = centre_and_normalise(draw_noise(20_000, side, 0))
        assert (names_of(units) != "other").mean() <= most
        matcher = Matcher(templates(side))
        copies = matcher.match_scrambled(units[:4000])
        beyond = (copies >= matcher.match(units[:4000]).similarity[:, None]).sum(axis=1) <= 1
        assert 0.03 < beyond.mean() < 0.08


def test_copies_with_random_phases_are_what_a_fourier_transform_makes():
    side, units = 7, centre_and_normalise(draw_noise(20, 7, 1))
    phases = np.fft.fft2(np.random.default_rng([0, side]).standard_normal((DRAWS, side, side)))
    spectra = np.abs(np.fft.fft2(units.reshape(-1, 1, side, side))) * phases / np.abs(phases)
    copies = np.fft.ifft2(spectra).real.reshape(len(units), DRAWS, -1)
    expected = (copies @ templates(side).taps.T).max(axis=-1)
    assert_allclose(Matcher(templates(side)).match_scrambled(units), expected, atol=1e-3)


@pytest.mark.parametrize("environment", [{"OPENBLAS_CORETYPE": "Nehalem"}, {"OPENBLAS_NUM_THREADS": "1"}])
def test_no_machine_and_no_number_of_threads_changes_a_bit(environment):
    script = (
        "import hashlib\n"
        "from kernel_atlas.core.kernels import centre_and_normalise, draw_noise\n"
        "from kernel_atlas.core.patterns import Matcher, templates\n"
        "matcher = Matcher(templates(7))\n"
        "units = centre_and_normalise(draw_noise(5000, 7, 0) + 3 * templates(7).taps[:1])\n"
        "found = matcher.match(units)\n"
        "digest = hashlib.sha256('\\n'.join([*found.name, *found.second]).encode())\n"
        "arrays = found.similarity, found.margin, matcher.match_scrambled(units)\n"
        "for array in arrays: digest.update(array.tobytes())\n"
        "print(digest.hexdigest())"
    )

    def run(extra):
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | extra
        return subprocess.run(
            [sys.executable, "-c", script], env=environment, text=True, capture_output=True, check=True
        )

    assert run(environment).stdout == run({}).stdout


def test_near_ties_go_to_the_simpler_family():
    matcher = Matcher(templates(7))
    spot, bars = sample(7, "centre", sigma=0.65, ratio=np.inf), sample(7, "cross", sigma=0.5, elongation=3)
    ends = centre_and_normalise(np.stack([spot, bars]))
    steps = np.linspace(0, 1, 400)[:, None]
    found = matcher.match(centre_and_normalise(ends[0] * (1 - steps) + ends[1] * steps))
    assert found.name[0] == "On-Centre" and found.name[-1] == "On-Cross"
    tied = found.margin < 0
    assert tied.any() and set(found.name[tied]) == {"On-Centre"} and set(found.second[tied]) == {"On-Cross"}
    exact = matcher.match(centre_and_normalise(ends[0] * (1 - steps) + ends[1] * steps), margin=0)
    assert (exact.margin >= 0).all()


# A table of one's own


def write(path, *rows):
    header = "name\tfamily\tformula\tsign\tdirection\tparameters\tsmallest\tlargest"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_a_table_of_ones_own_names_kernels(tmp_path):
    table = read_patterns(write(tmp_path / "mine.tsv", "Stroke\tStroke\tsecond_derivative\t1\tNS\tsigma=1\t5\t9"))
    matcher = Matcher(draw_patterns(table, 7))
    found = matcher.match(centre_and_normalise(sample(7, "second_derivative", direction="NS", sigma=1.1)[None]))
    assert found.name.tolist() == ["Stroke"] and found.similarity[0] > 0.95
    assert not draw_patterns(table, 11).labels


@pytest.mark.parametrize(
    "row, line",
    [
        ("A\tA\twheel\t1\t\tsigma=1\t3\t9", "row 2: 'wheel'"),
        ("A\tA\tcentre\t1\t\tsigma=1\t3\t9", "row 2: .*ratio"),
        ("A\tA\tcentre\t1\t\tsigma=x ratio=2\t3\t9", "row 2: could not convert"),
        ("other\tA\tcentre\t1\t\tsigma=1 ratio=2\t3\t9", "row 2: a name is missing or reserved"),
        ("A\tA\tfirst_derivative\t1\tup\tsigma=1\t3\t9", "row 2: "),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(row, line, tmp_path):
    with pytest.raises(AtlasError, match=line) as refused:
        read_patterns(write(tmp_path / "mine.tsv", row))
    assert "\n" not in str(refused.value)


def test_a_missing_table_or_column_is_said(tmp_path):
    with pytest.raises(AtlasError, match="No such file"):
        read_patterns(tmp_path / "none.tsv")
    (tmp_path / "mine.tsv").write_text("name\tfamily\n")
    with pytest.raises(AtlasError, match="formula"):
        read_patterns(tmp_path / "mine.tsv")


def test_the_reference_has_the_formulas_once():
    table = read_patterns(REFERENCE)
    assert not table.duplicated(["formula", "sign", "direction", "parameters"]).any()
    assert all(family_of(name) == family for name, family in zip(table["name"], table["family"], strict=True))


# The formulas

X, Y = np.meshgrid(np.arange(-3, 4), np.arange(3, -4, -1))  # y is up
POINTS = np.stack([X, Y], axis=-1)


def bell(sigma_x, sigma_y):
    """A Gaussian with the value 1 in its middle, by scipy."""
    density = multivariate_normal([0, 0], np.diag([sigma_x**2, sigma_y**2]))
    return density.pdf(POINTS) / density.pdf([0, 0])


def drawn(formula, **parameters):
    return sample(7, formula, **parameters).reshape(7, 7)


@pytest.mark.parametrize("sigma", [0.7, 1.3])
def test_centres_are_differences_of_gaussians_of_equal_volume(sigma):
    for ratio in (1.6, 4):
        expected = bell(sigma, sigma) - bell(ratio * sigma, ratio * sigma) / ratio**2
        assert_allclose(drawn("centre", sigma=sigma, ratio=ratio), expected)
        assert_allclose(drawn("centre", sign=-1, sigma=sigma, ratio=ratio), -expected)
    assert_allclose(drawn("centre", sigma=sigma, ratio=np.inf), bell(sigma, sigma))


@pytest.mark.parametrize("sigma", [0.7, 1.3])
def test_crosses_are_two_bars_at_right_angles(sigma):
    for times in (2, 5):
        expected = bell(sigma, times * sigma) + bell(times * sigma, sigma)
        assert_allclose(drawn("cross", sigma=sigma, elongation=times), expected)


@pytest.mark.parametrize("sigma", [0.7, 1.3])
def test_derivatives_are_those_of_the_gaussian(sigma):
    for degrees, axis, way in zip((0, 45, 90, 135), AXES, COMPASS, strict=False):
        step = 1e-4 * np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
        density = multivariate_normal([0, 0], sigma**2 * np.eye(2))
        ahead, here, behind = (density.pdf(POINTS + shift) / density.pdf([0, 0]) for shift in (step, 0 * step, -step))
        second = (ahead - 2 * here + behind) / 1e-8 * sigma**2
        assert_allclose(drawn("second_derivative", direction=axis, sigma=sigma), -second, atol=1e-5)
        # its bright side is where it looks, so that it is the negative slope
        slope = (ahead - behind) / 2e-4 * sigma**2
        assert_allclose(drawn("first_derivative", direction=way, sigma=sigma), -slope, atol=1e-5)


def test_squares_are_boxes_and_shifts_move_to_the_right_and_up():
    box = drawn("square", width=2, x=0.5, y=0.5)
    assert box.sum() == 4 and (X[box == 1].mean(), Y[box == 1].mean()) == (0.5, 0.5)
    spot = drawn("centre", sigma=0.5, ratio=np.inf, x=1, y=2)
    assert np.unravel_index(spot.argmax(), spot.shape) == (1, 4)


def test_north_is_the_top_row():
    north = drawn("first_derivative", direction="N", sigma=1)
    assert north[:3].sum() > 0 > north[4:].sum()


def test_what_resembles_nothing_is_numbered():
    checkers = centre_and_normalise(np.where((X + Y) % 2, 1.0, -1.0).reshape(1, -1))
    labels, cosine = resemble(np.concatenate([checkers, checkers]))
    assert labels == ["pattern-1", "pattern-2"] and (cosine < 0.7).all()
