"""A run over all of timm's depthwise networks, 721 models: its plan, one more model, its merging and training.

    python benchmarks/timm_run.py plan [--runs 3]           the dry run of config/timm.yaml
    python benchmarks/timm_run.py add [--models 721]        one more model in a finished run
    python benchmarks/timm_run.py train [--steps 200]       merging and training at the true number of kernels

Nothing is fetched. Memory is the largest resident size of a process (VmHWM).

plan: in an empty directory. Must reach: 15 s, 500 MB.

add: the sheet is timm's, but its sources are small checkpoints (a 3x3 and a 5x5 layer of 8 random kernels), and
training is short. It is run to its end, then one model with use = assign is added. Printed are the jobs that a dry run
announces, which sees as far as the inventory, and those that the run then does. Must reach: nothing read, merged,
trained or assigned again.

train: random kernels, as many of each size, layer and model as the default tags of timm have (7.2 million), are written
as shards; then the scripts of the workflow run on them, on the CPU, each in a process of its own. Training takes few
steps, as its memory does not depend on them. Must reach: 4 GB in each.
"""

import argparse
import collections
import os
import re
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import yaml
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parents[1]
SHEET, LAYERS = ROOT / "config/timm.tsv", ROOT / "resources/timm_layers.parquet"
SIZES, MINIMUM = ["3x3", "5x5", "7x7", "9x9", "11x11"], 500  # the defaults of the configuration
SMALL = {"models": "sheet.tsv", "minimum_kernels": 100, "noise_kernels": 500, "training": {"restarts": 1, "steps": 200}}
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""}


def peak_of(process: int | str) -> float:
    """The largest resident size that a process has had, MB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) * 1.024e-3 if found else 0.0  # one that has ended has no memory


def family(process: int) -> list[int]:
    """A process and all that it started, from any thread: Snakemake starts jobs from a pool of threads."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [process] + [member for task in tasks for child in task.read_text().split() for member in family(int(child))]


def watch(command: list[str], folder: str, output: str) -> tuple[float, float]:
    """Seconds of a command and its memory, MB: the sum over its processes of the largest that each was seen to have."""
    peaks, start = {}, time.perf_counter()
    with open(output, "w") as file:
        process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=file, stderr=subprocess.STDOUT)
        while process.poll() is None:
            try:
                peaks |= {member: max(peak_of(member), peaks.get(member, 0)) for member in family(process.pid)}
            except OSError:  # one ended meanwhile
                pass
            time.sleep(0.02)
    seconds = time.perf_counter() - start
    assert process.returncode == 0, Path(output).read_text()[-3000:]
    return seconds, sum(peaks.values())


def snakemake(folder: Path, *arguments: str) -> tuple[float, float, str]:
    """Seconds, MB and what it said of Snakemake in a directory of its own."""
    command = [sys.executable, "-m", "snakemake", "--directory", str(folder), *arguments]
    seconds, memory = watch(command, str(ROOT), f"{folder}.log")
    return seconds, memory, Path(f"{folder}.log").read_text()


def plan(folder: Path, options: argparse.Namespace) -> None:
    runs = []
    for n in range(options.runs + 1):
        empty = folder / f"empty{n}"
        empty.mkdir()
        seconds, memory, said = snakemake(empty, "-n", "--configfile", "config/timm.yaml")
        runs.append((seconds, memory))
    seconds, memory = (statistics.median(column) for column in zip(*runs[1:], strict=True))  # the first compiles
    print(f"plan of {announced(said).get('fetch_kernels')} models, median of {options.runs} runs")
    print(f"wall               {seconds:6.2f} s")
    print(f"peak memory        {memory:6.0f} MB")


def announced(said: str) -> dict[str, int]:
    """Jobs of a dry run, from its table."""
    table = said.rpartition("Job stats:")[2].partition("\n\n")[0]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


def done_since(start: float, folder: Path) -> dict[str, int]:
    """Jobs of a run: each writes a benchmark file named after its rule."""
    files = (file for file in (folder / "results/benchmarks").rglob("*.tsv") if file.stat().st_mtime >= start)
    rules = (file.relative_to(folder / "results/benchmarks").parts[0].removesuffix(".tsv") for file in files)
    return dict(collections.Counter(sorted(rules)))


