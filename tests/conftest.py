"""What several tests share: the folder of other people's data, and small projects to run."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from kernel_atlas.core.patterns import templates
from kernel_atlas.io.tables import columns_of

ROOT = Path(__file__).parents[1]
CODE = [
    "Snakefile",
    "config.yaml",
    "config",
    "rules",
    "workflow_scripts",
    "kernel_atlas",
    "schemas",
    "resources/timm_layers.parquet",
    "resources/patterns",
    "resources/reference",
    "resources/master_key_filters.csv",
    "resources/datasets.tsv",
    "resources/release",
    "resources/experiments",
    "resources/encoder.safetensors",
    "CITATION.cff",
    "envs",
    "profiles",
]


def pytest_collection_modifyitems(items):
    """The longest file first, so that it does not run alone at the end."""
    items.sort(key=lambda item: item.path.name != "test_slurm.py")


def table(name: str, **columns: object) -> pd.DataFrame:
    """A small table of results, as schemas/tables.yaml describes `name`; columns that are not given are empty."""
    known = columns_of(name)
    assert set(columns) <= set(known), f"{name} has no {sorted(set(columns) - set(known))}"
    return pd.DataFrame(columns).reindex(columns=known)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder that KERNEL_ATLAS_DATA names: real checkpoints, kernels and images, which may not be committed."""
    folder = os.environ.get("KERNEL_ATLAS_DATA")
    if not folder:
        pytest.skip("KERNEL_ATLAS_DATA is not set: it names the folder of real checkpoints and kernels")
    return Path(folder).resolve()


def copy_project(to: Path) -> Path:
    """The code of this project, to run and to edit."""
    for name in CODE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    return to


