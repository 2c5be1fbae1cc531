"""What are the patterns for? Accuracy of a network whose depthwise kernels are replaced by something simpler.

Every replacement but `zero` keeps a kernel's mean and the norm of what is left of it, so that only the pattern changes.
All kernels of a network are replaced, those of one size, one label or one layer; the last two are compared with as many
other kernels, drawn at random. The same images answer before and after, so that differences are paired.
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
from kernel_atlas.core.kernels import centre_and_normalise, size_name, taps_array
from kernel_atlas.evidence.fit import draw_fits
from kernel_atlas.evidence.kernels import read_filters
from kernel_atlas.io.checkpoint import is_depthwise
from kernel_atlas.io.shards import shards_of
from kernel_atlas.io.tables import read_table
from kernel_atlas.io.timm_layers import find_layers
from kernel_atlas.model.assign import Labeller
from kernel_atlas.model.clusters import cluster_of
from kernel_atlas.model.encoder import read_encoder
from kernel_atlas.stats.resampling import RESAMPLES, TAILS
from kernel_atlas.training.bench import Answers, Bench
from kernel_atlas.training.networks import Images

FEWEST_KERNELS = 10  # of a label in a network, below which it is not replaced alone
BATCH = {"cpu": 64, "cuda": 512}  # images at a time: on a CPU as many as stay in the cache
KEY_SIDE = 7  # of the published master keys


# --- What kernels are replaced by ---------------------------------------------------------------------------------


class Tools(NamedTuple):
    """What replacements of one size are made with: the labeller, with prototypes, and the master keys.

    `keys` are centred unit kernels [k, taps], None for sizes without.
    """

    labeller: Labeller
    keys: np.ndarray | None


def _reconstruct(units: np.ndarray, tools: Tools, random: np.random.Generator) -> np.ndarray:
    return tools.labeller.coder.decode(tools.labeller.coder.encode(units))


def _to_prototype(units: np.ndarray, tools: Tools, random: np.random.Generator) -> np.ndarray:
    """The prototype of the cluster whose stretch holds the code, of kernels too that are `other`."""
    clusters = tools.labeller.clusters
    stretch = cluster_of(tools.labeller.coder.encode(units), clusters)
    prototypes = tools.labeller.prototypes.set_index(["cluster", "label"])["kernel"]
    return np.stack([prototypes[tuple(row)] for row in clusters[["cluster", "label"]].to_numpy(object)])[stretch]


def _from_pose(units: np.ndarray, tools: Tools, random: np.random.Generator) -> np.ndarray:
    poses, codes, _ = tools.labeller.posed.reconstruct(units)
    return tools.labeller.posed.decode(poses, codes)


def _to_fit(units: np.ndarray, tools: Tools, random: np.random.Generator) -> np.ndarray:
    return draw_fits(units)


def _to_key(units: np.ndarray, tools: Tools, random: np.random.Generator) -> np.ndarray:
    """The key of the highest absolute cosine, with its sign.

    Of `a * key + b` the mean sets b and the norm sets |a|: the least-squares a is smaller by that cosine, which would
    mix a weaker kernel into the question of its form.
    """
    cosines = units @ tools.keys.T
    best = np.abs(cosines).argmax(axis=1)
    return np.sign(cosines[np.arange(len(units)), best])[:, None] * tools.keys[best]


def _to_noise(units: np.ndarray, tools: Tools, random: np.random.Generator) -> np.ndarray:
    return random.standard_normal(units.shape)


def _shuffle(units: np.ndarray, tools: Tools, random: np.random.Generator) -> np.ndarray:
    return random.permuted(units, axis=1)


# Centred unit kernels [n, taps] -> what stands for each, of any mean and norm. `zero` sets every tap to 0.
REPLACEMENTS: dict[str, Callable[[np.ndarray, Tools, np.random.Generator], np.ndarray] | None] = {
    "reconstruction": _reconstruct,
    "posed": _from_pose,
    "prototype": _to_prototype,
    "fit": _to_fit,
    "master_key": _to_key,
    "random": _to_noise,
    "shuffled": _shuffle,
    "zero": None,
}
DRAWN = ("random", "shuffled")  # those that are another at every draw


def replace_kernels(name: str, kernels: np.ndarray, tools: Tools, random: np.random.Generator) -> np.ndarray:
    """Replace kernels by what `name` makes of them, with the mean and the centred norm that they had.

    Parameters
    ----------
    name : str
        One of `REPLACEMENTS`. `zero` keeps neither mean nor norm.
    kernels : float array [n, taps]
        As they are in the network, none dead.
    tools : Tools
        Of their size.
    random : Generator
        Of the replacements in `DRAWN`.

    Returns
    -------
    float32 array [n, taps]
    """
    make = REPLACEMENTS[name]
    if make is None:
        return np.zeros(kernels.shape, np.float32)
    raw = kernels.astype(np.float64)
    mean = raw.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(raw - mean, axis=1, keepdims=True)
    pattern = centre_and_normalise(make(centre_and_normalise(kernels), tools, random)).astype(np.float64)
    return (mean + norm * pattern).astype(np.float32)


# --- Which kernels are replaced -----------------------------------------------------------------------------------


class Part(NamedTuple):
    """Some kernels of a network, bool [kernels]; of all sizes, labels and layers where these are empty."""

    size: str
    label: str
    layer_index: int | None
    chosen: np.ndarray

    @property
    def is_whole(self) -> bool:
        """Whether it is a whole network or size, which has no other kernels to be compared with."""
        return not self.label and self.layer_index is None


def find_parts(kernels: pd.DataFrame) -> list[Part]:
    """All kernels; of each size all, those of each common label, those in a cluster (`clustered`); each layer.

    Parameters
    ----------
    kernels : DataFrame
        size, label, cluster, layer_index; of one network.
    """
    parts = [Part("", "", None, np.ones(len(kernels), bool))]
    for size, rows in kernels.groupby("size"):
        inside = (kernels["size"] == size).to_numpy()
        parts.append(Part(size, "", None, inside))
        clustered = inside & (kernels["cluster"] >= 0).to_numpy()
        labels = {label: inside & (kernels["label"] == label).to_numpy() for label in sorted(set(rows["label"]))}
        for label, chosen in {**labels, "clustered": clustered}.items():
            if chosen.sum() >= FEWEST_KERNELS:
                parts.append(Part(size, label, None, chosen))
        for layer in sorted(rows["layer_index"].unique()):
            parts.append(Part(size, "", int(layer), (kernels["layer_index"] == layer).to_numpy()))
    return parts


def match_others(kernels: pd.DataFrame, part: Part, random: np.random.Generator) -> np.ndarray | None:
    """As many kernels of the same size that are not in a part, at random; None where there are fewer.

    Those of a label come from the same layers, as many from each as the label has there, as far as there are so many
    others; the rest from anywhere. What a layer does depends on where it is, and so do labels.

    Parameters
    ----------
    kernels : DataFrame
        size, layer_index.
    part : Part
    random : Generator

    Returns
    -------
    bool array [kernels]
    """
    others = (kernels["size"] == part.size).to_numpy() & ~part.chosen
    count = part.chosen.sum()
    if others.sum() < count:
        return None
    layers = kernels["layer_index"].to_numpy()
    drawn = np.zeros(len(kernels), bool)
    for layer in np.unique(layers[part.chosen]):
        there = np.flatnonzero(others & (layers == layer))
        wanted = (part.chosen & (layers == layer)).sum()
        drawn[random.permutation(there)[:wanted]] = True
    rest = random.permutation(np.flatnonzero(others & ~drawn))
    drawn[rest[: count - drawn.sum()]] = True
    return drawn


# --- The table ----------------------------------------------------------------------------------------------------


def ablate(
    bench: Bench,
    kernels: pd.DataFrame,
    taps: Sequence[np.ndarray],
    tools: Mapping[int, Tools],
    draws: int,
    part_batches: int,
    seed: int,
    report: Callable[[str], None] = print,
) -> pd.DataFrame:
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
        Of random kernels, of shuffled taps, and of the other kernels that a part is compared with.
    part_batches : int
        Batches of images for single labels and layers; whole networks and sizes are tried on all.
    seed : int
    report : callable
        Receives lines of progress.

    Returns
    -------
    DataFrame
        As results/ablation/ablation.csv without `model`; accuracies in percent, differences in points.
    """
    made = _make_all(kernels, taps, tools, draws, seed)
    trials, rows = [], []
    for number, part in enumerate(find_parts(kernels)):
        random = np.random.default_rng([seed, number])
        others = [None] if part.is_whole else [match_others(kernels, part, random) for _ in range(draws)]
        sizes = set(kernels.loc[part.chosen, "size"])
        for name in REPLACEMENTS:
            if sizes <= made[name][0].keys():
                row = len(rows)
                rows.append((name, part, others[0]))
                trials.append(Trial(row, "chosen", [part.chosen] * len(made[name])))
                if others[0] is not None:
                    trials.append(Trial(row, "others", others))

    found, start = {}, time.perf_counter()
    whole, parts = (bench.answer([{}], batches) for batches in (None, part_batches))
    for done, trial in enumerate(trials, start=1):
        name, part, _ = rows[trial.row]
        versions = [made[name][draw % len(made[name])] for draw in range(len(trial.masks))]
        changes = [_changes(bench, kernels, *pair) for pair in zip(trial.masks, versions, strict=True)]
        found[trial.row, trial.role] = bench.answer(changes, None if part.is_whole else part_batches)
        if done % 50 == 0 or done == len(trials):
            report(f"{done} of {len(trials)} trials, {time.perf_counter() - start:.0f} s")

    table = []
    for row, (name, part, others) in enumerate(rows):
        batches = None if part.is_whole else part_batches
        chosen, other = found[row, "chosen"], found.get((row, "others"), (None, None))
        about = {"replacement": name, "size": part.size, "label": part.label, "layer_index": part.layer_index}
        about |= {"kernels": int(part.chosen.sum()), "draws": len(made[name]), "images": len(chosen.kept)}
        about |= {"others_in_layers": np.nan if others is None else _in_layers(kernels, part.chosen, others)}
        numbers = [bench.draws_of(many, batches) for many in (len(made[name]), draws)]
        compared = zip(Answers._fields, whole if part.is_whole else parts, chosen, other, strict=True)
        for kind, *answers in compared:
            end = "" if kind == "kept" else f"_{kind}"
            about |= {f"{key}{end}": value for key, value in _compare(*answers, *numbers, seed + row).items()}
        table.append(about | {"images_reestimated": sum(map(len, bench.train)) if bench.norms else 0})
    return pd.DataFrame(table).astype({"layer_index": "Int64"})


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


