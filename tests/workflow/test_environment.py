"""The lock, the project file and the conda environment say the same; the lock gives packages that import together."""

import itertools
import re
import subprocess
import sys
import tomllib

import yaml
from conftest import ROOT


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return {canonical(m[1]): m[2] for line in lines if (m := re.match(r"([\w.-]+)==(\S+)", line))}


def test_conda_environment_has_the_pins_of_the_lock():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    direct = {canonical(re.match(r"[\w.-]+", dependency)[0]) for dependency in asked} - {"kernel-atlas"}
    pip = yaml.safe_load((ROOT / "envs/atlas.yaml").read_text())["dependencies"][-1]["pip"]
    pins = dict(re.fullmatch(r"([\w.-]+)==(\S+)", line).groups() for line in pip)
    assert {canonical(name): version for name, version in pins.items()} == {name: locked()[name] for name in direct}


def test_lock_names_no_index():
    assert not re.search(r"https?:|--\S*(index|links)", (ROOT / "requirements.lock").read_text())


def test_the_lock_has_the_networks_and_not_what_their_code_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert {canonical(name): version for name, version in locked().items()}.items() >= {
        tuple(network.split("==")) for network in project["project"]["optional-dependencies"]["networks"]
    }
    left_out = {canonical(line.split()[0]) for line in project["tool"]["uv"]["override-dependencies"]}
    assert "opencv-python-headless" in left_out and not left_out & set(locked())


def test_torch_and_torchvision_import_together():
    subprocess.run([sys.executable, "-c", "import torchvision.ops, timm"], check=True)


def test_versions_agree():
    import kernel_atlas

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert kernel_atlas.__version__ == project["version"] == citation["version"]
