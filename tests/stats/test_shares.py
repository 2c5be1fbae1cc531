import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.distance import jensenshannon
from scipy.stats import ttest_1samp

from kernel_atlas.io.sheet import read_sheet
from kernel_atlas.io.tables import write_table
from kernel_atlas.model.assign import SCHEMA
from kernel_atlas.stats import shares as statistics
from kernel_atlas.stats.independence import one_per_group

THRESHOLDS = {"5x5": 0.2, "7x7": 0.3}


def write_rows(rows, path):
    """Rows of an assignments file, as tuples."""
    write_table(pa.Table.from_pandas(pd.DataFrame(rows, columns=SCHEMA.names), SCHEMA), path)


def assignments(path, model, layers, side=7):
    """An assignments file; `layers` is a list of {label: kernels}."""
    rows = []
    for index, labels in enumerate(layers):
        for label, count in labels.items():
            away = {"other": 0.5, "dead": np.nan}.get(label, 0.1)
            cluster, beyond = (-1, None) if label == "dead" else (0, True) if away < 0.3 else (-1, False)
            named = (label, 1 - away, "second", 0.1, beyond, 0.4 + 0 * away)
            rows += [(model, index, 0, side, side, *named, 0.5, away, cluster, None, None, None, 0.0)] * count
    write_rows(rows, path)
    return path


@pytest.fixture
def run(tmp_path):
    layers = {
        "a": [
            *({"On-Centre": 15, "other": 5, "dead": 5}, {"On-Centre": 15, "other": 5}),
            *({"On-Cross": 5, "other": 15}, {"On-Cross": 5, "other": 15}, {"On-Centre": 10}, {"On-Centre": 10}),
        ],
        "b": [{"On-Centre": 5, "other": 15}],
        "c": [{"other": 40}, {"dead": 8}],
        "nothing": [],  # none of its kernels has a size that was trained
    }
    rows = ["model source use group top1", "a file:a train g 80", "b file:b assign g 70", "c file:c control"]
    (tmp_path / "sheet.tsv").write_text("\n".join(rows).replace(" ", "\t"))
    paths = [assignments(tmp_path / f"{m}.parquet", m, v) for m, v in layers.items()]
    return statistics.count_assignments(paths, THRESHOLDS), read_sheet(tmp_path / "sheet.tsv")


def test_models(run):
    counts, sheet = run
    models = statistics.summarise_models(counts, sheet, 0).set_index("model")
    assert models.loc["a", ["kernels", "dead", "clustered", "layers"]].tolist() == [105, 5, 60, 6]
    assert models["clustered_share"].tolist() == [0.6, 0.25, 0]
    low, high = models.loc["a", ["share_low", "share_high"]]
    assert 0.2 < low < 0.6 < high <= 1
    assert np.isnan(models.loc["b", "share_low"]), "fewer than five layers say too little about how layers differ"
    assert models["pattern_share"].tolist() == [0.6, 0.25, 0]
    assert models.loc["a", ["patterned", "pattern_low", "pattern_high"]].tolist() == [60, low, high]
    assert models["beyond_share"].tolist() == [0.6, 0.25, 0] and models["phase_share"].tolist() == [0, 0, 0]
    assert models["equal_null_share"].tolist() == [1, 1, 1]  # all copies are at 0.4, which every kernel is above
    assert models.loc["a", "top1"] == 80 and models.loc["c", "use"] == "control"


def test_labels_share_what_is_not_dead(run):
    counts, _ = run
    labels = statistics.summarise_labels(counts, 0).set_index(["model", "label"])
    assert labels.loc[("a", "On-Centre"), "share"] == 0.5
    assert labels.loc[("a", "dead"), "share"] == 5 / 105
    live = labels[labels.index.get_level_values("label") != "dead"]
    assert_allclose(live.groupby("model")["share"].sum(), 1)
    assert (live["share_low"].dropna() <= live["share"].loc[live["share_low"].notna()]).all()


