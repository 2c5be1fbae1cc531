"""Reading from a hub over a line of 20 ms a request and 50 MB/s: a loopback hub in a process of its own.

    python benchmarks/hub.py one [--runs 3]                   a network of 354 MB, against timm
    python benchmarks/hub.py many [--runs 3] [--models 100]   100 networks of 30 layers, against the line's bound

one: kernel-atlas and timm read convnext_base (random weights) from one hub in turn, each in a fresh process with its
imports (compiled before, as after a first run) and an empty cache; timm's walks over the network and writes the
depthwise weights. Ours ends as every job of the workflow does, without Python's shutdown (`io.job.end_job`). Both must
give equal weights. Must reach: 1.5 % of the file transferred, 20 times faster, 300 MB.
Where trio is installed (selenium brings it) httpx imports it, which costs 0.05 s of the 0.56.

many: each network is a repository of its own; all are read one after the other in one process. The bound is

    models * (2 + ceil(ranges / 16)) * 20 ms + bytes / 50 MB/s + time to write the shards

with, for each network, a request for the file's state, one for its header, then the ranges, 16 at once. The request for
the licence is not in the bound. The bytes are those sent, gaps between tensors asked for together included. The
time to write is that of the same layers from a local file. Must reach: 4 requests more than layers, 2 times the bound.
"""

import argparse
import contextlib
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parents[1]
DELAY, BANDWIDTH = 0.02, 50e6  # seconds a request; bytes per second
AT_ONCE, LAYERS = 16, 30  # requests in flight; depthwise layers of one of many

SERVE = """
import json, sys
from pathlib import Path
from hub_server import Hub
with Hub() as hub:
    hub.delay, hub.bandwidth = float(sys.argv[1]), float(sys.argv[2])
    data = Path("model.safetensors").read_bytes()
    for repository in sys.argv[3:]:
        hub.add(repository, {"model.safetensors": data})
    print(hub.endpoint, flush=True)
    for line in sys.stdin:  # server, method and bytes of body of each request since the last line
        print(json.dumps([[entry.server, entry.method, entry.sent] for entry in hub.requests]), flush=True)
        hub.clear()
"""
WRITE = """
import timm
from safetensors.torch import save_file
save_file(timm.create_model("convnext_base.fb_in1k", pretrained=False).state_dict(), "model.safetensors")
"""
OURS = """
from pathlib import Path
from kernel_atlas.io.extract import extract_model
from kernel_atlas.io.sources import Wanted
extract_model("network", "timm:convnext_base.fb_in1k", Wanted(Path()), Path("shards"), dense_per_layer=1, seed=0)
"""
THEIRS = """
import numpy as np, timm, torch
network = timm.create_model("convnext_base.fb_in1k", pretrained=True)
weights = {}
for name, module in network.named_modules():
    if isinstance(module, torch.nn.Conv2d) and module.groups == module.in_channels > 1:
        weights[f"{name}.weight"] = module.weight.detach().numpy()
np.savez("weights.npz", **weights)
"""
# MB; unlike ru_maxrss, VmHWM does not start at the parent's value
PEAK = """
import re
from pathlib import Path
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1.024e-3)
"""
END = """
from kernel_atlas.io.job import end_job
end_job()
"""
MANY = """
import sys, time
from pathlib import Path
from kernel_atlas.io.extract import extract_model
from kernel_atlas.io.sources import Wanted
start = time.perf_counter()
for n in range(int(sys.argv[2])):
    source = sys.argv[1].format(n)
    extract_model("network", source, Wanted(Path()), Path("shards", str(n)), dense_per_layer=1, seed=0)
print(time.perf_counter() - start)
"""


@contextlib.contextmanager
def serve(folder: str, *repositories: str) -> Iterator[tuple[str, Callable[[], list]]]:
    """Endpoint of a hub in a process of its own, so that no client waits for its Python; and what it was asked for."""
    command = [sys.executable, "-c", SERVE, str(DELAY), str(BANDWIDTH), *repositories]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests")}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=folder, env=environment, text=True, **pipes) as process:

        def log() -> list[list]:
            print(file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())

        yield process.stdout.readline().strip(), log


def run(code: str, folder: str, endpoint: str = "", *arguments: str) -> tuple[float, float]:
    """Seconds of a fresh process with an empty cache of the hub, and the number that it prints."""
    shutil.rmtree(Path(folder, "cache"), ignore_errors=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "", "NO_PROXY": "127.0.0.1"}
    environment |= {"HF_HOME": str(Path(folder, "cache")), "HF_ENDPOINT": endpoint}
    command, start = [sys.executable, "-c", code, *arguments], time.perf_counter()
    process = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return time.perf_counter() - start, float(process.stdout or 0)


