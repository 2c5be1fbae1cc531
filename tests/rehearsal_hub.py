"""A hub that serves all of config/timm.yaml without holding its 105 GB: bytes are made when they are asked for.

    python tests/rehearsal_hub.py FOLDER DELAY BANDWIDTH [RETAGGED ...]

serves until its input ends, and answers every line of it with the requests and bytes since the last. FOLDER holds the
headers that `write_headers` made. A retagged network has other kernels at another commit.

Names, shapes, types and offsets are those of timm's networks. Depthwise tensors hold reference patterns with noise,
mixed by family and depth as in rehearsal_mix.tsv, so that what a run should find is known (`plant`). All other tensors
repeat one block of noise. Faults are in rehearsal_faults.tsv.
"""

import bisect
import functools
import gzip
import hashlib
import json
import os
import sys
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from hub_server import Content, Hub, Repo  # noqa: E402  (what a process of its own does not find before)

from kernel_atlas.core.patterns import Matcher, templates  # noqa: E402

HERE, SHEET, LAYERS = Path(__file__).parent, ROOT / "config/timm.tsv", ROOT / "resources/timm_layers.parquet"
NOISE = 0.15  # norm of the noise on a pattern of norm 1: of 400 kernels none gets another label
NOISE_LAYER, DEAD_LAYER = 11, 17  # each so many layers of a network, one is noise, one dead
DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32", "bool": "BOOL"}
BYTES = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "BOOL": 1}
TILE = np.random.default_rng(0).normal(0, 0.02, 2**18).astype(np.float32).tobytes()


def read_faults() -> pd.DataFrame:
    """What goes wrong: tag, fault, lost (whether the network cannot be read), says (a part of its error)."""
    return pd.read_csv(HERE / "rehearsal_faults.tsv", sep="\t", keep_default_na=False)


@functools.cache
def _tables() -> tuple[pd.Series, pd.DataFrame, dict[str, pd.DataFrame]]:
    """Family of each tag, the mix, and the layers of each tag."""
    layers = pd.read_parquet(LAYERS)
    families = pd.read_csv(SHEET, sep="\t", index_col="model")["family"]
    return families, pd.read_csv(HERE / "rehearsal_mix.tsv", sep="\t"), dict(iter(layers.groupby("model", sort=False)))


class Planted(NamedTuple):
    """A layer's kernels: their labels and taps, [n] and float32 [n, taps]; `noise` and other forms have no label."""

    labels: np.ndarray
    taps: np.ndarray


def plant(tag: str, seed: int = 0) -> dict[str, Planted]:
    """The kernels of every depthwise layer of a tag, by name, in the order of the network."""
    rows = list(_tables()[2][tag].itertuples())
    return {row.layer: _planted(tag, row.layer_index, len(rows), row.channels, row.kh, row.kw, seed) for row in rows}


