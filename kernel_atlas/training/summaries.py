"""Tables of runs summed up over seeds and models, with intervals; without torch."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from kernel_atlas.core.vocabulary import FAMILIES, FORMULAS, MEASURES
from kernel_atlas.io.tables import read_csv
from kernel_atlas.stats.resampling import CONFIDENCE, bootstrap_share
from kernel_atlas.stats.shares import fifth_of
from kernel_atlas.training.map_summaries import summarise_maps

LABELLED = ("pattern", "prototype")  # of labels and layers: is what their label or cluster names enough
PATTERNED, CLUSTERED = "with a pattern", "clustered"  # parts of a size: of any label but `other`; in a cluster
LAYERS = "layer, "  # how the labels begin that stand for single layers
PLACES = ("1st fifth", "2nd fifth", "3rd fifth", "4th fifth", "5th fifth")  # of the depth
CONTROLS = {"random": "a random direction", "scrambled": "a phase-scrambled direction"}  # of equal cosine
UNCONTROLLED = ("opposite", "zero")  # at cosine -1 there is one kernel only, and zero has no cosine
COSINES = (0.95, 0.9, 0.8, 0.7, 0.5, 0.3, 0.0)  # at which all kernels of a size are tried
DIRECTIONS = (*CONTROLS, "fit", "pattern", "prototype", "turned")  # in which they are moved there
MEASURED = ("difference", *CONTROLS, *(f"beyond_{kind}" for kind in CONTROLS))
COMMON = 0.05  # share of a layer's kernels from which on it is asked when a pattern came


def read_experiment(path: str | Path) -> pd.DataFrame:
    """Read the table of an experiment. Families that are newer than a kept table have no kernels in it."""
    table = read_csv(path)
    if "other" in table:
        table = table.assign(**{family: 0 for family in FAMILIES if family not in table})
    return table


def summarise(experiment: str, table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The summary of an experiment, from its table of runs."""
    own = {"ablation": summarise_ablation, "maps": summarise_maps}
    own |= {"verdict": lambda table, seed: table}  # it is judged from answers of single images
    return own.get(experiment, summarise_runs)(table, seed)


