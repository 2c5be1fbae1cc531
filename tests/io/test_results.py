"""One folder, one run: the same care on disk and in storage."""

import logging
import shutil

import pandas as pd
import pytest
import yaml
from snakemake_storage_plugin_fs import StorageProvider

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.places import Folder, Storage
from kernel_atlas.io.results import begin_run, check_results, drop_sizes, end_run, errors_of, forget_failures
from kernel_atlas.io.shards import leave_reason


@pytest.fixture(params=[Folder, Storage])
def results(request, tmp_path, monkeypatch):
    """Results in `tmp_path/results`, written by the test itself; in storage all that a run reads of it are copies."""
    if request.param is Folder:
        return Folder(tmp_path / "results")
    if not shutil.which("rsync"):
        pytest.skip("the storage plugin fs copies by rsync, which is not installed")
    provider = StorageProvider(local_prefix=tmp_path / "copies", logger=logging.getLogger())
    return Storage(lambda name: provider.object(f"{tmp_path}/results/{name}"))


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


def left(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_models_of_another_run_leave(results, tmp_path, capsys):
    begin_run(results, "a.tsv", ["one", "two"], {"seed": 0})
    assert not capsys.readouterr().err
    folder = tmp_path / "results"
    of_one = ["kernels/one/000.parquet", "assignments/one.parquet"]
    of_two = ["kernels/two/000.parquet", "assignments/two.parquet", "ablation/trials/two/x", "release/README.md"]
    write(folder, *of_one, *of_two)
    begin_run(results, "b.tsv", ["one"], {"seed": 0})
    assert left(folder) == {*of_one, "unused/kernels/two/000.parquet", "run.yaml"}
    assert "a run of a.tsv and becomes one of b.tsv" in capsys.readouterr().err
    assert yaml.safe_load((folder / "run.yaml").read_text())["models"] == ["one"]


def test_sizes_without_an_autoencoder_leave(results, tmp_path):
    folder = tmp_path / "results"
    both = [f"figures/spectrum_{size}{end}" for size in ("3x3", "5x5") for end in (".svg", ".phone.svg")]
    write(folder, *both, "merged/5x5.parquet", "merged/3x3.parquet", "autoencoder/5x5/posed/clusters.tsv")
    pd.DataFrame({"size": ["3x3", "5x5"], "trained": [True, False]}).to_csv(folder / "sizes.csv", index=False)
    drop_sizes(results, ["spectrum"])
    assert left(folder) == {
        "sizes.csv",
        "merged/3x3.parquet",
        "figures/spectrum_3x3.svg",
        "figures/spectrum_3x3.phone.svg",
    }


def test_the_end_of_a_run_tells_what_was_written_since_its_start(results, tmp_path, capsys):
    folder = tmp_path / "results"
    write(folder, "report.html")
    pd.DataFrame({"question": ["summary"], "sentence": ["Found."]}).to_csv(folder / "findings.csv", index=False)
    end_run(results, (folder / "report.html").stat().st_mtime + 1, [])
    assert not capsys.readouterr().out
    end_run(results, (folder / "report.html").stat().st_mtime - 1, [])
    assert capsys.readouterr().out == f"Found.\nreport: {folder / 'report.html'}\n"


def test_failures_are_forgotten(results, tmp_path):
    write(tmp_path / "results", "kernels/good/000.parquet")
    leave_reason(tmp_path / "results/kernels/bad", "truncated")
    (line,) = forget_failures(results, ["good", "bad"], "sheet.tsv")
    assert line.startswith("error: 1 of 2 models could not be read and are left out: bad; ")
    assert not (tmp_path / "results/kernels/bad").exists() and not forget_failures(
        results, ["good", "bad"], "sheet.tsv"
    )


def test_shards_that_are_missing_on_disk_are_refused_before_the_run(tmp_path):
    write(tmp_path, "kernels/net/000.parquet")
    with pytest.raises(AtlasError, match="model net: shards are missing"):
        check_results(Folder(tmp_path), ["net", "not_read_yet"])


def test_errors_are_read_from_the_logs_of_failed_jobs(results, tmp_path):
    log = tmp_path / "snakemake.log"
    write(tmp_path / "results", "logs/merge/3x3.log")
    (tmp_path / "results/logs/merge/3x3.log").write_text("3 kernels\nerror: it is full\n")
    log.write_text(
        "    log: s3://b/results/logs/merge/3x3.log (send to storage) (check log file(s) for error details)\n"
        "    log: results/logs/gone.log (check log file(s) for error details)\n"
    )
    assert errors_of(results, [log]) == ["error: it is full"]
    log.write_text(log.read_text() + "Terminating processes on user request, this might take some time.\n")
    assert errors_of(results, [log]) == ["error: stopped by hand; what was finished is kept: run again to go on"]