def test_totals_leave_out_controls_and_shared_weights(run):
    counts, sheet = run
    models = statistics.summarise_models(counts, sheet, 0)
    totals = statistics.summarise_totals(counts, models.iloc[::-1]).set_index("label")
    marks = {"with a pattern": 60, "above the equal null": 100, "beyond spectrum": 60, "clustered": 60}
    assert totals["kernels"].to_dict() == {"On-Centre": 50, "On-Cross": 10, "other": 40, "dead": 5, **marks}
    assert (totals["models"] == 1).all() and totals["share_low"].isna().all()


def test_totals_are_means_over_networks_with_an_interval_from_eight_on(tmp_path):
    shares = [0.2, 0.3, 0.4, 0.5, 0.6, 0.3, 0.4, 0.5]
    names = [f"m{n}" for n in range(len(shares))]
    paths = [
        assignments(
            tmp_path / f"{name}.parquet",
            name,
            [{"On-Centre": round(10 * share) * n, "other": round(10 - 10 * share) * n}],
        )
        for n, (name, share) in enumerate(zip(names, shares, strict=True), start=1)
    ]
    (tmp_path / "sheet.tsv").write_text("model\tsource\n" + "".join(f"{name}\tfile:x\n" for name in names))
    sheet = read_sheet(tmp_path / "sheet.tsv")
    for count in (8, 7):
        counts = statistics.count_assignments(paths[:count], THRESHOLDS)
        totals = statistics.summarise_totals(counts, statistics.summarise_models(counts, sheet, 0)).set_index("label")
        share, low, high = totals.loc["with a pattern", ["share", "share_low", "share_high"]]
        assert_allclose(share, np.mean(shares[:count]))
        expected = ttest_1samp(shares[:count], 0).confidence_interval() if count == 8 else (np.nan, np.nan)
        assert_allclose([low, high], [*expected])


def test_chance_is_noise_random_phases_and_untrained_networks_not_trained_dense_ones(tmp_path):
    paths = [assignments(tmp_path / "5.parquet", "noise", [{"On-Centre": 4, "other": 996}], side=5)]
    paths.append(assignments(tmp_path / "7.parquet", "noise", [{"other": 10}]))
    noise = statistics.count_assignments(paths, THRESHOLDS)
    names = [
        "model",
        "size",
        "kernels",
        "dead",
        "pattern_share",
        "clustered_share",
        "phase_share",
        "use",
        "convolution",
    ]
    rows = [("good", "5x5", 9, 0, 0.6, 0.5, 0.02, "train", "depthwise")]
    rows += [("alike", "5x5", 19, 1, 0.6, 0.5, 0.04, "assign", "depthwise")]
    rows += [("dense", "5x5", 9, 0, 0.7, 0.5, 0.1, "control", "dense")]
    controls = (("low", 0.001), ("high", 0.031))
    rows += [(name, "5x5", 210, 10, share, share, 0.1, "control", "depthwise") for name, share in controls]
    models = pd.DataFrame(rows, columns=names).assign(group=None, recipe=None)
    chance = statistics.summarise_chance(noise, models, THRESHOLDS)
    assert chance[["size", "threshold", "control", "kernels"]].to_numpy().tolist() == [
        ["5x5", 0.2, "Gaussian noise", 1000],
        ["5x5", 0.2, "random phases", 27],
        ["5x5", 0.2, "high", 200],
        ["5x5", 0.2, "low", 200],
    ]
    assert_allclose(chance["pattern_share"], [0.004, 0.03, 0.031, 0.001], atol=1e-12)
    assert_allclose(chance["clustered_share"], [0.004, np.nan, 0.031, 0.001], atol=1e-12)


def test_layers(run):
    counts, _ = run
    inventory = pd.DataFrame({"model": ["a"] * 6, "layer_index": range(6), "layer": list("uvwxyz")})
    layers = statistics.summarise_layers(counts, inventory).set_index(["layer_index", "label"])
    assert layers.loc[(0, "On-Centre"), ["layer", "depth", "share"]].tolist() == ["u", 0, 0.75]
    assert layers.loc[(0, "dead"), "share"] == 5 / 25
    assert layers.loc[(5, "On-Centre"), ["depth", "share"]].tolist() == [1, 1]


