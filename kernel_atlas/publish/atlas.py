"""Write the atlas: one HTML page to explore every kernel, with its taps, label, code, pattern and fit."""

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from markupsafe import Markup
from matplotlib import colormaps
from matplotlib.colors import to_hex

from kernel_atlas.core.kernels import centre_and_normalise, taps_array
from kernel_atlas.core.patterns import Templates, draw_patterns, family_of, kind_of, threshold_of
from kernel_atlas.core.vocabulary import FAMILIES
from kernel_atlas.core.words import percent
from kernel_atlas.figures.kernels import TAPS
from kernel_atlas.io.tables import read_table, whole_folder
from kernel_atlas.model.assign import Assigner
from kernel_atlas.publish import gallery
from kernel_atlas.publish.blocks import NOT_ASSIGNED, STEPS, Folder, Layer, Sample, as_text, read_model, rounded, split
from kernel_atlas.publish.page import write_page
from kernel_atlas.stats.shares import PATTERNED

INSIDE = 8_000_000  # bytes: some 100,000 kernels, which open in a second from a disk and can still be mailed
COMPONENTS = 4  # principal components that the map can have as axes
SCRIPTS = ("kernels.js", "wall.js", "map.js", "views.js", "atlas.js")
EQUATIONS = {  # of core/patterns.py, as the page writes them: G is a Gaussian, u lies along the pattern's direction
    "Centre": "G(sigma) - w G(ratio sigma)",
    "Shift": "G(sigma) - w G(ratio sigma), off the middle",
    "Square": "1 inside the width, 0 outside",
    "First-Derivative": "u G(sigma)",
    "Second-Derivative": "(1 - u^2 / sigma^2) G(sigma)",
    "Cross": "two long Gaussians at right angles",
}


def write_atlas(
    output: str | Path,
    template: str | Path,
    title: str,
    sheet: pd.DataFrame,
    kernels: Mapping[str, str | Path],
    assignments: Mapping[str, str | Path],
    assigner: Assigner,
    spectra: Mapping[str, pa.Table],
    statistics: Mapping[str, pd.DataFrame],
    seed: int = 0,
    fits: pd.DataFrame | None = None,
    inside: int = INSIDE,
) -> None:
    """Write the page, and a folder beside it (`atlas/` of `atlas.html`) for the kernels of a large run.

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
    assigner : Assigner
        By which the kernels were assigned.
    spectra : mapping
        Size (`7x7`) with an autoencoder -> its spectrum.parquet.
    statistics : mapping
        models, totals, labels, layers and chance: the tables of results/statistics.
    seed : int
        Of the intervals of shares of kinds.
    fits : DataFrame, optional
        fits.csv.
    inside : int
        Bytes of kernels that the page itself holds at most; the folder stays empty then.
    """
    place, pages = Path(output).with_suffix(""), Path(template).parent
    with whole_folder(place) as partial:
        given = (sheet, kernels, assignments, assigner, spectra, statistics, seed, fits)
        facts, described = _describe(Folder(partial), place.name, inside, *given)
    write_page(
        output,
        template,
        title=title,
        facts=Markup(json.dumps(facts, allow_nan=False).replace("<", "\\u003c")),  # in a script, a tag would end it
        folder=facts["folder"],
        style=Markup((pages / "atlas.css").read_text(encoding="utf-8")),
        scripts=[Markup((pages / name).read_text(encoding="utf-8")) for name in SCRIPTS],
        **described,
    )


