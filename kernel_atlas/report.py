"""Write the report: one HTML page that needs nothing beside it, with every number read from the tables."""

import importlib.metadata
import json
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from kernel_atlas import __version__
from kernel_atlas.statistics import one_per_group

PACKAGES = ["snakemake", "torch", "numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "matplotlib"]
FEW = 4  # independent networks below which an interval over networks says little


def percent(share: float, low: float = np.nan, high: float = np.nan) -> str:
    """`62.7 % [58.1, 66.9]`, without the brackets where there is no interval, `–` where there is no share."""
    if not np.isfinite(share):
        return "–"
    interval = f" [{100 * low:.1f}, {100 * high:.1f}]" if np.isfinite(low) and np.isfinite(high) else ""
    return f"{100 * share:.1f} %{interval}"


def number(value: float) -> str:
    """`6012` -> `6,012`; whatever is missing -> `–`."""
    return "–" if pd.isna(value) else f"{value:,.0f}"


def controls_of(size: str, models: pd.DataFrame, noise: pd.DataFrame) -> dict[str, float]:
    """The share clustered of what should not be: Gaussian noise, and each model with use = control."""
    labels = noise.loc[noise["kh"] == int(size.split("x")[0]), "label"]
    rows = models[(models["size"] == size) & (models["use"] == "control")]
    return {"Gaussian noise": (labels != "other").mean()} | dict(
        zip(rows["model"], rows["clustered_share"], strict=True)
    )


def find_share(size: str, threshold: float, totals: pd.DataFrame, controls: Mapping[str, float]) -> list[str]:
    """Sentences on how much of one size is clustered, how sure that is, and what the controls say.

    Parameters
    ----------
    size : str
    threshold : float
    totals : DataFrame
        totals.csv.
    controls : mapping
        From `controls_of`.

    Returns
    -------
    list of str
    """
    rows = totals[(totals["size"] == size) & (totals["label"] != "dead")].set_index("label")
    if rows.empty:
        return ["No independent network has live kernels of this size."]
    networks, kernels = int(rows["models"].iloc[0]), int(rows["kernels"].sum())
    share, low, high = 1.0, np.nan, np.nan
    if "other" in rows.index:
        other = rows.loc["other"]
        share, low, high = 1 - other["share"], 1 - other["share_high"], 1 - other["share_low"]
    of = f"{networks} independent networks" if networks > 1 else "the only network"
    found = [f"{percent(share, low, high)} of the {number(kernels)} kernels of {of} are clustered, at {threshold:g}."]
    if networks < FEW:
        found.append(
            f"{'One network is' if networks == 1 else f'{networks} networks are'} not enough to say how others differ."
        )
    listed = ", ".join(f"{name} {percent(value)}" for name, value in list(controls.items())[:4])
    highest = max(controls.values())
    bound = low if np.isfinite(low) else share
    if bound > 2 * highest:
        verdict = "more than twice" if highest > 0 else "above"
    else:
        verdict = "above" if bound > highest else "not clearly above"
    what = "the lower end of the interval" if np.isfinite(low) else "the share"
    found.append(f"Controls: {listed}; {what} is {verdict} the highest of them.")
    patterns = rows.drop(index="other", errors="ignore").sort_values("share", ascending=False, kind="stable").head(3)
    named = ", ".join(f"{row.Index} {percent(row.share, row.share_low, row.share_high)}" for row in patterns.itertuples())
    if named:
        found.append(f"Most common: {named}.")
    dead = totals[(totals["size"] == size) & (totals["label"] == "dead")]
    if len(dead):
        found.append(f"Dead, and left out: {percent(dead['share'].iloc[0])} of all kernels ({number(dead['kernels'].iloc[0])}).")
    return found


def find_correlation(correlation: pd.DataFrame) -> str:
    """One sentence on accuracy, size and the share clustered, or on why nothing can be said."""
    if correlation.empty:
        return (
            "Whether better or larger networks have a higher share cannot be said: no data set has four independent "
            "networks in the sheet whose top1 or params are given and differ."
        )
    clear = correlation[(correlation["pearson_low"] > 0) | (correlation["pearson_high"] < 0)]
    words = f"Of {len(correlation)} correlations of the share clustered with top-1 or size, {len(clear)} have an interval "
    words += "that leaves out zero"
    listed = "; ".join(
        f"{row.size_} on {row.dataset} against {row.variable}: r = {row.pearson:.2f} "
        f"[{row.pearson_low:.2f}, {row.pearson_high:.2f}], n = {row.n}"
        for row in clear.rename(columns={"size": "size_"}).head(3).itertuples()
    )
    return f"{words} ({listed})." if listed else f"{words}."


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
        if isinstance(value, Mapping) and "properties" in rule and "description" not in rule["properties"].get("3x3", {}):
            rows += describe_parameters(value, rule, f"{before}{name}.")
        else:
            if isinstance(value, Mapping):
                value = ", ".join(f"{key}: {each}" for key, each in value.items())
            elif isinstance(value, list):
                value = ", ".join(str(each) for each in value)
            rows.append((before + name, value if value != "" else "none", rule.get("description", "")))
    return rows


def describe_models(sheet: pd.DataFrame, models: pd.DataFrame, sizes: Sequence[str]) -> list[dict[str, Any]]:
    """A row per model of the sheet: what the sheet says, and the share clustered of each size."""
    rows = []
    for row in sheet.sort_values("model").to_dict("records"):
        shares = models[models["model"] == row["model"]].set_index("size")
        cells = []
        for size in sizes:
            cell = shares.loc[size] if size in shares.index else None
            cells.append(
                "–"
                if cell is None
                else f"{percent(cell['clustered_share'], cell['share_low'], cell['share_high'])} of "
                f"{number(cell['kernels'] - cell['dead'])}"
            )
        rows.append({name: "" if pd.isna(value) else value for name, value in row.items()} | {"cells": cells})
    return rows


def describe_licences(sheet: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Licence -> models, as the sheet states them."""
    stated = sheet["licence"].fillna("not stated")
    return [(licence, sorted(part["model"])) for licence, part in sheet.groupby(stated)]


def read_figure(svg: str | Path, words: str | Path) -> dict[str, Any]:
    """A drawn figure as it goes into a page: title, caption, and the SVG with its text for those who cannot see it."""
    text = json.loads(Path(words).read_text(encoding="utf-8"))
    drawing = Path(svg).read_text(encoding="utf-8")
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    # groups have the same ids in every figure, and nothing refers to them; a page may have an id only once
    drawing = re.sub(r'<g id="[a-zA-Z0-9]+_\d+"', "<g", drawing)
    # the page sets the size: a figure is as wide as the text
    drawing = re.sub(r'^(<svg[^>]*?) width="[^"]*"', r"\1", drawing)
    drawing = re.sub(r'^(<svg[^>]*?) height="[^"]*"', r"\1", drawing)
    label = jinja2.filters.escape(text["alt"])
    drawing = drawing.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    return text | {"svg": Markup(drawing)}


def versions() -> dict[str, str]:
    """What computed the results: this project, Python and the packages that matter."""
    found = {"kernel-atlas": __version__, "Python": platform.python_version()}
    return found | {package: importlib.metadata.version(package) for package in PACKAGES}


def write_report(output: str | Path, template: str | Path, **facts: Any) -> None:
    """Fill the page. Texts are escaped; figures are the only markup that goes in as it is."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(template).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "number": number}
    page = environment.get_template(Path(template).name).render(facts)
    Path(output).write_text(page, encoding="utf-8")


def collect_facts(
    title: str,
    sheet: pd.DataFrame,
    parameters: Mapping[str, Any],
    rules: Mapping[str, Any],
    inventory: pd.DataFrame,
    sizes: pd.DataFrame,
    clusters: Mapping[str, pd.DataFrame],
    figures: Mapping[str, Sequence[Mapping[str, Any]]],
    models: pd.DataFrame,
    totals: pd.DataFrame,
    correlation: pd.DataFrame,
    noise: pd.DataFrame,
) -> dict[str, Any]:
    """Everything that the page says, for `write_report`.

    Parameters
    ----------
    title : str
    sheet : DataFrame
        From `read_sheet`.
    parameters, rules : mapping
        The configuration, and its schema.
    inventory, sizes, models, totals, correlation, noise : DataFrame
        The tables of the same names.
    clusters : mapping
        Size -> clusters.tsv.
    figures : mapping
        Size -> figures from `read_figure`, in the order of the page.
    """
    square = inventory["kh"] == inventory["kw"]
    asked = inventory["kh"].map(lambda side: f"{side}x{side}").isin(sizes["size"]) & square
    thresholds = parameters["thresholds"]
    sections = []
    for size, table in clusters.items():
        controls = controls_of(size, models, noise)
        sections.append(
            {
                "size": size,
                "threshold": thresholds[size],
                "findings": find_share(size, thresholds[size], totals, controls),
                "clusters": table.to_dict("records"),
                "kernels": table["kernels"].sum(),
                "figures": figures[size],
            }
        )
    return {
        "title": title,
        "versions": versions(),
        "seed": parameters["seed"],
        "uses": sheet["use"].value_counts().to_dict(),
        "independent": len(one_per_group(sheet)),
        "layers": len(inventory),
        "kernels": int(inventory["channels"].sum()),
        "left_out": int(inventory.loc[~asked, "channels"].sum()),
        "left_out_layers": int((~asked).sum()),
        "sizes": describe_sizes(sizes, parameters["minimum_kernels"]),
        "sections": sections,
        "correlation_finding": find_correlation(correlation),
        "correlation": correlation.to_dict("records"),
        "models": describe_models(sheet, models, list(clusters)),
        "parameters": describe_parameters(parameters, rules),
        "licences": describe_licences(sheet),
    }
