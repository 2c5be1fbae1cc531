import itertools
import re

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from numpy.testing import assert_allclose

from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.evidence import scale_space
from kernel_atlas.evidence.kernels import read_filters
from kernel_atlas.findings.scale_space import find_scale_space

# Values that the search does not give within the tolerances of the published ones (sigma 5e-4, error 5e-5). The
# published search went over grids: its errors of the norm that is least differ by what a grid misses, those of the
# other norm by what the scale differs by. Filter 7's published alpha for C is no least l1 error: 0.642 against 0.600
# here; the notebook apparently reads it from the grid of the l2 search (0.4 + 121 * 0.2 / 199), run in between.
OUTSIDE = {
    ("1", "C2"): {"l1_error", "l2_error"},
    ("2", "C1"): {"l2_error"},
    ("2", "C2"): {"l2_error"},
    ("2", "D1"): {"l1_error"},
    ("5", "C1"): {"sigma_y"},
    **{("7", method): {"l1_error"} for method in ("A", "B", "D1", "D2")},
    **{("7", method): {"sigma_x", "sigma_y", "alpha", "l1_error", "l2_error"} for method in ("C1", "C2")},
    ("8", "C1"): {"l1_error"},
}
TOLERANCES = {"sigma_x": 5e-4, "sigma_y": 5e-4, "alpha": 5e-4, "l1_error": 5e-5, "l2_error": 5e-5}


@pytest.fixture(scope="module")
def filters():
    return read_filters(ROOT / "resources/master_key_filters.csv")


PLANTED = [("dx", 0.8, 0.5), ("T", 0.7, 0.7)]


@pytest.fixture(scope="module")
def table(filters):
    models = np.stack([scale_space.draw_model(*planted, np.nan, 9).ravel() for planted in PLANTED])
    kernels = list(centre_and_normalise(1 - 3 * models))
    prototypes = pd.DataFrame({"cluster": [0, 1], "label": ["First-Derivative-W", "Off-Centre"], "kernel": kernels})
    return scale_space.scale_space_table({"9x9": prototypes}, filters)


def target_of(filters, number):
    operator = scale_space.PUBLISHED[number - 1]
    return scale_space.scale_kernel(filters[number - 1], operator, scale_space.BACKGROUNDS.get(number))


def test_smoothing_is_the_discrete_gaussian_cropped():
    taps = scale_space.draw_model("T", 0.5, 0, np.nan, 7)
    assert_allclose(taps[3, :4], [2.54507725e-04, 6.11613256e-03, 9.81126287e-02, 7.91017162e-01], rtol=1e-7)
    assert scale_space.draw_model("T", 3, 3, np.nan, 5).sum() < 0.5, "not normalised again"


def test_operators_are_what_a_kernel_is_convolved_with():
    for name, taps in {"dx": [0.5, 0, -0.5], "dx+": [1, -1, 0], "dx-": [0, 1, -1]}.items():
        assert_allclose(scale_space.draw_model(name, 0, 0, np.nan, 3)[1], taps)
        assert_allclose(scale_space.draw_model(name.replace("x", "y"), 0, 0, np.nan, 3)[::-1, 1], taps)
    sharp = scale_space.draw_model(scale_space.SHARPEN, 0, 0, 0.25, 3)
    assert_allclose(sharp, [[0, -0.25, 0], [-0.25, 2, -0.25], [0, -0.25, 0]])


@pytest.mark.parametrize("operator", scale_space.OPERATORS)
def test_scaled_kernels_do_not_depend_on_gain_and_sign(operator):
    kernel = np.random.default_rng(0).normal(size=(7, 7))
    scaled = scale_space.scale_kernel(kernel, operator)
    assert_allclose(scale_space.scale_kernel(-3 * kernel, operator), scaled, rtol=1e-5, atol=1e-6)


def test_models_scale_to_themselves():
    for operator in ("dx", "dy"):
        model = scale_space.draw_model(operator, 0.6, 0.7, np.nan, 15)
        assert_allclose(scale_space.scale_kernel(-2 * model, operator), model, atol=1e-6)
    model = scale_space.draw_model("T", 0.6, 0.7, np.nan, 15)
    assert_allclose(scale_space.scale_kernel(-2 * model + 1, "T", background=1), model, atol=1e-6)


def test_background_is_nearly_the_published_one(filters):
    for number, background in scale_space.BACKGROUNDS.items():
        assert abs(scale_space.find_background(filters[number - 1]) - background) < 2e-5


@pytest.mark.parametrize(
    ("number", "method", "sigma_x", "sigma_y"),
    [  # of arXiv 2509.12746 and its notebooks
        (1, "A", 0.580662642931286, 0.5575431907253936),
        (3, "B", 0.6898322629693772, 0.6740337546526619),
        (4, "B", 0.756029853407984, 0.4595702668204834),
        (4, "C1", 0.562713567839196, 0.3843718592964824),
        (3, "C2", 0.6711849867963244, 0.6711849867963244),
        (6, "D1", 0.9842713567839196, 1.0737688442211055),
        (6, "D2", 1.0382624689911877, 1.0382624689911877),
    ],
)
def test_published_scales(filters, number, method, sigma_x, sigma_y):
    fit = scale_space.fit_filter(target_of(filters, number), scale_space.PUBLISHED[number - 1], method)
    assert_allclose([fit.sigma_x, fit.sigma_y], [sigma_x, sigma_y], atol=5e-4)


