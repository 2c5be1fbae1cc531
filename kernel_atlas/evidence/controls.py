"""Controls for structure imposed by the autoencoders: the two of the run, and one trained on each control."""

import zlib
from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from scipy.stats import binomtest

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import centre_and_normalise, draw_noise, taps_column
from kernel_atlas.evidence.kernels import SUBJECTS, unit_kernels
from kernel_atlas.io.tables import in_order
from kernel_atlas.model import autoencoder
from kernel_atlas.model.assign import Labeller
from kernel_atlas.stats.resampling import CONFIDENCE, bootstrap_share, seed_of

MADE = ("gaussian", "shuffled", "phase")  # derived from real kernels; `untrained` and `dense` are networks
EXAMPLES = 12  # kernels of each kind in a figure
DRAWS = 10  # of controls made from real kernels


def answer(
    size: str, picked: pa.Table, labeller: Labeller, minimum: int, steps: int, seed: int
) -> dict[str, pd.DataFrame | pa.Table]:
    """Share clustered of each kind of kernel, by the run's autoencoders and by one trained on the kind.

    Each kernel of a control has the pose that suits it best, as real kernels have. The autoencoder of the kind is
    trained on a random half of the layers and evaluated on the held-out half, for real kernels too. Controls made from
    real kernels keep the halves of their originals; the run's autoencoders see `DRAWS` draws of them.

    Parameters
    ----------
    size : str
    picked : Table
        From `pick_kernels`.
    labeller : Labeller
        Of the run, trained on real kernels.
    minimum : int
        Kernels of a kind needed to train an autoencoder on it.
    steps, seed : int
        See `autoencoder.train`; one start, on the CPU.

    Returns
    -------
    dict
        controls, examples; see schemas/tables.yaml. Intervals of Gaussian noise are binomial (Wilson), as its kernels
        are independent. A collapsed training leaves no row `own`.
    """
    rows, examples, coder, posed = [], [], labeller.coder, labeller.posed
    for kind, (draws, where) in _kinds(picked, seed).items():
        kernels = draws[0]
        # units of intervals, and a random half of the layers
        layer = where.groupby(["model", "layer_index"]).ngroup().to_numpy()
        units = {"gaussian": None, "untrained": layer, "dense": layer}.get(kind, where["model"].to_numpy())
        random = np.random.default_rng([seed, zlib.crc32(("real" if kind in MADE else kind).encode())])
        half = np.isin(layer, random.permutation(layer.max() + 1)[: (layer.max() + 1) // 2])
        # the autoencoder of the run, and one trained on the half
        every = np.ones(len(kernels), bool)
        encoders = {"main": (lambda some: coder.decode(coder.encode(some)), every)}
        if posed:
            encoders["posed"] = (lambda some: posed.decode(*posed.reconstruct(some)[:2]), every)
        if minimum <= 2 * half.sum() < 2 * len(kernels):
            try:
                encoders["own"] = _train(kernels[half], steps, seed), ~half
            except AtlasError as error:
                print(f"{kind}: {error}")
        for encoder, (reconstruct, used) in encoders.items():
            decoded = [reconstruct(some[used]) for some in (draws[:1] if encoder == "own" else draws)]
            dissimilarity = np.stack([1 - (d * k[used]).sum(axis=1) for d, k in zip(decoded, draws, strict=False)])
            near = dissimilarity < labeller.threshold
            low, high = _interval(near, None if units is None else units[used], seed_of(seed, size))
            row = {"size": size, "control": kind, "encoder": encoder, "clustered_share": near.mean(), "low": low}
            row |= {"high": high, "kernels": int(used.sum()), "layers": len(np.unique(layer[used]))}
            each = near.mean(axis=1)
            rows.append(row | {"draws": len(near), "lowest": each.min(), "highest": each.max()})
            examples.append(_examples(kind, encoder, dissimilarity[0], kernels[used], decoded[0]))
    table = pd.DataFrame(rows)
    chance = table[table["control"] == "gaussian"].set_index("encoder")["clustered_share"]
    table["above_chance"] = table["clustered_share"] - table["encoder"].map(chance)
    return {"controls": in_order(table, "controls.csv"), "examples": pa.concat_tables(examples)}


def _kinds(picked: pa.Table, seed: int) -> dict[str, tuple[list[np.ndarray], pd.DataFrame]]:
    """Draws of unit kernels of each subject (one) and control, with model and layer."""
    kinds = {}
    for subject in SUBJECTS:
        mine = picked.filter(pa.array(picked["subject"].to_numpy() == subject))
        if len(mine):
            kinds[subject] = [unit_kernels(picked, subject)], mine.select(["model", "layer_index"]).to_pandas()
    (real,), where = kinds["real"]
    seeds = range(seed, seed + DRAWS)
    return kinds | {name: ([make_control(name, real, one) for one in seeds], where) for name in MADE}


def _examples(kind: str, encoder: str, dissimilarity: np.ndarray, kernels: np.ndarray, decoded: np.ndarray) -> pa.Table:
    shown = np.argsort(dissimilarity)[np.linspace(0, len(kernels) - 1, EXAMPLES).round().astype(int)]
    columns = {"control": [kind] * EXAMPLES, "encoder": [encoder] * EXAMPLES, "dissimilarity": dissimilarity[shown]}
    taps = {"kernel": taps_column(kernels[shown]), "reconstruction": taps_column(decoded[shown])}
    return pa.table(columns | taps)


def _train(kernels: np.ndarray, steps: int, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    model, _ = autoencoder.train(kernels, seed, restarts=1, steps=steps)

    def reconstruct(some: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return centre_and_normalise(model.decoder(torch.sigmoid(model.encoder(torch.from_numpy(some)))).numpy())

    return reconstruct


def _interval(near: np.ndarray, units: np.ndarray | None, seed: list[int]) -> tuple[float, float]:
    """Interval of a share of bool [draws, n] over units [n]; binomial if each kernel is a unit (None)."""
    if units is None:
        return tuple(binomtest(int(near.sum()), near.size).proportion_ci(CONFIDENCE, "wilson"))
    counts = pd.Series(near.mean(axis=0)).groupby(units).agg(["sum", "size"]).to_numpy()
    return bootstrap_share(*counts.T, seed)


def make_control(name: str, kernels: np.ndarray, seed: int) -> np.ndarray:
    """Make a control from each kernel.

    Parameters
    ----------
    name : str
        - `gaussian`: independent normal taps, as in controls/noise.parquet;
        - `shuffled`: taps in random order, with the same distribution;
        - `phase`: the power spectrum with phases of white noise (Theiler et al., Physica D 58, 1992).
    kernels : float array [n, side * side]
        Centred unit kernels.
    seed : int

    Returns
    -------
    float32 array [n, side * side]
        Centred unit kernels.
    """
    side = round(kernels.shape[1] ** 0.5)
    random = np.random.default_rng([seed, side, MADE.index(name)])
    if name == "shuffled":
        return centre_and_normalise(random.permuted(kernels, axis=1))
    if name == "gaussian":
        return centre_and_normalise(draw_noise(len(kernels), side, seed))
    images = (-1, side, side)
    noise = random.standard_normal(kernels.shape, np.float32)
    phases = np.exp(1j * np.angle(np.fft.rfft2(noise.reshape(images))))
    spectra = np.abs(np.fft.rfft2(kernels.reshape(images))) * phases
    return centre_and_normalise(np.fft.irfft2(spectra, (side, side)).reshape(kernels.shape))