def snakemake(
    project: Path, *arguments: str, check: bool = True, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess:
    """Run Snakemake in a project as a user would; both streams are in `stdout`."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    done = subprocess.run(
        command,
        cwd=project,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=1800,
    )
    assert not check or done.returncode == 0, done.stdout[-5000:]
    return done


def planned(project, *arguments) -> tuple[Counter, set[str]]:
    """What a dry run would do, `all` left out: jobs per rule; and the rules whose own inputs were edited.

    A rule behind another one that runs again is not among the edited, whatever else it reads.
    """
    output = snakemake(project, "-n", *arguments).stdout
    table = re.search(r"^job +count\n-+ +-+\n(.*?)^total", output, re.M | re.S)
    jobs = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table[1] if table else "", re.M)}
    jobs.pop("all", None)
    found = re.search(r"^    updated input files:\n +(.+)$", output, re.M)
    return Counter(jobs), set(found[1].split(", ")) if found else set()


def done(output: str) -> Counter:
    """Jobs per rule that a real run did, `all` left out."""
    return Counter(rule for rule in re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)", output, re.M) if rule != "all")


def refused(project) -> str:
    """The one line that a run which may not start prints, beside Snakemake's own about the profile."""
    wrong = snakemake(project, check=False)
    assert wrong.returncode != 0
    (line,) = [line for line in wrong.stdout.splitlines() if line.strip() and "specific profile" not in line]
    return line


PATTERNS = ("On-Centre", "Off-Centre", "First-Derivative-E", "First-Derivative-N")


def make_net(path: Path, seed: int, *, layers: int = 4, kernels: int = 90, sides: tuple[int, ...] = (3, 5)) -> None:
    """A checkpoint whose kernels are four patterns with a little noise, so that there is something to find."""
    random = np.random.default_rng(seed)
    tensors = {}
    for layer in range(layers):
        side = sides[layer % len(sides)]
        family = templates(side)
        patterns = [family.labels.index(name) for name in PATTERNS]
        taps = family.taps[random.choice(patterns, kernels)]
        taps = taps * random.lognormal(0, 0.5, (kernels, 1)) + random.normal(0, 0.02, taps.shape)
        tensors[f"blocks.{layer}.dw.weight"] = taps.reshape(kernels, 1, side, side).astype(np.float32)
    # real checkpoints are larger than the 1 MB that Snakemake compares by content if it is not told otherwise
    tensors["head.weight"] = random.normal(size=(270_000 // kernels, kernels)).astype(np.float32)
    save_file(tensors, path)


SMALL = """
models: sheet.tsv
sizes: [3, 5, 7]
minimum_kernels: 200
noise_kernels: 500
training: {restarts: 1, steps: 160}
evidence: {wanted: false, kernels: 300, splits: 1, steps: 60}
"""


def configure(project: Path, line: str) -> None:
    """Add a line to the configuration of a project."""
    with (project / "config.yaml").open("a") as config:
        config.write(f"{line}\n")


def make_sheet(project: Path, rows: list[str]) -> None:
    lines = ["model source use dataset top1 params licence", *rows]
    (project / "sheet.tsv").write_text("\n".join(lines).replace(" ", "\t") + "\n")


ROWS = [
    "alpha file:nets/alpha.safetensors train toy 70 1000 MIT",
    "beta file:nets/beta.safetensors train toy 80 2000 MIT",
    "chance file:nets/chance.safetensors control",
]


def make_project(to: Path) -> Path:
    """A project with two nets and a control, whose main job takes twenty seconds, and a net more."""
    project = copy_project(to)
    (project / "config.yaml").write_text(SMALL)
    (project / "nets").mkdir()
    for seed, name in enumerate(("alpha", "beta", "gamma")):
        make_net(project / f"nets/{name}.safetensors", seed)
    noise = np.random.default_rng(9).normal(size=(200, 1, 5, 5)).astype(np.float32)
    save_file({"dw.weight": noise}, project / "nets/chance.safetensors")
    make_sheet(project, ROWS)
    return project


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """That project when its main job has run to its report. Copy it before changing it.

    The run has a home and a folder for temporary files of its own, to see what it leaves there.
    """
    project = make_project(tmp_path_factory.mktemp("finished") / "project")
    places = {"HOME": project.parent / "home", "TMPDIR": project.parent / "temporary"}
    for place in places.values():
        place.mkdir()
    left_out = ("XDG_", "HF_", "MPLCONFIGDIR")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    snakemake(project, environment=environment | {name: str(place) for name, place in places.items()})
    return project


@pytest.fixture(scope="session")
def tested(finished, tmp_path_factory) -> Path:
    """The finished project with evidence and a release."""
    project = Path(shutil.copytree(finished, tmp_path_factory.mktemp("tested") / "project"))
    (project / "config.yaml").write_text(SMALL.replace("wanted: false", "wanted: true"))
    snakemake(project, "all", "release")
    return project


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A real browser; `downloads` is the folder of what it keeps."""
    from browser import open_browser

    folder = tmp_path_factory.mktemp("downloads")
    with open_browser(folder) as driver:
        driver.downloads = folder
        yield driver


@pytest.fixture
def project(finished, tmp_path) -> Path:
    """A copy of the finished project that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "project"))


def numbers_missing(sentence: str, there: np.ndarray) -> list[str]:
    """The numbers of a sentence that `there` does not hold, compared to the digits written."""
    names = r"(?!\bpoints\b)\b\w*[A-Za-z]\w*(?:[-.]\w+)*"  # models, labels and words may have digits
    words = re.sub(names, " ", sentence)
    percents = re.findall(r"(-?[\d.,]+) (?:%|points)(?: \[(-?[\d.]+), (-?[\d.]+)\])?", words)
    rest = re.sub(r"-?[\d.,]+ (?:%|points)(?: \[[^\]]*\])?", " ", words)
    found = [(text, 100) for group in percents for text in group if text]
    found += [(text, 1) for text in re.findall(r"-?\d[\d,]*(?:\.\d+)?", rest)]
    missing = []
    for text, scale in found:
        value, digits = float(text.strip(",").replace(",", "")), len(text.partition(".")[2])
        if not (np.abs(there * scale - value) < 0.5001 * 10**-digits).any():
            missing.append(text)
    return missing