def summarise_runs(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """What the kernels of each condition are at the end, before training, and against another condition.

    Parameters
    ----------
    table : DataFrame
        experiments/*/runs.csv of schemas/tables.yaml.
    seed : int

    Returns
    -------
    DataFrame
        As experiments/*/summary.csv of schemas/tables.yaml: a row for each condition, layer (from 1; `all`) and measure
        (of `MEASURES`, or a family of formulas or labels). Units are layers of networks.
    """
    units = table.set_index(["condition", "seed", "layer_index"]).sort_index()
    first = units[units["step"] == 0]
    last = units[units["step"] == units.groupby(["condition", "seed"])["step"].transform("max")]
    titles = table.drop_duplicates("condition").set_index("condition")["title"]
    rows = []
    for condition, part in table.groupby("condition", sort=False):
        against = part["against"].iloc[0] if part["against"].iloc[0] in titles.index else ""
        networks = last.loc[condition].groupby("seed")[["params", "top1", "train_top1"]].first()
        about = {"condition": condition, "title": titles[condition], "against": titles.get(against, "")}
        about |= {"networks": len(networks), "cosine_to_first": last.loc[condition, "cosine_to_first"].mean()}
        about |= networks.mean().to_dict()
        apart = pd.Series([np.nan])
        if against:
            apart = (networks["top1"] - last.loc[against].groupby("seed")["top1"].first()).dropna()
        about |= {"top1_difference": apart.mean(), "top1_lowest": apart.min(), "top1_highest": apart.max()}
        for layer in ["all", *sorted(part["layer_index"].unique())]:
            name = layer if layer == "all" else layer + 1
            chosen = [_chosen(each, condition, layer) for each in (units, first, last)]
            other = _chosen(last, against, layer) if against else None
            for measure in [*MEASURES, *FORMULAS, *FAMILIES]:
                rows.append({**about, "layer": name, "measure": measure, **_measure(measure, *chosen, other, seed)})
    return pd.DataFrame(rows)


def _chosen(units: pd.DataFrame, condition: str, layer: int | str) -> pd.DataFrame:
    """The rows of a condition, of one layer or of all."""
    part = units.loc[condition]
    return part if layer == "all" else part.xs(layer, level="layer_index", drop_level=False)


def _measure(
    name: str, way: pd.DataFrame, start: pd.DataFrame, end: pd.DataFrame, other: pd.DataFrame | None, seed: int
) -> dict[str, float]:
    """A share of the kernels at the end, at the start, beyond these and another condition's, and when it came."""
    low, high = bootstrap_share(end[name].to_numpy(), end["kernels"].to_numpy(), [seed])
    found = {"units": len(end), "kernels": int(end["kernels"].sum())}
    found |= {"share": end[name].sum() / end["kernels"].sum(), "low": float(low), "high": float(high)}
    found["untrained"] = start[name].sum() / start["kernels"].sum()
    for title, base in (("gain", start), ("difference", other)):
        apart = pd.Series(dtype=float) if base is None else share(end, name).sub(share(base, name)).dropna()
        low, high = bootstrap_share(apart.to_numpy(), np.ones(len(apart)), [seed])
        found |= {title: apart.mean(), f"{title}_low": float(low), f"{title}_high": float(high)}
    found["agree"] = (
        len(apart) > 0 and abs(np.sign(apart.groupby("seed").mean()).sum()) == apart.index.unique("seed").size
    )
    found["half_after"], found["half_until"] = _half(share(way.groupby("step")[[name, "kernels"]].sum(), name))
    return found


def share(counts: pd.DataFrame, name: str) -> pd.Series:
    return counts[name] / counts["kernels"]


def _half(share: pd.Series) -> tuple[float, float]:
    """The last step below half of what a share comes to, and the next one; NaN where it is small or always more."""
    below = share.index[share < share.iloc[-1] / 2]
    if share.iloc[-1] < COMMON or not len(below):
        return np.nan, np.nan
    return float(below.max()), float(share.index[share.index > below.max()].min())


NAMES = {
    "fit": "its fitted formula",
    "reconstruction": "its reconstruction",
    "posed": "pose and number",
    "pattern": "its pattern",
    "prototype": "its prototype",
    "master_key": "its master key",
    "other_family": "another family's pattern",
    "turned": "its quarter turn",
    "opposite": "its opposite",
    "zero": "zero",
}

WIDE = 10.0  # points from the interval of a measured accuracy from which on a stated one is called far from it


def compare_top1(table: pd.DataFrame, stated: float | None) -> pd.DataFrame:
    """The table of one network with the accuracy that its sheet states, and how far it is from the one measured.

    Parameters
    ----------
    table : DataFrame
        ablation.csv of one model; its first row has all kernels replaced.
    stated : float or None
        Percent.

    Returns
    -------
    DataFrame
        With stated_top1 and apart: the points between it and the 95 % interval (Wilson's) of baseline_top1 on all
        images, 0 inside.
    """
    apart = np.nan
    if stated is not None and np.isfinite(stated):
        images, right = int(table["images"].iloc[0]), table["baseline_top1"].iloc[0] / 100
        low, high = binomtest(round(right * images), images).proportion_ci(CONFIDENCE, method="wilson")
        apart = max(100 * low - stated, stated - 100 * high, 0.0)
    return table.assign(stated_top1=np.nan if stated is None else stated, apart=apart)


def tell_apart(table: pd.DataFrame) -> str | None:
    """One sentence on networks whose accuracy is far from the sheet's top-1; None without such networks."""
    first = table.drop_duplicates("model")
    first = first[first["apart"] > WIDE]
    if first.empty:
        return None
    listed = ", ".join(
        f"{row.model} {row.baseline_top1:.1f} % (on {row.images} images; the sheet states {row.stated_top1:.1f} %)"
        for row in first.itertuples()
    )
    return f"Before any replacement, top-1 is far from what is stated: {listed}; images or weights may be others."


def ablation_parts(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a label for each part; of each model, the mean over the layers in a fifth of the depth."""
    table = table.assign(recipe=recipes(table))
    for column in ("size", "label"):
        table[column] = table[column].fillna("").replace("", "all")
    is_layer = table["layer_index"].notna()
    layers = table[is_layer]
    last = layers.groupby("model")["layer_index"].transform("max").clip(lower=1)
    layers = layers.assign(label=LAYERS + fifth_of(layers["layer_index"] / last).map(dict(enumerate(PLACES))))
    keys = ["model", "recipe", "replacement", "size", "label"]
    changes = ["cosine", *(f"{name}{end}" for end in ("", "_reestimated") for name in MEASURED)]
    means = layers.groupby(keys, sort=False).agg({"kernels": "sum"} | dict.fromkeys(changes, "mean")).reset_index()
    return pd.concat([table.loc[~is_layer, means.columns], means], ignore_index=True)


def recipes(table: pd.DataFrame) -> pd.Series:
    """The recipe of each row's model, which is its own where the sheet states none: seeds of one are one network."""
    return table["recipe"].astype(object).where(table["recipe"].notna(), table["model"])


def summarise_ablation(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Means of the changes in accuracy over networks, each the mean of the models of a recipe.

    Parameters
    ----------
    table : DataFrame
        ablation/ablation.csv of schemas/tables.yaml, of any number of models.
    seed : int

    Returns
    -------
    DataFrame
        As ablation/summary.csv of schemas/tables.yaml: a row for each size, label and replacement. The label is
        `layer, 1st fifth` and so on where one layer is replaced, in that fifth of the depth.
    """
    rows = []
    far = table.groupby("model")["apart"].first() > WIDE
    for row, (key, part) in enumerate(ablation_parts(table).groupby(["size", "label", "replacement"], sort=False)):
        about = dict(zip(["size", "label", "replacement"], key, strict=True))
        about |= {"models": len(part), "networks": part["recipe"].nunique(), "kernels": int(part["kernels"].sum())}
        networks = part.groupby("recipe").mean(numeric_only=True)
        about |= {"apart": int(far[part["model"]].sum()), "cosine": networks["cosine"].mean()}
        for end in ("", "_reestimated"):
            for name in MEASURED:
                mean, low, high = _over_networks(networks[f"{name}{end}"], seed + row)
                about |= {f"{name}{end}": mean, f"{name}_low{end}": low, f"{name}_high{end}": high}
            difference = networks[f"difference{end}"]
            about |= {f"lowest{end}": difference.min(), f"highest{end}": difference.max()}
        rows.append(about)
    order = {name: place for place, name in enumerate(NAMES)}
    frame = pd.DataFrame(rows)
    keys = frame.assign(replacement=frame["replacement"].map(order), whole=frame["label"] != "all")
    return frame.loc[keys.sort_values(["size", "whole", "label", "replacement"]).index].reset_index(drop=True)


def summarise_cosines(cosines: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The curves of loss against cosine: means over networks, each the mean of the models of a recipe.

    Parameters
    ----------
    cosines : DataFrame
        cosines.csv.
    seed : int

    Returns
    -------
    DataFrame
        size, direction, cosine, networks, difference with its interval over networks, none below five.
    """
    rows = []
    means = cosines.assign(recipe=recipes(cosines)).groupby(["size", "direction", "cosine", "recipe"])["difference"]
    for row, (key, part) in enumerate(means.mean().groupby(["size", "direction", "cosine"])):
        about = dict(zip(["size", "direction", "cosine"], key, strict=True)) | {"networks": len(part)}
        rows.append(about | dict(zip(["difference", "low", "high"], _over_networks(part, seed + row), strict=True)))
    return pd.DataFrame(rows)


def _over_networks(values: pd.Series, seed: int) -> tuple[float, float, float]:
    """The mean of values of networks, NaN of none, and its interval over these."""
    values = values.dropna().to_numpy()
    low, high = bootstrap_share(values, np.ones(len(values)), [seed])
    return values.mean() if len(values) else np.nan, float(low), float(high)
