"""Write the atlas: one HTML page to explore every kernel, with its taps, code, label, best template and fit.

Taps are rounded to 255 steps of each kernel's range, which is enough to look at; whoever computes takes the shards. The
kernels of one model and size are a block in the page: columns one after the other, compressed, as text. The page
unpacks a block when it shows one of its kernels (`pages/kernels.js` has the same columns).
"""

import base64
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from markupsafe import Markup
from matplotlib import colormaps
from matplotlib.colors import to_hex

from kernel_atlas.core.kernels import centre_and_normalise, taps_array
from kernel_atlas.core.patterns import family_of, templates
from kernel_atlas.core.vocabulary import FAMILIES
from kernel_atlas.figures.kernels import TAPS
from kernel_atlas.io.shards import shards_of
from kernel_atlas.io.tables import read_table
from kernel_atlas.model.clusters import find_prototypes
from kernel_atlas.publish.page import read_script, write_page

STEPS = 255  # of a kernel's range
FINE = 65534  # steps of a code (0 to 1) and of a dissimilarity (0 to 2); one more is: there is none
COARSE = 254  # steps of a cosine (0 to 1); one more is: there is none
NOT_ASSIGNED = "no autoencoder"  # label of a kernel of a size that has none
SCRIPTS = ("kernels.js", "wall.js", "atlas.js")


class Size(NamedTuple):
    """What the page must know of one size: the spectrum, the clusters and the threshold, if there are."""

    spectrum: pa.Table
    clusters: pd.DataFrame
    threshold: float


def write_atlas(
    output: str | Path,
    template: str | Path,
    title: str,
    sheet: pd.DataFrame,
    kernels: Mapping[str, str | Path],
    assignments: Mapping[str, str | Path],
    sizes: Mapping[str, Size],
    fits: pd.DataFrame | None = None,
) -> None:
    """Write the page.

    Parameters
    ----------
    output : path
    template : path
        `pages/atlas.html`; scripts lie beside it.
    title : str
    sheet : DataFrame
        From `read_sheet`.
    kernels, assignments : mapping
        Model -> its folder of shards, and its table of assignments.
    sizes : mapping
        Size (`7x7`) -> what is known of it, of the sizes with an autoencoder.
    fits : DataFrame, optional
        fits.csv, of the kernels that were fitted.
    """
    names = set() if fits is None else set(fits["label"])
    names.update(*(size.clusters["label"] for size in sizes.values()))
    labels = [*sorted(names), "other", "dead", NOT_ASSIGNED]
    rows = sheet.set_index("model").astype(object)
    fitted = {} if fits is None else dict(list(fits.groupby("model")))
    models, blocks = [], []
    for model in sorted(kernels):
        packed = list(_pack_model(kernels[model], assignments[model], labels, sizes, fitted.get(model)))
        facts = {name: rows.at[model, name] for name in ("use", "convolution", "family", "dataset", "top1")}
        models.append(
            {"model": model}
            | {name: value for name, value in facts.items() if pd.notna(value)}
            | {"blocks": [{"size": size, "layers": layers} for size, layers, _ in packed]}
        )
        blocks += [data for _, _, data in packed]
    facts = {
        "labels": [{"label": label, "colour": _colour(label), "off": label.startswith("Off-")} for label in labels],
        "colours": [to_hex(colour) for colour in colormaps[TAPS](np.linspace(0, 1, STEPS))],
        "sizes": _describe_sizes(sizes, models),
        "models": models,
    }
    pages = Path(template).parent
    charts = read_script(pages / "vendor/echarts.min.js", pages / "vendor/echarts.LICENSE.txt")
    write_page(
        output,
        template,
        title=title,
        facts=Markup(json.dumps(facts, allow_nan=False).replace("<", "\\u003c")),  # in a script, a tag would end it
        blocks=blocks,
        style=Markup((pages / "atlas.css").read_text(encoding="utf-8")),
        scripts=[charts, *(Markup((pages / name).read_text(encoding="utf-8")) for name in SCRIPTS)],
    )


def _colour(label: str) -> str:
    return {"dead": "#000000", NOT_ASSIGNED: "#ffffff", "other": FAMILIES["other"][0]}.get(
        label, FAMILIES[family_of(label)][0]
    )