def make_tools(encoder: str | Path, filters: str | Path) -> dict[int, Tools]:
    """Side of the kernels -> Tools, from the labeller of a run and the published filters."""
    return {
        side: Tools(
            labeller,
            centre_and_normalise(read_filters(filters).reshape(-1, side * side)) if side == KEY_SIDE else None,
        )
        for side, labeller in read_encoder(encoder).items()
    }


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


class Trial(NamedTuple):
    """Kernels to replace, for a row of the table: a mask, bool [kernels], for each draw."""

    row: int
    role: str
    masks: list[np.ndarray]


Made = dict[str, dict[int, np.ndarray]]


def _make_all(
    kernels: pd.DataFrame, taps: Sequence[np.ndarray], tools: Mapping[int, Tools], draws: int, seed: int
) -> dict[str, list[Made]]:
    """Replacement -> for each draw, size -> row of `kernels` -> new taps; none of sizes without keys or poses."""
    made = {name: [{} for _ in range(draws if name in DRAWN else 1)] for name in REPLACEMENTS}
    for number, (side, tool) in enumerate(sorted(tools.items())):
        rows = np.flatnonzero(kernels["size"] == size_name(side))
        raw = np.stack([taps[row] for row in rows]) if len(rows) else np.empty((0, side * side))
        for kind, (name, versions) in enumerate(made.items()):
            if (name == "master_key" and tool.keys is None) or (name == "posed" and tool.labeller.posed is None):
                continue
            for draw, version in enumerate(versions):
                new = replace_kernels(name, raw, tool, np.random.default_rng([seed, number, kind, draw]))
                version[size_name(side)] = dict(zip(rows.tolist(), new, strict=True))
    return made


