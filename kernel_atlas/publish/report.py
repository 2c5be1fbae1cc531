"""The facts of the report, with every number read from the tables."""

import base64
import gzip
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.image import imsave
from PIL import Image

from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.core.patterns import templates
from kernel_atlas.core.words import joined, number
from kernel_atlas.figures.kernels import TAPS, stack
from kernel_atlas.findings.experiments import EXPERIMENTS, state
from kernel_atlas.findings.parts import OWN, Grid
from kernel_atlas.findings.questions import QUESTIONS, Question
from kernel_atlas.findings.registry import by_size, rank
from kernel_atlas.io.results import versions
from kernel_atlas.publish.grids import describe_grid
from kernel_atlas.publish.page import for_page

FAMILIES = 4  # of other people's networks that are named
STEPS = 7  # of the code, in its picture
DRAWN = ("data", "init", "dynamics", "ablation", "verdict")  # experiments with a figure in the page; others have tables

SIZES = Grid(
    "sizes",
    "Kernels of the models that train the autoencoders.",
    {name: name for name in ("size", "kernels", "dead", "layers", "models", "result")},
)
SOURCES = Grid(
    "sources",
    "What was read of each model.",
    {name: name for name in ("model", "source", "date", "revision", "licence", "layers")},
)
PARAMETERS = Grid(
    "parameters", "Every parameter of this run.", {name: name for name in ("parameter", "value", "meaning")}
)


def describe_sizes(sizes: pd.DataFrame, minimum: int) -> pd.DataFrame:
    """The rows of sizes.csv, each with the reason where a size has no autoencoder."""
    live = sizes["kernels"] - sizes["dead"]
    left_out = [f"left out: {number(count)} live kernels, {number(minimum)} needed" for count in live]
    return sizes.assign(result=np.where(sizes["trained"], "analysed", left_out))


def describe_parameters(parameters: Mapping[str, Any], rules: Mapping[str, Any], before: str = "") -> list[tuple]:
    """Every parameter as (name, value, meaning), with the meanings from the schema of the configuration."""
    rows = []
    for name, value in parameters.items():
        rule = rules.get("properties", {}).get(name, {})
        if rule.get("additionalProperties") is False:  # a group of parameters, not a table of sizes
            rows += describe_parameters(value, rule, f"{before}{name}.")
        else:
            if isinstance(value, Mapping):
                # text in a table of sizes is a file: only its name means something on other machines
                value = ", ".join(f"{key}: {Path(x).name if isinstance(x, str) else x}" for key, x in value.items())
            elif isinstance(value, list):
                value = ", ".join(str(each) for each in value)
            rows.append((before + name, str(value) if value != "" else "none", rule.get("description", "")))
    return rows


def describe_sources(sources: pd.DataFrame) -> pd.DataFrame:
    """The source of each model; of a file its name alone, which means something on other machines."""
    names = sources["source"].str.replace(r"^file:.*[/\\]", "file:", regex=True)
    known = sources.assign(source=names, licence=sources["licence"].fillna("not stated"))
    return known.assign(revision=known["revision"].str[:12]).sort_values("model")


def describe_networks(sheet: pd.DataFrame) -> str:
    """Which networks were analysed, and who trained them: `6 networks of other people (EfficientNet-Lite) and ...`."""
    trained = sheet[(sheet["use"] != "control") & (sheet["convolution"] != "dense")]
    own = trained["architecture"].fillna("").str.startswith(OWN)
    families = trained.loc[~own, "family"].dropna().drop_duplicates()
    named = f" ({joined(list(families[:FAMILIES]))}{' and more' if len(families) > FAMILIES else ''})"
    counts = [((~own).sum(), "", f" of other people{named if len(families) else ''}")]
    counts += [(own.sum(), "small ", " that kernel-atlas trained itself")]
    return joined(
        [f"{number(count)} {kind}network{'s' if count > 1 else ''}{whose}" for count, kind, whose in counts if count]
    )


