"""What do the output maps of depthwise kernels look like on images? Mean, spread and skewness, kernel by kernel.

Maps are what a depthwise convolution gives, before bias and batch norm. The mean of a map is close to the kernel's sum
of taps times the mean of its input, so that it says little of the pattern. Each kernel is therefore compared with other
kernels of its norm on the same input, `CONTROLS`.
"""

import contextlib
import copy
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import centre_and_normalise, draw_noise, size_name
from kernel_atlas.evidence.controls import make_control
from kernel_atlas.io.tables import in_order, read_table
from kernel_atlas.training.ablation import find_kernels
from kernel_atlas.training.map_summaries import CONTROLS

BATCH = 16  # images at a time: maps of the first layers of a network for photographs are 5 MB an image
FLAT = 1e-6  # sd over mean below which a map is constant but for the rounding of float32


class Moments:
    """Count, mean and central sums of squares and cubes of each channel, in float64, merged batch by batch.

    One pass over raw powers would cancel where the mean is far from 0. Sums of a batch are taken about its own mean,
    and two sets of sums are merged by the formulas of Chan, Golub & LeVeque (1979) and Pébay (SAND2008-6212, 2008).

    Parameters
    ----------
    channels : int
    device : str or torch.device
    """

    def __init__(self, channels: int, device: str | torch.device = "cpu"):
        self.count = 0
        self.mean, self.second, self.third = torch.zeros(3, channels, dtype=torch.float64, device=device)

    def add(self, maps: Tensor) -> None:
        """Merge with a batch of maps, float [N, channels, H, W]."""
        places, here = (0, 2, 3), maps.double()
        mean = here.mean(places)
        here = here - mean[:, None, None]
        squares = here.square()
        self._merge(here.numel() // len(mean), mean, squares.sum(places), squares.mul_(here).sum(places))

    def _merge(self, count: int, mean: Tensor, second: Tensor, third: Tensor) -> None:
        whole, apart = self.count + count, mean - self.mean
        self.third = (
            self.third
            + third
            + apart**3 * self.count * count * (self.count - count) / whole**2
            + 3 * apart * (self.count * second - count * self.second) / whole
        )
        self.second = self.second + second + apart**2 * self.count * count / whole
        self.mean = self.mean + apart * count / whole
        self.count = whole

    def describe(self) -> dict[str, np.ndarray]:
        """mean, variance, skewness and relative_mean (mean / sd), float64 [channels].

        The last two are NaN where the map is constant.
        """
        mean, second, third = (sums.cpu().numpy() for sums in (self.mean, self.second, self.third))
        variance = second / self.count
        sd = np.sqrt(variance)
        sd = np.where(sd > FLAT * np.abs(mean), sd, np.nan)
        return {"mean": mean, "variance": variance, "skewness": third / self.count / sd**3, "relative_mean": mean / sd}


def draw_control(name: str, kernels: np.ndarray, seed: int) -> np.ndarray:
    """Draw another kernel of the same norm for each kernel.

    Parameters
    ----------
    name : str
        One of `CONTROLS`: `noise` (Gaussian, with the same sum of taps), `phase` (the same power spectrum, and so the
        same sum, with random phases), `free` (Gaussian, with the sum that comes by chance).
    kernels : float array [n, side * side]
    seed : int

    Returns
    -------
    float32 array [n, side * side]
    """
    raw = kernels.astype(np.float64)
    if name == "free":
        noise = draw_noise(len(raw), round(raw.shape[1] ** 0.5), seed).astype(np.float64)
        scale = np.linalg.norm(raw, axis=1, keepdims=True) / np.linalg.norm(noise, axis=1, keepdims=True)
        return (noise * scale).astype(np.float32)
    mean = raw.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(raw - mean, axis=1, keepdims=True)
    units = make_control({"noise": "gaussian", "phase": "phase"}[name], centre_and_normalise(kernels), seed)
    return (mean + norm * units).astype(np.float32)


Twins = dict[tuple[str, int], nn.Conv2d]  # control and draw -> the convolution with other kernels


def _make_twins(module: nn.Conv2d, draws: int, seed: list[int]) -> Twins:
    """Copies of a convolution with the kernels of each draw of each control, without bias and hooks."""
    kernels, twins = module.weight.detach().cpu().flatten(1).numpy(), {}
    for number, name in enumerate(CONTROLS):
        for draw in range(draws):
            own_seed = int(np.random.SeedSequence([*seed, number, draw]).generate_state(1)[0])
            twin = copy.deepcopy(module)
            twin.weight = nn.Parameter(
                torch.from_numpy(draw_control(name, kernels, own_seed)).view_as(module.weight).to(module.weight),
                requires_grad=False,
            )
            twin.bias = None
            twins[name, draw] = twin
    return twins


@contextlib.contextmanager
def _watched(
    convolutions: Mapping[str, nn.Conv2d], twins: Mapping[str, Twins], sums: Mapping[str, Mapping[tuple, Moments]]
) -> Iterator[None]:
    """Add the maps of the convolutions, and of their twins on the same input, to moments; hooks go at the end."""

    def watch(name: str):
        def hook(module: nn.Conv2d, given: tuple[Tensor], output: Tensor) -> None:
            bias = 0 if module.bias is None else module.bias[:, None, None]
            sums[name][OWN].add(output - bias)
            for key, twin in twins[name].items():
                sums[name][key].add(twin(*given))

        return hook

    handles = [module.register_forward_hook(watch(name)) for name, module in convolutions.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


OWN = ("", 0)  # key of a network's own kernels


@torch.inference_mode()
def measure_maps(
    net: nn.Module, convolutions: Mapping[str, nn.Conv2d], images: Tensor, draws: int, seed: int, device: str = "cpu"
) -> pd.DataFrame:
    """Measure the output maps of depthwise kernels, and of their controls, over all images and places.

    The network stays as it is, but for its device and the order of its weights in memory.

    Parameters
    ----------
    net : nn.Module
    convolutions : mapping
        Name -> depthwise convolution of the network, with square kernels.
    images : float Tensor [n, 3, H, W]
        Normalised.
    draws : int
        Of each control.
    seed : int
    device : str

    Returns
    -------
    DataFrame
        layer, channel and the measures of maps/models/*.csv, a row for each output channel in the order of the
        convolutions.

    Raises
    ------
    AtlasError
        The network does not run a convolution.
    """
    net = net.to(device, memory_format=torch.channels_last).eval()
    twins = {name: _make_twins(module, draws, [seed, n]) for n, (name, module) in enumerate(convolutions.items())}
    sums = {
        name: {key: Moments(module.out_channels, device) for key in (OWN, *twins[name])}
        for name, module in convolutions.items()
    }
    with _watched(convolutions, twins, sums):
        for batch in images.split(BATCH):
            net(batch.to(device, memory_format=torch.channels_last))
    idle = [name for name in convolutions if not sums[name][OWN].count]
    if idle:
        raise AtlasError(
            f"maps: the network does not run its layer {idle[0]}, which has no maps; take it out under ablation: models"
        )
    return pd.concat([_describe(name, convolutions[name], found) for name, found in sums.items()], ignore_index=True)


def _describe(layer: str, module: nn.Conv2d, sums: Mapping[tuple[str, int], Moments]) -> pd.DataFrame:
    """The rows of one layer; of controls, means over draws."""
    kernels = module.weight.detach().cpu().flatten(1).double().numpy()
    norm = np.linalg.norm(kernels, axis=1)
    side = kernels.shape[1] ** 0.5
    own = sums[OWN].describe()
    table = {"layer": layer, "channel": np.arange(len(kernels)), "channels": len(kernels), "places": sums[OWN].count}
    table |= {"norm": norm, "tap_sum": kernels.sum(axis=1) / (side * np.where(norm > 0, norm, np.nan))}
    table |= {"mean": own["mean"], "sd": np.sqrt(own["variance"]), **_measures(own, norm)}
    for name in CONTROLS:
        drawn = [_measures(found.describe(), norm) for (control, _), found in sums.items() if control == name]
        table |= {f"{name}_{key}": np.mean([each[key] for each in drawn], axis=0) for key in drawn[0]}
    return pd.DataFrame(table)


def _measures(found: Mapping[str, np.ndarray], norm: np.ndarray) -> dict[str, np.ndarray]:
    """What kernels and controls are compared by, from their moments; each [channels]."""
    variance = found["variance"]
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = np.where(norm > 0, variance / norm**2, 0)
        return {
            "relative_mean": found["relative_mean"],
            "absolute_relative_mean": np.abs(found["relative_mean"]),
            "skewness": found["skewness"],
            "variance_share": variance / np.nansum(variance),
            "unit_variance_share": unit / np.nansum(unit),
        }


def measure_model(
    net: nn.Module, shards: str | Path, assignments: str | Path, images: Tensor, draws: int, seed: int, device: str
) -> pd.DataFrame:
    """maps/models/*.csv of one network, without `model`: its labelled kernels.

    Parameters
    ----------
    net, images, draws, seed, device
        As of `measure_maps`.
    shards, assignments : path
        Of the model, as the main job wrote them.

    Raises
    ------
    AtlasError
        As `measure_maps` and `find_kernels`.
    """
    convolutions, *_ = find_kernels(shards, assignments, net)
    labels = read_table(assignments, ["layer_index", "channel", "kh", "label"]).to_pandas()
    labels = labels[labels["label"] != "dead"]
    place = {name: number for number, name in enumerate(convolutions)}
    chosen = {name: module for name, module in convolutions.items() if place[name] in set(labels["layer_index"])}
    table = measure_maps(net, chosen, images, draws, seed, device)
    table["layer_index"] = table["layer"].map(place)
    table = table.merge(labels, on=["layer_index", "channel"], validate="one_to_one")
    table["size"] = table["kh"].map(size_name)
    return in_order(table.drop(columns="kh").assign(model="", images=len(images)), "maps/models/*.csv")
