import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from numpy.testing import assert_allclose

from benchmarks.fits import best_starts, fit_with_scipy, pattern
from kernel_atlas.core.kernels import centre_and_normalise, taps_column
from kernel_atlas.core.patterns import COMPASS, sample
from kernel_atlas.core.vocabulary import AXES
from kernel_atlas.evidence import families
from kernel_atlas.evidence import fit as fits
from kernel_atlas.evidence import formulas as explained
from kernel_atlas.evidence.controls import make_control
from kernel_atlas.findings.formulas import find_fits

torch.set_num_threads(1)
SOME = {"centre": [0.3], "first_derivative": [], "second_derivative": [], "cross": [1.2, -0.7]}


def noise(count, side=7, seed=0):
    return centre_and_normalise(np.random.default_rng([seed, side]).standard_normal((count, side**2), np.float32))


def some_parameters(name, count=5):
    random = np.random.default_rng(1)
    middle = np.array([0.2, -0.4, 0.7, 0.1, 0.2, *SOME[name]])
    return torch.from_numpy(middle + random.uniform(-0.2, 0.2, (count, len(middle))))


@pytest.mark.parametrize("name", families.FAMILIES)
def test_the_derivatives_are_those_of_the_formula(name):
    """Derivatives are compared with automatic differentiation, formulas with a second way of writing them."""
    family, parameters = families.FAMILIES[name], some_parameters(name)
    x, y = families.coordinates(7, parameters)
    value, partials = families.evaluate(family, parameters, x, y)
    for n, one in enumerate(parameters):
        assert_allclose(value[n], pattern(name, one.numpy(), x.numpy(), y.numpy()), atol=1e-12)
    jacobian = torch.func.jacrev(lambda p: families.evaluate(family, p, x, y)[0].sum(0))(parameters)
    assert_allclose(torch.stack(partials, 2), jacobian.permute(1, 0, 2), atol=1e-10)


@pytest.mark.parametrize("name", families.FAMILIES)
def test_gradient_and_metric_are_those_of_the_cosine(name):
    """The gradient against that of log |cos|, the metric against the Jacobian of the unit pattern."""
    family, parameters = families.FAMILIES[name], some_parameters(name, 3)
    kernels = torch.from_numpy(noise(3)).double()
    x, y = families.coordinates(7, parameters)
    free = list(range(parameters.shape[1]))
    state = fits._look(family, kernels, parameters, free, x, y)

    def unit(p):
        taps = families.evaluate(family, p[None], x, y)[0][0]
        return torch.nn.functional.normalize(taps - taps.mean(), dim=0)

    for n, one in enumerate(parameters):
        jacobian = torch.func.jacrev(unit)(one)
        assert_allclose(state.cosine[n], unit(one) @ kernels[n], atol=1e-9)
        assert_allclose(state.gradient[n], jacobian.T @ kernels[n] / state.cosine[n], atol=1e-6)
        assert_allclose(state.metric[n], jacobian.T @ jacobian, atol=1e-6)


@pytest.mark.parametrize("side", [5, 7, 11])
def test_the_formulas_of_the_patterns_are_found_again(side):
    """They have the same names here: not squares, and not those of few taps."""
    drawn = []
    # a sigma of a third of the taps or more, or below a tap, draws what other families draw too
    for sigma in np.geomspace(0.75, side / 4 - 0.05, 4):
        for sign, name in ((1, "On"), (-1, "Off")):
            drawn += [(f"{name}-Centre", sample(side, "centre", sign, sigma=sigma, ratio=ratio)) for ratio in (1.6, 4)]
            drawn += [(f"{name}-Cross", sample(side, "cross", sign, sigma=sigma, elongation=times)) for times in (3, 5)]
            for axis in AXES:
                ridge = sample(side, "second_derivative", sign, axis, sigma=sigma)
                drawn.append((f"{name}-Second-Derivative-{axis}", ridge))
        for way in COMPASS:
            drawn.append((f"First-Derivative-{way}", sample(side, "first_derivative", direction=way, sigma=sigma)))
    table = fits.fit_kernels(centre_and_normalise(np.stack([taps for _, taps in drawn])))
    assert (table["cosine"] > 0.995).all()
    assert (table["label"] == [name for name, _ in drawn]).mean() > 0.98