def add(folder: Path, options: argparse.Namespace) -> None:
    project, random = folder / "project", np.random.default_rng(0)
    (project / "nets").mkdir(parents=True)
    sheet = pd.read_csv(SHEET, sep="\t", dtype=str, keep_default_na=False).head(options.models)
    for model in [*sheet["model"], "new"]:
        layers = {f"{side}.weight": random.standard_normal((8, 1, side, side), np.float32) for side in (3, 5)}
        save_file(layers, project / f"nets/{model}.safetensors")
    sheet["source"] = "file:nets/" + sheet["model"] + ".safetensors"
    (project / "config.yaml").write_text(yaml.safe_dump(SMALL))
    arguments = ["--cores", str(len(os.sched_getaffinity(0))), "--configfile", str(project / "config.yaml")]

    sheet.to_csv(project / "sheet.tsv", sep="\t", index=False)
    start = time.time()
    seconds, _, _ = snakemake(project, *arguments)
    print(f"{len(sheet)} models    {seconds:6.0f} s, {sum(done_since(start, project).values())} jobs")
    row = {"model": "new", "source": "file:nets/new.safetensors", "use": "assign"}
    pd.concat([sheet, pd.DataFrame([row])]).to_csv(project / "sheet.tsv", sep="\t", index=False)
    seconds, _, said = snakemake(project, "-n", *arguments)
    print(f"one more, dry run  {seconds:6.1f} s, announces {announced(said)}")
    start = time.time()
    seconds, _, _ = snakemake(project, *arguments)
    jobs = done_since(start, project)
    print(f"one more, run      {seconds:6.1f} s, did {sum(jobs.values())} jobs: {jobs}")
    print(f"trained again      {jobs.get('train_autoencoder', 0)}, merged again {jobs.get('merge_kernels', 0)}")
    seconds, _, said = snakemake(project, "-n", *arguments)
    print(f"and again, dry run {seconds:6.1f} s, announces {announced(said)}")


def write_shards(folder: Path) -> None:
    """The shards of random networks with the layers of timm's default tags."""
    from kernel_atlas.io.extract import extract_model
    from kernel_atlas.io.sources import Wanted

    sheet, random = pd.read_csv(SHEET, sep="\t"), np.random.default_rng(0)
    layers = pd.read_parquet(LAYERS)
    for model, rows in layers[layers["model"].isin(sheet.loc[sheet["use"] == "train", "model"])].groupby("model"):
        shapes = {row.layer: (row.channels, 1, row.kh, row.kw) for row in rows.itertuples()}
        save_file({name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()}, folder / "net")
        extract_model(model, "file:net", Wanted(folder), folder / "kernels" / model, dense_per_layer=1, seed=0)


def child(folder: Path, stage: str, size: str, steps: str) -> None:
    """One stage in this process: a script of the workflow with what its rule would give it."""
    if stage == "write_shards":
        write_shards(folder)
    else:
        shards = sorted(str(model) for model in (folder / "kernels").iterdir())
        names = ["merged", "encoder", "history", "spectrum", "inventory", "sources", "sizes"]
        files = SimpleNamespace(shards=shards, **{name: str(folder / f"{size}.{name}") for name in names})
        params = {"train": {Path(model).name for model in shards}, "sizes": SIZES, "minimum": MINIMUM}
        params |= {"seed": 0, "restarts": 1, "steps": int(steps)}
        job = {"input": files, "output": files, "params": SimpleNamespace(**params), "resources": {}, "threads": 1}
        job |= {"wildcards": SimpleNamespace(size=size), "log": [str(folder / "log")]}
        runpy.run_path(str(ROOT / f"workflow_scripts/{stage}.py"), {"snakemake": SimpleNamespace(**job)})
    print(peak_of("self"))


def train(folder: Path, options: argparse.Namespace) -> None:
    def stage(name: str, size: str = "all") -> None:
        command = [sys.executable, __file__, "--child", name, size, str(options.steps), str(folder)]
        start = time.perf_counter()
        memory = subprocess.run(command, env=ENVIRONMENT, check=True, stdout=subprocess.PIPE, text=True).stdout
        print(f"{name:18} {size:5} {time.perf_counter() - start:6.1f} s {float(memory.split()[-1]):6.0f} MB")

    stage("write_shards")
    stage("collect_inventory")
    sizes = pd.read_csv(folder / "all.sizes")
    print(sizes.to_string(index=False))
    for size in sizes.loc[sizes["trained"], "size"]:
        stage("merge_kernels", size)
        stage("train_autoencoder", size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    measures = {"plan": plan, "add": add, "train": train}
    parser.add_argument("measure", choices=measures, nargs="?")
    parser.add_argument("--runs", type=int, default=3, help="of plan")
    parser.add_argument("--models", type=int, default=721, help="of add")
    parser.add_argument("--steps", type=int, default=200, help="of train")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        stage, size, steps, folder = options.child
        return child(Path(folder), stage, size, steps)
    with tempfile.TemporaryDirectory() as folder:
        measures[options.measure](Path(folder), options)


if __name__ == "__main__":
    main()
