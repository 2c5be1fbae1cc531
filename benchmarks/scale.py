"""How planning grows with the number of models: dry runs over 500 to 5,000 models of 40 layers.

    python benchmarks/scale.py [--models 500 1000 2000 5000] [--draw docs/scale.svg]

For each number, in a folder of its own: the dry run of a first run; then the finished state, its shards hard links to
those of one model, its tables empty, taken as done by Snakemake's --touch; then the dry run that finds nothing to do,
and the number of files. Seconds and peak memory are those of the whole process.
"""

import argparse
import os
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
SIZES = ["3x3", "5x5"]


def run(folder: Path, *arguments: str) -> tuple[float, int, str]:
    """Seconds, peak memory in MB and output of a Snakemake."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", folder, *arguments]
    command += ["--config", f"models={folder / 'sheet.tsv'}"]
    start, peak = time.perf_counter(), [0]
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
    return time.perf_counter() - start, peak[0], output


def one_model(folder: Path) -> list[Path]:
    """The shards of a model with 40 layers."""
    from kernel_atlas.extract import extract_model

    random = np.random.default_rng(0)
    layers = {f"blocks.{n}.dw": random.normal(size=(64, 1, 3 + n % 2 * 2, 3 + n % 2 * 2)) for n in range(LAYERS)}
    save_file({name: values.astype(np.float32) for name, values in layers.items()}, folder / "net.safetensors")
    extract_model("net", "file:net.safetensors", folder, folder / "net", dense_per_layer=1, seed=0)
    return sorted((folder / "net").iterdir())


def finish(folder: Path, models: list[str], shards: list[Path]) -> None:
    """The files that a finished run would have left, as far as planning looks into them."""
    import pyarrow as pa

    from kernel_atlas.tables import write_table

    results = folder / "results"
    for model in models:
        (results / "kernels" / model).mkdir(parents=True)
        for shard in shards:
            os.link(shard, results / "kernels" / model / shard.name)
    pd.DataFrame({"model": models, "failure": None}).to_csv(results / "sources.csv", index=False)
    pd.DataFrame({"size": SIZES, "trained": True}).to_csv(results / "sizes.csv", index=False)
    write_table(pa.table({"model": models}), results / "inventory.parquet")
    for line in run(folder, "--summary")[2].splitlines():
        path = folder / line.partition("\t")[0]
        if line.startswith("results/") and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def measure(count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shards = one_model(folder)
        models = [f"m{n:05d}" for n in range(count)]
        lines = [f"{model}\tfile:net.safetensors\t{'train' if n % 2 else 'assign'}" for n, model in enumerate(models)]
        (folder / "sheet.tsv").write_text("model\tsource\tuse\n" + "\n".join(lines) + "\n")
        first, first_memory, _ = run(folder, "--dry-run")
        finish(folder, models, shards)
        touch, _, _ = run(folder, "--touch")
        again, again_memory, output = run(folder, "--dry-run")
        assert "Nothing to be done" in output, output[-2000:]
        files = sum(len(names) for _, _, names in os.walk(folder / "results"))
    return {
        "models": count,
        "first_s": first,
        "first_mb": first_memory,
        "again_s": again,
        "again_mb": again_memory,
        "touch_s": touch,
        "files": files,
    }


def draw(table: pd.DataFrame, path: str) -> None:
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    for axis, unit, name in ((axes[0], "s", "seconds"), (axes[1], "mb", "peak memory, MB")):
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
