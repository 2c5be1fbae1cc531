"""How planning grows with the number of models: dry runs over 500 to 5,000 models of 40 layers.

    python benchmarks/scale.py [--models 500 1000 2000 5000] [--draw docs/scale.svg]

For each number, in a folder of its own: the dry run of a first run; then two models are really run, their shards,
assignments and Snakemake's records of both copied (shards as hard links) for all others; then the dry run that finds
nothing to do, the number of files, and the size of the records. Seconds and peak memory are those of the whole process;
seconds of the processor, as other work on the machine lengthens those of the clock.
"""

import argparse
import base64
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

ROOT = Path(__file__).parents[1]
LAYERS = 40


def run(folder: Path, *arguments: str) -> tuple[float, int, str]:
    """Processor seconds, peak memory in MB and output of a Snakemake."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", folder, *arguments]
    command += ["--configfile", folder / "short.yaml", "--config", f"models={folder / 'sheet.tsv'}"]
    before, peak = resource.getrusage(resource.RUSAGE_CHILDREN), [0]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def watch() -> None:
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
                peak[0] = max(peak[0], int(status.partition("VmHWM:")[2].split()[0]) // 1024)
            except (OSError, IndexError):
                pass
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    output = process.communicate()[0]
    watcher.join()
    if process.returncode:
        sys.exit(output[-3000:])
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime, peak[0], output


def make_net(folder: Path) -> None:
    """A checkpoint with 40 layers."""
    random = np.random.default_rng(0)
    layers = {f"blocks.{n}.dw": random.normal(size=(64, 1, 3 + n % 2 * 2, 3 + n % 2 * 2)) for n in range(LAYERS)}
    save_file({name: values.astype(np.float32) for name, values in layers.items()}, folder / "net.safetensors")


def write_sheet(folder: Path, models: list[str]) -> None:
    lines = [f"{model}\tfile:net.safetensors\t{'train' if n % 2 else 'assign'}" for n, model in enumerate(models)]
    (folder / "sheet.tsv").write_text("model\tsource\tuse\n" + "\n".join(lines) + "\n")


STAGES = ["kernels", "inventory.parquet", "sources.csv", "sizes.csv", "merged", "autoencoder", "kmeans", "assignments"]
STAGES += ["controls", "samples", "statistics", "figures", "report.html"]  # as they follow each other


def finish(folder: Path, models: list[str]) -> int:
    """What a finished run of all models would have left, from one of the first two; bytes of the records."""
    import pyarrow as pa

    from kernel_atlas.io.tables import write_csv, write_table

    results, records = folder / "results", folder / ".snakemake/metadata"
    kept = {}  # the records of a model, by what they are records of; those of aggregates name all models
    for record in records.iterdir():
        of = base64.b64decode(record.name).decode()
        if of in (f"results/kernels/{models[1]}", f"results/assignments/{models[1]}.parquet"):
            kept[of] = record.read_text()
        record.unlink()
    for model in models:
        if model not in models[:2]:
            shutil.copytree(results / "kernels" / models[1], results / "kernels" / model, copy_function=os.link)
            os.link(results / f"assignments/{models[1]}.parquet", results / f"assignments/{model}.parquet")
        for of, record in kept.items():
            name = base64.b64encode(of.replace(models[1], model).encode()).decode()
            (records / name).write_text(record.replace(models[1], model))
    write_csv(pd.DataFrame({"model": models, "failure": None}), results / "sources.csv")
    write_table(pa.table({"model": models}), results / "inventory.parquet")
    now = time.time()
    for path in results.rglob("*"):
        stage = path.relative_to(results).parts[0]
        after = STAGES.index(stage) if stage in STAGES else len(STAGES)  # logs and benchmarks: products, never inputs
        moment = now + after + (path.name == "clusters.tsv") / 2
        os.utime(path, times=(moment, moment))
    return sum(record.stat().st_size for record in records.iterdir())


def measure(count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_net(folder)
        (folder / "short.yaml").write_text("training: {restarts: 1, steps: 20}\n")
        models = [f"m{n:05d}" for n in range(count)]
        write_sheet(folder, models)
        first, first_memory, _ = run(folder, "--dry-run")
        write_sheet(folder, models[:2])
        run(folder)
        write_sheet(folder, models)
        records = finish(folder, models)
        again, again_memory, output = run(folder, "--dry-run")
        assert "Nothing to be done" in output, output[-2000:]
        files = sum(len(names) for _, _, names in os.walk(folder / "results"))
    return {
        "models": count,
        "first_s": first,
        "first_mb": first_memory,
        "again_s": again,
        "again_mb": again_memory,
        "files": files,
        "records_mb": records / 1e6,
    }


def draw(table: pd.DataFrame, path: str) -> None:
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    for axis, unit, name in ((axes[0], "s", "seconds of the processor"), (axes[1], "mb", "peak memory, MB")):
        axis.plot(table["models"], table[f"first_{unit}"], "o-", label="first run")
        axis.plot(table["models"], table[f"again_{unit}"], "s--", label="nothing to do")
        axis.set(xlabel="models of 40 layers", ylabel=name, ylim=0, xlim=0)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False)
    figure.suptitle("Planning (dry run) grows with the number of models", fontsize=11)
    figure.savefig(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, nargs="+", default=[500, 1000, 2000, 5000])
    parser.add_argument("--draw", help="an SVG of the growth")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    rows = []
    for count in arguments.models:
        rows.append(measure(count))
        print(", ".join(f"{name} {value:.4g}" for name, value in rows[-1].items()), flush=True)
    if arguments.draw:
        draw(pd.DataFrame(rows), arguments.draw)
