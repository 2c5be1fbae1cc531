"""The figures of the evidence on small made-up tables: what they show, and that they can be read."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib import style
from test_draw import texts_of

from kernel_atlas import draw, draw_evidence, draw_fits
from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.core.patterns import templates
from kernel_atlas.core.vocabulary import FITTED, KINDS
from kernel_atlas.evidence import stability
from kernel_atlas.evidence.families import FAMILIES
from kernel_atlas.figures.stability import RULE
from kernel_atlas.figures.style import STYLE, Drawing, write_drawing

FIGURES = draw_evidence.FIGURES | draw_fits.FIGURES
SIZE, SIDE, SAMPLES = "5x5", 5, 200
USED = {
    "controls": ["controls", "examples"],
    "baselines": ["baselines", "agreement"],
    "stability": ["stability", "restarts", "clusters", "spectrum"],
    "fits": ["fit_cosines", "fit_explained"],
    "fit_scales": ["fit_scales", "fit_orientations", "fit_cardinal"],
    "fit_labels": ["fit_labels", "fit_crosses"],
    "synthetic": ["synthetic"],
}
MANY = {"kinds": list(KINDS), "clusters": 23, "runs": 10}
FEW = {"kinds": ["real", "gaussian"], "clusters": 1, "runs": 1, "intervals": False}
CASES = {"many": MANY, "few": FEW}


def make_tables(
    kinds: list[str] = MANY["kinds"], clusters: int = 6, runs: int = 3, intervals: bool = True
) -> dict[str, pd.DataFrame]:
    """Tables as the workflow writes them, with the rows of another size as well; numbers are random."""
    random = np.random.default_rng(0)
    by_size = [_tables_of(size, random, kinds, clusters, runs, intervals) for size in (SIZE, "3x3")]
    tables = {name: pd.concat([part[name] for part in by_size], ignore_index=True) for name in by_size[0]}
    labels = (list(dict.fromkeys(templates(SIDE).labels))[::-1] * 2)[:clusters]
    edges = np.linspace(0, 1, clusters + 1)
    rows = {"cluster": range(clusters), "code_low": edges[:-1], "code_high": edges[1:], "label": labels}
    decoded = centre_and_normalise(random.normal(size=(SAMPLES, SIDE**2)))
    codes = (np.arange(SAMPLES) + 0.5) / SAMPLES
    units = list(centre_and_normalise(random.normal(size=(12, SIDE**2))))
    one = {"dissimilarity": np.linspace(0, 1.9, 12), "kernel": units, "reconstruction": units}
    examples = [pd.DataFrame({"control": kind, "encoder": by, **one}) for kind in kinds for by in ("main", "own")]
    return tables | {
        "clusters": pd.DataFrame(rows),
        "spectrum": pd.DataFrame({"code": codes, "kernels": 1, "decoded": list(decoded)}),
        "examples": pd.concat(examples, ignore_index=True),
    }


def _tables_of(size, random, kinds, clusters, runs, intervals):
    def shares(n, *names):
        share, wide = random.uniform(0.02, 0.95, n), 0.02 if intervals else np.nan
        return dict(zip(names, (share, share - wide, share + wide), strict=True))

    def frame(rows, names, *ends):
        table = pd.DataFrame(rows, columns=names.split())
        for these in ends:
            table = table.assign(**shares(len(table), *these.split()))
        table.insert(0, "size", size)
        return table

    plain, explained = "clustered_share low high", "explained_share explained_low explained_high"
    methods = [("autoencoder", 1), *(("retrained", k) for k in (1, 2, 3)), *(("pca", k) for k in range(1, 9))]
    methods += [(name, k) for name in ("kmeans", "gaussian_mixture") for k in (4, 8, 10, 16, 32)] + [("hdbscan", 0)]
    baselines = frame(methods, "method k", plain, "held_out_share held_out_low held_out_high").assign(noise_share=0.02)
    baselines.loc[0, ["held_out_share", "held_out_low", "held_out_high"]] = np.nan
    pairs = [("autoencoder", 1, *method) for method in methods if "means" in method[0] or "mix" in method[0]]
    stretches = [(n, f"First-Derivative-{n}", 20, kind) for n in range(clusters) for kind in ("all", "restart")]
    steady = frame(stretches, "cluster label kernels kind").assign(runs=runs, recurs=0.9, jaccard=0.7, chance=0.1)
    steady["stable"] = "yes"
    steady.loc[steady["cluster"] == 0, ["label", "recurs", "stable"]] = ["Off-Second-Derivative-NW-SE", 0.3, "no"]
    again = [("main", 0, 9), *(("restart", run, 7) for run in range(1, runs + 1))]
    every = [*FITTED, "all"]
    cosines = [(kind, low / 50, (low + 1) / 50, 1 / 20) for kind in kinds for low in range(30, 50)]
    labels = [(label, family, 99) for label in dict.fromkeys([*templates(5).labels, "other"]) for family in every]
    depths = [(family, low / 5, (low + 1) / 5, 50) for family in FITTED for low in range(5)]
    turns = [("first_derivative", k * 15 - 7.5, k * 15 + 7.5, 2, 1 / 24) for k in range(24)]
    turns += [("second_derivative", k * 15 - 7.5, k * 15 + 7.5, 2, 1 / 12) for k in range(12)]
    both = ("first_derivative", "second_derivative")
    directions = [(kind, family, which) for kind in kinds for family in both for which in ("explained", "all")]
    crosses = frame([("free", 40), ("0", 40), ("-1", 40)], "weight kernels")
    for name, values in {
        "sigma": (0.5, 0.85, 2),
        "elongation": (3, 3.7, 6),
        "centre_weight": (-1.7, -0.4, 0.5),
    }.items():
        crosses[[f"{name}_q10", f"{name}_median", f"{name}_q90"]] = values
    crosses[["error_q10", "error_median", "error_q90"]] = 0.1, 0.2, 0.3
    crosses["at_bounds"] = 0.4
    sigmas = {f"sigma_q{q}": q / 50 for q in (10, 25, 75, 90)} | {"sigma_median": 1.0}
    return {
        "controls": frame(
            [(kind, by, 900) for kind in kinds for by in ("main", "own")][: None if intervals else -1],
            "control encoder kernels",
            plain,
        ),
        "baselines": baselines,
        "agreement": frame(pairs, "method_a k_a method_b k_b", "adjusted_rand low high"),
        "stability": steady,
        "restarts": frame(again, "kind run clusters").assign(clustered_share=np.linspace(0.3, 0.6, runs + 1)),
        "fit_cosines": frame(cosines, "subject cosine_low cosine_high share"),
        "fit_explained": frame(
            [(kind, family, 500) for kind in kinds for family in every], "subject family kernels", explained
        ).assign(threshold=0.7, cosine_median=0.9),
        "fit_labels": frame(labels, "assigned family kernels", explained),
        "fit_scales": frame(depths, "family depth_low depth_high kernels").assign(**sigmas),
        "fit_orientations": frame(turns, "family angle_low angle_high kernels share"),
        "fit_cardinal": frame(directions, "subject family which", "cardinal cardinal_low cardinal_high"),
        "fit_crosses": crosses,
        "synthetic": _synthetic(size, random),
    }


def _synthetic(size, random):
    labels = list(dict.fromkeys(label for label in templates(5).labels if "Square" not in label)) * 4
    family = {"First": "first_derivative", "Second": "second_derivative", "Cross": "cross"}
    families = [next((name for word, name in family.items() if word in label), "centre") for label in labels]
    truth = {
        name: random.uniform(0, high, len(labels)) for name, high in (("sigma", 2), ("angle", 90), ("x", 1), ("y", 1))
    }
    table = pd.DataFrame({"size": size, "snr_db": 10.0, "true_family": families, "true_label": labels})
    table = table.assign(family=families, label=labels, between_names=False)
    found = {name: values + 0.01 for name, values in truth.items()}
    return table.assign(**{f"true_{name}": values for name, values in truth.items()}, **found)


def drawn(name: str, tables: dict[str, pd.DataFrame]) -> Drawing:
    with style.context(STYLE):
        return FIGURES[name](SIZE, 0.2, **{table: tables[table] for table in USED[name]})


@pytest.fixture(scope="module", params=CASES)
def cases(request) -> dict[str, pd.DataFrame]:
    return make_tables(**CASES[request.param])


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return make_tables()


def test_every_figure_is_tested_and_has_a_name_of_its_own():
    assert USED.keys() == FIGURES.keys()
    assert not [name for name, function in FIGURES.items() if draw.FIGURES.get(name, function) is not function]


@pytest.mark.parametrize("name", FIGURES)
def test_words_stay_inside_and_apart(name, cases):
    drawing = drawn(name, cases)
    assert len(drawing.data) and drawing.title and set(drawing.data["size"]) == {SIZE}
    for words in (drawing.caption, drawing.alt):
        assert words.endswith(".") and "nan" not in words.lower().replace("[", " ").replace(",", " ").split()
    page, boxes = drawing.figure.bbox, texts_of(drawing)
    for text, box in boxes.items():
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1, text
    for (a, box), (b, other) in combinations(boxes.items(), 2):
        assert not box.padded(-1).overlaps(other.padded(-1)), (a, b)


@pytest.mark.parametrize("name", FIGURES)
def test_empty_tables_give_a_figure_that_says_so(name, tables):
    drawing = drawn(name, {table: rows.iloc[:0] for table, rows in tables.items()})
    assert drawing.caption.startswith(f"Nothing to show of the {SIZE} kernels: ")
    assert drawing.caption in [text.get_text() for text in texts_of(drawing)] and len(drawing.data)


@pytest.mark.parametrize("name", FIGURES)
def test_a_table_of_detail_may_be_empty(name, tables):
    empty = {
        table: tables[table].iloc[:0]
        for table in USED[name][1:]
        if table not in ("fit_explained", "clusters", "spectrum")
    }
    assert drawn(name, tables | empty).caption.endswith(".")


@pytest.mark.parametrize("name", FIGURES)
def test_files_repeat(name, tables, tmp_path):
    for run in "ab":
        (tmp_path / run).mkdir()
        write_drawing(drawn(name, tables), *(tmp_path / run / f"{name}.{end}" for end in ("svg", "pdf", "csv", "json")))
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert (tmp_path / f"a/{name}.svg").stat().st_size < 1_000_000


def test_captions_have_the_numbers_of_the_tables(tables):
    controls = drawn("controls", tables)
    for row in tables["controls"].query("size == @SIZE").itertuples():
        share = f"{100 * row.clustered_share:.1f} % [{100 * row.low:.1f}, {100 * row.high:.1f}]"
        assert share in controls.caption and share in controls.alt

    steady = drawn("stability", tables)
    assert "5 of 6 clusters pass, 1 (First-Derivative-1)," in steady.caption
    assert "This run clusters 30.0 % of the kernels, the others 40.0 % to 60.0 %." in steady.caption
    assert "yes" in [text.get_text() for text in texts_of(steady)]

    total = tables["fit_explained"].query("size == @SIZE and subject == 'real' and family == 'all'").iloc[0]
    assert f"real kernels {100 * total['explained_share']:.1f} %" in drawn("fits", tables).caption
    assert "the median error is 0.200, and 0.200 without the round one" in drawn("fit_labels", tables).caption

    best = tables["agreement"].query("size == @SIZE").nlargest(1, "adjusted_rand").iloc[0]
    assert (
        f"adjusted Rand index of {best['adjusted_rand']:.2f} [{best['low']:.2f}" in drawn("baselines", tables).caption
    )


def test_angles_are_those_next_to_the_truth(tables):
    found = tables["synthetic"].copy()
    found["angle"] = (found["angle"] + 90) % 90
    found.loc[found["true_family"] == "cross", "angle"] += 90  # the same cross
    data = drawn("synthetic", {"synthetic": found}).data
    crosses = data[data["true_family"] == "cross"]
    np.testing.assert_allclose(crosses["angle"], crosses["true_angle"] + 0.01)
    assert "The right family is found for 100.0 %" in drawn("synthetic", tables).caption


def test_limits_and_families_are_those_of_the_evidence():
    assert RULE == {"recurs": stability.RECURS, "jaccard": stability.JACCARD}
    assert FITTED.keys() == FAMILIES.keys()
