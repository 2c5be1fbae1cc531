"""The embedded zoo: small depthwise networks trained on small images, in one flat file.

A net goes through it from top to bottom: the network, the images, the training, the file. The kernel size of the
depthwise convolutions is the only thing in which the architecture varies.
"""

import itertools
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.tables import whole
from kernel_atlas.training.depthwise import Depthwise
from kernel_atlas.training.images import FLIPPED, image_files, read_images

# Each stage halves the map. Where a map is smaller than about two kernels most of a large kernel meets padding and
# stays noise, so only the first stage (16 x 16 pixels for CIFAR-10) has the kernel size asked for; below it is 3 x 3.
WIDTHS = (48, 128, 192)
DEPTHS = (3, 3, 2)
BATCH = 128
LEARNING_RATE = 3e-3
KERNEL_STD = 0.005
WEIGHT_DECAY = 0.1
# Far above the usual decay, to remove a kernel's initial noise; BatchNorm makes the kernel's scale irrelevant.
KERNEL_DECAY = 3.0
LABEL_SMOOTHING = 0.1
WARM_UP = 0.15  # share of the steps
SHIFT = 4  # pixels an image is moved at most
KERNELS = ("depthwise.weight", "dense.weight")  # how the names of the weights with the kernels end
SHEET_COLUMNS = ["model", "source", "use", "family", "architecture", "dataset", "top1", "params", "group", "licence"]
SHEET_COLUMNS += ["recipe", "seed", "epochs", "seconds", "device"]


# --- The network ------------------------------------------------------------------------------------------------


class Block(nn.Module):
    """Depthwise, then pointwise convolution, each with BatchNorm and ReLU; [N, C, H, W] in and out.

    With `convolution` "dense" a regular convolution takes the place of the depthwise one.

    In the zoo only the 3 x 3 blocks have a skip connection. Around a large kernel it carries the image past the kernel,
    and such kernels came out as broad bars; without it more of them were local (the trials are in
    resources/zoo/README.md).
    """

    def __init__(self, channels: int, size: int, skip: bool, convolution: str = "depthwise"):
        super().__init__()
        self.convolution = convolution
        if convolution == "depthwise":
            self.depthwise = Depthwise(channels, size)
        else:
            self.dense = nn.Conv2d(channels, channels, size, padding=size // 2, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.skip = skip

    @property
    def spatial(self) -> nn.Conv2d:
        """The convolution with the kernels; its weight is [C, 1, k, k], or [C, C, k, k] where it is dense."""
        return getattr(self, self.convolution)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.spatial(x)))
        y = F.relu(self.norm2(self.pointwise(y)))
        return x + y if self.skip else y


