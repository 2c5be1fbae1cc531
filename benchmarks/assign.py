"""Labels in memory and assignment from Parquet to Parquet in kernels per second, and the memory of merging.

    python benchmarks/assign.py [--kernels 1000000] [--merge 5000000]

Every figure is of a fresh process, imports among it: as many processes assign at once as there are cores, one model
each, as the workflow does it.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from kernel_atlas.core.kernels import centre_and_normalise, draw_noise
from kernel_atlas.core.patterns import read_patterns
from kernel_atlas.io.extract import extract_model
from kernel_atlas.io.merge import merge_kernels
from kernel_atlas.io.sources import Wanted
from kernel_atlas.io.tables import write_table
from kernel_atlas.model.assign import Assigner, assign_model
from kernel_atlas.model.coder import Coder, build_spectrum, sample_codes
from kernel_atlas.model.encoder import read_encoder, write_encoder

LAYER = 4096  # kernels of a layer
CORES = len(os.sched_getaffinity(0))


def make_model(folder: Path, name: str, kernels: int) -> None:
    random = np.random.default_rng(kernels)
    layers = {f"{n:04d}": random.standard_normal((LAYER, 1, 7, 7), np.float32) for n in range(kernels // LAYER)}
    save_file(layers, folder / f"{name}.safetensors")
    extract_model(name, f"file:{name}.safetensors", Wanted(folder), folder / name, dense_per_layer=1, seed=0)
    (folder / f"{name}.safetensors").unlink()


def child(job: str, folder: Path, model: str) -> None:
    if job == "assign":
        assign_model(folder / model, Assigner(read_patterns(), read_encoder(folder)), folder / f"{model}.parquet")
    else:
        merge_kernels(sorted(folder.glob("merge*")), 7, folder / "7x7.parquet")
    # not ru_maxrss, which a child inherits from its parent
    print(int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024)


def run(jobs: list[list[str]]) -> tuple[float, int]:
    """Seconds that processes take side by side, and the largest memory of one in MB."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    start = time.perf_counter()
    processes = [
        subprocess.Popen([sys.executable, __file__, "--child", *job], stdout=subprocess.PIPE, env=environment)
        for job in jobs
    ]
    memory = [int(process.communicate()[0]) for process in processes]
    return time.perf_counter() - start, max(memory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernels", type=int, default=1_000_000)
    parser.add_argument("--merge", type=int, default=5_000_000)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options.child[0], Path(options.child[1]), options.child[2])
    import torch

    from kernel_atlas.model import autoencoder
    from kernel_atlas.model.poses import learn_codebook

    assigner, units = Assigner(read_patterns(), {}), centre_and_normalise(draw_noise(500_000, 7, 0))
    for doing in (assigner.label, assigner.assign):
        doing(units[:1000])
        start = time.perf_counter()
        doing(units)
        print(f"{doing.__name__}, in memory: {len(units) / (time.perf_counter() - start):.0f} kernels/s")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        net = autoencoder.Autoencoder(49)
        decoded = Coder(net.state_dict()).decode(sample_codes())
        autoencoder.save(net.state_dict(), folder / "trained.safetensors", usual=0.5)
        codebook = torch.from_numpy(learn_codebook(units[:1000], 0))
        autoencoder.save(net.state_dict() | {"codebook": codebook}, folder / "posed.safetensors")
        write_table(build_spectrum(decoded, sample_codes()), folder / "spectrum.parquet")
        clusters = pd.DataFrame({"cluster": [0], "code_low": [0.0], "code_high": [1.0], "label": ["all"]})
        clusters.to_csv(folder / "clusters.tsv", sep="\t", index=False)
        files = (
            [folder / file] for file in ("trained.safetensors", "posed.safetensors", "clusters.tsv", "spectrum.parquet")
        )
        write_encoder(*files, {"7x7": 0.3}, folder / "encoder.safetensors")
        models = [f"model{n}" for n in range(CORES)]
        for model in models:
            make_model(folder, model, options.kernels // CORES)
        speeds = []
        for _ in range(3):
            seconds, memory = run([["assign", name, model] for model in models])
            speeds.append(CORES * (options.kernels // CORES // LAYER) * LAYER / seconds)
        print(f"assign: {sorted(speeds)[1]:.0f} kernels/s on {CORES} cores, {memory} MB a process (runs: {speeds})")
        for n in range(5):
            make_model(folder, f"merge{n}", options.merge // 5)
        seconds, memory = run([["merge", name, ""]])
        print(f"merge: {options.merge / seconds:.0f} kernels/s, {memory} MB for {options.merge} 7x7 kernels")


if __name__ == "__main__":
    main()