def test_models_at_the_published_scales_have_the_published_errors(filters, data):
    for row in pd.read_csv(data / "reference/lindeberg_fits.csv").itertuples():
        model = scale_space.draw_model(scale_space.PUBLISHED[row.filter - 1], row.sigma_x, row.sigma_y, row.alpha, 7)
        off = (target_of(filters, row.filter) - model).ravel()
        assert_allclose([np.linalg.norm(off, 1), np.linalg.norm(off)], [row.l1_error, row.l2_error], atol=1e-8)


def test_published_scales_have_the_least_error_of_their_neighbours_on_the_published_grid(filters, data):
    """What `OUTSIDE` lists for C and D is what lies between two places of the published grid, but for filter 7's C."""
    reference = pd.read_csv(data / "reference/lindeberg_fits.csv")
    found = {}
    for row in reference[reference["method"].isin(["C1", "C2", "D1", "D2"])].itertuples():
        operator = scale_space.PUBLISHED[row.filter - 1]
        target = target_of(filters, row.filter)
        norm = 1 if row.method.startswith("C") else 2
        steps = np.arange(-5, 6) * 0.1 / 199  # of a grid of 200 places over a tenth of a tap
        moves = (
            [(step, step, 0) for step in steps] if row.method.endswith("2") else itertools.product(steps, steps, [0])
        )
        if operator == scale_space.SHARPEN:
            moves = [(step, step, more) for step, more in itertools.product(steps, steps)]
        published = np.array([row.sigma_x, row.sigma_y, row.alpha])

        def error(move, published=published, operator=operator, target=target, norm=norm):
            off = target - scale_space.draw_model(operator, *(published + move), 7)
            return np.linalg.norm(off.ravel(), norm)

        found[row.filter, row.method] = not any(min(moves, key=error))
    assert [place for place, least in found.items() if not least] == [(7, "C1"), (7, "C2")] and len(found) == 20


def test_fits_equal_the_reference(table, data):
    reference = pd.read_csv(data / "reference/lindeberg_fits.csv", dtype={"filter": str})
    reference = reference[reference["method"].isin(scale_space.METHODS)].set_index(["filter", "method"])
    ours = table.set_index(["filter", "method"]).loc[reference.index]
    assert len(ours) == 30
    outside = {}
    for column, tolerance in TOLERANCES.items():
        for place in ours.index[(ours[column] - reference[column]).abs() > tolerance]:
            outside.setdefault(place, set()).add(column)
    assert outside == OUTSIDE
    for (_, method), row in ours.iterrows():
        least = {"C": "l1_error", "D": "l2_error"}.get(method[0])
        assert least is None or row[least] < reference.loc[row.name, least] + 1e-6, "a grid found a better one"


def test_planted_models_are_found(table):
    for cluster, planted in enumerate(PLANTED):
        mine = table[table["filter"] == f"9x9-{cluster}"].set_index("method")
        assert (mine["operator"] == planted[0]).all() and (mine["best_cosine"] > 0.9999).all()
        for method in ("B", "C1", "D1"):
            assert_allclose(mine.loc[method, ["sigma_x", "sigma_y"]].astype(float), planted[1:], atol=0.01)
            assert mine.loc[method, "relative"] < 0.01 and mine.loc[method, "cosine"] > 0.9999


def test_table_has_the_columns_of_the_contract_and_a_row_for_each_method(table):
    assert table.columns[:7].tolist() == ["filter", "method", "sigma_x", "sigma_y", "alpha", "l1_error", "l2_error"]
    assert table["filter"].unique().tolist() == [*"12345678", "9x9-0", "9x9-1"]
    assert (table.groupby("filter")["method"].agg(list).map(tuple) == scale_space.METHODS).all()
    assert (table["cosine"] <= table["best_cosine"] + 1e-4).all()
    assert (table["alpha"].notna() == (table["operator"] == scale_space.SHARPEN)).all()


def test_findings_are_cells_and_noise_is_told_apart(table):
    summary = scale_space.summarise_scale_space(table, seed=0)
    cosines = summary.set_index(["size", "source"])["best_cosine_median"]
    assert cosines["7x7", "published"] > 0.9 > 0.5 > cosines["7x7", "noise"]
    cells = {f"{cell:.3f}" for cell in summary.iloc[:, 3:].to_numpy().ravel()}
    for size, count in (("7x7", 1), ("9x9", 1), ("5x5", 0)):
        found = find_scale_space(summary[summary["size"] == size])
        assert len(found) == count
        assert all(number in cells for sentence in found for number in re.findall(r"\d\.\d+", sentence))