def test_angles_point_to_the_bright_side_and_sign_is_absorbed():
    x, y = np.meshgrid(np.arange(7) - 3, 3 - np.arange(7))
    turns = np.radians(np.arange(0, 360, 45))
    along = np.cos(turns)[:, None, None] * x + np.sin(turns)[:, None, None] * y
    table = fits.fit_kernels(centre_and_normalise((along * np.exp(-(x**2 + y**2) / 3)).reshape(8, -1)))
    assert table["label"].tolist() == [f"First-Derivative-{direction}" for direction in COMPASS]
    assert_allclose((table["angle"] - np.degrees(turns) + 180) % 360, 180, atol=1)
    assert_allclose(table["sigma"], np.sqrt(1.5), rtol=0.01)


def test_fits_stay_within_their_bounds_and_never_fall_below_their_start():
    kernels = torch.from_numpy(noise(100))
    for family in families.FAMILIES.values():
        low, high = (torch.tensor(bound) for bound in families.bounds(family, 7))
        starts = fits.best_templates(kernels, family)
        parameters, cosine = fits.fit_family(kernels, family, starts=starts)
        assert ((parameters >= low - 1e-6) & (parameters <= high + 1e-6)).all()
        x, y = families.coordinates(7, kernels)
        first = fits._look(family, kernels, starts[:, 0], [0], x, y).cosine.abs()
        assert (cosine.abs() >= first - 1e-5).all()


def test_a_fixed_centre_weight_is_kept_and_fits_no_better():
    kernels = torch.from_numpy(explained.synthetic_kernels(7, 20, 10, 0)[0][-20:])
    _, free = fits.fit_family(kernels, families.FAMILIES["cross"])
    parameters, fixed = fits.fit_family(kernels, families.FAMILIES["cross"], {"centre_weight": 0.0})
    assert (parameters[:, -1] == 0).all()
    assert (fixed.abs() <= free.abs() + 1e-3).all()


def test_scipy_finds_the_same_optimum():
    """From the same starts, within the same bounds: patterns with noise at 10 dB, as trained kernels are."""
    kernels = explained.synthetic_kernels(7, 13, 10, 0)[0]
    table, starts = fits.fit_kernels(kernels), best_starts(kernels)
    ours = table["cosine"].to_numpy()
    family = table["family"]
    scipy = [
        fit_with_scipy(f, k.astype(float), starts[f][n]) for n, (f, k) in enumerate(zip(family, kernels, strict=True))
    ]
    assert np.mean(np.abs(ours - scipy) < 1e-3) >= 0.99


@pytest.fixture(scope="module")
def truth():
    return explained.synthetic_truth(7, 200, 10, 0)


def test_labels_of_synthetic_kernels_are_right(truth):
    """At 10 dB. A direction within 5 degrees of where its name changes has two names that are right enough."""
    assert (truth["family"] == truth["true_family"]).mean() >= 0.98
    clear = ~truth["between_names"]
    assert clear.mean() > 0.8
    assert (truth["label"] == truth["true_label"])[clear].mean() >= 0.98


def test_parameters_of_synthetic_kernels_are_recovered(truth):
    """Median and 90 % of the errors at 10 dB, of the kernels whose family was found."""
    found = truth[truth["family"] == truth["true_family"]]

    def holds(error, median, most):
        assert np.quantile(error, 0.5) < median and np.quantile(error, 0.9) < most

    def relative(table, column):
        return np.abs(np.log(table[column] / table[f"true_{column}"]))

    turns = {"first_derivative": 360, "second_derivative": 180, "cross": 90}
    for name, part in found.groupby("family"):
        holds(np.hypot(part["x"] - part["true_x"], part["y"] - part["true_y"]), 0.1, 0.25)  # taps
        holds(relative(part, "radius" if name == "centre" else "sigma"), 0.1, 0.2)
        if name in turns:  # a centre is nearly round
            turn = turns[name]
            holds(np.abs((part["angle"] - part["true_angle"] + turn / 2) % turn - turn / 2), 3, 6)  # degrees
        if name != "cross":
            holds(relative(part, "aspect"), 0.1, 0.2)
    crosses = found[found["family"] == "cross"]
    holds(relative(crosses, "elongation"), 0.15, 0.4)
    holds(np.abs(crosses["centre_weight"] - crosses["true_centre_weight"]), 0.25, 0.75)


