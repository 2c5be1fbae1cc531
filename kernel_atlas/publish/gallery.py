"""What the atlas says of labels and networks: a row for each label, and the kinds of kernels of each network."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from kernel_atlas.core.kernels import spread
from kernel_atlas.core.patterns import SIMPLEST, kind_of
from kernel_atlas.stats.independence import one_per_group
from kernel_atlas.stats.resampling import bootstrap_share, seed_of
from kernel_atlas.stats.shares import FIFTHS, PATTERNED, SUMMARIES, fifth_of

MEMBERS = 20  # kernels of a row
NETWORKS = 3  # in which a label is most frequent
FEWEST = 3  # independent networks from which on a size is more than one network's choice
FURTHER = "further"  # the kind of labels that a user's own patterns have
KINDS = (*SIMPLEST, FURTHER, "other")


def choose_members(kernels: pd.DataFrame) -> pd.DataFrame:
    """Twenty kernels of each label, spread over networks and layers, the most similar to their pattern first.

    Parameters
    ----------
    kernels : DataFrame
        label and similarity of kernels in the order of networks and layers.

    Returns
    -------
    DataFrame
        Rows of `kernels`.
    """
    chosen = [part.iloc[spread(len(part), MEMBERS)] for _, part in kernels.groupby("label")]
    return pd.concat(chosen).sort_values("similarity", ascending=False, kind="stable")


def describe_gallery(size: str, statistics: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Shares of the labels of one size, where they are frequent, and the controls.

    Parameters
    ----------
    size : str
    statistics : mapping
        models, totals, labels, layers and chance: the tables of results/statistics.

    Returns
    -------
    dict
        - networks: independent networks that the shares are means over.
        - patterned: share, low and high of kernels with a pattern; NaN where there is none.
        - controls: pairs of a name and the share of its kernels with a pattern.
        - rows: of each label, the most frequent first and `other` last: label; `share` with low and high; `networks`,
          pairs of a model and its share with low and high; `depth`, the mean share in each fifth of the layers, and
          `bars`, these in per cent of the largest.
    """
    mine = {name: table[table["size"] == size] for name, table in statistics.items()}
    models, totals = mine["models"], mine["totals"].set_index("label")
    if totals.empty:
        return {"networks": 0, "patterned": [np.nan] * 3, "controls": [], "rows": []}
    real = models.loc[(models["use"] != "control") & (models["convolution"] == "depthwise"), "model"]
    labels = mine["labels"][mine["labels"]["model"].isin(real)].sort_values("share", ascending=False, kind="stable")
    depths = _depths(mine["layers"][mine["layers"]["model"].isin(one_per_group(models)["model"])])
    shares = totals.drop(index=["dead", *SUMMARIES], errors="ignore").sort_values("share", ascending=False)
    order = sorted(shares.index, key=lambda label: label == "other")
    rows = []
    for label in order:
        most, depth = labels[labels["label"] == label].head(NETWORKS), depths[label].reindex(range(len(FIFTHS)))
        rows.append(
            {
                "label": label,
                "share": _cells(shares.loc[label], "share"),
                "networks": [(row["model"], _cells(row, "share")) for _, row in most.iterrows()],
                "depth": depth.tolist(),
                "bars": (100 * depth / (depth.max() or 1)).fillna(0).round().tolist(),
            }
        )
    chance = mine["chance"].dropna(subset="pattern_share")
    return {
        "networks": int(totals["models"].max()),
        "patterned": _cells(totals.loc[PATTERNED], "share") if PATTERNED in totals.index else [0.0, np.nan, np.nan],
        "controls": list(zip(chance["control"], chance["pattern_share"], strict=True)),
        "rows": rows,
    }


def _depths(layers: pd.DataFrame) -> pd.DataFrame:
    """Mean share of each label in each fifth of the depth [fifths, labels]: over layers, then over networks."""
    shares = layers[layers["label"] != "dead"].pivot_table(
        index=["model", "layer_index", "depth"], columns="label", values="share", fill_value=0
    )
    fifths = fifth_of(shares.index.get_level_values("depth")).rename("fifth")
    return shares.groupby(["model", fifths]).mean().groupby("fifth").mean()


def describe_networks(statistics: Mapping[str, pd.DataFrame], seed: int) -> dict[tuple[str, str], dict[str, list]]:
    """Share, low and high of live kernels with a pattern and of each of `KINDS`, by model and size.

    Parameters
    ----------
    statistics : mapping
        models and layers: models.csv and layers.csv.
    seed : int
        Of the intervals of kinds, bootstrapped over layers; they are NaN below five.
    """
    layers = statistics["layers"][statistics["layers"]["label"] != "dead"]
    kinds = layers["label"].map(lambda label: kind if (kind := kind_of(label)) in KINDS else FURTHER)
    models = statistics["models"].set_index(["model", "size"])[["pattern_share", "pattern_low", "pattern_high"]]
    found = {}
    for (model, size), part in layers.assign(kind=kinds).groupby(["model", "size"]):
        wide = part.pivot_table(index="layer_index", columns="kind", values="kernels", aggfunc="sum", fill_value=0)
        counts = wide.reindex(columns=list(KINDS), fill_value=0).to_numpy()
        whole = counts.sum(axis=1)
        low, high = bootstrap_share(counts, whole, seed_of(seed, model, size))
        cells = np.stack([counts.sum(axis=0) / whole.sum(), low, high], axis=1).tolist()
        found[model, size] = {PATTERNED: models.loc[(model, size)].tolist()} | dict(zip(KINDS, cells, strict=True))
    return found


def most_informative(galleries: Mapping[str, Mapping[str, Any]]) -> str:
    """The largest size of enough independent networks; without one, the largest of those that most networks have.

    Empty where there is no size at all.
    """
    networks = {size: min(known["networks"], FEWEST) for size, known in galleries.items()}
    return max(networks, key=lambda size: (networks[size], int(size.split("x")[0])), default="")


def _cells(row: pd.Series, name: str) -> list[float]:
    """A share with its interval."""
    return [row[name], row[f"{name}_low"], row[f"{name}_high"]]
