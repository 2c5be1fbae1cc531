"""Networks of the zoo's kind under other conditions: the images, the convolution, the schedule or the first kernels.

A run is one network of one condition and seed. What is kept of it are the network, its kernels at steps that lie evenly
on a logarithmic scale, its accuracy there and its answers at the end; `dynamics` and `verdict` read them. To add a set
of images, or of kernels to start from, write its function and list it in `IMAGES` or `UNIT_KERNELS`.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.core.patterns import draw_patterns, read_patterns
from kernel_atlas.evidence.controls import make_control
from kernel_atlas.evidence.formulas import synthetic_kernels
from kernel_atlas.evidence.kernels import read_filters
from kernel_atlas.io.tables import write_csv, write_table
from kernel_atlas.model.encoder import read_encoder
from kernel_atlas.training.images import FLIPPED, ImageSet, read_images
from kernel_atlas.training.zoo import (
    BATCH,
    KERNEL_DECAY,
    KERNEL_STD,
    SHIFT,
    Batches,
    ZooNet,
    accuracy,
    new_net,
    right_answers,
    train,
    write_net,
)

GAUSSIANS = 1000  # kernels drawn of a normal distribution, of which channels get some
CHECKS = 20  # steps, after step 0, at which a run is looked at; fewer where the first ones coincide
LOOKED_AT = 1000  # images of the test and of the training split, for the accuracy on the way


class Condition(NamedTuple):
    """A row of config/experiments.tsv.

    - images: a key of `IMAGES`; subset: how many for training, 0 for all; augmented: whether shifted and mirrored.
    - convolution: depthwise or dense. kernel: side of the kernels of the first stage. skip: a way around them.
    - start: noise or one of `UNIT_KERNELS`. towards: nothing, or that of them that pulls, see `pull_kernels`.
    - control: nothing, or one of `CONTROLS`. It replaces the kernels of start or towards.
    - frozen: kernels stay as they start. A number added to all taps of each is learned (Babaiee et al. 2025), a gain by
      the batch norm that follows.
    - decay: weight decay of the kernels. steps: batches that are seen.
    """

    images: str
    convolution: str
    kernel: int
    skip: bool
    start: str
    control: str
    frozen: bool
    towards: str
    subset: int
    augmented: bool
    decay: float
    steps: int


# --- The images -------------------------------------------------------------------------------------------------


def _as_they_are(data: ImageSet, random: torch.Generator) -> ImageSet:
    return data


def _grey28(data: ImageSet, random: torch.Generator) -> ImageSet:
    """In grey at 28 x 28 pixels, as Fashion-MNIST is; luma of ITU-R BT.601."""
    luma = torch.tensor([0.299, 0.587, 0.114])

    def change(pixels: Tensor) -> Tensor:
        grey = (pixels.float() @ luma)[:, None]
        small = F.interpolate(grey, size=(28, 28), mode="bilinear", antialias=True)
        return small.round().clamp(0, 255).byte().permute(0, 2, 3, 1).repeat(1, 1, 1, 3)

    return _in_parts(data, change)


def _phase_scrambled(data: ImageSet, random: torch.Generator) -> ImageSet:
    """Each image with the phases of its own noise image added to its phases, the same in all colours.

    Spectra of power, and so correlations of pixels within and between colours, stay, but for values that are cut at
    black and white; edges and places do not, and opposite borders of the image become neighbours.
    """

    def change(pixels: Tensor) -> Tensor:
        noise = torch.randn(pixels.shape[:3], generator=random)
        phases = torch.fft.rfft2(noise)
        phases /= phases.abs()
        phases[:, 0, 0] = 1  # the mean stays
        spectrum = torch.fft.rfft2(pixels.float(), dim=(1, 2)) * phases[..., None]
        return torch.fft.irfft2(spectrum, pixels.shape[1:3], dim=(1, 2)).round().clamp(0, 255).byte()

    return _in_parts(data, change)


def _random_labels(data: ImageSet, random: torch.Generator) -> ImageSet:
    """The training labels in another order; those of the test stay, so that 1 in `classes` is right by chance."""
    order = torch.randperm(len(data.train_labels), generator=random)
    return data._replace(train_labels=data.train_labels[order])


def _in_parts(data: ImageSet, change: Callable[[Tensor], Tensor]) -> ImageSet:
    """Both splits changed, some images at a time: as floats all would take gigabytes."""
    changed = {
        split: torch.cat([change(part) for part in getattr(data, split).split(4000)]) for split in ("train", "test")
    }
    return data._replace(**changed)


# name -> data set of the zoo, what is done to it, and whether its pixels are permuted, after the augmentation
IMAGES: dict[str, tuple[str, Callable[[ImageSet, torch.Generator], ImageSet], bool]] = {
    "cifar10": ("cifar10", _as_they_are, False),
    "cifar10_grey28": ("cifar10", _grey28, False),
    "cifar10_permuted": ("cifar10", _as_they_are, True),
    "cifar10_phase_scrambled": ("cifar10", _phase_scrambled, False),
    "cifar10_random_labels": ("cifar10", _random_labels, False),
    "fashion_mnist": ("fashion_mnist", _as_they_are, False),
    "chars74k": ("chars74k", _as_they_are, False),
}


def load_images(folder: Path, condition: Condition, limit: int | None = None) -> tuple[ImageSet, Tensor | None]:
    """The images of a condition, and the permutation of their pixels if they have one; the same at every call."""
    if condition.images not in IMAGES:
        raise AtlasError(f"experiments: unknown images {condition.images!r}; known are {', '.join(IMAGES)}")
    dataset, change, permuted = IMAGES[condition.images]
    data = read_images(folder, dataset, limit)
    if condition.subset:
        chosen = torch.randperm(len(data.train), generator=_fixed())[: condition.subset]
        data = data._replace(train=data.train[chosen], train_labels=data.train_labels[chosen])
    data = change(data, _fixed())
    pixels = data.train.shape[1] * data.train.shape[2]
    return data, torch.randperm(pixels, generator=_fixed()) if permuted else None


def _fixed() -> torch.Generator:
    """The same numbers at every call: what is done to images is the same in every run."""
    return torch.Generator().manual_seed(0)


# --- Kernels to start from and to be pulled towards ---------------------------------------------------------------


def _prototypes(side: int, encoder: Path, layer: int) -> np.ndarray:
    """The prototypes of a labeller."""
    labeller = read_encoder(encoder).get(side)
    if labeller is None or labeller.prototypes is None:
        raise AtlasError(f"experiments: {encoder} has no prototypes of {side}x{side} kernels; name another encoder")
    return np.stack(labeller.prototypes["kernel"])


def _formulas(side: int, nothing: None, layer: int) -> np.ndarray:
    """Centres, first and second derivatives and crosses, equally many, of the scales and places of synthetic ones."""
    return synthetic_kernels(side, 64, np.inf, 0)[0]


def _master_keys(side: int, filters: Path, layer: int) -> np.ndarray:
    keys = read_filters(filters)
    if keys.shape[1] != side:
        raise AtlasError(f"experiments: the published master keys are 7x7, not {side}x{side}")
    return centre_and_normalise(keys.reshape(len(keys), -1).astype(np.float32))


def _patterns(side: int, table: Path, layer: int) -> np.ndarray:
    """The reference patterns, each of their formulas once."""
    return draw_patterns(read_patterns(table), side).taps


def _trained(side: int, net: Path, layer: int) -> np.ndarray:
    """The kernels that another network has in the same layer."""
    return centre_and_normalise(load_file(net)[f"stages.0.{layer + 1}.depthwise.weight"].reshape(-1, side * side))


# name -> centred unit kernels [n, taps] of a side, from a file, for a layer of the first stage
UNIT_KERNELS: dict[str, Callable[[int, Any, int], np.ndarray]] = {
    "prototypes": _prototypes,
    "formulas": _formulas,
    "master_keys": _master_keys,
    "patterns": _patterns,
    "trained": _trained,
}


def _gaussian(units: np.ndarray, seed: int) -> np.ndarray:
    """Kernels of a normal distribution with the mean and the covariance of `units`, which may be fewer than taps."""
    weights = np.random.default_rng(seed).standard_normal((GAUSSIANS, len(units)))
    return centre_and_normalise(units.mean(axis=0) + weights @ (units - units.mean(axis=0)) / np.sqrt(len(units)))


# control -> what is made of centred unit kernels [n, taps]
CONTROLS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "scrambled": partial(make_control, "phase"),  # the power spectrum of each, with random phases
    "gaussian": _gaussian,
}


def unit_kernels(name: str, condition: Condition, file: Path | None, layer: int = 0, seed: int = 0) -> np.ndarray:
    """Centred unit kernels [n, taps] to start from or to be pulled towards, or the condition's control of them.

    Parameters
    ----------
    name : str
        One of `UNIT_KERNELS`.
    condition : Condition
        With the side of the kernels and the control.
    file : Path or None
        With the kernels, for those that have one.
    layer : int
        Of the first stage, from 0.
    seed : int
        Of the control.

    Raises
    ------
    AtlasError
        A name is unknown, or the file has no kernels of this side.
    """
    for given, known in ((name, UNIT_KERNELS), (condition.control, ("", *CONTROLS))):
        if given not in known:
            raise AtlasError(f"experiments: unknown kernels {given!r}; known are {', '.join(filter(None, known))}")
    units = UNIT_KERNELS[name](condition.kernel, file, layer)
    return CONTROLS[condition.control](units, seed) if condition.control else units


class Offset(nn.Module):
    """A kernel with a learned number added to all its taps."""

    def __init__(self, channels: int):
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(channels))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.offset[:, None, None, None]


def start_net(condition: Condition, classes: int, seed: int, file: Path | None = None) -> ZooNet:
    """The untrained network of a run; `file` holds the kernels that it starts from.

    But for what the condition changes it is the same for all of a seed with as many classes. Each channel gets one of
    the kernels it may start from at random, none twice where there are enough, with the norm of noise in the mean.
    """
    if condition.convolution not in ("depthwise", "dense"):
        raise AtlasError(f"experiments: a convolution is depthwise or dense, not {condition.convolution!r}")
    changed = [condition.start != "noise" or condition.frozen, bool(condition.towards)]
    if sum(changed) > (condition.convolution == "depthwise"):
        raise AtlasError(
            "experiments: depthwise kernels start from others, or frozen, or are pulled, and dense ones none of these; "
            "change the condition"
        )
    net = new_net(condition.kernel, classes, seed, condition.convolution, condition.skip)
    random = np.random.default_rng(seed)
    for layer, block in enumerate(first_blocks(net)):
        weight = block.spatial.weight
        if condition.start != "noise":
            units = unit_kernels(condition.start, condition, file, layer, seed)
            # each at most once where there are enough, so that no condition has fewer different kernels
            drawn = units[random.choice(len(units), len(weight), replace=len(units) < len(weight))]
            weight.data = torch.from_numpy(drawn * KERNEL_STD * condition.kernel).view_as(weight)
        if condition.frozen:
            weight.requires_grad_(False)
            parametrize.register_parametrization(block.spatial, "weight", Offset(len(weight)))
    return net


def first_blocks(net: ZooNet) -> list[nn.Module]:
    """The blocks with the kernels of the size asked for."""
    return [block for block in net.stages[0] if hasattr(block, "spatial")]


@torch.no_grad()
def pull_kernels(net: ZooNet, units: Tensor, rate: float) -> None:
    """Apply weight decay once more to the residual after projection on the nearest of `units` (mean excluded).

    No extra hyperparameter. `units` [n, taps] have unit norm; `rate` is the learning rate of the step.
    """
    for block in first_blocks(net):
        taps = block.spatial.weight.flatten(1)
        centred = taps - taps.mean(1, keepdim=True)
        likeness, nearest = (centred @ units.T).max(1, keepdim=True)
        rest = centred - likeness.clamp(min=0) * units[nearest[:, 0]]
        block.spatial.weight -= rate * KERNEL_DECAY * rest.view_as(block.spatial.weight)


# --- The run ----------------------------------------------------------------------------------------------------


def check_steps(steps: int) -> list[int]:
    """Step 0, and steps evenly on a logarithmic scale from 1 to the last."""
    return [0, *np.unique(np.geomspace(1, steps, CHECKS).round().astype(int)).tolist()]


def train_run(
    folder: Path,
    condition: Condition,
    seed: int,
    file: Path | None,
    output: tuple[Path, Path, Path, Path],
    device: str = "cpu",
    smoke: bool = False,
    log: Callable[[str], None] = print,
) -> None:
    """Train one network and write what is kept of it.

    Parameters
    ----------
    folder
        Of the Parquet image sets, see `zoo.image_files`.
    condition
    seed
        Of the first weights and of the order and augmentation of the images.
    file
        Of kernels that the network starts from or is pulled towards: prototypes (`encoder.safetensors` of a release),
        master keys, patterns, or another network (`net.safetensors` of a run).
    output
        The network (safetensors), and kernels.parquet, curve.csv and answers.parquet of experiments/runs/* in
        schemas/tables.yaml. The curve is of the first `LOOKED_AT` images, at the end of the whole test split.
    device
        `cpu` or `cuda`; a run is the same again on a CPU with as many threads.
    smoke
        Whether a few steps on a few images are enough, to see that it runs.
    log
        Called with a line of text at each check.
    """
    data, permutation = load_images(folder, condition, 2 * BATCH if smoke else None)
    data = data.to(device)
    permutation = None if permutation is None else permutation.to(device)
    flip, shift = (FLIPPED[IMAGES[condition.images][0]], SHIFT) if condition.augmented else (False, 0)
    batches = Batches(data.train, data.train_labels, flip, seed, shift, permutation)
    net = start_net(condition, data.classes, seed, file).to(device, memory_format=torch.channels_last)
    steps = min(2, condition.steps) if smoke else condition.steps
    checks = check_steps(steps)
    kernels, curve, losses, name = [], [], [], output[0].parent.name
    looking, start, right = 0.0, time.perf_counter(), np.empty(0, bool)

    def check(step: int) -> None:
        nonlocal looking, right
        if device != "cpu":
            torch.cuda.synchronize()  # or else steps that are still computed would not be counted
        began = time.perf_counter()
        kernels.append(_kernels_of(net, step))
        number = len(data.test) if step == steps else LOOKED_AT
        seen = accuracy(net, batches, data.train[:LOOKED_AT], data.train_labels[:LOOKED_AT])
        right = right_answers(net, batches, data.test[:number], data.test_labels[:number]).cpu().numpy()
        unseen = 100 * right.mean()
        loss = torch.stack(losses).mean().item() if losses else np.nan
        losses.clear()
        row = {"step": step, "loss": loss, "train_top1": seen, "top1": unseen}
        curve.append(row | {"test_images": len(right), "seconds": began - start - looking})
        looking += time.perf_counter() - began
        log(f"{name}: step {step} of {steps}, loss {loss:.3f}, {unseen:.1f} % right, {began - start:.0f} s")

    def watch(step: int, loss: Tensor) -> None:
        losses.append(loss)
        if step in checks:
            check(step)

    check(0)
    pull = None
    if condition.towards:
        units = unit_kernels(condition.towards, condition, file)
        pull = partial(pull_kernels, net, torch.from_numpy(units).to(device))
    train(net, batches, steps, watch, pull, condition.decay)
    log(f"{name}: {steps * min(BATCH, len(data.train)) / curve[-1]['seconds']:.0f} images a second")
    for block in first_blocks(net) if condition.frozen else []:
        parametrize.remove_parametrizations(block.spatial, "weight")
    told: dict[str, Any] = condition._asdict() | {"seed": seed, "top1": round(curve[-1]["top1"], 2), "steps": steps}
    told |= {"params": sum(weight.numel() for weight in net.parameters()), "device": torch.device(device).type}
    write_net(net, told, output[0])
    write_table(pa.concat_tables(kernels), output[1])
    write_csv(pd.DataFrame(curve), output[2], float_format="%.5g")
    write_table(pa.table({"image": np.arange(len(right)), "right": right}), output[3])


@torch.no_grad()
def _kernels_of(net: ZooNet, step: int) -> pa.Table:
    parts = []
    for layer, block in enumerate(first_blocks(net)):
        side = block.spatial.kernel_size[0]
        taps = block.spatial.weight.reshape(-1, side * side).float().cpu().numpy()
        place = {"step": step, "layer_index": layer, "channel": np.arange(len(taps)), "kh": side, "kw": side}
        parts.append(pd.DataFrame({**place, "weight": list(taps.copy())}))
    return pa.Table.from_pandas(pd.concat(parts, ignore_index=True), preserve_index=False)
