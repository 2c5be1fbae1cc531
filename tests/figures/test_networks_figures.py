"""The figures that compare networks, on small made-up tables: what they show, and that they can be read."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from test_draw import texts_of

from kernel_atlas import draw
from kernel_atlas.core.vocabulary import FAMILIES
from kernel_atlas.figures.keys import SETS
from kernel_atlas.figures.layers import MEASURES
from kernel_atlas.figures.registry import EVIDENCE as FIGURES
from kernel_atlas.figures.style import Drawing

SIZE = "7x7"
USED = {
    "similarity": ["models", "architectures"],
    "depth": ["depth", "trends"],
    "accuracy": ["models", "correlation", "datasets"],
    "contrasts": ["contrasts", "contrast_kinds"],
    "layer_measures": ["layer_depths", "banding"],
    "offsets": ["offsets", "padding"],
    "keys": ["key_sets", "greedy_sets", "master_key_shares", "filters"],
}
FIFTHS = ("0.0-0.2", "0.2-0.4", "0.4-0.6", "0.6-0.8", "0.8-1.0")


def make_tables(models: int = 40, intervals: bool = True) -> dict[str, pd.DataFrame]:
    """Tables as the workflow writes them, with the rows of another size as well; numbers are random."""
    parts = [_tables_of(size, models, intervals) for size in (SIZE, "3x3")]
    tables = {name: pd.concat([part[name] for part in parts], ignore_index=True) for name in parts[0]}
    tables["datasets"] = pd.DataFrame({"pattern": ["set [0-4]$", "set (5|6)"], "images": [1000, 2_000_000]})
    tables["filters"] = pd.DataFrame(np.random.default_rng(3).normal(size=(8, 49)))
    tables["filters"].insert(0, "filter", range(1, 9))
    return tables


def _tables_of(size: str, models: int, intervals: bool) -> dict[str, pd.DataFrame]:
    random, wide = np.random.default_rng(3), 0.05 if intervals else np.nan

    def frame(rows, names, value, low, high):
        table = pd.DataFrame(rows, columns=names.split())
        table[value] = random.uniform(0.1, 0.9, len(table))
        table.insert(0, "size", size)
        return table.assign(**{low: table[value] - wide, high: table[value] + wide})

    names = [f"network_with_a_long_name_{n}" for n in range(models)]
    nets = frame(
        [(name, n + 9) for n, name in enumerate(names)], "model kernels", "clustered_share", "share_low", "share_high"
    )
    nets["dataset"], nets["use"], nets["convolution"] = [f"set {n % 12}" for n in range(models)], "train", "depthwise"
    nets["top1"], nets["params"], nets["group"] = np.linspace(60, 85, models), np.geomspace(1e6, 1e8, models), None
    pairs = frame(list(combinations(names, 2)), "model_a model_b", "jensen_shannon", "x", "y")
    families = ["Cross", *(name for name in FAMILIES if "Cross" not in name)]
    curve = frame([(f, d) for f in families for d in np.linspace(0, 1, 21)], "family depth", "share", "low", "high")
    trends = frame([(family,) for family in families], "family", "spearman", "low", "high")
    known = frame(
        [("top1", "set 0"), ("log10_params", "set 1"), ("log10_images", "all")],
        "variable dataset",
        "pearson",
        "pearson_low",
        "pearson_high",
    )
    contrasts = [("seed", a, b, 0.2, 0.3) for a, b in combinations(names[:14], 2)]
    contrasts += [("images", *names[:2], 0.2, 0.3)]
    contrasts = frame(contrasts, "contrast model against jensen_shannon chance_high", "difference", "low", "high")
    depths = [(s, d, m, 0.5) for s in ("real", "untrained", "dense") for d in ("all", *FIFTHS) for m in MEASURES]
    labels = [*FAMILIES, "all", "First-Derivative-NE", "On-Second-Derivative-NW-SE", "pattern-12"]
    places = [(label, p) for label in labels for p in ("all", "same", "symmetric", "unknown")]
    offsets = frame(places, "label padding", "dx", "dx_low", "dx_high").assign(subject="real", stride="all")
    offsets["dy"] = -offsets["dx"]
    offsets["dy_low"], offsets["dy_high"] = offsets["dy"] - wide, offsets["dy"] + wide
    greedy = frame([(k,) for k in range(1, 33)], "keys", "residual", "residual_low", "residual_high")
    filters = [(str(n), s, "all") for n in [*range(1, 9), "all"] for s in ("real", "gaussian", "untrained", "phase")]
    return {
        "models": nets,
        "architectures": pairs,
        "depth": curve.assign(models=models),
        "trends": trends,
        "correlation": known.assign(n=models),
        "contrasts": contrasts,
        "contrast_kinds": frame(
            [("seed", 91, 2, 0.4), ("images", 1, 0, 0.1)],
            "contrast pairs beyond jensen_shannon",
            "difference",
            "low",
            "high",
        ),
        "layer_depths": frame(depths, "subject depth measure chance", "mean", "low", "high"),
        "banding": frame([("real",)], "subject", "difference", "low", "high"),
        "offsets": offsets,
        "padding": frame([("square - centre",)], "test", "value", "low", "high"),
        "key_sets": frame([(name, 8, "real") for name in SETS], "set keys subject", "mean", "mean_low", "mean_high"),
        "greedy_sets": greedy.assign(residual_gaussian=0.95, within_tolerance=greedy["keys"] > 7),
        "master_key_shares": frame(filters, "filter subject depth", "share", "share_low", "share_high"),
    }


def drawn(name: str, tables: dict[str, pd.DataFrame]) -> Drawing:
    return draw.draw(name, SIZE, 0.3, {table: tables[table] for table in USED[name]})


def test_used_tables_are_those_of_the_figures():
    assert USED.keys() == FIGURES.keys()


@pytest.mark.parametrize("name", USED)
@pytest.mark.parametrize("case", [{}, {"models": 5, "intervals": False}], ids=["many", "few"])
def test_words_stay_inside_and_apart(name, case):
    drawing = drawn(name, make_tables(**case))
    assert len(drawing.data) and drawing.title
    for words in (drawing.caption, drawing.alt):
        assert words.endswith(".") and "nan" not in words.lower().replace("[", " ").split()
    page, boxes = drawing.figure.bbox, texts_of(drawing)
    for text, box in boxes.items():
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1, text
    for (a, box), (b, other) in combinations(boxes.items(), 2):
        assert not box.padded(-1).overlaps(other.padded(-1)), (a, b)


@pytest.mark.parametrize("name", USED)
def test_empty_tables_are_said_so(name):
    tables = {table: frame.iloc[:0] for table, frame in make_tables(models=3).items()}
    assert drawn(name, tables).caption.startswith(f"Nothing to show of the {SIZE} kernels: ")


def test_similarity_has_the_distances_of_pairs_on_both_sides():
    tables = make_tables(models=6)
    matrix = drawn("similarity", tables).data.set_index("model")
    for pair in tables["architectures"].query("size == @SIZE").itertuples():
        assert matrix.loc[pair.model_a, pair.model_b] == matrix.loc[pair.model_b, pair.model_a] == pair.jensen_shannon


def test_networks_without_distances_are_not_alike():
    tables = make_tables(models=6)
    pairs = tables["architectures"]
    silent = "network_with_a_long_name_3"
    pairs.loc[(pairs["model_a"] == silent) | (pairs["model_b"] == silent), "jensen_shannon"] = np.nan
    assert silent not in drawn("similarity", tables).data.to_numpy()


def test_a_pair_without_a_distance_is_missing_and_not_equal():
    tables = make_tables(models=6)
    here = tables["architectures"].query("size == @SIZE").index[0]
    tables["architectures"].loc[here, "jensen_shannon"] = np.nan
    drawing = drawn("similarity", tables)
    assert drawing.data.drop(columns="model").isna().to_numpy().sum() == 2
    assert "are crossed out: 1." in drawing.caption and "nan" not in drawing.caption


def test_accuracy_has_shares_and_the_images_of_the_data_sets():
    tables = make_tables(models=14)
    drawing = drawn("accuracy", tables)
    points = drawing.data.set_index("model").sort_index()
    known = tables["models"].query("size == @SIZE").set_index("model").sort_index()
    pd.testing.assert_series_equal(points["clustered_share"], known["clustered_share"])
    assert points.loc[known["dataset"] == "set 4", "images"].eq(1000).all()
    assert points.loc[known["dataset"] == "set 11", "images"].isna().all()
    assert [text.get_text() for text in drawing.figure.legends[0].get_texts()][-1].endswith("other data sets")


def test_what_few_networks_state_is_said_to_be_missing():
    tables = make_tables(models=14)
    tables["models"][["top1", "params"]] = np.nan
    drawing = drawn("accuracy", tables)
    assert "not drawn: top-1 accuracy in %, parameters." in drawing.caption
    assert len(drawing.figure.axes) == 1  # of training images
    tables["datasets"] = tables["datasets"].iloc[:0]
    assert "Nothing to show" in drawn("accuracy", tables).caption


def test_contrasts_beyond_a_page_are_thinned_and_no_kind_is_lost():
    tables = make_tables(models=20)
    drawing = drawn("contrasts", tables)
    assert f"{len(drawing.data)} of 92 pairs" in drawing.caption and len(drawing.data) <= 60
    assert set(drawing.data["contrast"]) == {"seed", "images"}
    seeds = tables["contrasts"].query("size == @SIZE and contrast == 'seed'")["difference"]
    shown = drawing.data.query("contrast == 'seed'")["difference"]
    assert (shown.min(), shown.max()) == (seeds.min(), seeds.max())


def test_offsets_are_of_labels_not_of_families_whose_directions_cancel():
    labels = set(drawn("offsets", make_tables()).data["label"])
    assert {"First-Derivative-NE", "On-Second-Derivative-NW-SE", "pattern-12", "On-Square", "all"} <= labels
    assert not {"First-Derivative", "On-Second-Derivative", "Further patterns"} & labels


def test_keys_have_the_greedy_curve_and_the_filters_as_images():
    tables = make_tables()
    drawing = drawn("keys", tables)
    residual = tables["greedy_sets"].query("size == @SIZE")["residual"]
    assert (drawing.data.query("panel == 'greedy'")["residual"].to_numpy() == residual).all()
    assert sum(len(axes.images) for axes in drawing.figure.axes) == 8
    shown = drawing.data.query("panel == 'filters'").set_index(["filter", "subject"])["share"]
    known = tables["master_key_shares"].query("size == @SIZE").set_index(["filter", "subject"])["share"]
    assert shown.eq(known[shown.index]).all() and len(shown) == 8 * 3


def test_sizes_without_published_filters_have_the_sets_alone():
    tables = make_tables()
    tables["master_key_shares"] = tables["master_key_shares"].iloc[:0]
    drawing = drawn("keys", tables)
    assert "Right" not in drawing.caption and not any(axes.images for axes in drawing.figure.axes)
