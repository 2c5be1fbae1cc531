"""Maps of kernels summed up by family of labels: per layer, then over networks; without torch."""

import numpy as np
import pandas as pd

from kernel_atlas.core.patterns import family_of
from kernel_atlas.core.vocabulary import FAMILIES
from kernel_atlas.io.tables import in_order
from kernel_atlas.stats.resampling import bootstrap_share, seed_of

CONTROLS = {  # of `maps.draw_control`: kernels of the same norm on the same input
    "noise": "noise with the same sum of taps",
    "phase": "random phases",
    "free": "noise with any sum of taps",
}
MEASURES = {  # of a map, as figures and sentences call them
    "relative_mean": "mean / sd",
    "absolute_relative_mean": "|mean| / sd",
    "skewness": "skewness",
    "variance_ratio": "share of variance",
    "unit_variance_ratio": "the same at unit norm",
}
FEWEST_KERNELS = 20  # of a family in all networks, below which it is in the tables only
COLUMNS = [*MEASURES, *(f"{control}_{measure}" for control in CONTROLS for measure in MEASURES)]


def sum_up_layers(kernels: pd.DataFrame, unit: str) -> pd.DataFrame:
    """maps.csv of one network: a row for each layer and family of labels.

    Parameters
    ----------
    kernels : DataFrame
        maps/models/*.csv.
    unit : str
        What the network is a part of; see `independence.related`.

    Returns
    -------
    DataFrame
        Medians over kernels. Shares of variance are means times the channels of the layer: 1 is an equal share.
    """
    table = kernels.assign(label=kernels["label"].map(family_of), silent=kernels["skewness"].isna())
    table["tap_sum"] = table["tap_sum"].abs()
    for prefix in ("", *(f"{name}_" for name in CONTROLS)):
        for part in ("", "unit_"):
            table[f"{prefix}{part}variance_ratio"] = table[f"{prefix}{part}variance_share"] * table["channels"]
    groups = table.groupby(["model", "size", "layer_index", "label"])
    ways = {name: "mean" if name.endswith("variance_ratio") else "median" for name in COLUMNS}
    found = groups.agg({"channel": "size", "silent": "sum", "tap_sum": "median", **ways})
    found = found.rename(columns={"channel": "kernels"}).reset_index()
    return in_order(found.assign(unit=unit), "maps/maps.csv")


def over_layers(table: pd.DataFrame) -> pd.DataFrame:
    """Means over layers, weighted by kernels: index unit, model, size, label; columns kernels and `COLUMNS`."""
    keys = ["unit", "model", "size", "label"]
    weights = table[COLUMNS].notna().mul(table["kernels"], axis=0)
    sums = table[COLUMNS].fillna(0).mul(weights).groupby([table[key] for key in keys]).sum()
    weights = weights.groupby([table[key] for key in keys]).sum()
    return (sums / weights.where(weights > 0)).assign(kernels=table.groupby(keys)["kernels"].sum())


def summarise_maps(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """maps/summary.csv: each measure of each family of labels over networks, beside the controls.

    Parameters
    ----------
    table : DataFrame
        maps.csv.
    seed : int

    Returns
    -------
    DataFrame
        A row for each size, label and measure. Values are means over units, of which one is the mean of its networks;
        with their interval over units from five on, and the lowest and highest unit. Differences from a control are of
        the same network.
    """
    order, rows = list(FAMILIES), []
    found = over_layers(table)
    for (size, label), part in found.groupby(["size", "label"]):
        about = {"size": size, "label": label, "networks": len(part), "units": part.index.unique("unit").size}
        about["kernels"] = int(part["kernels"].sum())
        for measure in MEASURES:
            own_seed = seed_of(seed, size, label, measure)
            row = about | {"measure": measure} | _over_units(part[measure], "value", own_seed)
            for name in CONTROLS:
                control = part[f"{name}_{measure}"]
                row[name] = control.groupby("unit").mean().mean()
                row |= _over_units(part[measure] - control, f"{name}_difference", own_seed)
            rows.append(row)
    frame = pd.DataFrame(rows)
    frame["place"] = frame["label"].map(order.index)
    frame["side"] = frame["size"].str.split("x").str[0].astype(int)
    frame = frame.sort_values(["side", "place"], ascending=[False, True], kind="stable", ignore_index=True)
    return in_order(frame.drop(columns=["place", "side"]), "maps/summary.csv")


def _over_units(values: pd.Series, name: str, seed: list[int]) -> dict[str, float]:
    """Mean over units, its interval (none below five units), the lowest and the highest unit."""
    units = values.groupby("unit").mean().dropna()
    low, high = bootstrap_share(units.to_numpy(), np.ones(len(units)), seed)
    found = {
        "": units.mean(),
        "_low": float(low),
        "_high": float(high),
        "_lowest": units.min(),
        "_highest": units.max(),
    }
    return {f"{name}{end}": value for end, value in found.items()}


def shown(summary: pd.DataFrame) -> pd.DataFrame:
    """The rows that figure and sentences are of: families with `FEWEST_KERNELS` in two independent networks or more.

    Where no family is in two networks, those of one.
    """
    common = summary[summary["kernels"] >= FEWEST_KERNELS]
    several = common[common["units"] > 1]
    return several if len(several) else common