def draw_terms(sample: pd.DataFrame, spectrum: pd.DataFrame, seed: int) -> dict[str, list[str]]:
    """Small pictures for the glossary, of one kernel of the run: term -> images, as data for `src`."""
    named = sample[sample["label"] != "other"]
    row = (named if len(named) else sample).nlargest(1, "similarity").iloc[0]
    kernel = centre_and_normalise(stack(pd.Series([row["weight"]])))[0]
    side = round(kernel.size**0.5)
    known = templates(side)
    noise = np.random.default_rng(seed).standard_normal((side, side))
    phases = np.fft.fft2(noise) / np.abs(np.fft.fft2(noise))
    steps = np.linspace(0, len(spectrum) - 1, STEPS).astype(int)
    pictures = {
        "kernel": [kernel],
        "pattern": [known.taps[known.labels.index(row["label"])]] if row["label"] in known.labels else [],
        "code": list(stack(spectrum["decoded"].iloc[steps])),
        "control": [noise],
        "null": [np.fft.ifft2(np.abs(np.fft.fft2(kernel.reshape(side, side))) * phases).real],
    }
    pictures["similarity"] = pictures["kernel"] + pictures["pattern"]
    return {term: [_picture(taps) for taps in kernels] for term, kernels in pictures.items()}


def _picture(taps: np.ndarray) -> str:
    side, ends = round(taps.size**0.5), np.abs(taps).max()
    file = io.BytesIO()
    imsave(file, taps.reshape(side, side), vmin=-ends, vmax=ends, cmap=TAPS, format="png", metadata={"Software": None})
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def read_figure(svg: str | Path, phone: str | Path, words: str | Path) -> dict[str, Any]:
    """A drawn figure for a page: name, size (empty of all), title, caption, the SVG, and that for phones, packed."""
    text = json.loads(Path(words).read_text(encoding="utf-8"))
    label = jinja2.filters.escape(text["alt"])
    drawn = [for_page(Path(path).read_text(encoding="utf-8")) for path in (svg, phone)]
    wide, narrow = (each.replace("<svg", f'<svg role="img" aria-label="{label}"', 1) for each in drawn)
    packed = base64.b64encode(gzip.compress(narrow.encode(), mtime=0)).decode()
    name, _, size = Path(svg).stem.rpartition("_")
    if not re.fullmatch(r"\d+x\d+", size):
        name, size = Path(svg).stem, ""
    return text | {"name": name, "size": size, "wide": Markup(wide), "narrow": packed}


def describe_experiments(
    made: pd.DataFrame,
    figures: Sequence[Mapping[str, Any]],
    summaries: Sequence[pd.DataFrame],
    animations: Mapping[str, str | Path],
) -> list[dict[str, Any]]:
    """An entry for each row of resources/experiments/experiments.tsv: its run, figure, sentences and table.

    Parameters
    ----------
    made : DataFrame
        Index experiment; command, date, device, seconds.
    figures, summaries : sequence
        The figure of each row, from `read_figure`, and its summary.
    animations : mapping
        Experiment -> GIF, where there is one.
    """
    rows = made.reset_index().to_dict("records")
    for row, figure, summary in zip(rows, figures, summaries, strict=True):
        name = row["experiment"]
        grid = describe_grid(EXPERIMENTS[name][1], summary, f"-{name}")
        row |= {"figure": figure, "is_drawn": name in DRAWN, "sentences": state(name, summary), "grid": grid}
        row["animation"] = _animation(animations[name]) if name in animations else ""
    return rows


