"""The code and the cluster of a kernel by the encoder of this data set. Needs only torch and safetensors."""

import json
from pathlib import Path

import torch
from safetensors import safe_open

with safe_open(Path(__file__).with_name("encoder.safetensors"), "pt") as file:
    sizes = json.loads(file.metadata()["kernel_atlas"])["sizes"]  # threshold and clusters of each
    tensors = {name: file.get_tensor(name) for name in file.keys()}


def mlp(values, name):
    for n in (0, 2, 4, 6):
        weight, bias = tensors[f"{name}.{n}.weight"], tensors[f"{name}.{n}.bias"]
        values = torch.nn.functional.linear(values.relu() if n else values, weight, bias)
    return values


for size, known in sizes.items():
    x = torch.linspace(-2, 2, int(size.split("x")[0]))
    kernel = torch.outer((-(x**2)).exp(), x * (-(x**2)).exp())  # brighter to the right; put your own taps here
    taps = torch.nn.functional.normalize(kernel.flatten() - kernel.mean(), dim=0)
    code = mlp(taps, f"{size}.encoder").sigmoid()
    drawn = mlp(code, f"{size}.decoder")
    dissimilarity = 1 - torch.cosine_similarity(taps, drawn - drawn.mean(), dim=0)
    cluster = next((one for one in known["clusters"] if code < one["code_high"]), known["clusters"][-1])
    named = f"cluster {cluster['cluster']} ({cluster['label']})" if dissimilarity < known["threshold"] else "no cluster"
    print(f"{size}: code {code.item():.4f}, dissimilarity {dissimilarity.item():.4f}, {named}")