def test_architectures(run):
    counts, _ = run
    labels = statistics.summarise_labels(counts, 0)
    pairs = statistics.compare_architectures(labels).set_index(["model_a", "model_b"])["jensen_shannon"]
    assert len(pairs) == 3
    assert_allclose(pairs["a", "b"], jensenshannon([0.5, 0.1, 0.4], [0.25, 0, 0.75], base=2))
    assert_allclose(pairs["b", "c"], jensenshannon([0.25, 0.75], [0, 1], base=2))


def test_thresholds(run):
    counts, _ = run
    table = statistics.summarise_thresholds(counts).set_index(["model", "threshold"])
    assert (table["pattern_share"] - table["clustered_share"]).abs().max() < 1e-9
    curve = table["clustered_share"]
    assert curve["a", 0.1] == 0 and curve["a", 0.12] == 0.6 and curve["a", 1.0] == 1
    assert curve["a"].is_monotonic_increasing


def test_threshold_rows_agree_with_the_labels_threshold(tmp_path):
    """A dissimilarity equal to the threshold is not below it, in float32 as in assign."""
    named = ("other", np.float32(0.7), "On-Centre", 0.0, True, 0.1)
    write_rows([("m", 0, 0, 7, 7, *named, 0.5, np.float32(0.3), -1, None, None, None, 0.0)], tmp_path / "m.parquet")
    counts = statistics.count_assignments([tmp_path / "m.parquet"], THRESHOLDS)
    curve = statistics.summarise_thresholds(counts).set_index("threshold")["clustered_share"]
    assert curve[0.3] == 0 and curve[0.32] == 1


def test_another_model_does_not_change_an_interval(run):
    counts, sheet = run
    mine = statistics.Counts(*(table[table["model"] == "a"] for table in counts))
    alone = statistics.summarise_models(mine, sheet, 0)
    together = statistics.summarise_models(counts, sheet, 0)
    pd.testing.assert_frame_equal(alone, together[together["model"] == "a"].reset_index(drop=True))


def test_of_a_group_the_one_with_most_kernels_counts_whatever_the_order():
    models = pd.DataFrame(
        {"model": list("abcde"), "group": ["g", "g", None, None, "h"], "recipe": None, "kernels": [1, 2, 3, 4, 5]}
        | {"use": ["train", "assign", "train", "control", "train"], "convolution": ["depthwise"] * 4 + ["dense"]}
    )
    assert one_per_group(models)["model"].tolist() == one_per_group(models[::-1])["model"].tolist() == ["c", "b"]


def test_models_and_sizes_are_resampled_with_seeds_of_their_own(tmp_path):
    layers = [{"On-Centre": n, "other": 20 - n} for n in (1, 4, 6, 9, 15, 3, 8)]
    paths = [assignments(tmp_path / f"{name}.parquet", name, layers) for name in ("m", "n")]
    paths.append(assignments(tmp_path / "m5.parquet", "m", layers, side=5))
    counts = statistics.count_assignments(paths, THRESHOLDS)
    (tmp_path / "sheet.tsv").write_text("model\tsource\nm\tfile:m\nn\tfile:n\n")
    models = statistics.summarise_models(counts, read_sheet(tmp_path / "sheet.tsv"), 0)
    assert models["clustered_share"].nunique() == 1 and len(models[["share_low", "share_high"]].drop_duplicates()) == 3
    labels = statistics.summarise_labels(counts, 0).query("label == 'On-Centre'")
    assert len(labels[["share_low", "share_high"]].drop_duplicates()) == 3
    assert not labels.equals(statistics.summarise_labels(counts, 1).query("label == 'On-Centre'"))


def test_a_label_of_a_single_kernel_is_listed_and_one_of_none_is_not(tmp_path):
    counts = statistics.count_assignments([assignments(tmp_path / "m.parquet", "m", [{"On-Centre": 1}])], THRESHOLDS)
    labels = statistics.summarise_labels(counts, 0)
    assert labels[["label", "kernels", "share"]].to_numpy().tolist() == [["On-Centre", 1, 1.0]]


