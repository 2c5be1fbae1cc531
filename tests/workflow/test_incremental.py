"""What runs again, job by job, after each thing that users change over the years."""

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import ROWS, configure, done, make_net, make_sheet, planned, refused, snakemake
from safetensors import safe_open
from safetensors.numpy import save_file

import kernel_atlas

RANDOM = np.random.default_rng(5)

# Of 3x3 and 5x5: two spectra (4), gallery (2), k-means (of 3x3: 1); of both: shares of models.
FROM_ASSIGNMENTS = {
    "summarise_assignments": 1,
    "draw_figure": 2,
    "draw_overview": 1,
    "state_findings": 1,
    "write_report": 1,
    "write_atlas": 1,
}
ONE_SIZE = {**FROM_ASSIGNMENTS, "sample_kernels": 2, "draw_figure": 6}  # all but k-means
KEPT = {"draw_kept_experiment": 9}  # the experiments of resources/experiments
TRAINED = {"train_autoencoder": 2, "train_posed": 2}
ASSIGN = {"write_encoder": 1, "assign_kernels": 3, "assign_noise": 1}
BOTH_SIZES = {"name_clusters": 2, "name_posed": 2, **ASSIGN, **ONE_SIZE}


def edit(project, file, old, new):
    path = project / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def label_by_hand(project):
    clusters = pd.read_csv(project / "results/autoencoder/5x5/clusters.tsv", sep="\t")
    clusters[["cluster", "code_low", "code_high", "label"]].replace("On-Centre", "Bright").to_csv(
        project / "mine.tsv", sep="\t", index=False
    )
    configure(project, "clusters: {5x5: mine.tsv}")


def fetch_again(project):
    """The same weights in a new file, as a second download leaves them."""
    net = project / "nets/alpha.safetensors"
    assert net.stat().st_size > 1e6
    content = net.read_bytes()
    net.unlink()
    net.write_bytes(content)


