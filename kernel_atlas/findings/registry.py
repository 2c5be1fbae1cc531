"""The findings: sentences with their uncertainty, each number of which is a cell of a table in results/."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from kernel_atlas.findings.baselines import find_baselines
from kernel_atlas.findings.codes import find_drift, find_fit
from kernel_atlas.findings.controls import find_controls
from kernel_atlas.findings.formulas import find_fit_labels, find_fits
from kernel_atlas.findings.held_out import find_held_out
from kernel_atlas.findings.keys import find_master_keys
from kernel_atlas.findings.layers import find_layers
from kernel_atlas.findings.limits import find_code_limit, find_formula_limit
from kernel_atlas.findings.networks import (
    find_comparisons,
    find_contrasts,
    find_depth,
    find_distances,
    find_models,
    find_places,
)
from kernel_atlas.findings.padding import find_offsets
from kernel_atlas.findings.scale_space import find_scale_space
from kernel_atlas.findings.shares import compare_shares, find_controls_of_names, find_shares, find_summary, side_of
from kernel_atlas.findings.stability import find_stability


class Finding(NamedTuple):
    """The question of `questions.QUESTIONS` that it answers, the function, and the names of the tables it takes."""

    question: str
    find: Callable[..., list[str]]
    tables: tuple[str, ...]


# In the order of the report; the first sentence of a question is its meaning. Rows of tables come by size, see `rank`.
FINDINGS = (
    Finding("summary", find_summary, ("totals", "chance", "models")),
    Finding("summary", find_code_limit, ("held_out", "stability_summary")),
    Finding("summary", find_formula_limit, ("fit_explained",)),
    Finding("patterns", find_shares, ("totals", "chance")),
    Finding("controls", find_controls_of_names, ("totals", "chance")),
    Finding("codes", find_held_out, ("held_out",)),
    Finding("codes", find_controls, ("controls",)),
    Finding("codes", find_baselines, ("baselines",)),
    Finding("codes", find_stability, ("stability", "stability_summary")),
    Finding("codes", find_fit, ("history", "chance")),
    Finding("formulas", find_fits, ("fit_explained", "fit_crosses", "fit_cardinal")),
    Finding("formulas", find_fit_labels, ("fit_labels",)),
    Finding("formulas", find_master_keys, ("key_sets",)),
    Finding("formulas", find_scale_space, ("scale_space_summary",)),
    Finding("networks", find_models, ("models",)),
    Finding("networks", find_places, ("places",)),
    Finding("networks", find_contrasts, ("contrast_kinds",)),
    Finding("networks", find_drift, ("drift",)),
    Finding("networks", find_distances, ("distances",)),
    Finding("networks", find_comparisons, ("correlation",)),
    Finding("depth", find_depth, ("halves", "trends")),
    Finding("depth", find_layers, ("layer_depths", "banding", "covariance_thirds")),
    Finding("depth", find_offsets, ("padding",)),
)


BY_LABELS = {"totals", "chance", "models", "places"}  # tables of what needs no autoencoder


def rank(totals: pd.DataFrame, chance: pd.DataFrame) -> list[str]:
    """Sizes in the order of the report: the largest of which names tell something, then the other ones."""
    compared = compare_shares(totals, chance)["size"].tolist()
    return [*compared, *sorted(set(totals["size"]) - set(compared), key=side_of, reverse=True)]


def by_size(table: pd.DataFrame, order: Sequence[str]) -> pd.DataFrame:
    """The rows of a table in the order of sizes; sizes that are not in it come last."""
    places = {size: place for place, size in enumerate(order)}
    return table.sort_values("size", key=lambda column: column.map(places), kind="stable")


def state_findings(tables: Mapping[str, pd.DataFrame], sizes: Sequence[str]) -> pd.DataFrame:
    """findings.csv: every sentence, with the question it answers and the tables that hold its numbers.

    Parameters
    ----------
    tables : mapping
        Name (the file's, without its ending) -> table. A finding whose tables are not all there is not stated.
    sizes : sequence of str
        Those that have an autoencoder. Of others there is what labels alone say.

    Returns
    -------
    DataFrame
        question, tables (names, with blanks), sentence.
    """
    order = rank(tables["totals"], tables["chance"]) if {"totals", "chance"} <= set(tables) else list(sizes)
    given = {
        name: by_size(table if name in BY_LABELS else table[table["size"].isin(sizes)], order)
        for name, table in tables.items()
        if "size" in table
    }
    rows = [
        (question, " ".join(names), sentence)
        for question, find, names in FINDINGS
        if all(name in given for name in names)
        for sentence in find(*map(given.get, names))
    ]
    return pd.DataFrame(rows, columns=["question", "tables", "sentence"])