def _changes(bench: Bench, kernels: pd.DataFrame, mask: np.ndarray, version: Made) -> dict[str, np.ndarray]:
    """The layers of a network with new kernels where the mask is true."""
    changes = {}
    chosen = kernels.assign(row=np.arange(len(kernels)))[mask]
    for (layer, size), rows in chosen.groupby(["layer", "size"]):
        weight = bench.weights[layer].flatten(1).cpu().numpy().copy()
        weight[rows["channel"]] = np.stack([version[size][row] for row in rows["row"]])
        changes[layer] = weight
    return changes


def _in_layers(kernels: pd.DataFrame, chosen: np.ndarray, others: np.ndarray) -> float:
    """Share of other kernels that lie in the layers of the chosen."""
    layers = kernels["layer_index"].to_numpy()
    return float(np.isin(layers[others], layers[chosen]).mean())


def _compare(
    before: np.ndarray | None,
    after: np.ndarray | None,
    instead: np.ndarray | None,
    own_draws: np.ndarray,
    draws: np.ndarray,
    seed: int,
) -> dict[str, float]:
    """Accuracies in percent, and differences in points with intervals, of answers bool [images].

    `own_draws` are those of the replacement, int [images]; `draws` those of the other kernels, and so of what is
    compared with them.
    """
    cells = dict.fromkeys(["top1", "baseline_top1", "difference", "low", "high"], np.nan)
    cells |= dict.fromkeys(["others", "others_low", "others_high", "beyond", "beyond_low", "beyond_high"], np.nan)
    if after is None:
        return cells
    cells |= {"top1": 100 * after.mean(), "baseline_top1": 100 * before.mean()}
    pairs = {("difference", "low", "high"): (before, after, own_draws)}
    if instead is not None:
        pairs |= {("others", "others_low", "others_high"): (before, instead, draws)}
        pairs |= {("beyond", "beyond_low", "beyond_high"): (instead, after, draws)}
    for names, (one, two, number) in pairs.items():
        change = two.astype(int) - one
        cells |= dict(zip(names, (100 * change.mean(), *paired_interval(change, number, seed)), strict=True))
    return cells


def paired_interval(change: np.ndarray, draws: np.ndarray, seed: int) -> tuple[float, float]:
    """Bootstrap interval, 95 %, of the mean change of paired answers in points.

    Draws are drawn with replacement and, within each, images: with few draws the share of the interval that is due to
    them is too small, by a quarter of its variance with four.

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
