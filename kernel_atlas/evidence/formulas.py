"""Shares of kernels that the families of `families` explain.

A kernel is explained if its cosine exceeds the 99 % quantile of Gaussian-noise kernels under the same fit. More
parameters always fit better, and raise this threshold too.
"""

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from kernel_atlas.core.kernels import centre_and_normalise, draw_noise, taps_array
from kernel_atlas.evidence.controls import MADE, make_control
from kernel_atlas.evidence.families import FAMILIES, LOGARITHMIC, bounds, coordinates, evaluate
from kernel_atlas.evidence.fit import describe_fits, fit_family, fit_kernels
from kernel_atlas.evidence.kernels import SUBJECTS, of_size
from kernel_atlas.io.tables import columns_of
from kernel_atlas.model.autoencoder import choose_device
from kernel_atlas.stats.resampling import bootstrap_share
from kernel_atlas.stats.shares import FIFTHS, fifth_of

NOISE_QUANTILE = 0.99  # of the best cosines of Gaussian noise; explained kernels exceed it
BINS = 24  # of 15 degrees
COSINE_BINS = 50
QUANTILES = {"q10": 0.1, "median": 0.5, "q90": 0.9}
TURN = {"first_derivative": 360, "second_derivative": 180}  # degrees of a full turn of the direction


def answer(
    size: str, picked: pa.Table, controls: int, synthetic: int, decibels: float, seed: int, gpu: int = 0
) -> dict[str, pd.DataFrame]:
    """Explained kernels of one size, and recovery of synthetic kernels.

    Parameters
    ----------
    size : str
        `7x7`.
    picked : pyarrow.Table
        From `pick_kernels`.
    controls : int
        Number of real kernels that controls are made from, and of Gaussian-noise kernels for the threshold.
    synthetic, decibels : int, float
        Number of synthetic kernels per family and their signal-to-noise ratio (`synthetic_truth`).
    seed : int
    gpu : int
        1 to fit on a GPU.

    Returns
    -------
    dict of DataFrame
        fits, fit_explained, fit_labels, fit_cosines, fit_scales, fit_orientations, fit_cardinal, fit_crosses,
        synthetic; see schemas/tables.yaml.
    """
    # kernels of networks, controls made from a sample of the real ones, and noise for the threshold
    side, device = int(size.split("x")[0]), choose_device(gpu)
    raw = taps_array(picked["weight"])
    about = picked.drop_columns(["weight"]).to_pandas()
    real = np.flatnonzero(about["subject"] == "real")
    drawn = np.sort(np.random.default_rng([seed, side]).choice(real, min(controls, len(real)), replace=False))
    noise = draw_noise(2 * controls, side, seed)[controls:]  # the first half is the control `gaussian`

    everything = [about, *(about.iloc[drawn].assign(subject=name) for name in MADE)]
    taps = [raw, *(make_control(name, raw[drawn], seed) for name in MADE), noise]
    units = centre_and_normalise(np.concatenate(taps))

    # fit; the noise comes last
    fits = fit_kernels(units, device)
    threshold = fits["cosine"].iloc[-len(noise) :].quantile(NOISE_QUANTILE)
    fits = fits.iloc[: -len(noise)]
    fits["explained"] = fits["cosine"] > threshold
    about = pd.concat(everything, ignore_index=True).rename(columns={"label": "assigned"})
    table = pd.concat([about, fits], axis=1)
    real = table[table["subject"] == "real"]
    tables = {
        "fits": table.loc[table["subject"].isin(SUBJECTS), [name for name in columns_of("fits.csv") if name != "size"]],
        "fit_explained": _explained(table, "subject", [seed, side]).assign(threshold=threshold),
        "fit_labels": _explained(real, "assigned", [seed, side]),
        "fit_cosines": _cosines(table),
        "fit_scales": _scales(real),
        "fit_orientations": _orientations(real),
        "fit_cardinal": _cardinal(table, [seed, side]),
        "fit_crosses": _crosses(units, table, device),
        "synthetic": synthetic_truth(side, synthetic, decibels, seed, device),
    }
    return of_size(size, tables)


