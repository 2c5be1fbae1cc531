"""Does the autoencoder impose the structure that it finds? The same autoencoder, and one of their own, for controls."""

import zlib
from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from scipy.stats import binomtest

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import centre_and_normalise, taps_column
from kernel_atlas.evidence.kernels import SUBJECTS, unit_kernels
from kernel_atlas.model import autoencoder
from kernel_atlas.model.coder import Coder
from kernel_atlas.stats.resampling import CONFIDENCE, bootstrap_share

MADE = ("gaussian", "shuffled", "phase")  # from the real kernels; `untrained` and `dense` are networks of the sheet
EXAMPLES = 12  # kernels of each kind, for a figure


def compare_controls(
    size: str,
    picked: pa.Table,
    coder: Coder,
    threshold: float,
    minimum: int,
    steps: int,
    seed: int,
) -> tuple[pd.DataFrame, pa.Table]:
    """controls.csv: what share of each kind of kernel is clustered, by the run's autoencoder and by one trained on it.

    The second is trained on the kernels of a random half of the layers and used on those of the other half, for the
    real kernels too. Controls made from real kernels take the half of the kernel they are made from.

    Parameters
    ----------
    size : str
    picked : Table
        From `pick_kernels`.
    coder : Coder
        The autoencoder of the run, trained on real kernels.
    threshold : float
        Dissimilarity below which a kernel is clustered.
    minimum : int
        Kernels of a kind below which no autoencoder is trained on it.
    steps, seed : int
        As `autoencoder.train`, which makes one start on the CPU.

    Returns
    -------
    controls : DataFrame
        size, control (`real`, `gaussian`, `shuffled`, `phase`, `untrained`, `dense`), encoder (`main`, `own`),
        clustered_share, low, high, kernels, layers, above_chance: the share less that of Gaussian noise by the run's
        autoencoder, or by the one trained on Gaussian noise. Intervals are over models for `real` and the controls that
        keep something of each real kernel, over layers for the other networks, and binomial (Wilson) for Gaussian
        noise, whose kernels are independent. No row `own` where training collapsed.
    examples : Table
        control, encoder, dissimilarity, kernel, reconstruction: some kernels of each kind, those at even steps of
        dissimilarity.
    """
    kinds = {}
    for subject in SUBJECTS:
        mine = picked.filter(pa.array(picked["subject"].to_numpy() == subject))
        if len(mine):
            kinds[subject] = unit_kernels(picked, subject), mine.select(["model", "layer_index"]).to_pandas()
    real, where = kinds["real"]
    kinds |= {name: (make_control(name, real, seed), where) for name in MADE}
    rows, examples = [], []
    for kind, (kernels, where) in kinds.items():
        layer = where.groupby(["model", "layer_index"]).ngroup().to_numpy()
        units = {"gaussian": None, "untrained": layer, "dense": layer}.get(kind, where["model"].to_numpy())
        random = np.random.default_rng([seed, zlib.crc32(("real" if kind in MADE else kind).encode())])
        half = np.isin(layer, random.permutation(layer.max() + 1)[: (layer.max() + 1) // 2])
        encoders = {"main": (lambda some: coder.decode(coder.encode(some)), np.ones(len(kernels), bool))}
        if minimum <= 2 * half.sum() < 2 * len(kernels):
            try:
                encoders["own"] = _train(kernels[half], steps, seed), ~half
            except AtlasError as error:
                print(f"{kind}: {error}")
        for encoder, (reconstruct, used) in encoders.items():
            decoded = reconstruct(kernels[used])
            dissimilarity = 1 - (decoded * kernels[used]).sum(axis=1)
            near = dissimilarity < threshold
            interval = _interval(near, None if units is None else units[used], seed)
            rows.append((size, kind, encoder, near.mean(), *interval, int(used.sum()), len(np.unique(layer[used]))))
            shown = np.argsort(dissimilarity)[np.linspace(0, len(near) - 1, EXAMPLES).round().astype(int)]
            columns = {"control": [kind] * EXAMPLES, "encoder": [encoder] * EXAMPLES}
            columns |= {"dissimilarity": dissimilarity[shown], "kernel": taps_column(kernels[used][shown])}
            examples.append(pa.table(columns | {"reconstruction": taps_column(decoded[shown])}))
    names = ["size", "control", "encoder", "clustered_share", "low", "high", "kernels", "layers"]
    table = pd.DataFrame(rows, columns=names)
    chance = table[table["control"] == "gaussian"].set_index("encoder")["clustered_share"]
    return table.assign(above_chance=table["clustered_share"] - table["encoder"].map(chance)), pa.concat_tables(
        examples
    )


def _train(kernels: np.ndarray, steps: int, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    model, _ = autoencoder.train(kernels, seed, restarts=1, steps=steps)

    def reconstruct(some: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return centre_and_normalise(model.decoder(torch.sigmoid(model.encoder(torch.from_numpy(some)))).numpy())

    return reconstruct


def _interval(near: np.ndarray, units: np.ndarray | None, seed: int) -> tuple[float, float]:
    """Of a share over units that were drawn together; binomial where each kernel is one."""
    if units is None:
        return tuple(binomtest(int(near.sum()), len(near)).proportion_ci(CONFIDENCE, "wilson"))
    counts = pd.Series(near).groupby(units).agg(["sum", "size"]).to_numpy()
    return bootstrap_share(*counts.T, [seed])


def make_control(name: str, kernels: np.ndarray, seed: int) -> np.ndarray:
    """As many kernels as are given, without the structure of these.

    Parameters
    ----------
    name : str
        `gaussian`: independent normal taps. `shuffled`: the taps of each kernel in random order, which keeps their
        distribution. `phase`: each kernel's power spectrum with the phases of white noise, which keeps its scale and
        orientation and loses what is where (Theiler et al., Physica D 58, 1992).
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
    noise = random.standard_normal(kernels.shape, np.float32)
    if name == "phase":
        images = (-1, side, side)
        phases = np.exp(1j * np.angle(np.fft.rfft2(noise.reshape(images))))
        spectra = np.abs(np.fft.rfft2(kernels.reshape(images))) * phases
        noise = np.fft.irfft2(spectra, (side, side)).reshape(kernels.shape)
    return centre_and_normalise(noise)
