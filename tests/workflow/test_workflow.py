"""The main job as a user runs it: once, again, with a model more, with mistakes, after an edit of the code."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, ROWS, done, make_net, make_sheet, planned, refused, snakemake

from kernel_atlas.io.tables import read_csv
from kernel_atlas.model.encoder import read_encoder


def test_results_are_what_the_schemas_say(tested):
    tables = yaml.safe_load((ROOT / "schemas/tables.yaml").read_text())
    by_name = ("ablation/", "experiments/", "maps/", "patterns/", "reference/")
    tables = {pattern: rules for pattern, rules in tables.items() if not pattern.startswith(by_name)}
    for pattern, rules in tables.items():
        paths = list((tested / "results").glob(pattern))
        assert paths, pattern
        for path in paths:
            read = {".csv": pd.read_csv, ".parquet": pd.read_parquet, ".tsv": lambda p: pd.read_csv(p, sep="\t")}
            assert read[path.suffix](path).columns.tolist() == list(rules["columns"]), path
    written = {p for p in (tested / "results").rglob("*") if p.suffix in (".csv", ".parquet", ".tsv")}
    written -= set((tested / "results").glob("benchmarks/**/*")) | set((tested / "results").glob("figures/*"))
    described = {path for pattern in tables for path in (tested / "results").glob(pattern)}
    assert written == described


def test_kernels_arrive_bit_for_bit_and_find_their_patterns(finished):
    from safetensors.numpy import load_file

    weights = load_file(finished / "nets/alpha.safetensors")
    shard = pd.read_parquet(finished / "results/kernels/alpha/001.parquet")
    assert (np.stack(shard["weight"]) == weights["blocks.1.dw.weight"].reshape(-1, 25)).all()
    models = pd.read_csv(finished / "results/statistics/models.csv").set_index(["model", "size"])
    assert models.loc[("alpha", "5x5"), "kernels"] == 180
    noise = pd.read_csv(finished / "results/statistics/thresholds.csv").query("model == 'noise' and threshold == 0.2")
    share = models.loc[("alpha", "5x5"), "clustered_share"]
    assert share > noise.set_index("size").loc["5x5", "clustered_share"] + 0.1
    assert models.loc[("chance", "5x5"), "clustered_share"] < share


def test_sizes_without_enough_kernels_are_said_so(finished):
    sizes = pd.read_csv(finished / "results/sizes.csv").set_index("size")
    assert sizes["trained"].to_dict() == {"3x3": True, "5x5": True, "7x7": False}
    assert not (finished / "results/autoencoder/7x7").exists()


def test_report_stands_alone(finished):
    report = (finished / "results/report.html").read_text()
    assert "alpha" in report and report.count("<svg") >= 4
    assert not re.search(r"(src|href)=[\"'](?!#|data:|atlas.html)", report)
    assert str(finished) not in report


def test_second_run_does_nothing(project):
    assert "Nothing to be done" in snakemake(project).stdout


def test_the_order_of_the_sheet_changes_only_what_reads_the_sheet(project):
    make_sheet(project, ROWS[::-1])
    jobs, _ = planned(project)
    assert set(jobs) <= LAST


def test_one_more_model_runs_only_its_own_jobs_and_the_aggregates(project):
    name = "007"  # text, though tables have it without quotes
    make_sheet(project, [*ROWS, f"{name} file:nets/gamma.safetensors assign toy 60 500 MIT"])
    jobs = done(snakemake(project).stdout)
    assert jobs.pop("extract_kernels") == jobs.pop("assign_kernels") == 1
    assert jobs.pop("collect_inventory") == 1
    assert set(jobs) == LAST
    assert name in read_csv(project / "results/statistics/models.csv")["model"].tolist()
    assert f'<th scope="row">{name}</th>' in (project / "results/report.html").read_text()


def test_a_changed_threshold_reruns_assignment_only(project):
    config = (project / "config.yaml").read_text()
    (project / "config.yaml").write_text(config + "thresholds: {5x5: 0.15}\n")
    assert set(planned(project)[0]) == ASSIGN | NAMED


DRAWN = {"draw_figure", "draw_overview"}
LAST = {"summarise_assignments", *DRAWN, "state_findings", "write_report", "write_atlas"}
ASSIGN = {"write_encoder", "assign_kernels", "assign_noise", "sample_kernels", *LAST}
KEPT = "draw_kept_experiment"
NAMED = {"name_clusters", "name_posed"}
TRAINED = {"train_autoencoder", "train_posed"}
# module: the rules that use it with no other user before them, and all that must run, these and what depends on them
USERS = {
    "core/patterns": ({*NAMED, "cluster_kmeans", KEPT}, {*NAMED, "cluster_kmeans", *ASSIGN, KEPT}),
    "model/naming": ({*NAMED, "cluster_kmeans"}, {*NAMED, "cluster_kmeans", *ASSIGN}),
    "model/autoencoder": (TRAINED, {*TRAINED, *NAMED, *ASSIGN}),
    "model/assign": (NAMED, {*NAMED, *ASSIGN}),
    "stats/independence": ({"summarise_assignments", KEPT}, {*LAST, KEPT}),
    "stats/shares": ({"summarise_assignments", KEPT}, {*LAST, KEPT}),
    "figures/style": ({*DRAWN, "write_atlas", KEPT}, {*DRAWN, "write_report", "write_atlas", KEPT}),
    "figures/spectrum": ({"draw_figure"}, {"draw_figure", "write_report"}),
    "findings/questions": ({"write_report"}, {"write_report"}),
    "findings/controls": ({"state_findings"}, {"state_findings", "write_report"}),
    "publish/report": ({"write_report"}, {"write_report"}),
    "publish/page": ({"write_report", "write_atlas"}, {"write_report", "write_atlas"}),
    "publish/atlas": ({"write_atlas"}, {"write_atlas"}),
    "publish/gallery": ({"write_atlas"}, {"write_atlas"}),
    "api": (set(), set()),
    "figures/experiments": ({KEPT}, {KEPT, "write_report"}),
    "training/conditions": (set(), set()),
    "training/zoo": (set(), set()),
}


@pytest.mark.parametrize("module", USERS)
def test_an_edited_module_reruns_exactly_the_rules_that_use_it(project, module):
    path = project / f"kernel_atlas/{module}.py"
    path.write_text(path.read_text() + "\nEDITED = True\n")
    jobs, edited = planned(project)
    assert (edited, set(jobs)) == USERS[module]


def test_an_edited_reader_of_formats_reads_every_model_again(project):
    path = project / "kernel_atlas/io/formats/onnx.py"
    path.write_text(path.read_text() + "\nEDITED = True\n")
    jobs, edited = planned(project)  # what comes after the checkpoint cannot be planned before it
    assert edited == {"extract_kernels"} and jobs["extract_kernels"] == 3


def test_a_touched_module_reruns_nothing(project):
    (project / "kernel_atlas/model/naming.py").touch()
    assert not planned(project)[0]


def test_clusters_by_hand_take_the_place_of_those_found(project):
    (project / "mine.tsv").write_text("cluster\tcode_low\tcode_high\tlabel\n0\t0\t0.5\tleft\n1\t0.5\t1\tright\n")
    config = (project / "config.yaml").read_text()
    (project / "config.yaml").write_text(config + "clusters: {5x5: mine.tsv}\n")
    snakemake(project, "results/assignments/alpha.parquet")
    table = pd.read_parquet(project / "results/assignments/alpha.parquet")
    assert set(table.loc[table["kh"] == 5, "cluster"]) <= {-1, 0, 1}
    (labeller,) = (each for side, each in read_encoder(project / "results").items() if side == 5)
    assert labeller.clusters["label"].tolist() == ["left", "right"]


@pytest.mark.parametrize(
    "config, line",
    [
        ("modles: sheet.tsv", "error: configuration: top level: .*'modles' was unexpected.*did you mean models?"),
        ("models: none.tsv", "error: none.tsv: no such model sheet; name one with --config models=SHEET"),
        ("models: sheet.tsv\nsizes: [13]", "error: configuration: thresholds: none for size 13x13; add 13x13: 0.3"),
    ],
)
def test_a_wrong_configuration_stops_with_one_line(project, config, line):
    (project / "config.yaml").write_text(f"{config}\n")
    assert re.match(line, refused(project))


def test_a_wrong_sheet_stops_with_one_line(project):
    make_sheet(project, [*ROWS, "../x file:nets/gamma.safetensors"])
    assert refused(project) == (
        "error: sheet.tsv: row 5: column model: '../x' is not an id; "
        "use letters, digits, '_', '.' and '-', not '.' or '-' first"
    )


def broken_net(project):
    """A truncated checkpoint; the whole one for later."""
    make_net(project / "nets/broken.safetensors", 5)
    whole = (project / "nets/broken.safetensors").read_bytes()
    (project / "nets/broken.safetensors").write_bytes(whole[:-100])
    return whole


def test_a_run_ends_with_the_answer_and_where_the_pages_are(project):
    (project / "results/report.html").unlink()
    run = snakemake(project).stdout
    said = pd.read_csv(project / "results/findings.csv")
    for sentence in said.loc[said["question"] == "summary", "sentence"]:
        assert run.count(f"{sentence}\n") == 1
    assert f"report: {project / 'results/report.html'}\n" in run and "atlas: " not in run  # as this run wrote none


@pytest.mark.parametrize("use", ["train", "assign"])
def test_a_corrupt_checkpoint_fails_only_its_model(project, use):
    whole = broken_net(project)
    rows = [f"broken file:nets/broken.safetensors {use}", f"missing file:nets/missing.pth {use}"]
    rows = [*ROWS, *rows, "gamma file:nets/gamma.safetensors assign"]
    make_sheet(project, rows)
    wrong = snakemake(project, "--keep-going", check=False)
    assert wrong.returncode != 0
    for line in (
        "error: model broken: file:nets/broken.safetensors: ",
        "error: model missing: file:nets/missing.pth: ",
        "error: 2 of 6 models could not be read and are left out: broken, missing; ",
    ):
        assert wrong.stdout.count(line) == 1
    jobs = done(wrong.stdout)
    assert not {"merge_kernels", "train_autoencoder", "name_clusters"} & set(jobs)  # what trains is what it was
    assert jobs["write_report"] == 1 and jobs["assign_kernels"] == 1
    for folder in ("kernels", "assignments"):
        left = [path.name.removesuffix(".parquet") for path in (project / "results" / folder).iterdir()]
        assert sorted(left) == ["alpha", "beta", "chance", "gamma"]
    report = (project / "results/report.html").read_text()
    assert "model missing: file:nets/missing.pth" in report

    again = snakemake(project, check=False)  # tries them again, and only them
    assert again.returncode != 0
    assert done(again.stdout) == {"extract_kernels": 2, "collect_inventory": 1}

    if use == "assign":
        make_sheet(project, [row for row in rows if "missing" not in row])
        (project / "nets/broken.safetensors").write_bytes(whole)
        mended = done(snakemake(project).stdout)
        assert mended["extract_kernels"] == mended["assign_kernels"] == 1 and not mended["train_autoencoder"]
        assert "broken" in pd.read_csv(project / "results/statistics/models.csv")["model"].tolist()


def test_a_corrupt_checkpoint_has_no_assignments(project):
    broken_net(project)
    make_sheet(project, [*ROWS, "broken file:nets/broken.safetensors assign"])
    wrong = snakemake(project, "results/assignments/broken.parquet", check=False)
    assert wrong.returncode != 0 and "error: no kernels of broken, it could not be read" in wrong.stdout
    assert not (project / "results/assignments/broken.parquet").exists()
    assert not (project / "results/kernels/broken").exists()


def test_a_run_that_can_read_nothing_tries_everything_again(project):
    shutil.rmtree(project / "results")
    (project / "nets").rename(project / "elsewhere")
    wrong = snakemake(project, check=False)
    assert wrong.returncode != 0 and "error: no size has the kernels that an autoencoder needs" in wrong.stdout
    assert not list((project / "results/kernels").iterdir())


def test_results_in_another_directory(project, tmp_path):
    before = sorted(path for path in project.rglob("*") if "__pycache__" not in path.parts)
    (tmp_path / "elsewhere").mkdir()
    sheet = project / "sheet.tsv"
    snakemake(
        project, "results/inventory.parquet", "--directory", str(tmp_path / "elsewhere"), "--config", f"models={sheet}"
    )
    assert (tmp_path / "elsewhere/results/inventory.parquet").exists()
    assert sorted(path for path in project.rglob("*") if "__pycache__" not in path.parts) == before


def test_two_runs_give_equal_tables(finished, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(finished, again, ignore=shutil.ignore_patterns("results", ".snakemake"))
    snakemake(again, "results/statistics/models.csv")
    for name in ("assignments/alpha.parquet", "autoencoder/5x5/spectrum.parquet"):
        pd.testing.assert_frame_equal(
            pd.read_parquet(finished / "results" / name), pd.read_parquet(again / "results" / name)
        )
    for path in (again / "results/statistics").glob("*.csv"):
        assert path.read_bytes() == (finished / "results/statistics" / path.name).read_bytes()


def test_fetch_reads_what_is_on_the_hub_and_nothing_else(project):
    make_sheet(project, [*ROWS, "far hf:owner/net:model.safetensors assign", "near file:nets/gamma.safetensors assign"])
    assert planned(project, "fetch")[0] == {"fetch_kernels": 1, "fetch": 1}


def test_the_zoo_is_planned_from_its_table(project):
    nets = pd.read_csv(project / "config/zoo.tsv", sep="\t")
    jobs, _ = planned(project, "zoo")
    assert jobs == {"train_zoo_net": len(nets) + (nets["keep_init"] == "yes").sum(), "zoo": 1}


def test_another_workflow_imports_this_one_as_a_module(tmp_path):
    (tmp_path / "Snakefile").write_text(
        'configfile: "config.yaml"\nmodule kernel_atlas:\n'
        f'    snakefile: "{ROOT}/Snakefile"\n    config: config\nuse rule * from kernel_atlas\n'
    )
    (tmp_path / "config.yaml").write_text("title: Mine\n")
    jobs, _ = planned(tmp_path)
    assert jobs["extract_kernels"] == len(pd.read_csv(ROOT / "config/models.tsv", sep="\t"))