def _explained(table: pd.DataFrame, by: str, seed: list[int]) -> pd.DataFrame:
    """Shares per value of a column and family: best fit, and explained, with intervals over models."""
    tables = []
    for value, part in table.groupby(by, sort=False):
        best = pd.get_dummies(part["family"]).reindex(columns=list(FAMILIES), fill_value=False).assign(all=True)
        explained = best & part["explained"].to_numpy()[:, None]
        per_model = explained.groupby(part["model"]).sum()
        low, high = bootstrap_share(per_model.to_numpy(), part.groupby("model").size().to_numpy(), seed)
        rows = pd.DataFrame({"kernels": best.sum(), "share": best.mean(), "explained_share": explained.mean()})
        rows["explained_low"], rows["explained_high"] = low, high
        for name, quantile in QUANTILES.items():
            rows[f"cosine_{name}"] = [part["cosine"][best[family]].quantile(quantile) for family in rows.index]
        tables.append(rows.rename_axis("family").reset_index().assign(models=len(per_model), **{by: value}))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _cosines(table: pd.DataFrame) -> pd.DataFrame:
    """Histogram of the best cosine per subject."""
    edges = np.linspace(0, 1, COSINE_BINS + 1)
    rows = []
    for subject, part in table.groupby("subject", sort=False):
        counts = np.histogram(part["cosine"].clip(0, 1), edges)[0]
        columns = {"subject": subject, "cosine_low": edges[:-1], "cosine_high": edges[1:], "kernels": counts}
        rows.append(pd.DataFrame(columns | {"share": counts / len(part)}))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


def _scales(real: pd.DataFrame) -> pd.DataFrame:
    """Explained kernels by family and depth: quantiles of sigma, and for derivatives the mean cos 4 angle."""
    quantiles = {"q10": 0.1, "q25": 0.25, "median": 0.5, "q75": 0.75, "q90": 0.9}
    kept = real[real["explained"]]
    rows = []
    for (family, one), part in kept.groupby([kept["family"], fifth_of(kept["depth"])]):
        cardinal = np.cos(4 * np.radians(part["angle"])).mean() if family in TURN else np.nan
        row = {"family": family, "depth_low": one / len(FIFTHS), "depth_high": (one + 1) / len(FIFTHS)}
        row |= {f"sigma_{name}": part["sigma"].quantile(quantile) for name, quantile in quantiles.items()}
        rows.append(row | {"kernels": len(part), "cardinal": cardinal})
    return pd.DataFrame(rows)


