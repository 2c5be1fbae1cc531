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


def locked(lock: str = "requirements.lock") -> dict[str, str]:
    lines = (ROOT / lock).read_text().splitlines()
    return {canonical(m[1]): m[2] for line in lines if (m := re.match(r"([\w.-]+)==(\S+)", line))}


def test_conda_environment_has_the_pins_of_the_lock():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    direct = {canonical(re.match(r"[\w.-]+", dependency)[0]) for dependency in asked} - {"kernel-atlas"}
    pip = yaml.safe_load((ROOT / "envs/atlas.yaml").read_text())["dependencies"][-1]["pip"]
    pins = dict(re.fullmatch(r"([\w.-]+)==(\S+)", line).groups() for line in pip)
    assert {canonical(name): version for name, version in pins.items()} == {name: locked()[name] for name in direct}


def test_locks_name_no_index():
    for lock in ("requirements.lock", "docs/requirements.lock"):
        assert not re.search(r"https?:|--\S*(index|links)", (ROOT / lock).read_text())


def test_the_site_is_built_with_the_packages_of_the_lock():
    group = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["docs"]
    site, here = locked("docs/requirements.lock"), locked()
    assert {canonical(re.match(r"[\w-]+", name)[0]) for name in group} <= {canonical(name) for name in site}
    assert {name: site[name] for name in site.keys() & here.keys()} == {
        name: here[name] for name in site.keys() & here.keys()
    }


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
