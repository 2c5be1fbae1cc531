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
from kernel_atlas.kernels import size_name
from kernel_atlas.tables import whole

PACKAGES = ["snakemake", "torch", "numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "matplotlib"]
MANY = 10  # networks below which a correlation is no finding
FEW = 4  # independent networks below which an interval over networks says little
NOTHING = "\N{EN DASH}"


def percent(share: float, low: float = np.nan, high: float = np.nan) -> str:
    """`62.7 % [58.1, 66.9]`, without the brackets where there is no interval, a dash where there is no share."""
    if not np.isfinite(share):
        return NOTHING
    interval = f" [{100 * low:.1f}, {100 * high:.1f}]" if np.isfinite(low) else ""
    return f"{100 * share:.1f} %{interval}"


def number(value: float) -> str:
    """`6012` -> `6,012`; a dash where it is missing."""
    return NOTHING if pd.isna(value) else f"{value:,.0f}"


def controls_of(size: str, models: pd.DataFrame, noise: pd.DataFrame) -> dict[str, float]:
    """The share clustered of what should not be: of Gaussian noise, and of each control, the highest first.

    A regular convolution is no control in this sense: it is trained, and is there for comparison.
    """
    labels = noise.loc[noise["kh"] == int(size.split("x")[0]), "label"]
    rows = models[(models["size"] == size) & (models["use"] == "control") & (models["convolution"] == "depthwise")]
    rows = rows.sort_values("clustered_share", ascending=False)
    shares = dict(zip(rows["model"], rows["clustered_share"], strict=True))
    return {"Gaussian noise": labels.ne("other").mean()} | shares


def find_shares(size: str, threshold: float, totals: pd.DataFrame, controls: Mapping[str, float]) -> list[str]:
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
        The share first.
    """
    rows = totals[totals["size"] == size].set_index("label")
    live = rows.drop(index="dead", errors="ignore")
    if live.empty:
        return ["No independent network has live kernels of this size."]
    share, low, high = 1.0, np.nan, np.nan
    if "other" in live.index:
        share, high, low = 1 - live.loc["other", ["share", "share_low", "share_high"]]
    networks = live["models"].iloc[0]
    found = [
        f"{percent(share, low, high)} of {number(live['kernels'].sum())} kernels are clustered (dissimilarity below "
        f"{threshold:g}), in {number(networks)} independent network{'s' if networks > 1 else ''}."
    ]
    if networks < FEW:
        found.append("Too few networks to say how others differ.")
    listed = ", ".join(f"{name} {percent(value)}" for name, value in list(controls.items())[:FEW])
    if len(controls) > FEW:
        listed += f" and {len(controls) - FEW} lower ones"
    end, surest = ("lower end of the interval", low) if np.isfinite(low) else ("share", share)
    highest = max(controls.values())
    verdict = "more than twice" if surest > 2 * highest > 0 else "above" if surest > highest else "not above"
    found.append(f"Controls: {listed}; the {end} is {verdict} the highest of them.")
    common = live.drop(index="other", errors="ignore").nlargest(3, "share")
    if len(common):
        named = (f"{row.Index} {percent(row.share, row.share_low, row.share_high)}" for row in common.itertuples())
        found.append(f"Most common: {', '.join(named)}.")
    if "dead" in rows.index:
        kernels, share = rows.loc["dead", ["kernels", "share"]]
        found.append(f"Left out as dead: {number(kernels)} kernels, {percent(share)} of all.")
    return found


def find_correlation(correlation: pd.DataFrame) -> str:
    """One sentence on accuracy, size and the share clustered, or on why nothing can be said."""
    if correlation.empty:
        return (
            "Whether better or larger networks have a higher share cannot be said: no data set has four independent "
            "networks in the sheet whose top1 or params are given and differ."
        )
    many = correlation[correlation["n"] >= MANY]
    if many.empty:
        return (
            "Whether better or larger networks have a higher share cannot be said: no data set has "
            f"{MANY} independent networks in the sheet; the coefficients of fewer are in the table below."
        )
    clear = many[(many["pearson_low"] > 0) | (many["pearson_high"] < 0)]
    words = (
        f"Of {len(many)} correlations of the share clustered with top-1 or with the number of parameters, "
        f"{len(clear)} {'has' if len(clear) == 1 else 'have'} an interval without zero"
    )
    listed = [
        f"{row['size']} on {row['dataset']}, {row['variable']}: r = {row['pearson']:.2f} "
        f"[{row['pearson_low']:.2f}, {row['pearson_high']:.2f}], n = {row['n']}"
        for row in clear.nlargest(3, "n").to_dict("records")
    ]
    return f"{words} ({'; '.join(listed)})." if listed else f"{words}."


def find_drift(drift: pd.DataFrame, size: str) -> list[str]:
    """A sentence on the assigned networks that the autoencoder of one size does not cover, if there are any."""
    rows = drift[(drift["size"] == size) & (drift["advice"] == "retrain")].sort_values("beyond", ascending=False)
    if rows.empty:
        return []
    listed = ", ".join(
        f"{row.model} {percent(row.beyond, row.beyond_low, row.beyond_high)}" for row in rows.itertuples()
    )
    return [
        "Not covered by the autoencoder, as more than twice the usual 10 % of their kernels lie beyond the 90 % "
        f"quantile of the training kernels' dissimilarity: {listed}. They have other patterns or none; if their "
        "patterns matter, set use = train."
    ]


def describe_fit(history: pd.DataFrame) -> str:
    """A sentence on how far the shares of networks that trained the autoencoder are in-sample."""
    kept = history[history["chosen"]]
    best = kept.loc[kept["held_out_loss"].idxmin()]
    return (
        f"The autoencoder leaves a mean dissimilarity of {best['loss']:.3f} on the kernels that trained it and "
        f"{best['held_out_loss']:.3f} on those held out: shares of networks that trained it are in-sample to that "
        "degree. Intervals are over networks, for this one autoencoder; another seed moves shares and names too."
    )


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
                # text in a table of sizes is a file: its name, since where it lay on this machine says nothing
                value = ", ".join(f"{key}: {Path(x).name if isinstance(x, str) else x}" for key, x in value.items())
            elif isinstance(value, list):
                value = ", ".join(str(each) for each in value)
            rows.append((before + name, value if value != "" else "none", rule.get("description", "")))
    return rows


def describe_models(sheet: pd.DataFrame, models: pd.DataFrame, sizes: Sequence[str]) -> list[dict[str, Any]]:
    """A row per model of the sheet: what the sheet says, and the share clustered of each size."""
    cells = {
        (row.model, row.size): {
            "share": percent(row.clustered_share, row.share_low, row.share_high),
            "kernels": number(row.kernels - row.dead),
        }
        for row in models.itertuples()
    }
    none = {"share": NOTHING, "kernels": ""}
    rows = sheet.sort_values("model").astype(object).where(sheet.notna(), "").to_dict("records")
    return [row | {"cells": [cells.get((row["model"], size), none) for size in sizes]} for row in rows]


def describe_licences(sources: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Licence -> models, as the sheet states them or, where it does not, the source."""
    stated = sources["licence"].fillna("not stated")
    return [(licence, sorted(part["model"])) for licence, part in sources.groupby(stated)]


def read_figure(svg: str | Path, words: str | Path) -> dict[str, Any]:
    """A drawn figure as it goes into a page: title, caption, and the SVG with its text for those who cannot see it."""
    text = json.loads(Path(words).read_text(encoding="utf-8"))
    drawing = Path(svg).read_text(encoding="utf-8")
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    # groups have the same ids in every figure, and nothing refers to them; a page may have an id only once
    drawing = re.sub(r'<g id="[\w.]+_\d+"', "<g", drawing)
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
    with whole(output) as partial:
        partial.write_text(page, encoding="utf-8")


def collect_facts(
    title: str,
    sheet: pd.DataFrame,
    parameters: Mapping[str, Any],
    rules: Mapping[str, Any],
    inventory: pd.DataFrame,
    sources: pd.DataFrame,
    sizes: pd.DataFrame,
    clusters: Mapping[str, pd.DataFrame],
    figures: Mapping[str, Sequence[Mapping[str, Any]]],
    models: pd.DataFrame,
    totals: pd.DataFrame,
    correlation: pd.DataFrame,
    drift: pd.DataFrame,
    noise: pd.DataFrame,
    histories: Mapping[str, pd.DataFrame],
) -> dict[str, Any]:
    """Everything that the page says, for `write_report`.

    Parameters
    ----------
    title : str
    sheet : DataFrame
        From `read_sheet`.
    parameters, rules : mapping
        The configuration, and its schema.
    inventory, sources, sizes, models, totals, correlation, drift, noise : DataFrame
        The tables of the same names.
    clusters : mapping
        Size -> clusters.tsv.
    histories : mapping
        Size -> history.parquet.
    figures : mapping
        Size -> figures from `read_figure`, in the order of the page.
    """
    read = sources[sources["failure"].isna()]
    failed = sources[sources["failure"].notna()]
    sheet = sheet[sheet["model"].isin(read["model"])]
    inventory = inventory[inventory["convolution"] == "depthwise"]
    counted = sheet[(sheet["use"] != "control") & (sheet["convolution"] == "depthwise")]
    square = inventory["kh"] == inventory["kw"]
    asked = inventory["kh"].map(size_name).isin(sizes["size"]) & square
    thresholds = parameters["thresholds"]
    sections = []
    for size, table in clusters.items():
        controls = controls_of(size, models, noise)
        sections.append(
            {
                "size": size,
                "threshold": thresholds[size],
                "findings": [
                    *find_shares(size, thresholds[size], totals, controls),
                    describe_fit(histories[size]),
                    *find_drift(drift, size),
                ],
                "clusters": table.assign(share=table["kernels"] / table["kernels"].sum()).to_dict("records"),
                "figures": figures[size],
            }
        )
    return {
        "title": title,
        "versions": versions(),
        "seed": parameters["seed"],
        "uses": sheet["use"].value_counts().to_dict(),
        "independent": counted["group"].fillna(counted["model"]).nunique(),
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
        "licences": describe_licences(read),
        "failures": failed["failure"].tolist(),
    }