def test_depth_runs_from_the_first_layer_to_the_last(tmp_path):
    paths = [assignments(tmp_path / f"{n}.parquet", f"m{n}", [{"other": 1}] * n) for n in (1, 2, 3)]
    counts = statistics.count_assignments(paths, THRESHOLDS)
    inventory = counts.labels[["model", "layer_index"]].assign(layer="w")
    layers = statistics.summarise_layers(counts, inventory)
    assert layers.groupby("model")["depth"].agg(list).tolist() == [[0], [0, 1], [0, 0.5, 1]]


def test_tables_without_rows_have_their_columns(run):
    counts, sheet = run
    none = statistics.summarise_totals(counts, statistics.summarise_models(counts, sheet, 0).iloc[:0])
    assert none.columns.tolist() == ["size", "label", "models", "kernels", "share", "share_low", "share_high"]
    alone = statistics.summarise_labels(statistics.Counts(*(table[table["model"] == "a"] for table in counts)), 0)
    pairs = statistics.compare_architectures(alone)
    assert pairs.columns.tolist() == ["size", "model_a", "model_b", "jensen_shannon"] and pairs.empty


def drift_of(tmp_path, **models):
    """drift.csv of models given as use and a list of layers of dissimilarities."""
    (tmp_path / "sheet.tsv").write_text(
        "model\tsource\tuse\n" + "".join(f"{name}\tfile:x\t{use}\n" for name, (use, _) in models.items())
    )
    for name, (_, layers) in models.items():
        rows = [
            (name, index, 0, 7, 7, "x", 0.9, "y", 0.1, True, 0.1, 0.5, value, 0, 0, 0.5, value, 0.0)
            for index, layer in enumerate(layers)
            for value in layer
        ]
        write_rows(rows, tmp_path / f"{name}.parquet")
    paths = [tmp_path / f"{name}.parquet" for name in models]
    return statistics.measure_drift(paths, read_sheet(tmp_path / "sheet.tsv"), 0).set_index("model")


def test_drift_is_what_lies_beyond_the_training_kernels(tmp_path):
    usual = [np.linspace(0, 1, 101)] * 6
    drift = drift_of(
        tmp_path,
        trained=("train", [*usual, [np.nan]]),  # a dead kernel has no dissimilarity
        alike=("assign", usual),
        apart=("assign", [np.linspace(0.85, 1, 101)] * 6),
        short=("assign", [[1.0]] * 4),
        chance=("control", [[1.0] * 9] * 6),
    )
    assert_allclose(drift["training_median"], 0.5, atol=1e-6)
    assert_allclose(drift["training_q90"], 0.9, atol=1e-6)
    assert drift["size"].unique().tolist() == ["7x7"] and drift.loc["apart", "use"] == "assign"
    assert drift["kernels"].to_dict() == {"trained": 606, "alike": 606, "apart": 606, "short": 4, "chance": 54}
    assert_allclose(drift["beyond"][["trained", "alike", "chance"]], [60 / 606, 60 / 606, 1])
    assert_allclose(drift.loc["apart", ["median", "q90"]].tolist(), [0.925, 0.985], atol=1e-6)
    assert drift["advice"].to_dict() == {
        **{"trained": "", "chance": "", "alike": "covered", "apart": "retrain", "short": "too few layers"}
    }


def test_drift_at_twice_the_usual_share_is_covered(tmp_path):
    usual = [np.linspace(0, 1, 101)] * 6
    twice = [[0.0] * 8 + [1.0] * 2] * 6  # every layer alike, so that the interval is a point
    drift = drift_of(tmp_path, trained=("train", usual), twice=("assign", twice))
    assert drift.loc["twice", ["beyond", "beyond_low", "beyond_high"]].tolist() == [0.2, 0.2, 0.2]
    assert drift.loc["twice", "advice"] == "covered"
