"""What the kernels of a run of `experiments` are at each step kept: their labels, their fits, how they move."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from kernel_atlas.assignments import Atlas
from kernel_atlas.evidence.explained import NOISE_QUANTILE
from kernel_atlas.evidence.families import FAMILIES as FORMULAS
from kernel_atlas.evidence.fits import fit_kernels
from kernel_atlas.kernels import centre_and_normalise, is_dead, size_name
from kernel_atlas.patterns import FAMILIES, family_of
from kernel_atlas.tables import read_table

NOISE = 4000  # Gaussian-noise kernels whose fits say what a fit is worth


def noise_level(side: int, seed: int) -> float:
    """The cosine of a fit that 1 % of Gaussian-noise kernels [side, side] exceed."""
    noise = np.random.default_rng([seed, side]).standard_normal((NOISE, side * side), np.float32)
    return float(fit_kernels(centre_and_normalise(noise))["cosine"].quantile(NOISE_QUANTILE))


def measure_run(kernels: str | Path, curve: str | Path, atlases: Mapping[int, Atlas], level: float) -> pd.DataFrame:
    """Describe the kernels of each layer at each step of a run.

    Parameters
    ----------
    kernels, curve : path
        What `train_run` wrote.
    atlases : mapping
        Side of the kernels -> Atlas, from `read_encoder`.
    level : float
        From `noise_level`, for kernels of this side.

    Returns
    -------
    DataFrame
        A row for each step and layer: step, layer_index, size, kernels (that are not dead), clustered and a column for
        each of `patterns.FAMILIES` (how many are), explained (how many are more like a fitted formula than 99 % of
        noise), fit_FAMILY (how many of these each family of formulas fits best); cosine_to_last and code_from_last
        (medians of the cosine to the kernel at the last step, and of the distance of the codes), relabelled (how many
        have another label than at the last step), switched and code_moved (the same two against the step kept before);
        and the columns of the curve.
    """
    table = read_table(kernels).to_pandas()
    side = int(table["kh"].iloc[0])
    taps = np.stack(table["weight"]).astype(np.float32)
    dead = is_dead(taps)
    table = table.drop(columns="weight").assign(**atlases[side].assign(taps, dead), dead=dead)
    table["family"] = table["label"].map(family_of)
    table["place"] = np.arange(len(table))
    units = centre_and_normalise(np.where(dead[:, None], 0, taps))
    fits = fit_kernels(units)
    fitted = fits["family"].where((fits["cosine"] > level) & ~dead, "")
    steps, rows = np.sort(table["step"].unique()), []
    for layer, part in table.groupby("layer_index"):
        at = {step: kept.sort_values("channel") for step, kept in part.groupby("step")}
        last = at[steps[-1]]
        for before, step in zip([steps[0], *steps[:-1]], steps, strict=True):
            here = at[step]
            live = ~here["dead"].to_numpy()
            counts = here.loc[live, "family"].value_counts().reindex(FAMILIES, fill_value=0)
            best = fitted[here["place"]].value_counts().reindex(list(FORMULAS), fill_value=0)
            cosine = (units[here["place"]] * units[last["place"]]).sum(1)
            rows.append(
                {
                    "step": step,
                    "layer_index": layer,
                    "size": size_name(side),
                    "kernels": int(live.sum()),
                    "clustered": int(here.loc[live, "cluster"].ge(0).sum()),
                    **counts,
                    "explained": int(best.sum()),
                    **best.add_prefix("fit_"),
                    "cosine_to_last": np.median(cosine),
                    "code_from_last": _distance(here, last),
                    "relabelled": int((here["label"].to_numpy() != last["label"].to_numpy()).sum()),
                    "code_moved": _distance(here, at[before]),
                    "switched": int((here["label"].to_numpy() != at[before]["label"].to_numpy()).sum()),
                }
            )
    return pd.DataFrame(rows).merge(pd.read_csv(curve), on="step")


def _distance(one: pd.DataFrame, other: pd.DataFrame) -> float:
    return float(np.nanmedian(np.abs(one["code"].to_numpy() - other["code"].to_numpy())))
