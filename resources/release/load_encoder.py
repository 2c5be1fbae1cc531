"""Label a kernel by the encoder of this data set: python load_encoder.py, with torch and safetensors alone."""

import json
from pathlib import Path

import torch
from safetensors import safe_open

with safe_open(Path(__file__).with_name("encoder.safetensors"), "pt") as file:
    sizes = json.loads(file.metadata()["kernel_atlas"])["sizes"]  # of each: threshold and clusters
    tensors = {name: file.get_tensor(name) for name in file.keys()}


def unit(taps):
    return (taps - taps.mean()) / (taps - taps.mean()).norm()


def mlp(values, name):
    for n in (0, 2, 4, 6):
        values = values.relu() if n else values
        values = torch.nn.functional.linear(values, tensors[f"{name}.{n}.weight"], tensors[f"{name}.{n}.bias"])
    return values


def label_kernel(kernel):
    """Code, dissimilarity and label of the raw taps [side, side] of a kernel."""
    size = f"{len(kernel)}x{len(kernel)}"
    taps = unit(kernel.flatten())
    code = mlp(taps, f"{size}.encoder").sigmoid()
    dissimilarity = 1 - taps @ unit(mlp(code, f"{size}.decoder"))
    clusters, near = sizes[size]["clusters"], dissimilarity < sizes[size]["threshold"]
    stretch = next((cluster for cluster in clusters if code < cluster["code_high"]), clusters[-1])
    return code.item(), dissimilarity.item(), stretch["label"] if near else "other"


for size in sizes:
    side = int(size.split("x")[0])
    edge = torch.linspace(-1, 1, side).repeat(side, 1)  # brighter to the right; here go your own taps
    code, dissimilarity, label = label_kernel(edge)
    print(f"{size}: code {code:.4f}, dissimilarity {dissimilarity:.4f}, {label}")