CHANGES = {
    "the sheet in another order": (lambda project: make_sheet(project, ROWS[::-1]), FROM_ASSIGNMENTS),
    "a threshold": (
        lambda project: configure(project, "thresholds: {5x5: 0.15}"),
        {"name_clusters": 1, "name_posed": 1, **ASSIGN, **ONE_SIZE},
    ),
    "a label": (label_by_hand, {"name_clusters": 1, **ASSIGN, **ONE_SIZE}),
    "a colour": (
        lambda project: edit(project, "kernel_atlas/figures/kernels.py", "RdBu", "PuOr"),
        {"draw_figure": 7, "write_report": 1, "write_atlas": 1},
    ),
    "the style": (
        lambda project: edit(project, "kernel_atlas/figures/atlas.mplstyle", "labelsize: 8", "labelsize: 8.2"),
        {"draw_figure": 7, "draw_overview": 1, **KEPT, "write_report": 1},
    ),
    "one figure": (
        lambda project: edit(project, "kernel_atlas/figures/gallery.py", "SIDE = 0.29", "SIDE = 0.28"),
        {"draw_figure": 2, "write_report": 1},
    ),
    "one finding": (
        lambda project: edit(project, "kernel_atlas/findings/shares.py", "The commonest", "Commonest"),
        {"state_findings": 1, "write_report": 1},
    ),
    "the title": (lambda project: configure(project, "title: Another"), {"write_report": 1, "write_atlas": 1}),
    "the seed": (
        lambda project: configure(project, "seed: 1"),
        {**TRAINED, "cluster_kmeans": 1, **BOTH_SIZES, "draw_figure": 7, **KEPT},
    ),
    "a training parameter": (
        lambda project: edit(project, "config.yaml", "steps: 160", "steps: 170"),
        {**TRAINED, **BOTH_SIZES},
    ),
    "a script, edited": (
        lambda project: edit(project, "workflow_scripts/name_clusters.py", '"""One', '"""The one'),
        BOTH_SIZES,
    ),
    "a script, touched": (lambda project: (project / "workflow_scripts/name_clusters.py").touch(), BOTH_SIZES),
    "a module, edited": (
        lambda project: edit(project, "kernel_atlas/stats/resampling.py", "RESAMPLES = 2000", "RESAMPLES = 1000"),
        {**FROM_ASSIGNMENTS, **KEPT},
    ),
    "a module, touched": (lambda project: (project / "kernel_atlas/io/merge.py").touch(), {}),
    "an assignment, deleted": (
        lambda project: (project / "results/assignments/chance.parquet").unlink(),
        {"assign_kernels": 1, **FROM_ASSIGNMENTS},
    ),
    "a figure, deleted": (
        lambda project: (project / "results/figures/spectrum_5x5.svg").unlink(),
        {"draw_figure": 1, "write_report": 1},
    ),
    "the atlas, deleted": (lambda project: (project / "results/atlas.html").unlink(), {"write_atlas": 1}),
    "the report, deleted": (lambda project: (project / "results/report.html").unlink(), {"write_report": 1}),
    "the same weights, fetched again": (fetch_again, {}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_plans_exactly_what_it_must(project, change):
    make, expected = CHANGES[change]
    make(project)
    assert dict(planned(project)[0]) == expected


def test_a_removed_model_leaves_the_tables_and_nothing_is_read_again(project):
    make_sheet(project, ROWS[:2])
    assert done(snakemake(project).stdout) == {"collect_inventory": 1, **FROM_ASSIGNMENTS}
    assert "chance" not in pd.read_csv(project / "results/statistics/models.csv")["model"].tolist()
    # whoever reads all files of a folder reads this run
    assert sorted(path.stem for path in (project / "results/assignments").iterdir()) == ["alpha", "beta"]
    assert sorted(path.name for path in (project / "results/kernels").iterdir()) == ["alpha", "beta"]
    assert (project / "results/unused/kernels/chance/000.parquet").exists()


def test_another_sheet_is_said_and_nothing_is_left_of_the_one_before(project):
    before = yaml.safe_load((project / "results/run.yaml").read_text())
    assert (before["sheet"], before["models"]) == ("sheet.tsv", ["alpha", "beta", "chance"])
    assert before["configuration"]["training"]["steps"] == 160
    assert before["versions"]["kernel-atlas"] == kernel_atlas.__version__
    (project / "sheet.tsv").rename(project / "before.tsv")
    make_sheet(project, ["gamma file:nets/gamma.safetensors train", *ROWS[:1]])
    (project / "sheet.tsv").rename(project / "other.tsv")
    run = snakemake(project, "results/statistics/models.csv", "--config", "models=other.tsv").stdout
    said = (
        "results/ held a run of sheet.tsv and becomes one of other.tsv: what was made of 2 models that are not in it "
        "is deleted, their kernels are in results/unused (beta, chance)"
    )
    assert run.count(said) == 1
    assert yaml.safe_load((project / "results/run.yaml").read_text())["models"] == ["alpha", "gamma"]
    assert sorted(path.stem for path in (project / "results/assignments").iterdir()) == ["alpha", "gamma"]


def test_a_size_that_has_no_autoencoder_any_more_leaves(project):
    configure(project, "sizes: [3]")
    snakemake(project, "results/statistics/models.csv")
    left = [path.relative_to(project / "results") for path in (project / "results").rglob("*5x5*")]
    assert {path.parts[0] for path in left} == {"benchmarks", "logs"}


def test_other_taps_train_again(project):
    make_net(project / "nets/alpha.safetensors", 7)
    jobs = done(snakemake(project, "results/encoder.safetensors").stdout)
    assert jobs["train_autoencoder"] == jobs["train_posed"] == 2


def test_a_deleted_shard_is_noticed_and_its_model_read_again(project):
    before = pd.read_csv(project / "results/statistics/models.csv")
    (project / "results/kernels/chance/000.parquet").unlink()
    assert refused(project) == (
        "error: model chance: shards are missing in results/kernels/chance; remove the folder and run again"
    )
    shutil.rmtree(project / "results/kernels/chance")
    expected = {"extract_kernels": 1, "collect_inventory": 1, "assign_kernels": 1, **FROM_ASSIGNMENTS}
    assert done(snakemake(project).stdout) == expected
    pd.testing.assert_frame_equal(pd.read_csv(project / "results/statistics/models.csv"), before)


def test_an_assigned_model_never_trains_and_its_drift_is_told(project):
    noise = {f"dw{layer}.weight": RANDOM.normal(size=(60, 1, 5, 5)).astype(np.float32) for layer in range(6)}
    save_file(noise, project / "nets/strange.safetensors")
    rows = ["gamma file:nets/gamma.safetensors assign", "strange file:nets/strange.safetensors assign"]
    make_sheet(project, [*ROWS, *rows])
    assert not {"merge_kernels", "train_autoencoder", "name_clusters"} & set(done(snakemake(project).stdout))
    drift = pd.read_csv(project / "results/statistics/drift.csv").set_index(["model", "size"])
    assert drift.loc[("strange", "5x5"), "advice"] == "retrain" and drift.loc[("strange", "5x5"), "beyond_low"] > 0.2
    assert drift.loc[("gamma", "5x5"), "beyond"] < 0.2
    trained = drift.query("use == 'train' and size == '5x5'")
    assert (trained["beyond"] * trained["kernels"]).sum() / trained["kernels"].sum() == pytest.approx(0.1, abs=0.01)
    assert "Not covered by the autoencoder" in (project / "results/report.html").read_text()


def test_results_of_another_schema_are_refused(project):
    path = project / "results/inventory.parquet"
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({"schema": "0"}), path)
    assert refused(project) == (
        "error: results/inventory.parquet: made with version 0 of the tables, this is version 4; "
        "remove the results, or name another folder with --directory"
    )


def test_tables_carry_the_versions_that_made_them(finished):
    for path in (finished / "results").rglob("*.parquet"):
        metadata = pq.read_schema(path).metadata
        assert metadata[b"version"].decode() == kernel_atlas.__version__, path
        assert metadata[b"schema"].decode() == str(kernel_atlas.SCHEMA_VERSION), path
    for path in (finished / "results").rglob("*.safetensors"):
        with safe_open(path, "np") as file:
            found = json.loads(file.metadata()["kernel_atlas"])
        assert (found["version"], found["schema"]) == (kernel_atlas.__version__, str(kernel_atlas.SCHEMA_VERSION))
