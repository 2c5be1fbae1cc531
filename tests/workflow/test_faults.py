"""What must not happen when a run is killed, the disk is full, files are damaged or weights are strange.

Nothing is lost, nothing wrong or partial is left under a final name, and the user reads one line.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from conftest import ROWS, configure, done, make_sheet, refused, snakemake
from safetensors.numpy import save_file

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.tables import read_table, write_table
from kernel_atlas.model import autoencoder
from kernel_atlas.model.assign import assign_model


def final_files(project: Path) -> dict[str, bytes]:
    """The results that must be equal from run to run, by name.

    All but logs, times, the report, which has a date, and PDFs: fontTools packs equal tables of a font once or twice,
    as their places in memory have it.
    """
    paths = (path for path in (project / "results").rglob("*") if path.is_file())
    found = {str(path.relative_to(project / "results")): path for path in paths}
    left_out = ("logs/", "benchmarks/", "report.html")
    kept = (name for name in found if not name.startswith(left_out) and not name.endswith(".pdf"))
    return {name: found[name].read_bytes() for name in kept}


def start(project: Path) -> subprocess.Popen:
    """A Snakemake that goes on, with its jobs in a process group of its own."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2"]
    log = (project / "run.log").open("a")
    return subprocess.Popen(
        command,
        cwd=project,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # shells start what is in the background without
    )


def kill(process: subprocess.Popen, with_jobs: bool) -> None:
    """SIGKILL, for Snakemake alone, whose jobs then live on, or for all."""
    os.killpg(process.pid, signal.SIGKILL) if with_jobs else process.kill()
    process.wait()


MOMENTS = np.random.default_rng().uniform(1, 8, 5)  # seconds after the start, of which the first two are planning


def start_over_and_over(finished: Path, project: Path, moments: Sequence[float]) -> None:
    """A copy of a project without its results, where runs are killed so many seconds after their start."""
    shutil.copytree(finished, project, ignore=shutil.ignore_patterns("results", ".snakemake"))
    for number, moment in enumerate(moments):
        process = start(project)
        time.sleep(moment)
        kill(process, with_jobs=number % 2 == 0)
        snakemake(project, "--unlock")


def test_killed_five_times_a_run_ends_with_the_tables_of_an_undisturbed_one(finished, tmp_path):
    project = tmp_path / "project"
    start_over_and_over(finished, project, MOMENTS)
    snakemake(project)
    left, right = final_files(project), final_files(finished)
    assert left.keys() == right.keys(), MOMENTS
    assert [name for name in left if left[name] != right[name]] == [], MOMENTS


def test_of_two_runs_at_once_the_second_is_refused(project, finished):
    shutil.rmtree(project / "results/assignments")
    process = start(project)
    while not list(project.glob(".snakemake/locks/*")) and process.poll() is None:
        time.sleep(0.1)
    second = snakemake(project, check=False)
    assert second.returncode != 0 and "LockException" in second.stdout and "--unlock" in second.stdout
    assert process.wait(300) == 0, (project / "run.log").read_text()[-5000:]
    assert final_files(project) == final_files(finished)


@pytest.fixture
def full_disk(project):
    """A finished project whose results lie on a disk of their own, and a function that fills it."""
    results = project / "results"
    results.rename(project / "kept")
    results.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", results], capture_output=True)
    if mounted.returncode:
        pytest.skip("no right to mount a small disk here")
    try:
        shutil.copytree(project / "kept", results, dirs_exist_ok=True)

        def fill() -> None:
            with (results / "filler").open("wb", buffering=0) as file:
                for size in (2**16, 2**12):
                    try:
                        while file.write(b"x" * size):
                            pass
                    except OSError:
                        pass

        yield project, fill
    finally:
        subprocess.run(["umount", "--lazy", results], check=True)


