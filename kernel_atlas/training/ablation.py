"""What are the patterns for? Accuracy of a network whose depthwise kernels are replaced by something else.

All kernels of a network are replaced, those of one size, one label or one layer. Every replacement is held against
controls of equal distance (`replacements`), and all kernels of a size are moved step by step in several directions. The
same images answer each time, so that differences are paired.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import size_name, taps_array
from kernel_atlas.io.checkpoint import is_depthwise
from kernel_atlas.io.shards import shards_of
from kernel_atlas.io.tables import read_table
from kernel_atlas.io.timm_layers import find_layers
from kernel_atlas.stats.resampling import RESAMPLES, TAILS
from kernel_atlas.training.bench import Answers, Bench
from kernel_atlas.training.networks import Images
from kernel_atlas.training.replacements import Replaced, Tools
from kernel_atlas.training.summaries import CLUSTERED, CONTROLS, COSINES, DIRECTIONS, LABELLED, PATTERNED, UNCONTROLLED

FEWEST_KERNELS = 10  # of a label in a network, below which it is not replaced alone
BATCH = {"cpu": 64, "cuda": 512}  # images at a time: on a CPU as many as stay in the cache


# --- Which kernels are replaced -----------------------------------------------------------------------------------


class Part(NamedTuple):
    """Some kernels of a network, bool [kernels]; of all sizes, labels and layers where these are empty."""

    size: str
    label: str
    layer_index: int | None
    chosen: np.ndarray

    @property
    def is_whole(self) -> bool:
        """Whether it is a whole network or size, which is replaced in every way."""
        return not self.label and self.layer_index is None


def find_parts(kernels: pd.DataFrame) -> list[Part]:
    """All kernels; of each size all, those of each common label, `with a pattern`, `clustered`; each layer.

    Parameters
    ----------
    kernels : DataFrame
        size, label, cluster, layer_index; of one network.
    """
    parts = [Part("", "", None, np.ones(len(kernels), bool))]
    for size, rows in kernels.groupby("size"):
        inside = (kernels["size"] == size).to_numpy()
        parts.append(Part(size, "", None, inside))
        labels = {label: inside & (kernels["label"] == label).to_numpy() for label in sorted(set(rows["label"]))}
        labels[PATTERNED] = inside & (kernels["label"] != "other").to_numpy()
        labels[CLUSTERED] = inside & (kernels["cluster"] >= 0).to_numpy()
        for label, chosen in labels.items():
            if chosen.sum() >= FEWEST_KERNELS:
                parts.append(Part(size, label, None, chosen))
        for layer in sorted(rows["layer_index"].unique()):
            chosen = inside & (kernels["layer_index"] == layer).to_numpy()
            parts.append(Part(size, "", int(layer), chosen))
    return parts


def find_kernels(
    shards: str | Path, assignments: str | Path, net: nn.Module
) -> tuple[dict[str, nn.Conv2d], pd.DataFrame, list[np.ndarray]]:
    """The kernels of a network that can be replaced: those that have a code.

    Parameters
    ----------
    shards, assignments : path
        Of the model, as the main job wrote them.
    net : nn.Module
        The same network.

    Returns
    -------
    convolutions : dict
        Name -> module, of every depthwise layer, in the order of the shards.
    kernels : DataFrame
        layer, layer_index, channel, size, label, cluster.
    taps : list of float array
        Of each.

    Raises
    ------
    AtlasError
        The shards are not of this network, or no kernel has a code.
    """
    known = {layer.name: module for layer, module in find_layers(net, is_depthwise)}
    convolutions, raw = {}, {}
    for number, shard in enumerate(shards_of(shards)):
        with shard.open() as file:
            table = file.read(["layer", "layer_index", "weight"])
        name, taps = table["layer"][0].as_py(), taps_array(table["weight"])
        # a name that a converter of timm changed: the place tells
        module = known.get(name) or dict(enumerate(known.values())).get(number)
        there = module.weight.detach().float().flatten(1).numpy() if module is not None else np.empty((0, 0))
        if there.shape != taps.shape or not np.allclose(there, taps, rtol=1e-3, atol=1e-6, equal_nan=True):
            raise AtlasError(
                f"{shards}: layer {name} is not in the network that was built; its results are of other weights"
            )
        convolutions[name], raw[table["layer_index"][0].as_py()] = module, (name, taps)
    live = read_table(assignments, ["layer_index", "channel", "kh", "label", "code", "cluster"]).to_pandas()
    live = live[live["code"].notna()].sort_values(["layer_index", "channel"], ignore_index=True)
    if live.empty:
        raise AtlasError(f"{assignments}: no kernel has a code: no size of this network has an autoencoder")
    live["layer"] = live["layer_index"].map({index: name for index, (name, _) in raw.items()})
    live["size"] = live["kh"].map(size_name)
    taps = [raw[index][1][channel] for index, channel in zip(live["layer_index"], live["channel"], strict=True)]
    return convolutions, live[["layer", "layer_index", "channel", "size", "label", "cluster"]], taps


def set_up(
    net: nn.Module, convolutions: Mapping[str, nn.Conv2d], images: Images, parts: int, draws: int, device: str
) -> tuple[Bench, int]:
    """A `Bench` on a device, and how many of its batches are for single labels and layers.

    Parameters
    ----------
    parts : int
        Images for these, of which every draw needs some.
    """
    parts = min(parts, len(images.truth))
    if parts < draws:
        raise AtlasError(f"ablation: {parts} images for {draws} draws; give each draw one at least")
    batch = min(BATCH[device], parts // draws)
    order = torch.channels_last
    images = images._replace(test=images.test.to(memory_format=order), train=images.train.to(memory_format=order))
    bench = Bench(net.to(device, memory_format=order), convolutions, images, batch)
    return bench, -(-parts // batch)


# --- The tables ---------------------------------------------------------------------------------------------------


class Trial(NamedTuple):
    """A row of a table: kernels of a part, replaced or, with a cosine, moved in a direction until they have it."""

    part: Part
    name: str
    cosine: float | None
    controls: tuple[str, ...]


Versions = list[dict[str, np.ndarray]]  # for each draw, size -> new taps of its kernels [n, taps]


def ablate(
    bench: Bench,
    kernels: pd.DataFrame,
    taps: Sequence[np.ndarray],
    tools: Mapping[int, Tools],
    draws: int,
    part_batches: int,
    seed: int,
    folder: str | Path,
    report: Callable[[str], None] = print,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Replace kernels in every way, all and part by part, and see what the network still gets right.

    Parameters
    ----------
    bench : Bench
    kernels : DataFrame
        layer (name), layer_index, channel, size, label, cluster: the live kernels of the sizes in `tools`.
    taps : sequence of float array
        Of each kernel.
    tools : mapping
        Side of the kernels -> Tools.
    draws : int
        Of each control.
    part_batches : int
        Batches of images for single labels and layers; whole networks and sizes are tried on all.
    seed : int
    folder : path
        Keeps the answers of each trial, so that an interrupted run goes on.
    report : callable
        Receives lines of progress.

    Returns
    -------
    table, cosines : DataFrame
        As results/ablation/ablation.csv and cosines.csv without the columns of the model sheet; accuracies in percent,
        differences in points.
    """
    replaced = {}
    for side, tool in sorted(tools.items()):
        rows = np.flatnonzero(kernels["size"] == size_name(side))
        if len(rows):
            replaced[size_name(side)] = Replaced(np.stack([taps[row] for row in rows]), tool, draws, seed)
    kernels = kernels.assign(place=kernels.groupby("size").cumcount())
    trials = _plan(find_parts(kernels), replaced)
    answers, start = sum(1 + len(trial.controls) for trial in trials), time.perf_counter()
    done, table, cosines = 0, [], []
    whole = bench.recall([{}], None, folder)
    for row, trial in enumerate(trials):
        part, batches = trial.part, None if trial.part.is_whole else part_batches
        asked, found = _versions(trial, replaced, kernels), []
        for versions in asked:
            changes = [_changes(bench, kernels, part, version) for version in versions]
            found.append(bench.recall(changes, batches, folder))
            done += 1
            if done % 50 == 0 or done == answers:
                report(f"{done} of {answers} trials, {time.perf_counter() - start:.0f} s")
        images = len(found[0].kept)
        numbers = [bench.draws_of(len(versions), batches) for versions in asked]
        cells = {"cosine": _mean_cosine(trial, replaced, kernels), "draws": len(asked[-1]), "images": images}
        for kind, before, *after in zip(Answers._fields, whole, *found, strict=True):
            end = "" if kind == "kept" else f"_{kind}"
            compared = _compare(before, after, numbers, trial.controls, seed + row)
            cells |= {f"{key}{end}": value for key, value in compared.items()}
        if trial.cosine is not None:
            cosines.append({"size": part.size, "direction": trial.name} | cells)
            continue
        about = {"replacement": trial.name, "size": part.size, "label": part.label, "layer_index": part.layer_index}
        about |= {"kernels": int(part.chosen.sum())} | cells
        table.append(about | {"images_reestimated": sum(map(len, bench.train)) if bench.norms else 0})
    return pd.DataFrame(table).astype({"layer_index": "Int64"}), pd.DataFrame(cosines)