class ZooNet(nn.Module):
    """The one architecture of the zoo.

    Parameters
    ----------
    size
        Side of the depthwise kernels of the first stage, odd.
    classes
        Number of classes.
    convolution
        "depthwise", or "dense": regular convolutions of the same sizes, in stages as wide as keeps the weights of each
        nearest to those of the depthwise one, and so its operations.
    skip
        Whether the blocks of the first stage have a skip connection, too.

    Images go in as RGB [N, 3, H, W], grey ones as three equal channels: a stem on one channel would have weights of
    a depthwise convolution's shape.
    """

    def __init__(self, size: int, classes: int, convolution: str = "depthwise", skip: bool = False):
        super().__init__()
        self.stages = nn.ModuleList()
        channels = depthwise = 3  # of the stage before, and of its depthwise counterpart
        for stage, (width, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True)):
            first = stage == 0
            side = size if first else min(size, 3)
            if convolution == "dense":
                weights = 4 * depthwise * width + depth * (side**2 + width) * width
                depthwise = width
                width = _dense_width(weights, 4 * channels, depth * (side**2 + 1))
            halve = nn.Sequential(nn.Conv2d(channels, width, 2, stride=2, bias=False), nn.BatchNorm2d(width))
            blocks = [Block(width, side, skip or not first, convolution) for _ in range(depth)]
            self.stages.append(nn.Sequential(halve, *blocks))
            channels = width
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Linear(channels, classes)
        for name, weight in self.named_parameters():
            if name.endswith(KERNELS):
                nn.init.trunc_normal_(weight, std=KERNEL_STD)
            elif weight.ndim > 1:
                nn.init.trunc_normal_(weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            x = stage(x)
        return self.head(F.relu(self.norm(x)).mean((2, 3)))


def _dense_width(weights: int, halving: int, blocks: int) -> int:
    """The width w at which `halving` * w + `blocks` * w**2 is nearest to `weights`."""
    return round((math.sqrt(halving**2 + 4 * blocks * weights) - halving) / (2 * blocks))


def new_net(kernel: int, classes: int, seed: int, convolution: str = "depthwise", skip: bool = False) -> ZooNet:
    """The untrained network of a seed, the same at every call."""
    if kernel < 3 or kernel % 2 == 0:
        raise AtlasError(f"zoo: the kernel size must be odd and at least 3, not {kernel}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ZooNet(kernel, classes, convolution, skip)


# --- The images -------------------------------------------------------------------------------------------------


class Batches:
    """Batches of a training set, made where it lies.

    Parameters
    ----------
    pixels, labels
        uint8 [N, H, W, 3] and int64 [N].
    flip
        Whether images are mirrored at random, as keeps their class.
    seed
        Of their order and augmentation.
    shift
        Pixels an image is moved at most.
    permutation
        Where each pixel comes from, int64 [H * W], the same in all images; after the augmentation.
    """

    def __init__(
        self,
        pixels: Tensor,
        labels: Tensor,
        flip: bool,
        seed: int,
        shift: int = SHIFT,
        permutation: Tensor | None = None,
    ):
        self.pixels = F.pad(pixels.permute(0, 3, 1, 2), (shift,) * 4).permute(0, 2, 3, 1)
        self.labels, self.flip, self.side = labels, flip, pixels.shape[1:3]
        self.shift, self.permutation = shift, permutation
        self.random = torch.Generator(pixels.device).manual_seed(seed)
        sample = pixels[:5000].float()
        self.mean, self.std = sample.mean((0, 1, 2)), sample.std((0, 1, 2))

    @property
    def per_epoch(self) -> int:
        """Batches of an epoch."""
        return max(1, len(self.labels) // BATCH)

    def normalise(self, pixels: Tensor) -> Tensor:
        """Float images [N, 3, H, W], in the memory order that CPUs need, from pixels [N, H, W, 3]."""
        if self.permutation is not None:
            pixels = pixels.flatten(1, 2)[:, self.permutation].view_as(pixels)
        return ((pixels.float() - self.mean) / self.std).permute(0, 3, 1, 2)

    def __iter__(self):
        """One epoch; a last batch that is not full is left out."""
        device, (height, width) = self.pixels.device, self.side
        order = torch.randperm(len(self.labels), generator=self.random, device=device)
        size = min(BATCH, len(order))
        for chosen in order[: len(order) // size * size].split(size):
            top, left = torch.randint(0, 2 * self.shift + 1, (2, size, 1), generator=self.random, device=device)
            rows = top + torch.arange(height, device=device)
            columns = left + torch.arange(width, device=device)
            if self.flip:
                mirrored = torch.rand((size, 1), generator=self.random, device=device) < 0.5
                columns = torch.where(mirrored, columns.flip(1), columns)
            pixels = self.pixels[chosen[:, None, None], rows[:, :, None], columns[:, None, :]]
            yield self.normalise(pixels), self.labels[chosen]


# --- The training -----------------------------------------------------------------------------------------------


def train_net(
    images: Path, dataset: str, kernel: int, seed: int, epochs: int, output: Path, device: str = "cpu", log=print
) -> dict:
    """Train one net and write it to `output` (safetensors, the whole state dict).

    After each epoch, what is needed to go on is saved beside `output`; the same call goes on from there after it was
    interrupted, and gives the same net.

    Parameters
    ----------
    images
        Folder of the Parquet image sets, see `image_files`.
    dataset
        One of `DATASETS`.
    kernel
        Side of the depthwise kernels of the first stage.
    seed
        Of the initialisation and of the order and augmentation of the images.
    epochs
        Passes over the training split.
    device
        Torch device, `cpu` or `cuda`.
    log
        Called with one line of text per epoch.

    Returns
    -------
    dict
        `top1` on the test split in percent, looked at once, after the last epoch; `params`, `seconds`, `epochs`,
        `seed`, `dataset`, `kernel`, `device`.
    """
    start = time.perf_counter()
    if epochs < 1:
        raise AtlasError(f"zoo: at least one epoch, not {epochs}")
    data = read_images(images, dataset).to(device)
    batches = Batches(data.train, data.train_labels, FLIPPED[dataset], seed)
    net = new_net(kernel, data.classes, seed).to(device, memory_format=torch.channels_last)
    per_epoch, losses = batches.per_epoch, []

    def watch(step: int, loss: Tensor) -> None:
        losses.append(loss)
        if step % per_epoch == 0:
            mean, took = torch.stack(losses[-per_epoch:]).mean().item(), time.perf_counter() - start
            log(f"{output.name}: epoch {step // per_epoch} of {epochs}, loss {mean:.3f}, {took:.0f} s")

    unfinished = output.with_name(f"{output.name}.unfinished")
    train(net, batches, epochs * per_epoch, watch, unfinished=unfinished)
    top1 = accuracy(net, batches, data.test, data.test_labels)
    log(f"{output.name}: {top1:.2f} % of {len(data.test)} test images")
    row = _row(net, dataset, kernel, seed) | {
        "top1": round(top1, 2),
        "epochs": epochs,
        "seconds": round(time.perf_counter() - start),
        "device": torch.device(device).type,
    }
    write_net(net, row, output)
    unfinished.unlink(missing_ok=True)
    return row


def train(
    net: ZooNet,
    batches: Batches,
    steps: int,
    watch: Callable[[int, Tensor], None],
    pull: Callable[[float], None] | None = None,
    decay: float = KERNEL_DECAY,
    unfinished: Path | None = None,
) -> None:
    """Train a net by the recipe of the zoo, where it and its images lie.

    `decay` is the weight decay of the depthwise kernels. After each step `pull(rate)` may change the net, with the
    learning rate of the step, and `watch(step, loss)` sees it. A file `unfinished` is written after each epoch, and
    read if it is there and of as many steps.
    """
    optimiser = _optimiser(net, decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step / steps))
    endless = itertools.chain.from_iterable(itertools.repeat(batches))
    # bfloat16 halves the time of a step where the processor has it, and takes 60 times as long where it does not; the
    # weights stay float32.
    halves = next(net.parameters()).device.type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    trained = {"net": net, "optimiser": optimiser, "schedule": schedule}
    done = _go_on(unfinished, trained, batches, steps) if unfinished else 0
    for step, (x, labels) in enumerate(itertools.islice(endless, steps - done), done + 1):
        net.train()
        with torch.autocast(x.device.type, torch.bfloat16, enabled=halves):
            loss = F.cross_entropy(net(x), labels, label_smoothing=LABEL_SMOOTHING)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if pull:
            pull(schedule.get_last_lr()[0])
        schedule.step()
        watch(step, loss.detach())
        if unfinished and step % batches.per_epoch == 0:
            states = {name: part.state_dict() for name, part in trained.items()}
            with whole(unfinished) as partial:
                torch.save(states | {"step": step, "steps": steps, "random": batches.random.get_state()}, partial)


def _go_on(unfinished: Path, trained: dict[str, Any], batches: Batches, steps: int) -> int:
    """Take up what an interrupted training saved, if anything; the number of its steps."""
    if not unfinished.exists():
        return 0
    saved = torch.load(unfinished, map_location="cpu", weights_only=True)
    if saved["steps"] != steps:
        return 0
    for name, part in trained.items():
        part.load_state_dict(saved[name])
    batches.random.set_state(saved["random"])
    return saved["step"]


def init_net(images: Path, dataset: str, kernel: int, seed: int, output: Path) -> dict:
    """Write the untrained network from which `train_net` with the same arguments starts; its row has no `top1`."""
    labels = [pq.read_table(path, columns=["label"])["label"].to_numpy() for path in image_files(images, dataset)]
    net = new_net(kernel, int(np.concatenate(labels).max()) + 1, seed)
    row = _row(net, dataset, kernel, seed) | {"epochs": 0}
    write_net(net, row, output)
    return row


def _optimiser(net: nn.Module, decay: float) -> torch.optim.Optimizer:
    """AdamW with three groups: depthwise kernels, other weights, and the rest, which does not decay."""
    kernels, weights, rest = [], [], []
    for name, parameter in net.named_parameters():
        group = kernels if name.endswith(KERNELS) else weights if parameter.ndim > 1 else rest
        group.append(parameter)
    groups = [
        {"params": kernels, "weight_decay": decay},
        {"params": weights, "weight_decay": WEIGHT_DECAY},
        {"params": rest, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.99))


def _rate(progress: float) -> float:
    """Factor of the learning rate: a linear rise, then half a cosine down to zero."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


@torch.no_grad()
def right_answers(net: nn.Module, batches: Batches, pixels: Tensor, labels: Tensor) -> Tensor:
    """Which of the images `net` classifies correctly, bool [N]."""
    net.eval()
    parts = zip(pixels.split(BATCH), labels.split(BATCH), strict=True)
    return torch.cat([net(batches.normalise(part)).argmax(1) == truth for part, truth in parts])


def accuracy(net: nn.Module, batches: Batches, pixels: Tensor, labels: Tensor) -> float:
    """Share of the images that `net` classifies correctly, in percent."""
    return 100 * right_answers(net, batches, pixels, labels).double().mean().item()


# --- The files --------------------------------------------------------------------------------------------------


def _row(net: nn.Module, dataset: str, kernel: int, seed: int) -> dict:
    return {
        "architecture": f"zoonet_{kernel}x{kernel}",
        "dataset": dataset,
        "params": sum(parameter.numel() for parameter in net.parameters()),
        "kernel": kernel,
        "seed": seed,
    }


def write_net(net: nn.Module, row: dict, output: Path) -> None:
    """Write the state dict, and `row` as the file's metadata; the final name appears only when the file is whole."""
    output.parent.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    with whole(output) as partial:
        partial.write_bytes(save(state, {"format": "pt"} | {key: str(value) for key, value in row.items()}))


def list_nets(nets: list[Path]) -> pd.DataFrame:
    """Model sheet of nets written by `train_net` and `init_net`, from the metadata of their files, in this order.

    Untrained nets are controls. `source` is relative to the sheet, which so belongs beside the nets.
    """
    rows = []
    for path in map(Path, nets):
        with safe_open(path, "pt") as file:
            row = file.metadata()
        use = "train" if int(row["epochs"]) else "control"
        told = {"model": path.stem, "source": f"file:{path.name}", "use": use, "family": "zoo", "licence": "MIT"}
        rows.append(row | told | {"group": path.stem, "recipe": path.stem.replace(f"_s{row['seed']}", "")})
    return pd.DataFrame(rows).reindex(columns=SHEET_COLUMNS)
