"""The wheel: built, installed alone into an empty environment, and called there, far from the repository."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

NET = ROOT / "resources/zoo/cifar10_7x7_s0.safetensors"
UV = shutil.which("uv") or str(Path(sysconfig.get_path("scripts")) / "uv")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
LIMIT = 500  # MB of a core installation


def uv(*arguments: str | Path) -> None:
    done = subprocess.run([UV, *map(str, arguments)], env=ENVIRONMENT, capture_output=True, text=True, cwd="/")
    if done.returncode:
        pytest.fail(f"uv {arguments[0]} failed; it needs the configured package index:\n{done.stderr[-2000:]}")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    uv("build", "--wheel", "--out-dir", folder, ROOT)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The folder of the commands of an environment that has the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("environment")
    uv("venv", "--python", sys.executable, folder)
    python = folder / "bin/python"
    uv("pip", "install", "--python", python, wheel)
    return python.parent


def test_the_wheel_has_the_library_and_its_data_and_no_more(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"kernel_atlas"}
    assert {"kernel_atlas/py.typed", "kernel_atlas/data/resources/encoder.safetensors"} <= set(names)
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "kernel_atlas").rglob("*.py")}
    assert modules == {name for name in names if name.endswith(".py")}
    assert wheel.stat().st_size < 10e6


def test_it_labels_a_file_without_torch_and_is_small(installed, tmp_path):
    files = [path for path in installed.parent.rglob("*") if path.is_file() and not path.is_symlink()]
    assert sum(path.stat().st_size for path in files) < LIMIT * 1e6
    assert not [path for path in files if path.parent.name in ("torch", "snakemake", "scipy")]
    command = [installed / "kernel-atlas", "label", NET]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    here = subprocess.run(
        [sys.executable, "-m", "kernel_atlas", "label", NET],
        cwd=tmp_path,
        env=ENVIRONMENT | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == here.stdout