def _plan(parts: list[Part], replaced: Mapping[str, Replaced]) -> list[Trial]:
    """Whole networks and sizes in every way that all their sizes know, other parts by `LABELLED`; steps of sizes."""
    trials = []
    for part in parts:
        known = [one.names() for size, one in replaced.items() if part.size in ("", size)]
        for name in known[0]:
            if all(name in names for names in known) and (part.is_whole or name in LABELLED):
                trials.append(Trial(part, name, None, () if name in UNCONTROLLED else tuple(CONTROLS)))
    sizes = [part for part in parts if part.is_whole and part.size]
    return trials + [Trial(part, name, cosine, ()) for part in sizes for name in DIRECTIONS for cosine in COSINES]


def _versions(trial: Trial, replaced: Mapping[str, Replaced], kernels: pd.DataFrame) -> list[Versions]:
    """Of the replaced or moved kernels of a part, and of each control."""
    name, cosine = trial.name, trial.cosine
    chosen = {size: replaced[size] for size in kernels.loc[trial.part.chosen, "size"].unique()}
    if cosine is not None:
        draws = max(one.draws_towards(name) for one in chosen.values())
        return [[{size: one.move(name, cosine, draw) for size, one in chosen.items()} for draw in range(draws)]]
    draws = max(one.draws for one in chosen.values())
    own = [{size: one.replace(name) for size, one in chosen.items()}]
    controls = [
        [{size: one.control(name, kind, draw) for size, one in chosen.items()} for draw in range(draws)]
        for kind in trial.controls
    ]
    return [own, *controls]