def check_equal(folder: str) -> int:
    """Compare our shards with timm's weights, names, order and every bit; return the number of kernels."""
    theirs, kernels = np.load(Path(folder, "weights.npz")), 0
    for shard, name in zip(sorted(Path(folder, "shards").glob("*.parquet")), theirs.files, strict=True):
        table = pq.read_table(shard)
        ours = table["weight"].combine_chunks().flatten().to_numpy()
        same = np.array_equal(ours.view(np.uint32), theirs[name].reshape(-1).view(np.uint32))
        assert same and table["layer"][0].as_py() == name, f"{name} differs"
        kernels += table.num_rows
    return kernels


def one(folder: str, options: argparse.Namespace) -> None:
    run(WRITE, folder)
    size = Path(folder, "model.safetensors").stat().st_size
    pairs, logs = [], []
    with serve(folder, "timm/convnext_base.fb_in1k") as (endpoint, log):
        for _ in range(options.runs + 1):
            log()
            ours = run(OURS + PEAK + END, folder, endpoint)
            logs.append(log())
            pairs.append((ours, run(THEIRS + PEAK, folder, endpoint)))
    kernels = check_equal(folder)
    requests, pairs = logs[-1], pairs[1:]  # the first pair compiles
    sent = sum(sent for *_, sent in requests)
    ratios = sorted(theirs[0] / ours[0] for ours, theirs in pairs)
    print(f"convnext_base, {size / 1e6:.0f} MB, {kernels} kernels, equal; {len(pairs)} pairs of fresh processes")
    print(f"transferred        {100 * sent / size:6.2f} % of the file: {sent / 1e6:.2f} MB in {len(requests)} requests")
    for name, results in zip(("kernel-atlas", "timm, walk"), zip(*pairs, strict=True), strict=True):
        seconds, peak = (statistics.median(column) for column in zip(*results, strict=True))
        print(f"{name:18} {seconds:6.2f} s  {peak:6.0f} MB peak")
    print(f"{statistics.median(ratios):.1f} times faster ({ratios[0]:.1f} to {ratios[-1]:.1f})")


def make_network(folder: str) -> None:
    """A network like a MobileNet, and beside it its depthwise layers alone, whose reading is next to nothing."""
    random, layers, others = np.random.default_rng(0), {}, {}
    for n, channels in enumerate(np.geomspace(160, 512, LAYERS).astype(int)):  # pointwise weights of 0.1 to 1 MB
        block, side = f"blocks.{n:02d}", 5 if n % 3 == 2 else 3
        layers[f"{block}.dw.weight"] = random.standard_normal((channels, 1, side, side), np.float32)
        others[f"{block}.pw.weight"] = random.standard_normal((channels, channels, 1, 1), np.float32)
        for name in ("bn1.bias", "bn1.weight", "bn2.bias", "bn2.weight"):
            others[f"{block}.{name}"] = np.ones(channels, np.float32)
    save_file(layers | others, Path(folder, "model.safetensors"))
    save_file(layers, Path(folder, "layers.safetensors"))


def many(folder: str, options: argparse.Namespace) -> None:
    make_network(folder)
    models, rounds = options.models, []
    with serve(folder, *(f"bench/net{n}" for n in range(models))) as (endpoint, log):
        ways = [(endpoint, "hf:bench/net{}:model.safetensors"), ("", "file:layers.safetensors")]
        run(MANY, folder, *ways[0], "1")  # compiles
        for _ in range(options.runs):
            log()
            rounds.append([run(MANY, folder, *way, str(models))[1] for way in ways])
        requests = log()
    ranges = sum(server == "cdn" for server, *_ in requests) / models - 1  # besides the header
    sent = sum(sent for *_, sent in requests)
    latency, bandwidth = models * (2 + math.ceil(ranges / AT_ONCE)) * DELAY, sent / BANDWIDTH
    ratios = sorted(seconds / (latency + bandwidth + written) for seconds, written in rounds)
    seconds, written = (statistics.median(column) for column in zip(*rounds, strict=True))
    size = Path(folder, "model.safetensors").stat().st_size / 1e6
    print(f"{models} networks of {LAYERS} depthwise layers, {size:.1f} MB each; medians of {options.runs} runs")
    print(f"requests           {len(requests) / models:6.2f} a model: layers {len(requests) / models - LAYERS:+.2f}")
    print(f"transferred        {sent / models / 1e6:6.2f} MB a model, in {ranges:.0f} ranges and a header")
    print(f"bound              {latency:6.2f} s latency + {bandwidth:.2f} s bandwidth + {written:.2f} s writing")
    print(f"kernel-atlas       {seconds:6.2f} s, {seconds / (latency + bandwidth):.2f} times latency + bandwidth alone")
    print(f"{statistics.median(ratios):.2f} times the bound ({ratios[0]:.2f} to {ratios[-1]:.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("measure", choices=["one", "many"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--models", type=int, default=100, help="of many")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        {"one": one, "many": many}[options.measure](folder, options)


if __name__ == "__main__":
    main()
