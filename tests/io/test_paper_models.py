"""HorNet, MogaNet, RepLKNet and SLaK, which timm lacks: files with the official names, shapes and wrappers are read.

resources/non_timm_counts.tsv was counted by instantiating the official code: raoyongming/HorNet (MIT),
Westlake-AI/MogaNet (Apache-2.0), DingXiaoH/RepLKNet-pytorch (MIT). Names and shapes here are facts of that code and of
VITA-Group/SLaK (MIT): every tensor of two or more dimensions. Each is one stored zero that is seen in its full shape.
"""

import argparse
import collections
import itertools
import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import ROOT

from kernel_atlas.io.sources import Wanted, read_layers

Shapes = dict[str, tuple[int, ...]]

COUNTS = pd.read_csv(ROOT / "resources/non_timm_counts.tsv", sep="\t", index_col="name")
HORNET = {"tiny": 64, "small": 96, "base": 128, "large": 192}
MOGANET = {
    "xtiny": ((32, 64, 96, 192), (3, 3, 10, 2)),
    "tiny": ((32, 64, 128, 256), (3, 3, 12, 2)),
    "small": ((64, 128, 320, 512), (2, 3, 12, 2)),
    "base": ((64, 160, 320, 512), (4, 6, 22, 3)),
    "large": ((64, 160, 320, 640), (4, 6, 44, 4)),
    "xlarge": ((96, 192, 480, 960), (6, 6, 44, 4)),
}
REPLKNET = {
    "RepLKNet31B": ((128, 256, 512, 1024), (31, 29, 27, 13), 5, 1),
    "RepLKNet31L": ((192, 384, 768, 1536), (31, 29, 27, 13), 5, 1),
    "RepLKNetXL": ((256, 512, 1024, 2048), (27, 27, 27, 13), None, 1.5),
}


def convs(at: str, shapes: Shapes) -> Shapes:
    """Convolutions of blocks that have a batch norm beside each."""
    return {f"{at}{name}.conv.weight": shape for name, shape in shapes.items()}


def around_convnext_blocks(dims: list[int]) -> Shapes:
    """The stem, the steps between stages and the head that HorNet and SLaK have from ConvNeXt."""
    steps = {f"downsample_layers.{i + 1}.1.weight": (w, d, 2, 2) for i, (d, w) in enumerate(itertools.pairwise(dims))}
    return {"downsample_layers.0.0.weight": (dims[0], 3, 4, 4)} | steps | {"head.weight": (1000, dims[3])}


