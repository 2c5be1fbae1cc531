"""Kernels as the atlas holds them: a block is some layers of one model and size, its columns compressed, as text.

Taps are rounded to 255 steps of each kernel's range: enough for pictures, not for computing. `pages/kernels.js` has the
same columns. Blocks of a small run lie in the page. Those of a large one lie beside it, and the page reads what it
shows; what it shows of all networks at once is a sample.
"""

import base64
import gzip
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from kernel_atlas.core.kernels import centre_and_normalise, taps_array
from kernel_atlas.core.patterns import Templates
from kernel_atlas.io.shards import shards_of
from kernel_atlas.io.tables import read_table

LAYERS = 8192  # kernels of a block, unless a layer has more: half a MB of 7x7
SAMPLE = (16384, 65536, 262144)  # kernels of each level of a sample: the first is read to show a wall of all networks
STEPS = 255  # of a kernel's range
FINE = 65534  # steps of a code (0 to 1) and of a dissimilarity (0 to 2); one more means missing
COARSE = 254  # steps of a cosine (0 to 1); one more means missing
NOT_ASSIGNED = "not square"  # label of kernels that no pattern can have


class Layer(NamedTuple):
    """What the page says of a layer: `share` of its live kernels have a pattern, None where none can have one.

    `most` is the commonest pattern. A tuple, as a large run has 20,000 layers: names in each would be a MB.
    """

    layer_index: int
    layer: str
    kernels: int
    share: float | None
    most: str | None