def _mean_cosine(trial: Trial, replaced: Mapping[str, Replaced], kernels: pd.DataFrame) -> float:
    """Of the kernels of a part to what they become; NaN of `zero`."""
    if trial.cosine is not None:
        return trial.cosine
    chosen = kernels[trial.part.chosen].groupby("size")
    return float(np.concatenate([replaced[size].cosines(trial.name)[rows["place"]] for size, rows in chosen]).mean())


def _changes(
    bench: Bench, kernels: pd.DataFrame, part: Part, version: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The layers of a network with the new kernels of a part."""
    changes = {}
    for (layer, size), rows in kernels[part.chosen].groupby(["layer", "size"]):
        weight = bench.weights[layer].flatten(1).cpu().numpy().copy()
        weight[rows["channel"]] = version[size][rows["place"]]
        changes[layer] = weight
    return changes


def _compare(
    before: np.ndarray | None,
    after: Sequence[np.ndarray | None],
    draws: Sequence[np.ndarray],
    controls: Sequence[str],
    seed: int,
) -> dict[str, float]:
    """Accuracies in percent, and differences in points with intervals.

    Parameters
    ----------
    before : bool array
        Answers of the network as it is; the first of them are of the images of `after`. None: not estimated again.
    after : sequence of bool array [images]
        With the replaced kernels, and with each control.
    draws : sequence of int array [images]
        Which draw answered, of each.
    controls : sequence of str
    seed : int
    """
    kinds = [""] if not controls else ["", *CONTROLS, *(f"beyond_{kind}" for kind in CONTROLS)]
    cells = dict.fromkeys(["top1", "baseline_top1", "difference", "low", "high"], np.nan)
    if before is None:
        return cells | {f"{kind}{end}": np.nan for kind in kinds[1:] for end in ("", "_low", "_high")}
    own, before = after[0], before[: len(after[0])]
    pairs = {"": (before, own, draws[0])}
    for kind, other, number in zip(controls, after[1:], draws[1:], strict=True):
        pairs |= {kind: (before, other, number), f"beyond_{kind}": (other, own, number)}
    cells |= {"top1": 100 * own.mean(), "baseline_top1": 100 * before.mean()}
    for kind in kinds:
        one, two, number = pairs[kind]
        change = two.astype(int) - one
        names = [f"{kind}{end}" for end in ("", "_low", "_high")] if kind else ["difference", "low", "high"]
        cells |= dict(zip(names, (100 * change.mean(), *paired_interval(change, number, seed)), strict=True))
    return cells


def paired_interval(change: np.ndarray, draws: np.ndarray, seed: int) -> tuple[float, float]:
    """Bootstrap interval, 95 %, of the mean change of paired answers in points.

    Draws are drawn with replacement and, within each, images: with few draws the share of the interval that is due to
    them is too small, by a tenth of its variance with ten.

    Parameters
    ----------
    change : int array [images]
        -1, 0 or 1.
    draws : int array [images]
        Which draw answered.
    seed : int
    """
    numbers = np.unique(draws)
    counts = np.array([[(change[draws == number] == value).sum() for value in (-1, 0, 1)] for number in numbers])
    sizes = counts.sum(axis=1)
    random = np.random.default_rng(seed)
    picked = random.integers(0, len(numbers), (RESAMPLES, len(numbers)))
    resampled = random.multinomial(sizes[picked], (counts / sizes[:, None])[picked])
    means = (resampled[..., 2] - resampled[..., 0]).sum(axis=1) / sizes[picked].sum(axis=1)
    low, high = 100 * np.quantile(means, TAILS)
    return float(low), float(high)