def _planted(tag: str, index: int, layers: int, channels: int, height: int, width: int, seed: int) -> Planted:
    families, mix, _ = _tables()
    random = np.random.default_rng([zlib.crc32(tag.encode()), index, seed])
    noise = random.standard_normal((channels, height * width), np.float32)
    if height != width or height < 3 or index % NOISE_LAYER == NOISE_LAYER - 1:
        return Planted(np.full(channels, "noise", object), 0.1 * noise)
    if index % DEAD_LAYER == DEAD_LAYER - 1:
        return Planted(np.full(channels, "dead", object), 1e-6 * noise)
    family = families[tag] if families[tag] in set(mix["family"]) else "*"
    depth = ("first", "middle", "last")[3 * index // layers]
    mine = mix[(mix["family"] == family) & (mix["depth"] == depth)]
    drawn = _clearest(height)
    mine = mine[mine["label"].isin([*drawn, "dead"])]  # 3x3 has neither squares, crosses nor shifts
    labels = random.choice(mine["label"].to_numpy(object), channels, p=mine["share"] / mine["share"].sum())
    patterns = np.array([drawn.get(label, np.zeros(height * width)) for label in labels], np.float32)
    taps = patterns + noise * np.float32(NOISE / height)
    taps *= random.lognormal(-2, 0.5, (channels, 1)).astype(np.float32)
    return Planted(labels, np.where(labels[:, None] == "dead", np.float32(1e-6) * noise, taps))


@functools.cache
def _clearest(side: int) -> dict[str, np.ndarray]:
    """Of each label the pattern furthest from all other families, unit taps by name."""
    drawn = templates(side)
    found = Matcher(drawn).match(drawn.taps)
    table = pd.DataFrame({"label": drawn.labels, "name": found.name, "margin": found.margin})
    kept = table[table["label"] == table["name"]].sort_values("margin").drop_duplicates("label", keep="last")
    return {label: drawn.taps[row] for row, label in kept["label"].items()}


def write_headers(folder: Path, tags: Iterable[str]) -> None:
    """Keep name, type and shape of every tensor of timm's networks, in the order of a safetensors file."""
    missing = [tag for tag in tags if not (folder / f"{tag}.json.gz").exists()]
    if not missing:
        return
    from kernel_atlas.io.timm_layers import build_on_meta  # imports timm, 8 s

    folder.mkdir(parents=True, exist_ok=True)
    for tag in missing:
        state = build_on_meta(tag).state_dict()
        told = [(name, DTYPES[str(value.dtype).split(".")[1]], list(value.shape)) for name, value in state.items()]
        told.sort(key=lambda tensor: (-BYTES[tensor[1]], tensor[0]))  # as the safetensors library orders them
        partial = folder / f".{os.getpid()}.{tag}"
        partial.write_bytes(gzip.compress(json.dumps(told).encode(), mtime=0))
        partial.rename(folder / f"{tag}.json.gz")


class Made:
    """The bytes of a checkpoint, made when a part of a part is taken: `made[a:b]` is lazy, `made[a:b][c:d]` bytes."""

    def __init__(self, tag: str, headers: Path, seed: int, fault: str) -> None:
        self.tag, self.seed = tag, seed
        tensors = json.loads(gzip.decompress((headers / f"{tag}.json.gz").read_bytes()))
        sizes = [int(np.prod(shape)) * BYTES[dtype] for _, dtype, shape in tensors]
        stops = np.cumsum(sizes).tolist()
        starts = [stop - size for stop, size in zip(stops, sizes, strict=True)]
        entries = {"__metadata__": {"format": "pt"}}
        for (name, dtype, shape), start, stop in zip(tensors, starts, stops, strict=True):
            entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}
        if fault == "overlap":
            name, size = next((name, size) for (name, *_), size in zip(tensors, sizes, strict=True) if size)
            entries[name]["data_offsets"] = [stops[-1] - size, stops[-1]]
        text = json.dumps(entries, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        if fault == "no-json":
            text = b"<html>" + text[6:]
        self.head = len(text).to_bytes(8, "little") + text
        self.size = len(self.head) + stops[-1] // (2 if fault == "truncated" else 1)
        rows = _tables()[2][tag].set_index("layer")
        self.layers = [
            (start, stop, name)
            for (name, *_), start, stop in zip(tensors, starts, stops, strict=True)
            if name in rows.index
        ]
        self.places = dict(
            zip(rows.index, rows[["layer_index", "channels", "kh", "kw"]].to_numpy().tolist(), strict=True)
        )

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice) -> "Part":
        return Part(self, *part.indices(self.size)[:2])

    def make(self, start: int, stop: int) -> bytes:
        """The bytes from `start` to `stop` of the file."""
        data = self.head[start:stop]
        low, high = max(0, start - len(self.head)), stop - len(self.head)
        at = bisect.bisect_right(self.layers, low, key=lambda layer: layer[1])
        while low < high:
            first, last, name = self.layers[at] if at < len(self.layers) else (high, high, "")
            if low < first:  # up to the next depthwise layer
                end = min(high, first, low + len(TILE) - low % len(TILE))
                data += TILE[low % len(TILE) : low % len(TILE) + end - low]
            else:
                end = min(high, last)
                data += _bytes_of(self, name)[low - first : end - first]
                at += end == last
            low = end
        return data


@dataclass(frozen=True)
class Part:
    """A range of a file that is not made yet."""

    made: Made
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self.stop - self.start)
        return self.made.make(self.start + start, self.start + max(start, stop))


@functools.lru_cache(128)  # those that are on their way
def _bytes_of(made: Made, name: str) -> bytes:
    index, *form = made.places[name]
    return _planted(made.tag, index, len(made.places), *form, made.seed).taps.tobytes()


class MadeContent(Content):
    """A checkpoint as the hub lists it; its names are those of what it is made from."""

    def __init__(self, made: Made) -> None:
        self.data, self.lfs = made, True
        self.sha256 = hashlib.sha256(made.head + f"{made.tag} {made.seed} {len(made)}".encode()).hexdigest()
        self.oid = hashlib.sha1(self.sha256.encode()).hexdigest()


def fill(hub: Hub, headers: Path, tags: Iterable[str], retagged: Iterable[str] = ()) -> None:
    """Put repositories of tags on a hub, with licences of the sheet, and arm the faults."""
    faults = read_faults().set_index("tag")["fault"]
    licences = pd.read_csv(SHEET, sep="\t", index_col="model")["licence"]
    for tag in tags:
        repository, fault = _tables()[2][tag]["weights"].iloc[0], faults.get(tag, "")
        if fault in ("missing", "elsewhere"):
            continue
        licence = licences[tag] if isinstance(licences[tag], str) else None
        repo = Repo(repository, licence=licence, gated=fault == "gated")
        content = MadeContent(Made(tag, headers, int(tag in set(retagged)), fault))
        repo.revisions["main"] = content.oid
        repo.commits[content.oid] = {} if fault == "empty" else {"model.safetensors": content}
        hub.repos[repository] = repo
        if fault == "403":
            hub.fail(fault, None, f"hub:/{repository}/resolve/")
        elif fault in ("429", "503", "reset"):
            hub.fail(fault, 2, f"hub:/{repository}/resolve/")
        elif fault == "cut":
            hub.fail(fault, 2, f"cdn:/repos/{repository}/")


def main(folder: str, delay: str, bandwidth: str, *retagged: str) -> None:
    headers = Path(folder)
    with Hub() as hub:
        hub.delay, hub.bandwidth = float(delay), float(bandwidth)
        fill(hub, headers, (file.name.removesuffix(".json.gz") for file in sorted(headers.glob("*.json.gz"))), retagged)
        print(hub.endpoint, flush=True)
        for _ in sys.stdin:
            print(json.dumps([len(hub.requests), sum(entry.sent for entry in hub.requests)]), flush=True)
            hub.clear()


if __name__ == "__main__":
    main(*sys.argv[1:])