def read_model(
    kernels: str | Path,
    assignments: str | Path,
    labels: list[str],
    drawn: Callable[[int], Templates],
    fits: pd.DataFrame | None,
) -> Iterator[tuple[str, list[Layer], dict[str, np.ndarray]]]:
    """Size, layers and columns of each size of a model.

    Parameters
    ----------
    kernels, assignments : path
        The model's shards and table of assignments.
    labels : list of str
        All labels; columns have their numbers.
    drawn : callable
        Side -> its patterns, as from `draw_patterns`.
    fits : DataFrame, optional
        The model's rows of fits.csv.
    """
    assigned = dict(list(read_table(assignments).to_pandas().groupby("layer_index")))
    fitted = {} if fits is None else dict(list(fits.groupby("layer_index")))
    # a model may have layers of several sizes
    shards: dict[str, list[pa.Table]] = {}
    for shard in shards_of(kernels):
        with shard.open() as file:
            table = file.read()
        shards.setdefault(f"{table['kh'][0]}x{table['kw'][0]}", []).append(table)
    for size, tables in shards.items():
        layers, parts = [], []
        for table in tables:
            index = table["layer_index"][0].as_py()
            columns = _columns(table, assigned.get(index), fitted.get(index), labels, drawn)
            live = columns["label"] != labels.index("dead")
            found = np.bincount(columns["label"][live], minlength=len(labels))
            patterns = found[: labels.index("other")]
            square = not found[labels.index(NOT_ASSIGNED)]
            share = round(patterns.sum() / live.sum(), 4) if square and live.any() else None
            most = labels[patterns.argmax()] if patterns.any() else None
            layers.append(Layer(index, table["layer"][0].as_py(), len(table), share, most))
            parts.append(columns)
        yield size, layers, {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def split(
    layers: list[Layer], columns: Mapping[str, np.ndarray]
) -> Iterator[tuple[list[Layer], dict[str, np.ndarray]]]:
    """Cut what `read_model` gives at layers, into blocks."""
    ends = np.cumsum([layer.kernels for layer in layers])
    first = begin = 0
    for place, end in enumerate(ends, start=1):
        if place == len(ends) or ends[place] - begin > LAYERS:
            yield layers[first:place], {name: column[begin:end] for name, column in columns.items()}
            first, begin = place, end


def pack_block(columns: Mapping[str, np.ndarray]) -> str:
    """Columns one after the other, little-endian, wide types first (as typed arrays must begin at their multiples)."""
    ordered = sorted(columns.values(), key=lambda column: -column.itemsize)
    raw = b"".join(column.astype(column.dtype.newbyteorder("<")).tobytes() for column in ordered)
    return as_text(gzip.compress(raw, 9, mtime=0))


class Sample:
    """Kernels of one size drawn at random from all models, added model by model; it never holds many more."""

    def __init__(self, seed: int):
        self._random = np.random.default_rng(seed)
        self._drawn: dict[str, np.ndarray] = {}
        self._count = 0

    def add(self, columns: Mapping[str, np.ndarray]) -> None:
        """Add a model's kernels, after those of the models before."""
        more = len(columns["label"])
        place = np.arange(self._count, self._count + more, dtype=np.uint32)
        new = {"place": place, **columns, "draw": self._random.random(more)}
        before = self._drawn or {name: column[:0] for name, column in new.items()}
        self._drawn = {name: np.concatenate([before[name], column]) for name, column in new.items()}
        self._count += more
        if len(self._drawn["draw"]) > sum(SAMPLE):
            kept = np.argpartition(self._drawn["draw"], sum(SAMPLE))[: sum(SAMPLE)]
            self._drawn = {name: column[kept] for name, column in self._drawn.items()}

    def levels(self) -> Iterator[dict[str, np.ndarray]]:
        """The columns of each level that has kernels; `place` is a kernel's number among all, in rising order."""
        order = np.argsort(self._drawn.pop("draw"))
        for level in np.split(order, np.cumsum(SAMPLE)[:-1]):
            if len(level):
                rows = level[np.argsort(self._drawn["place"][level])]
                yield {name: column[rows] for name, column in self._drawn.items()}


class Folder:
    """Blocks as files beside a page: scripts that hand over a text, which a page that lies on a disk may read, too."""

    def __init__(self, path: Path):
        self.path = path
        self._bytes: list[int] = []

    def add(self, columns: Mapping[str, np.ndarray]) -> dict[str, int]:
        """Write a block; its number, and the bytes of its file."""
        number, text = len(self._bytes), pack_block(columns)
        size = self._file(number).write_text(f'receive({number}, "{text}")\n', encoding="ascii")
        self._bytes.append(size)
        return {"block": number, "bytes": size}

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(self._bytes)

    def take(self) -> list[str]:
        """The texts of all blocks, out of the folder."""
        texts = []
        for number in range(len(self._bytes)):
            texts.append(self._file(number).read_text(encoding="ascii").split('"')[1])
            self._file(number).unlink()
        return texts

    def _file(self, number: int) -> Path:
        return self.path / f"{number}.js"


def _columns(
    shard: pa.Table,
    assigned: pd.DataFrame | None,
    fits: pd.DataFrame | None,
    labels: list[str],
    drawn: Callable[[int], Templates],
) -> dict[str, np.ndarray]:
    """The columns of a block for the kernels of one layer, in the order of `pages/kernels.js`."""
    count, raw = len(shard), taps_array(shard["weight"])
    places = {label: place for place, label in enumerate(labels)}
    channels = shard["channel"].to_numpy()
    columns = {
        "channel": channels.astype(np.uint32),
        "code": np.full(count, FINE + 1, np.uint16),
        "dissimilarity": np.full(count, FINE + 1, np.uint16),
        "template": np.zeros(count, np.uint16),
        "label": np.where(shard["dead"].to_numpy(), places["dead"], places[NOT_ASSIGNED]).astype(np.uint16),
        "second": np.zeros(count, np.uint16),
        "fit": np.zeros(count, np.uint16),
        "similarity": np.full(count, COARSE + 1, np.uint8),
        "margin": np.full(count, COARSE + 1, np.uint8),
        "fit_cosine": np.full(count, COARSE + 1, np.uint8),
        "explained": np.zeros(count, np.uint8),
    }
    if assigned is not None:
        named = assigned["second"].where(assigned["label"] == "other", assigned["label"])
        columns["template"] = _templates(raw, named.to_numpy(), drawn(round(raw.shape[1] ** 0.5)))
        columns["label"] = assigned["label"].map(places).to_numpy(np.uint16)
        columns["second"] = assigned["second"].map(places).fillna(0).to_numpy(np.uint16)
        columns["code"] = steps_of(assigned["code"].to_numpy(), FINE, np.uint16)
        columns["dissimilarity"] = steps_of(assigned["dissimilarity"].to_numpy() / 2, FINE, np.uint16)
        columns["similarity"] = steps_of(assigned["similarity"].to_numpy(), COARSE, np.uint8)
        columns["margin"] = steps_of(assigned["margin"].to_numpy(), COARSE, np.uint8)
    if fits is not None:  # of the kernels drawn for the evidence
        rows = np.searchsorted(channels, fits["channel"])
        columns["fit"][rows] = fits["label"].map(places)
        columns["fit_cosine"][rows] = steps_of(fits["cosine"].to_numpy(), COARSE, np.uint8)
        columns["explained"][rows] = fits["explained"]
    taps, low, step = rounded(np.nan_to_num(raw, nan=0, posinf=0, neginf=0))
    return {"low": low, "step": step, **columns, "taps": taps}


def _templates(raw: np.ndarray, named: np.ndarray, drawn: Templates) -> np.ndarray:
    """Number [n] of the most similar template with the kernel's name; 0 where no template has it."""
    cosines = np.nan_to_num(centre_and_normalise(raw)) @ drawn.taps.T
    same = named[:, None] == np.array(drawn.labels, object)[None]
    return np.where(same, cosines, -2).argmax(axis=1).astype(np.uint16)


def rounded(kernels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Taps as uint8 [n, taps]; the least tap and the step of each kernel, float32 [n]: tap = least + step * rounded.

    Least and step have no more binary digits than taps need, as zeros compress: the step is rounded up to 9, the least
    by at most a quarter of a step before taps are.
    """
    low, high = (ends.astype(np.float64) for ends in (kernels.min(axis=1), kernels.max(axis=1)))
    fraction, exponent = np.frexp((high - low) / STEPS)
    step = np.ldexp(np.ceil(fraction * 512) / 512, exponent)
    unit = np.ldexp(1.0, exponent - 2)  # at most half a step
    low = np.where(step > 0, np.rint(low / unit) * unit, low)
    taps = np.rint((kernels - low[:, None]) / np.where(step > 0, step, 1)[:, None])
    return taps.astype(np.uint8), low.astype(np.float32), step.astype(np.float32)


def steps_of(values: np.ndarray, steps: int, kind: type) -> np.ndarray:
    """Round values from 0 to 1 to whole steps; NaN becomes one step more."""
    return np.where(np.isnan(values), steps + 1, np.rint(np.clip(values, 0, 1) * steps)).astype(kind)


def as_text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