def _describe_sizes(sizes: Mapping[str, Size], models: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the page must know of every size that a model has, by height and width."""
    there = {block["size"] for model in models for block in model["blocks"]}
    described = []
    for size in sorted(there, key=lambda name: [int(side) for side in name.split("x")]):
        height, width = (int(side) for side in size.split("x"))
        known = {"size": size, "height": height, "width": width, "templates": []}
        if height == width:
            family = templates(height)
            known["templates"] = [" ".join(pair) for pair in zip(family.labels, family.parameters, strict=True)]
        if size in sizes:
            prototypes = find_prototypes(sizes[size].spectrum, sizes[size].clusters)
            clusters = sizes[size].clusters
            known |= {
                "threshold": sizes[size].threshold,
                "counts": sizes[size].spectrum["kernels"].to_pylist(),
                "spectrum": _as_text(_rounded(taps_array(sizes[size].spectrum["decoded"]))[0].tobytes()),
                "clusters": clusters[["cluster", "label", "code_low", "code_high"]].to_dict("records"),
                "prototypes": {
                    "clusters": prototypes["cluster"].tolist(),
                    "labels": prototypes["label"].tolist(),
                    "taps": _as_text(_rounded(np.stack(prototypes["kernel"]))[0].tobytes()),
                },
            }
        described.append(known)
    return described


def _pack_model(
    kernels: str | Path,
    assignments: str | Path,
    labels: list[str],
    sizes: Mapping[str, Size],
    fits: pd.DataFrame | None,
) -> Iterator[tuple[str, list[dict[str, Any]], str]]:
    """Size, layers and block of each size of a model."""
    assigned = dict(list(read_table(assignments).to_pandas().groupby("layer_index")))
    fitted = {} if fits is None else dict(list(fits.groupby("layer_index")))
    shards: dict[str, list[pa.Table]] = {}
    for shard in shards_of(kernels):
        with shard.open() as file:
            table = file.read()
        shards.setdefault(f"{table['kh'][0]}x{table['kw'][0]}", []).append(table)
    for size, tables in shards.items():
        layers, parts = [], []
        for table in tables:
            index = table["layer_index"][0].as_py()
            columns = _columns(table, assigned.get(index), fitted.get(index), labels)
            live = columns["label"] != labels.index("dead")
            found = np.bincount(columns["label"][live], minlength=len(labels))
            clustered = found[: labels.index("other")].sum()
            layers.append(
                {
                    "layer_index": index,
                    "layer": table["layer"][0].as_py(),
                    "kernels": len(table),
                    "share": round(clustered / live.sum(), 4) if size in sizes and live.any() else None,
                    "most": labels[found.argmax()] if live.any() else "dead",
                }
            )
            parts.append(columns)
        yield size, layers, pack_block({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def pack_block(columns: Mapping[str, np.ndarray]) -> str:
    """Columns one after the other, little-endian, wide types first (as typed arrays must begin at their multiples)."""
    ordered = sorted(columns.values(), key=lambda column: -column.itemsize)
    raw = b"".join(column.astype(column.dtype.newbyteorder("<")).tobytes() for column in ordered)
    return _as_text(gzip.compress(raw, 9, mtime=0))


def _columns(
    shard: pa.Table, assigned: pd.DataFrame | None, fits: pd.DataFrame | None, labels: list[str]
) -> dict[str, np.ndarray]:
    """The columns of a block for the kernels of one layer, in the order of `pages/kernels.js`."""
    count, raw = len(shard), taps_array(shard["weight"])
    taps, low, step = _rounded(np.nan_to_num(raw, nan=0, posinf=0, neginf=0))
    places = {label: place for place, label in enumerate(labels)}
    label = np.where(shard["dead"].to_numpy(), places["dead"], places[NOT_ASSIGNED]).astype(np.uint16)
    code = dissimilarity = np.full(count, FINE + 1, np.uint16)
    if assigned is not None:
        label = assigned["label"].map(places).to_numpy(np.uint16)
        code = _steps(assigned["code"].to_numpy(), FINE, np.uint16)
        dissimilarity = _steps(assigned["dissimilarity"].to_numpy() / 2, FINE, np.uint16)
    template, cosine = np.zeros(count, np.uint16), np.full(count, np.nan)
    if shard["kh"][0] == shard["kw"][0]:
        cosines = centre_and_normalise(raw.astype(np.float32)) @ templates(round(raw.shape[1] ** 0.5)).taps.T
        template, cosine = cosines.argmax(axis=1).astype(np.uint16), cosines.max(axis=1)
    channels = shard["channel"].to_numpy()
    fit, fit_cosine, explained = np.zeros(count, np.uint16), np.full(count, np.nan), np.zeros(count, np.uint8)
    if fits is not None:
        rows = np.searchsorted(channels, fits["channel"])
        fit_cosine[rows] = fits["cosine"]
        fit[rows] = fits["label"].map(places)
        explained[rows] = fits["explained"]
    return {
        "low": low,
        "step": step,
        "channel": channels.astype(np.uint32),
        "code": code,
        "dissimilarity": dissimilarity,
        "template": template,
        "label": label,
        "fit": fit,
        "cosine": _steps(cosine, COARSE, np.uint8),
        "fit_cosine": _steps(fit_cosine, COARSE, np.uint8),
        "explained": explained,
        "taps": taps,
    }


def _rounded(kernels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """uint8 [n, taps], and float32 [n] each the least tap of a kernel and one step: a tap is least + step * rounded."""
    low, high = kernels.min(axis=1), kernels.max(axis=1)
    step = (high - low) / STEPS
    taps = np.rint((kernels - low[:, None]) / np.where(step > 0, step, 1)[:, None])
    return taps.astype(np.uint8), low.astype(np.float32), step.astype(np.float32)


def _steps(values: np.ndarray, steps: int, kind: type) -> np.ndarray:
    """Values from 0 to 1 as whole steps; NaN is one step more."""
    return np.where(np.isnan(values), steps + 1, np.rint(np.clip(values, 0, 1) * steps)).astype(kind)


def _as_text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