def _orientations(real: pd.DataFrame) -> pd.DataFrame:
    """Histograms of the angle of the explained derivatives; the first bin is centred on 0, east."""
    tables = []
    for family, turn in TURN.items():
        angles = real["angle"][real["explained"] & (real["family"] == family)]
        width = 360 / BINS
        counts = np.bincount(((angles + width / 2) % turn // width).astype(int), minlength=int(turn / width))
        middle = np.arange(len(counts)) * width
        rows = {"family": family, "angle_low": middle - width / 2, "angle_high": middle + width / 2, "kernels": counts}
        tables.append(pd.DataFrame(rows).assign(share=counts / max(1, counts.sum())))
    return pd.concat(tables, ignore_index=True)


def _cardinal(table: pd.DataFrame, seed: list[int]) -> pd.DataFrame:
    """Cardinal preference of derivatives: mean cos 4 angle, 1 for horizontal and vertical, -1 for diagonal.

    Controls show the preference of the square grid itself. They have few explained kernels, hence also rows for all
    kernels with the best fit in the family.
    """
    rows = []
    for (subject, family), part in table.groupby(["subject", "family"], sort=False):
        for kernels, kept in (("explained", part[part["explained"]]), ("all", part)):
            if family in TURN and len(kept):
                along = np.cos(4 * np.radians(kept["angle"])).groupby(kept["model"]).agg(["sum", "size"])
                low, high = bootstrap_share(*along.to_numpy().T, seed)
                mean = along["sum"].sum() / along["size"].sum()
                row = {"subject": subject, "family": family, "which": kernels, "models": len(along)}
                row |= {"kernels": len(kept), "cardinal": mean, "cardinal_low": low, "cardinal_high": high}
                rows.append(row)
    return pd.DataFrame(rows)


def _crosses(units: np.ndarray, table: pd.DataFrame, device: str) -> pd.DataFrame:
    """Parameters and error of cross fits to explained real crosses, with a free and a fixed centre weight.

    A high `at_bounds` means that the medians reflect the bounds.
    """
    chosen = np.flatnonzero((table["subject"] == "real") & table["explained"] & (table["family"] == "cross"))
    kernels = torch.from_numpy(units[chosen]).to(device)
    if len(chosen) == 0:
        return pd.DataFrame()
    others = table.iloc[chosen][[f"cosine_{name}" for name in FAMILIES if name != "cross"]].max(axis=1)
    rows, edges = [], np.array(bounds(FAMILIES["cross"], round(units.shape[1] ** 0.5)))
    own = [3, 5, 6]  # log sigma, log elongation, weight
    for weight, fixed in (("free", None), ("0", {"centre_weight": 0.0}), ("-1", {"centre_weight": -1.0})):
        parameters, cosine = (one.cpu().numpy() for one in fit_family(kernels, FAMILIES["cross"], fixed))
        fit = describe_fits("cross", parameters.astype(np.float64), cosine).assign(error=1 - np.abs(cosine))
        at_bounds = (np.abs(parameters[:, own, None] - edges.T[own]) < 1e-3).any(axis=(1, 2)).mean()
        row = {"weight": weight, "kernels": len(fit), "best_share": (fit["cosine"].to_numpy() > others).mean()}
        for column in ("sigma", "elongation", "centre_weight", "error"):
            row |= {f"{column}_{name}": fit[column].quantile(quantile) for name, quantile in QUANTILES.items()}
        rows.append(row | {"at_bounds": at_bounds})
    return pd.DataFrame(rows)


# Uniform ranges of synthetic parameters: well inside the bounds, where the families differ at 7x7.
SYNTHETIC = {
    "centre": {"sigma": (0.8, 1.6), "aspect": (1.0, 1.2), "ratio": (1.3, 3.0)},
    "first_derivative": {"sigma": (0.8, 1.6), "aspect": (0.8, 1.7)},
    "second_derivative": {"sigma": (0.8, 1.6), "aspect": (1.0, 2.0)},
    "cross": {"sigma": (0.6, 1.1), "aspect": (1.0, 1.0), "elongation": (3.0, 5.0), "centre_weight": (-1.5, 0.5)},
}
OFF = 0.5  # largest offset in taps
NEAR = 5  # degrees to the boundary between two directions


def synthetic_kernels(side: int, per_family: int, snr_db: float, seed: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Draw noisy kernels with known parameters.

    Parameters
    ----------
    side, per_family : int
    snr_db : float
        Signal-to-noise ratio in decibels, powers summed over the taps.
    seed : int

    Returns
    -------
    kernels : float32 array [families * per_family, taps]
        Centred unit kernels.
    truth : DataFrame
        The columns of `fit_kernels` without cosines.
    """
    random = np.random.default_rng([seed, side])
    kernels, truth = [], []
    for name, family in FAMILIES.items():
        place = random.uniform(-OFF, OFF, (2, per_family))
        angle = random.uniform(0, 2 * np.pi, per_family)
        sign = random.choice([-1, 1], per_family)
        own = {key: random.uniform(*SYNTHETIC[name][key], per_family) for key in ("sigma", *family.shape)}
        fitted = [np.log(own[key]) if key in LOGARITHMIC | {"sigma"} else own[key] for key in own]
        parameters = np.stack([*place, angle, *fitted], axis=1)
        taps = evaluate(family, torch.from_numpy(parameters), *coordinates(side, torch.zeros(0).double()))[0].numpy()
        kernels.append(centre_and_normalise(sign[:, None] * taps))
        truth.append(describe_fits(name, parameters, sign).drop(columns="cosine"))
    clean = np.concatenate(kernels)
    noise = random.standard_normal(clean.shape) * np.sqrt(10 ** (-snr_db / 10) / clean.shape[1])
    return centre_and_normalise(clean + noise), pd.concat(truth, ignore_index=True)


def synthetic_truth(side: int, per_family: int, snr_db: float, seed: int, device: str = "cpu") -> pd.DataFrame:
    """Fit `synthetic_kernels` and compare with the truth.

    Returns
    -------
    DataFrame
        With the columns of `evidence/synthetic.csv` in schemas/tables.yaml. radius, the zero crossing of a centre, is
        compared because sigma and ratio trade off; between_names marks directions within `NEAR` of a boundary.
    """
    kernels, truth = synthetic_kernels(side, per_family, snr_db, seed)
    fits = fit_kernels(kernels, device)
    for table in (truth, fits):
        square = table["ratio"] ** 2
        table["radius"] = table["sigma"] * np.sqrt(2 * np.log(square) * square / (square - 1))
    # even multiples of 22.5 degrees are named directions, odd ones boundaries
    named = truth["family"].isin(list(TURN))
    halves = truth["angle"] / 22.5
    between = named & (np.abs(halves - (2 * np.floor(halves / 2) + 1)) * 22.5 < NEAR)
    return pd.concat([truth.add_prefix("true_"), fits], axis=1).assign(between_names=between, snr_db=snr_db)