# rule: its outputs. From the last stage to the first, so that what comes before a stage is there.
STAGES = {
    "write_atlas": ["atlas.html"],
    "write_report": ["report.html"],
    "state_findings": ["findings.csv"],
    "draw_figure": [f"figures/gallery_5x5.{end}" for end in ("svg", "phone.svg", "pdf", "csv", "json")],
    "summarise_assignments": ["statistics"],
    "sample_kernels": ["samples/5x5.parquet"],
    "assign_noise": ["controls/noise.parquet"],
    "assign_kernels": ["assignments/alpha.parquet"],
    "write_encoder": ["encoder.safetensors"],
    "cluster_kmeans": ["kmeans/3x3.parquet"],
    "name_clusters": ["autoencoder/5x5/clusters.tsv"],
    "train_autoencoder": [f"autoencoder/5x5/{name}" for name in ("encoder.safetensors", "history.parquet")],
    "merge_kernels": ["merged/5x5.parquet"],
    "collect_inventory": ["inventory.parquet", "sources.csv", "sizes.csv"],
    "extract_kernels": ["kernels/alpha"],
}


def test_a_full_disk_stops_each_stage_with_one_line_and_nothing_partial(full_disk, finished):
    project, fill = full_disk
    results = project / "results"
    for rule, outputs in STAGES.items():
        for name in outputs:
            shutil.rmtree(results / name) if (results / name).is_dir() else (results / name).unlink()
        fill()
        target = outputs[0] if rule != "summarise_assignments" else "statistics/models.csv"
        stopped = snakemake(project, f"results/{target}", check=False)
        assert stopped.returncode != 0, rule
        assert f"Error in rule {rule}:" in stopped.stdout, (rule, stopped.stdout[-3000:])
        (line,) = set(re.findall(r"^error: .*", stopped.stdout, re.M))  # said again at the end of the run
        assert re.fullmatch(r"error: results/\S+: no space left on device; make room there and run again", line), rule
        assert not [name for name in outputs if (results / name).is_file()], rule
        assert not [path for path in results.rglob("*") if "partial" in path.name or "~" in path.name], rule
    (results / "filler").unlink()
    snakemake(project)
    assert final_files(project) == final_files(finished)


def test_a_run_of_other_settings_on_a_full_disk_is_one_line(full_disk):
    project, fill = full_disk
    configure(project, "sizes: [3]")
    fill()
    stopped = snakemake(project, check=False)
    lines = re.findall("^error: .*", stopped.stdout, re.M)
    assert stopped.returncode != 0 and "Traceback" not in stopped.stdout
    assert lines == ["error: results/run.yaml: no space left on device; make room there and run again"]


def test_results_that_are_read_only_stay_as_they_are(full_disk, finished):
    project, _ = full_disk
    make_sheet(project, ROWS[:2])
    subprocess.run(["mount", "-o", "remount,ro", project / "results"], check=True)
    stopped = snakemake(project, check=False)
    assert stopped.returncode != 0 and "Write-protected output files" in stopped.stdout
    assert final_files(project) == final_files(finished)


