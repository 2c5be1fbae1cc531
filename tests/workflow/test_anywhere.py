"""The workflow elsewhere: imported from a repository, with results in storage, planned for the cloud."""

import functools
import http.server
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from conftest import ROOT, ROWS, copy_project, make_project, make_sheet, snakemake

from kernel_atlas.io.tables import read_csv

PLUGINS = ROOT / "profiles/_packages"
# What `snakedeploy deploy-workflow` writes.
DEPLOYED = """
from snakemake.utils import min_version


min_version("6.10.0")


configfile: "config/config.yaml"


# declare https://github.com/owner/kernel-atlas as a module
module kernel_atlas:
    snakefile:
        github("owner/kernel-atlas", path="Snakefile", tag="v1")
    config:
        config


# use all rules from https://github.com/owner/kernel-atlas
use rule * from kernel_atlas
"""


def git(folder: Path, *arguments: str) -> None:
    name = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", *name, *arguments], cwd=folder, check=True, capture_output=True)


def test_a_workflow_imports_this_one_from_a_repository(tmp_path):
    """From GitHub, whose clone is where Snakemake keeps it."""
    code = copy_project(tmp_path / "code")
    git(code, "init")
    git(code, "add", "--all")
    git(code, "commit", "--message", "all")
    git(code, "tag", "v1")
    kept = tmp_path / "cache/snakemake/snakemake/source-cache/snakemake-git-cache/github.com/owner/kernel-atlas"
    git(tmp_path, "clone", "--bare", str(code), str(kept))
    shutil.rmtree(code)
    mine = make_project(tmp_path / "mine")
    for name in (
        "Snakefile",
        "rules",
        "kernel_atlas",
        "workflow_scripts",
        "schemas",
        "resources",
        "profiles",
        "config",
    ):
        shutil.rmtree(mine / name) if (mine / name).is_dir() else (mine / name).unlink()
    (mine / "config").mkdir()
    (mine / "config.yaml").rename(mine / "config/config.yaml")
    (mine / "workflow").mkdir()
    (mine / "workflow/Snakefile").write_text(DEPLOYED)
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    snakemake(mine, "results/inventory.parquet", environment=environment)
    assert read_csv(mine / "results/sizes.csv")["trained"].tolist() == [True, True, False]


def test_an_address_of_one_file_is_refused_with_one_line(tmp_path):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=ROOT)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/Snakefile"
        module = f'module kernel_atlas:\n    snakefile: "{address}"\nuse rule * from kernel_atlas\n'
        (tmp_path / "Snakefile").write_text(module)
        wrong = snakemake(tmp_path, "-n", check=False)
        server.shutdown()
    assert wrong.returncode != 0
    assert wrong.stdout.splitlines()[-1] == (
        f"error: {address.removesuffix('/Snakefile')}/rules: an address of one file has no library beside it; "
        "import the workflow by github(...), gitlab(...), git+file: or from a copy on disk"
    )


def in_storage(store: Path) -> tuple[str, ...]:
    return "--default-storage-provider", "fs", "--default-storage-prefix", str(store)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A project, where its results are, and what its whole run said, of which one model could not be read."""
    if not shutil.which("rsync"):
        pytest.skip("the storage plugin fs copies by rsync, which is not installed")
    project = make_project(tmp_path_factory.mktemp("stored") / "project")
    store = project.parent / "store"
    make_sheet(project, [*ROWS, "missing file:nets/missing.safetensors assign"])
    run = snakemake(project, *in_storage(store), check=False)
    assert run.returncode != 0
    return project, store, run.stdout


def test_a_whole_run_keeps_its_results_in_storage(stored):
    project, store, said = stored
    assert not (project / "results").exists()
    assert f"\nreport: {store}/results/report.html\n" in said and f"\natlas: {store}/results/atlas.html\n" in said
    for sentence in read_csv(store / "results/findings.csv").query("question == 'summary'")["sentence"]:
        assert f"{sentence}\n" in said
    assert "alpha" in read_csv(store / "results/statistics/models.csv")["model"].tolist()


def test_a_model_that_cannot_be_read_is_left_out_of_storage(stored):
    _, store, said = stored
    assert said.count("error: model missing: file:nets/missing.safetensors: ") == 1
    assert said.splitlines()[-1].startswith("error: 1 of 4 models could not be read and are left out: missing; ")
    assert sorted(path.name for path in (store / "results/kernels").iterdir()) == ["alpha", "beta", "chance"]


def test_a_damaged_shard_and_another_sheet_in_storage(stored):
    project, store, _ = stored
    shard = store / "results/kernels/beta/001.parquet"
    content = bytearray(shard.read_bytes())
    content[50] ^= 255
    shard.write_bytes(content)
    make_sheet(project, ROWS[:2])
    wrong = snakemake(project, *in_storage(store), check=False)
    assert wrong.returncode != 0
    name = f"fs{store}/results/kernels/beta"
    line = f"error: model beta: {name}/001.parquet is damaged; remove the folder {name} and run again"
    assert wrong.stdout.splitlines()[-1] == line
    assert (store / "results/unused/kernels/chance/000.parquet").exists()
    assert not (store / "results/assignments/chance.parquet").exists()


@pytest.mark.skipif(not PLUGINS.exists(), reason="`make profiles/_packages/ready` fetches the plugins for the cloud")
@pytest.mark.parametrize("profile", ["kubernetes", "aws-batch"])
def test_a_run_in_the_cloud_is_planned(profile, tmp_path):
    """With all results in storage; only the executor is not started."""
    project = make_project(tmp_path / "project")
    arguments = ("--workflow-profile", f"profiles/{profile}", *in_storage(tmp_path / "store"))
    environment = os.environ | {"PYTHONPATH": str(PLUGINS)}
    run = snakemake(project, "-n", *arguments, environment=environment).stdout
    assert "extract_kernels" in run and "write_report" in run