def _animation(path: str | Path) -> str:
    """A GIF as data for `src`: as lossless WebP, a third of its bytes."""
    file = io.BytesIO()
    with Image.open(path) as picture:
        picture.save(file, "WEBP", save_all=True, lossless=True, method=4, minimize_size=True)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def answer_questions(
    findings: pd.DataFrame, tables: Mapping[str, pd.DataFrame], figures: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The folds of the page: each question with its sentences, figures and tables, where it has any.

    A finding of no known question is a question of its own.
    """
    said = dict(iter(findings.groupby("question", sort=False)["sentence"]))
    said.pop("summary", None)
    folds = []
    for name in [*QUESTIONS, *(name for name in said if name not in QUESTIONS)]:
        question = QUESTIONS.get(name, Question(name))
        fold = {
            "name": name,
            "asked": question.asked,
            "sentences": list(said.get(name, [])),
            "figures": [figure for each in question.figures for figure in figures if figure["name"] == each],
            "grids": [
                describe_grid(grid, tables[grid.table]) for grid in question.grids if len(tables.get(grid.table, []))
            ],
        }
        if fold["sentences"] or fold["figures"] or fold["grids"]:
            folds.append(fold)
    return folds


def collect_facts(
    title: str,
    sheet: pd.DataFrame,
    parameters: Mapping[str, Any],
    rules: Mapping[str, Any],
    sources: pd.DataFrame,
    sizes: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    figures: Sequence[Mapping[str, Any]],
    findings: pd.DataFrame,
    experiments: Sequence[Mapping[str, Any]],
    analysed: pd.DataFrame,
    examples: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]],
    scripts: Sequence[Markup],
) -> dict[str, Any]:
    """All facts of the page, for `write_page`.

    Parameters
    ----------
    title : str
    sheet : DataFrame
        From `read_sheet`.
    parameters, rules : mapping
        The configuration, and its schema.
    sources, sizes, findings, analysed : DataFrame
        The tables of the same names.
    tables : mapping
        Name -> table, of those that the questions show; clusters with a column size.
    figures : sequence
        From `read_figure`; of a question they come in this order, but by size.
    experiments : sequence of mapping
        From `describe_experiments`.
    examples : mapping
        Size -> sample and spectrum, for `draw_terms`; may be empty.
    scripts : sequence of Markup
        From `read_script`, in the order in which they need each other.
    """
    read, failed = sources[sources["failure"].isna()], sources[sources["failure"].notna()]
    order = rank(tables["totals"], tables["chance"])
    tables = {name: by_size(table, order) for name, table in tables.items()}
    figures = sorted(figures, key=lambda figure: order.index(figure["size"]) if figure["size"] in order else len(order))
    folds = answer_questions(findings, tables, figures)
    shown = [figure for fold in folds for figure in fold["figures"]]
    first = shown[0] if shown else None
    sheet = sheet[sheet["model"].isin(read["model"])]
    dates = read["date"].dropna()
    example = next((examples[size] for size in order if size in examples), None)
    parameter_table = pd.DataFrame(describe_parameters(parameters, rules), columns=list(PARAMETERS.columns))
    return {
        "title": title,
        "versions": versions(),
        "seed": parameters["seed"],
        "analysed": dict(zip(analysed["quantity"], analysed["count"], strict=True)),
        "networks": describe_networks(sheet),
        "summary": findings.loc[findings["question"] == "summary", "sentence"].tolist(),
        "picture": first,
        "folds": [fold | {"figures": [each for each in fold["figures"] if each is not first]} for fold in folds],
        "terms": draw_terms(*example, parameters["seed"]) if example else {},
        "experiments": experiments,
        "sizes": describe_grid(SIZES, describe_sizes(sizes, parameters["minimum_kernels"])),
        "sources": describe_grid(SOURCES, describe_sources(read)),
        "parameters": describe_grid(PARAMETERS, parameter_table),
        "licences": [
            (licence, len(part)) for licence, part in read.groupby(read["licence"].fillna("not stated"))["model"]
        ],
        "dates": [dates.min(), dates.max()] if len(dates) else [],
        "scripts": scripts,
        "failures": failed["failure"].tolist(),
        "not_read": read.loc[read["not_read"].notna(), ["model", "not_read"]].to_numpy().tolist(),
        "folded": sorted(read.loc[read["folded"] > 0, "model"]),
    }
