"""What share of the kernels is near its reconstruction in networks that a method has not seen (cross-fitting).

The networks (layers, where fewer than ten networks train) are dealt into five folds; each fold is judged by methods
fitted on the others. Shares are means over networks. Every kernel is judged beside one copy with random phases; a
posed method turns the copy to its own best pose, as it does the kernel. `equal_null_share` counts the kernels above the
similarity that 5 % of the copies pass, where methods of different freedom can be compared.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.patterns import Matcher, templates
from kernel_atlas.evidence.controls import make_control
from kernel_atlas.evidence.kernels import Units, of_size
from kernel_atlas.model import autoencoder
from kernel_atlas.model.assign import Labeller
from kernel_atlas.model.coder import Coder
from kernel_atlas.model.poses import PosedCoder, find_poses, image_cosines, learn_codebook, turn_back
from kernel_atlas.stats.resampling import FEWEST, mean_interval
from kernel_atlas.stats.shares import NULL

FOLDS = 5

Judge = Callable[[np.ndarray], np.ndarray]  # centred unit kernels [n, taps] -> dissimilarities [n]


def answer(
    size: str, kernels: np.ndarray, units: Units, labeller: Labeller, sample: int, steps: int, seed: int
) -> dict[str, pd.DataFrame]:
    """Cross-fitted shares of the reference patterns, a codebook, and the autoencoder on kernels as they are or posed.

    Parameters
    ----------
    size : str
        `7x7`.
    kernels : float32 array [n, taps]
        Unit kernels that trained the autoencoders.
    units : Units
        From `kernels.training_units`. With fewer than five there are no folds, and no rows.
    labeller : Labeller
        Of the run, of which the in-sample shares are.
    sample : int
        Maximum number of kernels.
    steps : int
        See `autoencoder.train`; one start a fold.
    seed : int

    Returns
    -------
    dict of DataFrame
        held_out; see schemas/tables.yaml.
    """
    random = np.random.default_rng([seed, kernels.shape[1], 3])
    drawn = np.sort(random.choice(len(kernels), min(sample, len(kernels)), replace=False))
    kernels, kind = kernels[drawn], units.kind
    units = np.unique(units.number[drawn], return_inverse=True)[1]
    there = random.permutation(units.max() + 1)
    if len(there) < FEWEST:
        return of_size(size, {"held_out": pd.DataFrame()})
    copies, noise = (make_control(kind, kernels, seed) for kind in ("phase", "gaussian"))
    judges = {"autoencoder": labeller.coder, "posed": labeller.posed}
    in_sample = {name: coder.reconstruct(kernels)[-1] < labeller.threshold for name, coder in judges.items()}
    rows = []
    for method, fit in METHODS.items():
        # dissimilarities of kernels, copies and noise, each by the fit that did not see the kernel's network
        found = np.full((3, len(kernels)), np.nan)
        for fold in range(FOLDS):
            mine = np.isin(units, there[fold::FOLDS])
            try:
                judge = fit(kernels[~mine], steps, seed)
            except AtlasError as error:
                print(f"{method}, fold {fold}: {error}")
                continue
            found[:, mine] = [judge(some[mine]) for some in (kernels, copies, noise)]
        if np.isnan(found).any():
            continue
        near = found < labeller.threshold
        weights = 1 / np.bincount(units)[units]
        null = np.quantile(found[1], NULL, weights=weights, method="inverted_cdf")
        row = {
            "method": method,
            "threshold": labeller.threshold,
            "kernels": len(kernels),
            "count": len(there),
            "units": kind,
        }
        row |= _means(near[0], units, "held_out_share", "")
        row |= _means(found[0] < null, units, "equal_null_share", "equal_null_")
        row["in_sample_share"] = _by_unit(in_sample[method], units).mean() if method in in_sample else np.nan
        rows.append(row | {"phase_share": _by_unit(near[1], units).mean(), "noise_share": near[2].mean()})
    return of_size(size, {"held_out": pd.DataFrame(rows)})


def _by_patterns(kernels: np.ndarray, steps: int, seed: int) -> Judge:
    matcher = Matcher(templates(round(kernels.shape[1] ** 0.5)))
    return lambda some: 1 - matcher.match(some).similarity


def _by_codebook(kernels: np.ndarray, steps: int, seed: int) -> Judge:
    codebook = learn_codebook(kernels, seed)
    return lambda some: 1 - image_cosines(some, codebook)


def _by_autoencoder(kernels: np.ndarray, steps: int, seed: int) -> Judge:
    coder = Coder(_train(kernels, steps, seed))
    return lambda some: coder.reconstruct(some)[-1]


def _by_posed(kernels: np.ndarray, steps: int, seed: int) -> Judge:
    codebook = learn_codebook(kernels, seed)
    turned = turn_back(kernels, find_poses(kernels, codebook))
    coder = PosedCoder(_train(turned, steps, seed) | {"codebook": codebook})
    return lambda some: coder.reconstruct(some)[-1]


# Fitted on unit kernels with steps and a seed. The patterns are fixed, whatever networks they were chosen on.
METHODS = {
    "patterns": _by_patterns,
    "codebook": _by_codebook,
    "autoencoder": _by_autoencoder,
    "posed": _by_posed,
}


def _train(kernels: np.ndarray, steps: int, seed: int) -> dict[str, np.ndarray]:
    model, _ = autoencoder.train(kernels, seed, 1, steps)
    return model.state_dict()


def _by_unit(near: np.ndarray, units: np.ndarray) -> np.ndarray:
    """The share of each unit's kernels."""
    return np.bincount(units, near) / np.bincount(units)


def _means(near: np.ndarray, units: np.ndarray, name: str, prefix: str) -> dict[str, float]:
    shares = _by_unit(near, units)
    low, high = mean_interval(shares)
    return {name: shares.mean(), f"{prefix}low": low, f"{prefix}high": high}
