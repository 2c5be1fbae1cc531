"""The findings: sentences with their uncertainty, each number of which is a cell of a table in results/."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from kernel_atlas.findings.baselines import find_baselines
from kernel_atlas.findings.controls import find_controls
from kernel_atlas.findings.formulas import find_fit_labels, find_fits
from kernel_atlas.findings.held_out import find_held_out
from kernel_atlas.findings.keys import find_key_shares, find_master_keys
from kernel_atlas.findings.layers import find_layers
from kernel_atlas.findings.networks import find_comparisons, find_contrasts, find_depth, find_distances, find_knee
from kernel_atlas.findings.padding import find_offsets
from kernel_atlas.findings.places import find_places
from kernel_atlas.findings.scale_space import find_scale_space
from kernel_atlas.findings.shares import find_clusters, find_drift, find_fit, find_shares
from kernel_atlas.findings.stability import find_stability


class Finding(NamedTuple):
    """A title, the function, and the names of the tables that it takes."""

    title: str
    find: Callable[..., list[str]]
    tables: tuple[str, ...]


# In the order of the report. Each function takes the rows of one size.
FINDINGS = (
    Finding("Patterns", find_shares, ("totals", "chance")),
    Finding("Places", find_places, ("places",)),
    Finding("Held out", find_held_out, ("held_out",)),
    Finding("Clustered", find_clusters, ("totals", "chance")),
    Finding("Fit", find_fit, ("history",)),
    Finding("Drift", find_drift, ("drift",)),
    Finding("Controls", find_controls, ("controls",)),
    Finding("Baselines", find_baselines, ("baselines", "agreement")),
    Finding("Threshold", find_knee, ("knees",)),
    Finding("Stability", find_stability, ("stability", "stability_summary")),
    Finding("Formulas", find_fits, ("fit_explained", "fit_crosses", "fit_cardinal")),
    Finding("Formulas", find_fit_labels, ("fit_labels",)),
    Finding("Keys", find_master_keys, ("key_sets", "greedy_sets")),
    Finding("Keys", find_key_shares, ("master_key_shares",)),
    Finding("Scale space", find_scale_space, ("scale_space_summary",)),
    Finding("What goes with the share", find_comparisons, ("correlation",)),
    Finding("Contrasts", find_contrasts, ("contrast_kinds",)),
    Finding("Differences", find_distances, ("distances",)),
    Finding("Depth", find_depth, ("halves", "trends")),
    Finding("Layers", find_layers, ("layer_depths", "banding", "covariance_thirds")),
    Finding("Padding", find_offsets, ("padding",)),
)


BY_LABELS = {"totals", "chance", "places"}  # tables of what needs no autoencoder


def state_findings(tables: Mapping[str, pd.DataFrame], sizes: Sequence[str]) -> pd.DataFrame:
    """findings.csv: every sentence, with its size and the tables that hold its numbers.

    Parameters
    ----------
    tables : mapping
        Name (the file's, without its ending) -> table. A finding whose tables are not all there is not stated.
    sizes : sequence of str
        Those that have an autoencoder. Of others there is what labels alone say.

    Returns
    -------
    DataFrame
        size, finding, tables (names, with blanks), sentence.
    """
    rows = []
    named = tables["totals"]["size"].drop_duplicates() if "totals" in tables else []
    others = sorted(set(named) - set(sizes), key=lambda size: int(size.split("x")[0]))
    for size in [*sizes, *others]:
        for title, find, names in FINDINGS:
            if all(name in tables for name in names) and (size in sizes or BY_LABELS.issuperset(names)):
                given = [tables[name][tables[name]["size"] == size] for name in names]
                rows += [(size, title, " ".join(names), sentence) for sentence in find(*given)]
    return pd.DataFrame(rows, columns=["size", "finding", "tables", "sentence"])
