"""Extraction of a 354 MB checkpoint against building the model and walking over it.

    python benchmarks/extract.py

Writes convnext_base with random weights as safetensors into a temporary folder, then runs both ways in turn, each in a
fresh process with its imports (compiled before, as after a first run), and prints the median ratio of their wall times
and the peak memory of each. Must reach: at least 10 times faster, at most 300 MB.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PAIRS = 5
ROOT = Path(__file__).resolve().parents[1]

OURS = """
from pathlib import Path
from kernel_atlas.io.extract import extract_model
from kernel_atlas.io.sources import Wanted
extract_model("convnext_base", "file:model.safetensors", Wanted(Path()), Path("shards"), dense_per_layer=1, seed=0)
import pyarrow.parquet as pq
kernels = sum(pq.read_metadata(shard).num_rows for shard in Path("shards").glob("*.parquet"))
"""
THEIRS = """
import timm, torch
from safetensors.torch import load_file
network = timm.create_model("convnext_base", pretrained=False)
network.load_state_dict(load_file("model.safetensors"))
kernels = 0
for module in network.modules():
    if isinstance(module, torch.nn.Conv2d) and module.groups == module.in_channels > 1:
        kernels += len(module.weight.detach().numpy())
"""
REPORT = """
import json, resource
print(json.dumps([kernels, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""
WRITE = """
import timm
from safetensors.torch import save_file
save_file(timm.create_model("convnext_base", pretrained=False).state_dict(), "model.safetensors")
"""


def run(code: str, folder: str) -> tuple[float, int, float]:
    """Seconds, kernels found and peak MB of a fresh process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(Path(folder, "bytecode"))}
    start = time.perf_counter()
    process = subprocess.run(
        [sys.executable, "-c", code + REPORT], cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    return time.perf_counter() - start, *json.loads(process.stdout)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", WRITE], cwd=folder, check=True)
        size = Path(folder, "model.safetensors").stat().st_size / 1e6
        run(OURS, folder), run(THEIRS, folder)
        pairs = [(run(OURS, folder), run(THEIRS, folder)) for _ in range(PAIRS)]
    (_, ours, our_peak), (_, theirs, their_peak) = pairs[-1]
    assert ours == theirs, f"{ours} kernels extracted, {theirs} in the model"
    seconds = [statistics.median(pair[side][0] for pair in pairs) for side in (0, 1)]
    ratio = statistics.median(theirs[0] / ours[0] for ours, theirs in pairs)
    print(f"convnext_base, {size:.0f} MB, {ours} kernels, {PAIRS} pairs of fresh processes")
    print(f"kernel-atlas       {seconds[0]:6.2f} s  {our_peak:6.0f} MB peak")
    print(f"timm, load, walk   {seconds[1]:6.2f} s  {their_peak:6.0f} MB peak")
    print(f"{ratio:.1f} times faster")


if __name__ == "__main__":
    main()