def hornet(base: int, filters: bool) -> Shapes:
    """`filters`: the last two stages have global filters (GF) on half of the channels."""
    dims = [base * 2**stage for stage in range(4)]
    shapes = around_convnext_blocks(dims)
    for stage, (dim, depth) in enumerate(zip(dims, (2, 3, 18, 2), strict=True)):
        parts = [dim // 2**i for i in reversed(range(stage + 2))]
        total, side = sum(parts), 56 // 2**stage
        for at in (f"stages.{stage}.{block}." for block in range(depth)):
            shapes |= {f"{at}pwconv1.weight": (4 * dim, dim), f"{at}pwconv2.weight": (dim, 4 * dim)}
            at += "gnconv."
            shapes |= {f"{at}proj_in.weight": (2 * dim, dim, 1, 1), f"{at}proj_out.weight": (dim, dim, 1, 1)}
            shapes |= {f"{at}pws.{i}.weight": (2 * part, part, 1, 1) for i, part in enumerate(parts[:-1])}
            if filters and stage > 1:
                shapes |= {f"{at}dwconv.complex_weight": (total // 2, side, side // 2 + 1, 2)}
                shapes |= {f"{at}dwconv.dw.weight": (total // 2, 1, 3, 3)}
            else:
                shapes |= {f"{at}dwconv.weight": (total, 1, 7, 7)}
    return shapes


def moganet(dims: tuple[int, ...], depths: tuple[int, ...]) -> Shapes:
    stem, half = "patch_embed1.projection", dims[0] // 2
    shapes = {f"{stem}.0.weight": (half, 3, 3, 3), f"{stem}.3.weight": (dims[0], half, 3, 3)}
    for stage, (dim, depth, ratio) in enumerate(zip(dims, depths, (8, 8, 4, 4), strict=True), start=1):
        wide = dim * ratio
        if stage > 1:
            shapes |= {f"patch_embed{stage}.projection.weight": (dim, dims[stage - 2], 3, 3)}
        for at in (f"blocks{stage}.{block}." for block in range(depth)):
            shapes |= {f"{at}{name}": (1, dim, 1, 1) for name in ("layer_scale_1", "layer_scale_2", "attn.sigma.scale")}
            shapes |= {f"{at}mlp.{name}": (1, wide, 1, 1) for name in ("sigma.scale", "decompose.weight")}
            shapes |= {f"{at}attn.{n}.weight": (dim, dim, 1, 1) for n in ("proj_1", "gate", "proj_2", "value.PW_conv")}
            for i, (channels, side) in enumerate([(dim, 5), (dim * 3 // 8, 5), (dim // 2, 7)]):
                shapes |= {f"{at}attn.value.DW_conv{i}.weight": (channels, 1, side, side)}
            mlp = {"fc1": (wide, dim, 1, 1), "fc2": (dim, wide, 1, 1), "dwconv": (wide, 1, 3, 3)}
            shapes |= {f"{at}mlp.{name}.weight": shape for name, shape in mlp.items()}
    return shapes | {"head.weight": (1000, dims[3])}


def replknet(dims: tuple[int, ...], sides: tuple[int, ...], small: int | None, ratio: float) -> Shapes:
    dim = dims[0]
    shapes = convs("stem.", {"0": (dim, 3, 3, 3), "1": (dim, 1, 3, 3), "2": (dim, dim, 1, 1), "3": (dim, 1, 3, 3)})
    for stage, (dim, side, depth) in enumerate(zip(dims, sides, (2, 2, 18, 2), strict=True)):
        wide = int(dim * ratio)
        kernels = {"large_kernel.lkb_origin": side, "large_kernel.small_conv": small}
        large = {name: (wide, 1, k, k) for name, k in kernels.items() if k}
        for block in range(0, 2 * depth, 2):  # feed-forward ones are between them
            at, ffn = f"stages.{stage}.blocks.{block}.", f"stages.{stage}.blocks.{block + 1}."
            shapes |= convs(at, {"pw1": (wide, dim, 1, 1), "pw2": (dim, wide, 1, 1)} | large)
            shapes |= convs(ffn, {"pw1": (4 * dim, dim, 1, 1), "pw2": (dim, 4 * dim, 1, 1)})
    for i, (dim, wider) in enumerate(itertools.pairwise(dims)):
        shapes |= convs(f"transitions.{i}.", {"0": (wider, dim, 1, 1), "1": (wider, 1, 3, 3)})
    return shapes | {"head.weight": (1000, dims[3])}


def slak_tiny(branch: str) -> Shapes:
    dims = [int(1.3 * dim) for dim in (96, 192, 384, 768)]
    shapes = around_convnext_blocks(dims)
    for stage, (dim, side, depth) in enumerate(zip(dims, (51, 49, 47, 13), (3, 3, 9, 3), strict=True)):
        kernels = {f"{branch}1": (dim, 1, side, 5), f"{branch}2": (dim, 1, 5, side), "small_conv": (dim, 1, 5, 5)}
        for at in (f"stages.{stage}.{block}." for block in range(depth)):
            shapes |= {f"{at}pwconv1.weight": (4 * dim, dim), f"{at}pwconv2.weight": (dim, 4 * dim)}
            shapes |= convs(f"{at}large_kernel.", kernels)
    return shapes


def save(shapes: Shapes, path: Path, wrapper: str | None) -> None:
    """As training saves it, the optimiser's moments beside the weights; without wrapper, the weights alone."""
    state = {name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}
    moments = {i: {"exp_avg": tensor, "exp_avg_sq": tensor} for i, tensor in enumerate(state.values())}
    beside = {"optimizer": {"state": moments}, "epoch": 299, "args": argparse.Namespace(lr=1e-3)}
    torch.save(beside | {wrapper: state} if wrapper else state, path)


@pytest.mark.parametrize("name", COUNTS.index)
def test_every_depthwise_kernel_is_read_and_nothing_else(name, tmp_path):
    family, variant, *rest = name.split("_")
    if family == "hornet":
        save(hornet(HORNET[variant], filters=rest == ["gf"]), tmp_path / "net.pth", "model")
    elif family == "moganet":
        save(moganet(*MOGANET[variant]), tmp_path / "net.pth", "state_dict")
    else:  # its published files are the weights alone
        save(replknet(*REPLKNET[variant]), tmp_path / "net.pth", None)
    layers, kernels = list(read_layers("file:net.pth", Wanted(tmp_path)).layers), collections.Counter()
    for channels, _, kh, kw in (layer.weight.shape for layer in layers):
        kernels[f"{kh}x{kw}"] += channels
    assert (len(layers), kernels.total()) == tuple(COUNTS.loc[name, ["dw_layers", "kernels_total"]])
    assert kernels == json.loads(COUNTS.at[name, "kernels_by_size_json"])


@pytest.mark.parametrize("branch", ["Decom", "LoRA"])  # the official repository has both names
def test_rectangular_kernels_keep_their_shape(branch, tmp_path):
    shapes = slak_tiny(branch)
    save(shapes, tmp_path / "slak.pth", "model")
    layers = {layer.name: layer.weight.shape for layer in read_layers("file:slak.pth", Wanted(tmp_path)).layers}
    assert layers == {name: shape for name, shape in shapes.items() if ".large_kernel." in name}
    assert {shape[2:] for shape in layers.values() if shape[0] == 124} == {(51, 5), (5, 51), (5, 5)}


def test_the_counts_are_those_of_the_official_code(data):
    reference = pd.read_csv(data / "reference/non_timm_depthwise_inventory.csv", index_col="name")
    pd.testing.assert_frame_equal(COUNTS, reference[COUNTS.columns])
