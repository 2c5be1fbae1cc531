"""Write the atlas: one HTML page to explore every kernel, with its taps, label, code, best pattern and fit.

Taps are rounded to 255 steps of each kernel's range: enough for pictures, not for computing. The kernels of one model
and size are a block in the page: columns one after the other, compressed, as text. The page unpacks a block when it
shows one of its kernels (`pages/kernels.js` has the same columns).
"""

import base64
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

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
from kernel_atlas.model.assign import Labeller
from kernel_atlas.publish.page import read_script, write_page

STEPS = 255  # of a kernel's range
FINE = 65534  # steps of a code (0 to 1) and of a dissimilarity (0 to 2); one more means missing
COARSE = 254  # steps of a cosine (0 to 1); one more means missing
NOT_ASSIGNED = "not square"  # label of kernels that no pattern can have
SCRIPTS = ("kernels.js", "wall.js", "atlas.js")


def write_atlas(
    output: str | Path,
    template: str | Path,
    title: str,
    sheet: pd.DataFrame,
    kernels: Mapping[str, str | Path],
    assignments: Mapping[str, str | Path],
    labellers: Mapping[str, Labeller],
    spectra: Mapping[str, pa.Table],
    fits: pd.DataFrame | None = None,
) -> None:
    """Write the page.

    Parameters
    ----------
    output : path
    template : path
        `pages/atlas.html`, with the scripts beside it.
    title : str
    sheet : DataFrame
        From `read_sheet`.
    kernels, assignments : mapping
        Model -> its folder of shards, and its table of assignments.
    labellers, spectra : mapping
        Size (`7x7`) with an autoencoder -> its Labeller, with prototypes, and its spectrum.parquet.
    fits : DataFrame, optional
        fits.csv.
    """
    # the models: facts for the page, and a block for each size
    names = set() if fits is None else set(fits["label"])
    names.update(*(labeller.clusters["label"] for labeller in labellers.values()))
    names.update(*(read_table(path, ["label"])["label"].unique().to_pylist() for path in assignments.values()))
    names -= {"other", "dead"}
    labels = [*sorted(names), "other", "dead", NOT_ASSIGNED]
    rows = sheet.set_index("model").astype(object)
    fitted = {} if fits is None else dict(list(fits.groupby("model")))
    models, blocks = [], []
    for model in sorted(kernels):
        packed = list(_pack_model(kernels[model], assignments[model], labels, fitted.get(model)))
        facts = {name: rows.at[model, name] for name in ("use", "convolution", "family", "dataset", "top1")}
        models.append(
            {"model": model}
            | {name: value for name, value in facts.items() if pd.notna(value)}
            | {"blocks": [{"size": size, "layers": layers} for size, layers, _ in packed]}
        )
        blocks += [data for _, _, data in packed]
    # the facts that all blocks share, and the page
    facts = {
        "labels": [{"label": label, "colour": _colour(label), "off": label.startswith("Off-")} for label in labels],
        "colours": [to_hex(colour) for colour in colormaps[TAPS](np.linspace(0, 1, STEPS))],
        "sizes": _describe_sizes(labellers, spectra, models),
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


def _describe_sizes(
    labellers: Mapping[str, Labeller], spectra: Mapping[str, pa.Table], models: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The facts about each size that a model has, by height and width."""
    there = {block["size"] for model in models for block in model["blocks"]}
    described = []
    for size in sorted(there, key=lambda name: [int(side) for side in name.split("x")]):
        height, width = (int(side) for side in size.split("x"))
        known = {"size": size, "height": height, "width": width, "templates": []}
        if height == width:
            family = templates(height)
            known["templates"] = [" ".join(pair) for pair in zip(family.labels, family.parameters, strict=True)]
        if size in labellers:
            clusters, prototypes = labellers[size].clusters, labellers[size].prototypes
            known |= {
                "threshold": labellers[size].threshold,
                "counts": spectra[size]["kernels"].to_pylist(),
                "spectrum": _as_text(_rounded(taps_array(spectra[size]["decoded"]))[0].tobytes()),
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
    fits: pd.DataFrame | None,
) -> Iterator[tuple[str, list[dict[str, Any]], str]]:
    """Size, layers and block of each size of a model; `share` is that with a pattern, of square kernels."""
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
            columns = _columns(table, assigned.get(index), fitted.get(index), labels)
            live = columns["label"] != labels.index("dead")
            found = np.bincount(columns["label"][live], minlength=len(labels))
            patterned = found[: labels.index("other")].sum()
            square = not found[labels.index(NOT_ASSIGNED)]
            layers.append(
                {
                    "layer_index": index,
                    "layer": table["layer"][0].as_py(),
                    "kernels": len(table),
                    "share": round(patterned / live.sum(), 4) if square and live.any() else None,
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
    # taps and assignments
    count, raw = len(shard), taps_array(shard["weight"])
    taps, low, step = _rounded(np.nan_to_num(raw, nan=0, posinf=0, neginf=0))
    places = {label: place for place, label in enumerate(labels)}
    label = np.where(shard["dead"].to_numpy(), places["dead"], places[NOT_ASSIGNED]).astype(np.uint16)
    code = dissimilarity = np.full(count, FINE + 1, np.uint16)
    if assigned is not None:
        label = assigned["label"].map(places).to_numpy(np.uint16)
        code = _steps(assigned["code"].to_numpy(), FINE, np.uint16)
        dissimilarity = _steps(assigned["dissimilarity"].to_numpy() / 2, FINE, np.uint16)
    # best template, of square kernels
    template, cosine = np.zeros(count, np.uint16), np.full(count, np.nan)
    if shard["kh"][0] == shard["kw"][0]:
        cosines = centre_and_normalise(raw.astype(np.float32)) @ templates(round(raw.shape[1] ** 0.5)).taps.T
        template, cosine = cosines.argmax(axis=1).astype(np.uint16), cosines.max(axis=1)
    # fits, of the kernels that were fitted
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
    """Taps as uint8 [n, taps]; the least tap and the step of each kernel, float32 [n]: tap = least + step * rounded."""
    low, high = kernels.min(axis=1), kernels.max(axis=1)
    step = (high - low) / STEPS
    taps = np.rint((kernels - low[:, None]) / np.where(step > 0, step, 1)[:, None])
    return taps.astype(np.uint8), low.astype(np.float32), step.astype(np.float32)


def _steps(values: np.ndarray, steps: int, kind: type) -> np.ndarray:
    """Round values from 0 to 1 to whole steps; NaN becomes one step more."""
    return np.where(np.isnan(values), steps + 1, np.rint(np.clip(values, 0, 1) * steps)).astype(kind)


def _as_text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