def test_a_working_directory_that_is_read_only_is_said_so(full_disk):
    project, _ = full_disk
    subprocess.run(["mount", "-o", "remount,ro", project / "results"], check=True)
    stopped = snakemake(project, "--directory", "results", check=False)
    lines = re.findall("^error: .*", stopped.stdout, re.M)
    assert lines == [f"error: {project}/results: not writable; choose another folder with --directory"]


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_a_damaged_shard_is_never_assigned(project, finished):
    shard = project / "results/kernels/chance/000.parquet"
    stamp = shard.stat()
    flip(shard, 4000)
    os.utime(shard, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    (project / "results/assignments/chance.parquet").unlink()
    stopped = snakemake(project, check=False)
    where = "results/kernels/chance"
    line = f"error: model chance: {where}/000.parquet is damaged; remove the folder {where} and run again"
    assert stopped.stdout.splitlines()[-1] == line and set(re.findall("^error: .*", stopped.stdout, re.M)) == {line}
    shutil.rmtree(project / where)
    snakemake(project)
    assert final_files(project) == final_files(finished)


@pytest.mark.parametrize(
    "damage",
    [
        lambda shard: shard.write_bytes(shard.read_bytes()[:-20]),
        lambda shard: write_table(pa.table({"weight": [1.0]}), shard),
    ],
    ids=["truncated", "foreign"],
)
def test_a_shard_that_is_not_as_it_was_written_is_not_opened(project, damage):
    damage(project / "results/kernels/chance/000.parquet")
    with pytest.raises(AtlasError, match=r"model chance: \S+000.parquet is damaged; remove the folder"):
        assign_model(project / "results/kernels/chance", {}, project / "a.parquet")


@pytest.mark.parametrize("part", ["pages", "all"])
def test_a_table_with_one_wrong_bit_is_not_misread(tmp_path, part):
    random = np.random.default_rng(1)
    table = pa.table({"code": random.random(200), "label": ["On-Centre", "Cross"] * 100})
    path = tmp_path / "t.parquet"
    write_table(table, path)
    whole = path.read_bytes()
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    stop = len(whole) - (footer if part == "pages" else 0)
    for bit in random.choice(np.arange(8 * 4, 8 * stop), 300, replace=False):
        path.write_bytes(whole)
        flip(path, int(bit))
        try:
            found = read_table(path)
        except AtlasError as error:
            assert re.match(r"\S+t.parquet: (damaged \(.*\); remove it|made with version)", str(error))
        else:  # in the names of the footer, or in bytes that nobody reads
            assert part == "all" or found.equals(table)


@pytest.mark.parametrize("kept", [0, 3, 100, -1])
def test_a_truncated_table_is_named(tmp_path, kept):
    path = tmp_path / "t.parquet"
    write_table(pa.table({"code": np.arange(1000.0)}), path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(AtlasError, match=r"t.parquet: damaged \(.*\); remove it and run again"):
        read_table(path)


def test_strange_weights_are_told_apart(project):
    """NaN, Inf, denormal and 1e30 weights, kernels all equal, one live kernel, none."""
    taps = np.random.default_rng(3).normal(size=(6, 1, 5, 5)).astype(np.float32)
    taps[0, 0, 2, 2], taps[1, 0, 0, 0] = np.nan, -np.inf
    taps[2] *= np.float32(1e-42)
    taps[3] *= np.float32(1e30)
    taps[4] = 1e30  # constant
    nets = {
        "odd": {"dw.weight": taps},
        "alike": {"dw.weight": np.repeat(taps[5:], 300, axis=0)},
        "single": {"dw.weight": taps[5:] * np.array([1, 0], np.float32)[:, None, None, None]},
        "lone": {"conv.weight": taps[5:]},  # a map of one channel to one is neither
        "none": {"head.weight": taps.reshape(6, 25)},
        "empty": {},
    }
    for name, tensors in nets.items():
        save_file(tensors, project / f"nets/{name}.safetensors")
    make_sheet(project, [*ROWS, *(f"{name} file:nets/{name}.safetensors assign" for name in nets)])
    run = snakemake(project, check=False)
    for name in ("none", "empty", "lone"):
        line = f"error: model {name}: file:nets/{name}.safetensors: no depthwise convolution in it; "
        assert run.stdout.count(line) == 1
    assert "error: model alike: file:nets/alike.safetensors: no depthwise convolution was read: 1 layer" in run.stdout
    assert "error: 4 of 9 models could not be read and are left out: alike, empty, lone, none; " in run.stdout
    assert done(run.stdout)["write_report"] == 1 and not done(run.stdout)["train_autoencoder"]

    odd = pd.read_parquet(project / "results/assignments/odd.parquet").set_index("channel")
    assert odd.index[odd["label"] == "dead"].tolist() == [0, 1, 2]
    assert odd["code"].isna().tolist() == [True] * 3 + [False] * 3
    assert odd.loc[4, "dissimilarity"] == 1 and odd.loc[4, "label"] == "other"  # no direction
    models = pd.read_csv(project / "results/statistics/models.csv").set_index("model")
    assert models.loc[["odd", "single"], ["kernels", "dead"]].to_numpy().tolist() == [[6, 3], [2, 1]]
    assert models["clustered_share"].notna().all()


def test_kernels_all_alike_train_nothing_and_say_so(project):
    scales = np.arange(1, 301, dtype=np.float32)[:, None, None, None]  # equal kernels would be a fixed filter
    save_file({"dw.weight": scales * np.eye(5, dtype=np.float32)}, project / "nets/same.safetensors")
    make_sheet(project, ["same file:nets/same.safetensors train"])
    stopped = snakemake(project, check=False)
    assert stopped.returncode != 0
    assert stopped.stdout.splitlines()[-1].startswith("error: autoencoder of 25 taps: ")
    assert set(re.findall("^error: .*", stopped.stdout, re.M)) == {  # of kernels as they are, and in one pose
        "error: autoencoder of 25 taps: all 1 starts collapsed to one code; "
        "the 300 kernels may be all alike: add models, or raise training.restarts"
    }


def test_a_run_that_is_stopped_by_hand_ends_with_one_line(project):
    config = (project / "config.yaml").read_text()
    (project / "config.yaml").write_text(config.replace("steps: 160", "steps: 100000"))
    logs = [project / f"results/logs/train_{name}/5x5.log" for name in ("autoencoder", "posed")]
    for log in logs:
        log.unlink()
    process = start(project)
    while not any(log.exists() and "kernels on" in log.read_text() for log in logs) and process.poll() is None:
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(120) != 0
    said = (project / "run.log").read_text()
    assert said.splitlines()[-1] == "error: stopped by hand; what was finished is kept: run again to go on"
    assert not list((project / ".snakemake/locks").glob("*"))


def test_a_gpu_without_memory_hands_over_to_the_cpu(monkeypatch):
    kernels = np.random.default_rng(0).normal(size=(400, 9)).astype(np.float32)
    train, devices, told = autoencoder._train, [], []

    def short_of_memory(kernels, seed, restarts, steps, device, *more):
        devices.append(device)
        if device == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")  # as torch does
        return train(kernels, seed, restarts, steps, device, *more)

    monkeypatch.setattr(autoencoder, "_train", short_of_memory)
    model, _ = autoencoder.train(kernels, 0, 1, 20, "cuda", told.append)
    assert devices == ["cuda", "cpu"] and model.taps == 9
    assert told[0] == "cuda is out of memory: training on the CPU, which takes longer"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, and this is about its absence")
def test_training_that_asks_for_a_gpu_where_there_is_none_says_that_it_goes_on_without(finished):
    assert re.search("^ +gpu=1,$", (finished / "rules/train.smk").read_text(), re.M)
    assert "kernels on cpu" in (finished / "results/logs/train_autoencoder/5x5.log").read_text()


def test_a_sheet_of_ten_thousand_rows_names_the_row_that_is_wrong(project):
    rows = [f"m{number} file:nets/alpha.safetensors" for number in range(10_000)]
    make_sheet(project, [*rows, "M17 file:nets/alpha.safetensors"])
    assert refused(project) == (
        "error: sheet.tsv: row 10002: column model: 'M17' appears twice (case does not count); "
        "give each row an id of its own"
    )


def test_links_and_absolute_paths_are_the_users_own(project, tmp_path):
    (tmp_path / "far").mkdir()
    shutil.move(project / "nets/gamma.safetensors", tmp_path / "far/gamma.safetensors")
    (project / "nets/link.safetensors").symlink_to(tmp_path / "far/gamma.safetensors")
    rows = ["linked file:nets/link.safetensors", f"absolute file:{tmp_path}/far/gamma.safetensors"]
    make_sheet(project, [*ROWS, *(f"{row} assign" for row in rows)])
    snakemake(project, "results/kernels/linked", "results/kernels/absolute")
    linked, absolute = (
        pd.read_parquet(project / f"results/kernels/{name}/000.parquet") for name in ("linked", "absolute")
    )
    assert (np.stack(linked["weight"]) == np.stack(absolute["weight"])).all()


def test_nothing_is_written_outside_the_working_directory_and_caches(finished):
    """The run of `finished` had a home and a folder for temporary files of its own."""
    home, temporary = finished.parent / "home", finished.parent / "temporary"
    assert {path.name for path in home.iterdir()} <= {".cache", ".config"}, list(home.rglob("*"))
    assert not [path for path in temporary.rglob("*") if path.is_file()]