def _describe(
    folder: Folder,
    name: str,
    inside: int,
    sheet: pd.DataFrame,
    kernels: Mapping[str, str | Path],
    assignments: Mapping[str, str | Path],
    assigner: Assigner,
    spectra: Mapping[str, pa.Table],
    statistics: Mapping[str, pd.DataFrame],
    seed: int,
    fits: pd.DataFrame | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The facts that scripts need, and those that the template needs; kernels go to the folder model by model."""
    labels = [*_names(assigner, assignments, fits), "other", "dead", NOT_ASSIGNED]
    drawn = functools.cache(functools.partial(draw_patterns, assigner.patterns))
    rows = sheet.set_index("model").astype(object)
    fitted = {} if fits is None else dict(list(fits.groupby("model")))
    shares, missing = (
        gallery.describe_networks(statistics, seed),
        dict.fromkeys((PATTERNED, *gallery.KINDS), [np.nan] * 3),
    )
    # facts and a block of each model and size, and what describes a size as a whole
    models, wholes = [], {}
    for model in sorted(kernels):
        facts = {column: rows.at[model, column] for column in ("use", "convolution", "family", "dataset", "top1")}
        known = {column: value for column, value in facts.items() if pd.notna(value)}
        known |= {"model": model, "patterned": {}, "blocks": []}
        for size, layers, columns in read_model(kernels[model], assignments[model], labels, drawn, fitted.get(model)):
            mine = shares.get((model, size), missing)
            whole = wholes.setdefault(size, _Whole(columns["taps"].shape[1], seed))
            whole.add(known, layers, columns, mine)
            known["patterned"][size] = percent(*mine[PATTERNED])
            for some, cut in split(layers, columns):
                known["blocks"].append({"size": size, "layers": some} | folder.add(cut))
        models.append(known)
    blocks, beside = (folder.take(), "") if folder.bytes <= inside else ([], name)
    sizes, galleries = [], {}
    for size in sorted(wholes, key=lambda name: [int(side) for side in name.split("x")]):
        galleries[size] = gallery.describe_gallery(size, statistics)
        drawing = {"components": wholes[size].components(), "rows": wholes[size].rows(galleries[size]["rows"], labels)}
        levels = wholes[size].sample.levels() if beside else ()
        drawing["sample"] = [{"kernels": len(level["place"])} | folder.add(level) for level in levels]
        sizes.append(_describe_size(size, assigner, drawn, spectra.get(size)) | drawing)
    looks = {label: _look(label) for label in labels}
    networks = {size: wholes[size].networks for size in galleries}
    found = [each["shares"] for mine in networks.values() for each in mine]
    facts = {
        "labels": [{"label": label, "formula": _formula(label)} | look for label, look in looks.items()],
        "colours": [to_hex(colour) for colour in colormaps[TAPS](np.linspace(0, 1, STEPS))],
        "start": gallery.most_informative(galleries),
        "sizes": sizes,
        "models": models,
        "layer": Layer._fields,
        "folder": beside,
    }
    columns = [kind for kind in missing if any(mine[kind][0] > 0 for mine in found)]
    described = {"looks": looks, "galleries": galleries, "networks": networks, "columns": columns, "blocks": blocks}
    return facts, described


class _Whole:
    """What describes the kernels of one size as a whole, added model by model.

    Attributes
    ----------
    networks : list of dict
        Of each model: model, control, kernels, and shares from `describe_networks`.
    sample : Sample
    """

    def __init__(self, taps: int, seed: int):
        self.networks: list[dict[str, Any]] = []
        self.sample = Sample(seed)
        self._members: list[pd.DataFrame] = []
        self._taps: list[np.ndarray] = []
        self._moments = np.zeros((taps, taps))

    def add(
        self,
        facts: Mapping[str, Any],
        layers: list[Layer],
        columns: Mapping[str, np.ndarray],
        shares: Mapping[str, list],
    ) -> None:
        """Add the kernels of a model; those of controls are no members and move no axis."""
        control = facts["use"] == "control" or facts["convolution"] != "depthwise"
        described = {"model": facts["model"], "control": control, "kernels": len(columns["label"]), "shares": shares}
        self.networks.append(described)
        self.sample.add(columns)
        if control:
            return
        units = centre_and_normalise(columns["taps"]).astype(np.float64)
        self._moments += units.T @ units
        index = np.repeat([layer.layer_index for layer in layers], [layer.kernels for layer in layers])
        names = ("label", "similarity", "template", "channel")
        kernels = pd.DataFrame({"model": facts["model"], "layer": index} | {name: columns[name] for name in names})
        chosen = gallery.choose_members(kernels).sort_index()  # in the order of layers again
        self._members.append(chosen)
        self._taps.append(columns["taps"][chosen.index])

    def components(self) -> dict[str, Any]:
        """The directions in which unit kernels differ most, and their shares of the sum of squares."""
        values, vectors = np.linalg.eigh(self._moments)
        axes = vectors.T[::-1][:COMPONENTS]
        axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]  # the sign was chance
        shares = values[::-1][:COMPONENTS] / max(values.sum(), 1e-12)
        return {"axes": axes.round(4).tolist(), "shares": [percent(share) for share in shares]}

    def rows(self, described: list[dict[str, Any]], labels: list[str]) -> list[dict[str, Any]]:
        """Of each row of a gallery: its members, their taps, and the template that most of them are like."""
        if not described:
            return []
        found, taps = gallery.choose_members(pd.concat(self._members, ignore_index=True)), np.concatenate(self._taps)
        drawing = []
        for row in described:
            mine = found[found["label"] == labels.index(row["label"])]
            kernels = [f"{one.model}/{one.layer}/{one.channel}" for one in mine.itertuples()]
            text, often = as_text(taps[mine.index].tobytes()), int(mine["template"].mode()[0])
            drawing.append({"kernels": kernels, "taps": text, "template": often})
        return drawing


def _names(assigner: Assigner, assignments: Mapping[str, str | Path], fits: pd.DataFrame | None) -> list[str]:
    """Labels that any kernel, cluster or fit has."""
    names = set() if fits is None else set(fits["label"])
    names.update(*(labeller.clusters["label"] for labeller in assigner.labellers.values()))
    for path in assignments.values():
        table = read_table(path, ["label", "second"])
        names.update(*(column.unique().drop_null().to_pylist() for column in table.columns))
    return sorted(names - {"other", "dead"})


def _look(label: str) -> dict[str, str]:
    """Colour of a label, and what it is painted with: stripes for Off-..., so that colour does not tell alone."""
    own = {"dead": "#000000", NOT_ASSIGNED: "#ffffff", "other": FAMILIES["other"][0]}
    colour = own.get(label, FAMILIES[family_of(label)][0])
    striped = f"repeating-linear-gradient(90deg, {colour} 0 2px, #fff 2px 4px)"
    return {"colour": colour, "paint": striped if label.startswith("Off-") else colour}


def _describe_size(
    size: str, assigner: Assigner, drawn: Callable[[int], Templates], spectrum: pa.Table | None
) -> dict[str, Any]:
    """Templates, the cosine that a pattern needs, and where there is an autoencoder its spectrum and clusters."""
    height, width = (int(side) for side in size.split("x"))
    known = {"size": size, "height": height, "width": width, "templates": []}
    if height != width:
        return known
    family = drawn(height)
    known["needed"] = round(1 - threshold_of(height, assigner.thresholds), 4)
    known["templates"] = [
        {"label": label, "parameters": parameters}
        for label, parameters in zip(family.labels, family.parameters, strict=True)
    ]
    known["template_taps"] = as_text(rounded(family.taps)[0].tobytes()) if family.labels else ""
    if spectrum is not None:
        clusters = assigner.labellers[height].clusters
        known |= {
            "counts": spectrum["kernels"].to_pylist(),
            "spectrum": as_text(rounded(taps_array(spectrum["decoded"]))[0].tobytes()),
            "clusters": clusters[["cluster", "label", "code_low", "code_high"]].to_dict("records"),
        }
    return known


def _formula(label: str) -> str:
    """The equation of a label, or nothing for those of a user's own table."""
    equation = EQUATIONS.get(kind_of(label), "")
    return f"-({equation})" if equation and label.startswith("Off-") else equation
