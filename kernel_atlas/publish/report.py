"""The facts of the report, with every number read from the tables."""

import base64
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from kernel_atlas import __version__
from kernel_atlas.core.words import NOTHING, number, percent
from kernel_atlas.figures.write import for_page

PACKAGES = ["snakemake", "torch", "numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "matplotlib"]


def describe_sizes(sizes: pd.DataFrame, minimum: int) -> list[dict[str, Any]]:
    """The rows of sizes.csv, each with the reason where a size has no autoencoder."""
    rows = sizes.to_dict("records")
    for row in rows:
        live = row["kernels"] - row["dead"]
        row["result"] = "analysed" if row["trained"] else f"left out: {live:,} live kernels, {minimum:,} needed"
    return rows


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
            rows.append((before + name, value if value != "" else "none", rule.get("description", "")))
    return rows


def describe_models(sheet: pd.DataFrame, models: pd.DataFrame, sizes: Sequence[str]) -> list[dict[str, Any]]:
    """A row per model of the sheet, with the share with a pattern of each size."""
    cells = {
        (row.model, row.size): {
            "share": percent(row.pattern_share, row.pattern_low, row.pattern_high),
            "kernels": number(row.kernels - row.dead),
            "raw": [row.pattern_share, row.pattern_low, row.pattern_high, row.kernels - row.dead],
        }
        for row in models.itertuples()
    }
    none = {"share": NOTHING, "kernels": "", "raw": [""] * 4}
    rows = sheet.sort_values("model").astype(object).where(sheet.notna(), "").to_dict("records")
    return [row | {"cells": [cells.get((row["model"], size), none) for size in sizes]} for row in rows]


def describe_sources(sources: pd.DataFrame) -> list[dict[str, Any]]:
    """The source of each model; of a file its name alone, which means something on other machines."""
    names = sources["source"].str.replace(r"^file:.*[/\\]", "file:", regex=True)
    rows = sources.assign(source=names).sort_values("model").astype(object)
    return rows.where(sources.notna(), "").to_dict("records")


def read_figure(svg: str | Path, words: str | Path) -> dict[str, Any]:
    """A drawn figure for a page: name, title, caption, and the SVG with its alternative text as label."""
    text = json.loads(Path(words).read_text(encoding="utf-8"))
    drawing = for_page(Path(svg).read_text(encoding="utf-8"))
    label = jinja2.filters.escape(text["alt"])
    drawing = drawing.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    return text | {"name": Path(svg).stem.rpartition("_")[0], "svg": Markup(drawing)}


def describe_experiments(
    made: pd.DataFrame,
    figures: Sequence[Mapping[str, Any]],
    said: Sequence[Sequence[str]],
    animations: Mapping[str, str | Path],
) -> list[dict[str, Any]]:
    """An entry for each row of resources/experiments/experiments.tsv: its run, its figure, its sentences.

    Parameters
    ----------
    made : DataFrame
        Index experiment; command, date, device, seconds.
    figures, said : sequence
        The figure of each row, from `read_figure`, and its sentences.
    animations : mapping
        Experiment -> GIF, where there is one.
    """
    rows = made.reset_index().to_dict("records")
    for row, figure, sentences in zip(rows, figures, said, strict=True):
        row |= {"figure": figure, "sentences": sentences, "animation": ""}
        if row["experiment"] in animations:
            picture = Path(animations[row["experiment"]]).read_bytes()
            row["animation"] = f"data:image/gif;base64,{base64.b64encode(picture).decode()}"
    return rows


def versions() -> dict[str, str]:
    """Versions of this project, of Python and of the packages that computed the results."""
    found = {"kernel-atlas": __version__, "Python": platform.python_version()}
    return found | {package: importlib.metadata.version(package) for package in PACKAGES}


def collect_facts(
    title: str,
    sheet: pd.DataFrame,
    parameters: Mapping[str, Any],
    rules: Mapping[str, Any],
    sources: pd.DataFrame,
    sizes: pd.DataFrame,
    clusters: Mapping[str, pd.DataFrame],
    figures: Mapping[str, Sequence[Mapping[str, Any]]],
    evidence: Sequence[str],
    models: pd.DataFrame,
    correlation: pd.DataFrame,
    findings: pd.DataFrame,
    experiments: Sequence[Mapping[str, Any]],
    analysed: pd.DataFrame,
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
    sources, sizes, models, correlation, findings, analysed : DataFrame
        The tables of the same names.
    clusters : mapping
        Size -> clusters.tsv.
    figures : mapping
        Size -> figures from `read_figure`, in the order of the page.
    evidence : sequence of str
        Names of the figures that test the clusters.
    experiments : sequence of mapping
        From `describe_experiments`.
    scripts : sequence of Markup
        From `read_script`, in the order in which they need each other.
    """
    read = sources[sources["failure"].isna()]
    failed = sources[sources["failure"].notna()]
    sheet = sheet[sheet["model"].isin(read["model"])]
    stated = read["licence"].fillna("not stated")
    said = {
        size: [(title, rows["sentence"].tolist()) for title, rows in part.groupby("finding", sort=False)]
        for size, part in findings.fillna("").groupby("size")
    }
    sections = [
        {
            "size": size,
            "findings": said[size],
            "clusters": table.assign(share=table["kernels"] / table["kernels"].sum()).to_dict("records"),
            "figures": [figure for figure in figures[size] if figure["name"] not in evidence],
            "evidence": [figure for figure in figures[size] if figure["name"] in evidence],
        }
        for size, table in clusters.items()
    ]
    others = [{"size": size, "findings": sentences} for size, sentences in said.items() if size not in clusters]
    return {
        "title": title,
        "versions": versions(),
        "seed": parameters["seed"],
        "analysed": dict(zip(analysed["quantity"], analysed["count"], strict=True)),
        "sizes": describe_sizes(sizes, parameters["minimum_kernels"]),
        "sections": sections,
        "others": sorted(others, key=lambda other: int(other["size"].split("x")[0])),
        "experiments": experiments,
        "correlation": correlation.to_dict("records"),
        "models": describe_models(sheet, models, list(clusters)),
        "parameters": describe_parameters(parameters, rules),
        "licences": [(licence, sorted(part["model"])) for licence, part in read.groupby(stated)],
        "sources": describe_sources(read),
        "dates": [*read["date"].dropna().agg(["min", "max"])] if read["date"].notna().any() else [],
        "scripts": scripts,
        "failures": failed["failure"].tolist(),
        "not_read": read.loc[read["not_read"].notna(), ["model", "not_read"]].to_numpy().tolist(),
        "folded": sorted(read.loc[read["folded"] > 0, "model"]),
    }
