"""What kernels are replaced by: simpler patterns, other patterns, and controls that are as far from each kernel.

A kernel stands for its centred unit kernel u; mean and centred norm stay its own, so that only the pattern changes. How
far a replacement is from u is their cosine c. A small step costs little wherever it leads: each replacement is held
against `c u + sqrt(1 - c^2) r`, as far from u in a direction r at right angles to u that knows nothing of patterns.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.core.patterns import Templates, draw_patterns, read_patterns
from kernel_atlas.evidence.controls import make_control
from kernel_atlas.evidence.fit import draw_fits
from kernel_atlas.evidence.kernels import read_filters
from kernel_atlas.model.assign import Labeller
from kernel_atlas.model.clusters import cluster_of
from kernel_atlas.model.encoder import read_encoder
from kernel_atlas.stats.resampling import seed_of
from kernel_atlas.training.summaries import CONTROLS, DIRECTIONS

KEY_SIDE = 7  # of the published master keys
PARALLEL = 1e-4  # of unit kernels: what is left at right angles below this is rounding, and no direction


class Tools(NamedTuple):
    """What replacements of one size are made with: the labeller, with prototypes; the reference patterns; master keys.

    `keys` are centred unit kernels [k, taps], None for sizes without.
    """

    labeller: Labeller
    patterns: Templates
    keys: np.ndarray | None


def make_tools(encoder: str | Path, patterns: str | Path, filters: str | Path) -> dict[int, Tools]:
    """Side of the kernels -> Tools, from the labeller of a run, a table of patterns and the published filters."""
    table = read_patterns(patterns)
    return {
        side: Tools(
            labeller,
            draw_patterns(table, side),
            centre_and_normalise(read_filters(filters).reshape(-1, side * side)) if side == KEY_SIDE else None,
        )
        for side, labeller in read_encoder(encoder).items()
    }


# --- Replacements -------------------------------------------------------------------------------------------------


def _to_fit(units: np.ndarray, tools: Tools) -> np.ndarray:
    return draw_fits(units)


def _reconstruct(units: np.ndarray, tools: Tools) -> np.ndarray:
    return tools.labeller.coder.decode(tools.labeller.coder.encode(units))


def _from_pose(units: np.ndarray, tools: Tools) -> np.ndarray:
    poses, codes, _ = tools.labeller.posed.reconstruct(units)
    return tools.labeller.posed.decode(poses, codes)


def _to_pattern(units: np.ndarray, tools: Tools) -> np.ndarray:
    """The reference pattern of the highest cosine."""
    return tools.patterns.taps[(units @ tools.patterns.taps.T).argmax(axis=1)]


def _to_prototype(units: np.ndarray, tools: Tools) -> np.ndarray:
    """The prototype of the cluster whose stretch holds the code, of kernels too that are in no cluster."""
    clusters = tools.labeller.clusters
    stretch = cluster_of(tools.labeller.coder.encode(units), clusters)
    prototypes = tools.labeller.prototypes.set_index(["cluster", "label"])["kernel"]
    return np.stack([prototypes[tuple(row)] for row in clusters[["cluster", "label"]].to_numpy(object)])[stretch]


def _to_key(units: np.ndarray, tools: Tools) -> np.ndarray:
    """The key of the highest absolute cosine, with its sign.

    Of `a * key + b` the mean sets b and the norm sets |a|: the least-squares a is smaller by that cosine, which would
    mix a weaker kernel into the question of its form.
    """
    cosines = units @ tools.keys.T
    best = np.abs(cosines).argmax(axis=1)
    return np.sign(cosines[np.arange(len(units)), best])[:, None] * tools.keys[best]


def _to_other_family(units: np.ndarray, tools: Tools) -> np.ndarray:
    """The reference pattern of the highest cosine of all families but that of the best one."""
    cosines, families = units @ tools.patterns.taps.T, np.array(tools.patterns.families)
    own = families[cosines.argmax(axis=1)]
    return tools.patterns.taps[np.where(families == own[:, None], -np.inf, cosines).argmax(axis=1)]


def _turn(units: np.ndarray, tools: Tools) -> np.ndarray:
    """By 90 degrees, counter-clockwise."""
    side = round(units.shape[1] ** 0.5)
    return np.rot90(units.reshape(-1, side, side), axes=(1, 2)).reshape(units.shape)


def _oppose(units: np.ndarray, tools: Tools) -> np.ndarray:
    return -units


# Centred unit kernels, float32 [n, taps] -> what stands for each, of any mean and norm. `zero` sets every tap to 0.
REPLACEMENTS: dict[str, Callable[[np.ndarray, Tools], np.ndarray] | None] = {
    "fit": _to_fit,
    "reconstruction": _reconstruct,
    "posed": _from_pose,
    "pattern": _to_pattern,
    "prototype": _to_prototype,
    "master_key": _to_key,
    "other_family": _to_other_family,
    "turned": _turn,
    "opposite": _oppose,
    "zero": None,
}


# --- Distances ----------------------------------------------------------------------------------------------------


def make_units(kernels: np.ndarray) -> np.ndarray:
    """Centred unit kernels as `centre_and_normalise` makes them, to the precision of float64 [n, taps]."""
    units = centre_and_normalise(kernels).astype(np.float64)
    units -= units.mean(axis=1, keepdims=True)
    return units / np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1e-12)


def at_right_angles(towards: np.ndarray, units: np.ndarray, instead: np.ndarray) -> np.ndarray:
    """Centred unit kernels at right angles to some, in the plane of these and of others.

    Parameters
    ----------
    towards : float array [..., n, taps]
        Of any mean and norm.
    units : float array [n, taps]
        Centred unit kernels.
    instead : float array [n, taps]
        Takes the place of what is parallel to its unit kernel; not parallel itself.

    Returns
    -------
    float64 array [..., n, taps]
    """

    def reject(kernels: np.ndarray) -> np.ndarray:
        centred = make_units(kernels.reshape(-1, kernels.shape[-1])).reshape(kernels.shape)
        return centred - (centred * units).sum(axis=-1, keepdims=True) * units

    rest = reject(np.asarray(towards, np.float64))
    parallel = np.linalg.norm(rest, axis=-1, keepdims=True) < PARALLEL
    rest = np.where(parallel, reject(np.asarray(instead, np.float64)), rest)
    return rest / np.linalg.norm(rest, axis=-1, keepdims=True)


def move(units: np.ndarray, directions: np.ndarray, cosines: np.ndarray | float) -> np.ndarray:
    """`c u + sqrt(1 - c^2) r`: unit kernels at exactly these cosines to u, along the great circle from u to r.

    Parameters
    ----------
    units, directions : float64 array [n, taps]
        u and r, centred unit kernels at right angles to each other.
    cosines : float or float array [n]
        c.
    """
    cosines = np.clip(np.asarray(cosines, np.float64), -1, 1)[..., None]
    return cosines * units + np.sqrt(1 - cosines**2) * directions


class Replaced:
    """What the kernels of one size can be replaced by, and the controls of each replacement.

    Parameters
    ----------
    kernels : float array [n, taps]
        As they are in the network, none dead.
    tools : Tools
        Of their size.
    draws : int
        Of each control. All replacements and cosines share the directions of a draw.
    seed : int

    Attributes
    ----------
    patterns : dict
        Replacement, but `zero` -> centred unit kernels, float64 [n, taps]; none that the size lacks the tools for.
    """

    def __init__(self, kernels: np.ndarray, tools: Tools, draws: int, seed: int):
        self.kernels, self.draws = kernels.astype(np.float64), draws
        self.units = make_units(kernels)
        lacking = {"master_key": tools.keys is None, "posed": tools.labeller.posed is None}
        single = self.units.astype(np.float32)
        self.patterns = {
            name: make_units(make(single, tools))
            for name, make in REPLACEMENTS.items()
            if make is not None and not lacking.get(name)
        }
        noise = np.random.default_rng(seed_of(seed, "directions", str(kernels.shape[1]))).standard_normal(
            (draws, *kernels.shape)
        )
        phases = np.stack([make_control("phase", single, seed + draw) for draw in range(draws)])
        control = {"random": noise, "scrambled": phases}
        self._directions = {name: at_right_angles(control[name], self.units, noise[0]) for name in CONTROLS}
        for name in set(DIRECTIONS) - set(CONTROLS):
            self._directions[name] = at_right_angles(self.patterns[name], self.units, noise[0])[None]

    def names(self) -> list[str]:
        """The replacements that there are, in the order of `REPLACEMENTS`."""
        return [name for name in REPLACEMENTS if name in self.patterns or REPLACEMENTS[name] is None]

    def cosines(self, name: str) -> np.ndarray:
        """Cosine of each kernel to its replacement, float64 [n]; NaN of `zero`."""
        return (self.units * self.patterns[name]).sum(1) if name in self.patterns else np.full(len(self.units), np.nan)

    def replace(self, name: str) -> np.ndarray:
        """The replacements of the kernels, float32 [n, taps], each with the mean and the centred norm of its kernel."""
        return self._restore(self.patterns[name]) if name in self.patterns else np.zeros(self.units.shape, np.float32)

    def control(self, name: str, kind: str, draw: int) -> np.ndarray:
        """Kernels as far from each one as its replacement is, in a direction of `CONTROLS`; as `replace`."""
        return self._restore(move(self.units, self._directions[kind][draw], self.cosines(name)))

    def move(self, direction: str, cosine: float, draw: int) -> np.ndarray:
        """Kernels at one cosine from each one, towards one of `DIRECTIONS`; as `replace`."""
        along = self._directions[direction]
        return self._restore(move(self.units, along[draw % len(along)], cosine))

    def draws_towards(self, direction: str) -> int:
        """How many kernels `move` knows in a direction."""
        return len(self._directions[direction])

    def _restore(self, units: np.ndarray) -> np.ndarray:
        mean = self.kernels.mean(axis=1, keepdims=True)
        norm = np.linalg.norm(self.kernels - mean, axis=1, keepdims=True)
        return (mean + norm * units).astype(np.float32)