def picked(real=240, side=7):
    """Patterns with noise as real kernels, noise as untrained ones."""
    kernels = np.concatenate([explained.synthetic_kernels(side, real // 4, 10, 3)[0], noise(100, side, 5)])
    random = np.random.default_rng(0)
    n = len(kernels)
    subject = np.array(["real"] * (n - 100) + ["untrained"] * 100)
    return pa.table(
        {
            "subject": subject,
            "model": [f"net{m}" for m in random.integers(0, 6, n)],
            "layer_index": random.integers(0, 3, n),
            "depth": random.integers(0, 3, n) / 2,
            "stride": np.ones(n),
            "channel": np.arange(n),
            "code": random.uniform(size=n),
            "dissimilarity": random.uniform(size=n),
            "cluster": np.zeros(n, int),
            "label": random.choice(["On-Cross", "other"], n),
            "weight": taps_column(0.1 * kernels),
        }
    )


@pytest.fixture(scope="module")
def tables():
    return explained.answer("7x7", picked(), 400, 4, 10, 0)


def test_structure_is_explained_and_controls_are_not(tables):
    shares = tables["fit_explained"].set_index(["subject", "family"])["explained_share"]
    assert shares["real", "all"] > 0.95
    assert shares["gaussian", "all"] < 0.04  # 1 % of 240 and of another 400 that set the threshold
    assert shares["untrained", "all"] < 0.05
    # a strong tap is left alone by shuffling and may still be a spot, but hardly anything else
    assert shares["shuffled", "all"] < 0.25
    assert shares["shuffled", "centre"] > 0.5 * shares["shuffled", "all"]
    for _, part in tables["fit_explained"].groupby("subject"):
        rows = part.set_index("family")
        assert rows["kernels"].drop("all").sum() == rows.loc["all", "kernels"]
        assert_allclose(rows["explained_share"].drop("all").sum(), rows.loc["all", "explained_share"])
    real = tables["fit_explained"].query("subject == 'real'")
    assert (real["explained_low"] <= real["explained_share"]).all()
    assert (real["explained_high"] >= real["explained_share"]).all()


def test_tables_fit_together(tables):
    table = tables["fits"]
    assert set(table["subject"]) == {"real", "untrained"} and len(table) == 340
    assert (table["size"] == "7x7").all()
    fitted = table[(table["subject"] == "real") & table["explained"]]
    assert tables["fit_scales"]["kernels"].sum() == len(fitted)
    orientations = tables["fit_orientations"].groupby("family")["kernels"].sum()
    for family in explained.TURN:
        assert orientations[family] == (fitted["family"] == family).sum()
    assert_allclose(tables["fit_cosines"].groupby("subject")["share"].sum(), 1)
    crosses = tables["fit_crosses"].set_index("weight")
    assert crosses.loc["free", "kernels"] == (fitted["family"] == "cross").sum()
    assert crosses.loc["free", "error_median"] <= crosses.loc["0", "error_median"]


def test_findings_use_numbers_of_the_tables(tables):
    lines = find_fits(tables["fit_explained"], tables["fit_crosses"], tables["fit_cardinal"])
    share = tables["fit_explained"].set_index(["subject", "family"]).loc[("real", "all"), "explained_share"]
    assert f"{100 * share:.1f} %" in lines[0]


def test_without_real_kernels_tables_are_empty_and_findings_silent():
    table = picked()
    only = table.filter(pa.array(table["subject"].to_numpy() == "untrained"))
    tables = explained.answer("7x7", only, 50, 4, 10, 0)
    assert set(tables["fit_explained"]["subject"]) == {"untrained"}
    assert tables["fit_crosses"].empty and tables["fit_labels"].empty and tables["fit_scales"].empty
    assert find_fits(tables["fit_explained"], tables["fit_crosses"], tables["fit_cardinal"]) == []


def test_the_same_seed_gives_the_same_tables():
    one, again = (explained.answer("5x5", picked(40, 5), 40, 4, 10, 0) for _ in range(2))
    for name, table in one.items():
        pd.testing.assert_frame_equal(table, again[name])


def test_shuffled_patterns_lose_their_structure():
    kernels = explained.synthetic_kernels(7, 25, 10, 0)[0]
    cosine = fits.fit_kernels(centre_and_normalise(make_control("shuffled", kernels, 0)))["cosine"]
    assert np.median(cosine) < fits.fit_kernels(noise(200))["cosine"].quantile(0.99)


@pytest.mark.parametrize("side", [3, 5])
def test_no_cosine_exceeds_one(side):
    """On few taps a cross with long arms can be a constant but for rounding, and that resembles nothing."""
    cosines = fits.fit_kernels(noise(500, side)).filter(like="cosine").to_numpy()
    assert (cosines <= 1 + 1e-4).all() and (cosines >= 0).all()
