"""What the kernels of a run of `experiments` are at each step kept: their labels, their fits, how they move."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from kernel_atlas.core.kernels import centre_and_normalise, draw_noise, is_dead, size_name
from kernel_atlas.core.patterns import family_of, read_patterns
from kernel_atlas.core.vocabulary import FAMILIES
from kernel_atlas.evidence.controls import make_control
from kernel_atlas.evidence.families import FAMILIES as FORMULAS
from kernel_atlas.evidence.fit import fit_kernels
from kernel_atlas.evidence.formulas import NOISE_QUANTILE
from kernel_atlas.io.tables import read_table
from kernel_atlas.model.assign import Assigner, Labeller
from kernel_atlas.model.encoder import labeller_of

NOISE = 4000  # Gaussian-noise kernels whose fits say what a fit is worth
SCRAMBLED = 3  # kernels with the power spectrum of each one and random phases
CHANCE = 0.05  # share of these that are fitted better than the bar for what is beyond them


def noise_level(side: int, seed: int) -> float:
    """The cosine of a fit that 1 % of Gaussian-noise kernels [side, side] exceed."""
    return float(fit_kernels(centre_and_normalise(draw_noise(NOISE, side, seed)))["cosine"].quantile(NOISE_QUANTILE))


def measure_run(
    kernels: str | Path, curve: str | Path, atlases: Mapping[int, Labeller], level: float, seed: int
) -> pd.DataFrame:
    """Describe the kernels of each layer at each step of a run.

    Parameters
    ----------
    kernels, curve : path
        What `train_run` wrote.
    atlases : mapping
        Side of the kernels -> Labeller, from `read_encoder`.
    level : float
        From `noise_level`, for kernels of this side.
    seed : int

    Returns
    -------
    DataFrame
        A row for each step and layer, with the columns step to seconds of experiments/*/runs.csv in
        schemas/tables.yaml. `beyond` stands beside `explained`, as white noise is easy to beat for whatever is smooth.

    Raises
    ------
    AtlasError
        The encoder does not know kernels of this size.
    """
    table = read_table(kernels).to_pandas()
    side = int(table["kh"].iloc[0])
    atlas = labeller_of(atlases, side, kernels)
    taps = np.stack(table["weight"]).astype(np.float32)
    dead = is_dead(taps)
    units = centre_and_normalise(np.where(dead[:, None], 0, taps))
    found = Assigner(read_patterns(), {side: atlas}).assign(taps)
    codes, labels, clustered = found["code"], found["label"], found["cluster"] >= 0
    families = np.array([family_of(label) for label in labels])
    controls = [make_control("phase", units, seed + draw) for draw in range(SCRAMBLED)]
    fits = fit_kernels(np.concatenate([units, *controls]))
    cosines, *scrambled = fits["cosine"].to_numpy().reshape(1 + SCRAMBLED, -1)
    scrambled = np.stack(scrambled)
    formulas = np.where(cosines > level, fits["family"].to_numpy(str)[: len(units)], "")

    rows = []
    for layer, part in table.groupby("layer_index"):
        places = {step: kept.sort_values("channel").index.to_numpy() for step, kept in part.groupby("step")}
        first, last = places[min(places)], places[max(places)]
        for step, here in places.items():
            live = ~dead[here]
            place, start, end = here[live], first[live], last[live]
            there = clustered[end]
            counts = {family: int((families[place] == family).sum()) for family in FAMILIES}
            fitted = {f"fit_{name}": int((formulas[place] == name).sum()) for name in FORMULAS}
            bar = np.quantile(scrambled[:, place], 1 - CHANCE) if len(place) else np.inf
            about = {"step": step, "layer_index": layer, "size": size_name(side), "kernels": len(place)}
            about |= {"clustered": int(clustered[place].sum()), **counts, "explained": sum(fitted.values()), **fitted}
            about["beyond"] = int((cosines[place] > bar).sum())
            about["relabelled"] = int((labels[place] != labels[end]).sum())
            about["cosine_to_first"] = np.median((units[place] * units[start]).sum(1))
            about["cosine_to_last"] = np.median((units[place] * units[end]).sum(1))
            about["code_to_last"] = np.nanmedian(np.abs(codes[place] - codes[end])[there]) if there.any() else np.nan
            rows.append(about)
    return pd.DataFrame(rows).merge(pd.read_csv(curve), on="step")


def label_layer(kernels: str | Path, labellers: Mapping[int, Labeller], layer: int) -> pd.DataFrame:
    """The kernels of one layer at every step: those of `train_run`, with code and family.

    Parameters
    ----------
    kernels : path
        What `train_run` wrote.
    labellers : mapping
        Side of the kernels -> Labeller.
    layer : int
        Its layer_index.

    Raises
    ------
    AtlasError
        No labeller knows the size.
    """
    table = read_table(kernels).to_pandas()
    table = table[table["layer_index"] == layer]
    taps = np.stack(table["weight"]).astype(np.float32)
    side = int(table["kh"].iloc[0])
    found = Assigner(read_patterns(), {side: labeller_of(labellers, side, kernels)}).assign(taps)
    return table.assign(code=found["code"], family=[family_of(label) for label in found["label"]])
