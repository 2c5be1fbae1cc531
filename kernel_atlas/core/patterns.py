"""The reference patterns: named formulas, sampled at any size, and the label of each kernel by them.

Their table is `resources/patterns/v1.tsv`; its README says how it was chosen. Coordinates are in taps from the middle
of the kernel, x to the right and y up. Directions are points of the compass and name the bright side. Each formula is
sampled at the taps, then centred and normalised like every kernel, so that the scalar product with a kernel is its
cosine.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.files import data_file
from kernel_atlas.core.kernels import centre_and_normalise, size_name
from kernel_atlas.core.vocabulary import AXES, FAMILIES

COMPASS = ("E", "NE", "N", "NW", "W", "SW", "S", "SE")  # each 45 degrees further, counter-clockwise
REFERENCE = data_file("resources/patterns/v1.tsv")
COLUMNS = ("name", "family", "formula", "sign", "direction", "parameters", "smallest", "largest")
# A name of a later family must be more similar by `MARGIN`; resources/patterns/README.md says how it was calibrated.
SIMPLEST = ("Centre", "Square", "Shift", "First-Derivative", "Second-Derivative", "Cross")
MARGIN = 0.002
FAR = {3: 0.2, 5: 0.2}  # dissimilarity from which on a kernel is `other`, by side (Babaiee et al. 2024)
FAR_ELSE = 0.3
UNNAMED = 0.7  # a prototype whose best cosine is below this resembles no pattern
# Units are rounded to whole multiples of 1 / EXACT (1 / COARSE), so that float64 (float32) sums of products are exact.
EXACT, COARSE = 2.0**24, 4000.0
DRAWS = 39  # copies of a kernel with random phases: it is beyond all but one of them by chance in 5 % of cases
BLOCK = 2048  # kernels at a time: their cosines to all patterns stay in the cache


class Templates(NamedTuple):
    """The patterns at one size, by name: labels [t], families [t], parameters [t] and unit taps, float32 [t, taps]."""

    labels: list[str]
    families: list[str]
    parameters: list[str]
    taps: np.ndarray


# The formulas: values at taps (u, v). u lies along the direction of the pattern, v at right angles to it.


def centre(u: np.ndarray, v: np.ndarray, sigma: float, ratio: float, weight: float = 1) -> np.ndarray:
    """The difference of Gaussians `G(sigma) - weight G(ratio sigma)` (Wilson & Cowan 1973).

    With ratio inf it is the Gaussian. Ratio 1.6 is nearest to the Laplacian of a Gaussian (Marr & Hildreth 1980). A
    weight above 1 draws the ring of a discrete Laplacian, which Gaussians of equal volume cannot draw on so few taps.
    """
    surround = 0 if np.isinf(ratio) else weight * _gaussian(u, v, ratio * sigma) / ratio**2
    return _gaussian(u, v, sigma) - surround


def square(u: np.ndarray, v: np.ndarray, width: float) -> np.ndarray:
    """A box of constant taps on a constant ground. The paper shows the pattern and gives no formula."""
    return ((np.abs(u) < width / 2) & (np.abs(v) < width / 2)).astype(float)


def cross(u: np.ndarray, v: np.ndarray, sigma: float, elongation: float) -> np.ndarray:
    """Two elongated Gaussians at right angles (Babaiee et al. 2024); with elongation inf, bars up to the border."""
    return _gaussian(u, v, sigma, elongation) + _gaussian(v, u, sigma, elongation)


def first_derivative(u: np.ndarray, v: np.ndarray, sigma: float, elongation: float = 1) -> np.ndarray:
    """The first derivative of a Gaussian along u, `u G` (Koenderink 1984)."""
    return u * _gaussian(u, v, sigma, elongation)


def second_derivative(u: np.ndarray, v: np.ndarray, sigma: float, elongation: float = 1) -> np.ndarray:
    """The negative second derivative of a Gaussian along u, `(1 - u^2 / sigma^2) G`: a bright ridge along v."""
    return (1 - u**2 / sigma**2) * _gaussian(u, v, sigma, elongation)


def _gaussian(u: np.ndarray, v: np.ndarray, sigma: float, elongation: float = 1) -> np.ndarray:
    """A Gaussian, `elongation` times as wide along v."""
    return np.exp(-(u**2) / (2 * sigma**2) - v**2 / (2 * (elongation * sigma) ** 2))


FORMULAS: Mapping[str, Callable[..., np.ndarray]] = {
    formula.__name__: formula for formula in (centre, square, cross, first_derivative, second_derivative)
}


def sample(
    side: int, formula: str, sign: float = 1, direction: str = "", x: float = 0, y: float = 0, **parameters: float
) -> np.ndarray:
    """The values of a formula at side x side taps, float64 [side * side], row by row.

    Parameters
    ----------
    side : int
    formula : str
        A key of `FORMULAS`.
    sign : float
        -1 for Off.
    direction : str
        One of `COMPASS` or `AXES`, or empty: the formula is turned there.
    x, y : float
        Where its middle is, in taps from the middle of the kernel.
    **parameters : float
        Of the formula.
    """
    degrees = 45 * (COMPASS.index(direction) if direction in COMPASS else AXES.index(direction)) if direction else 0
    right, up = np.meshgrid(np.arange(side) - (side - 1) / 2 - x, (side - 1) / 2 - np.arange(side) - y)
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    u, v = right * cosine + up * sine, up * cosine - right * sine
    return sign * FORMULAS[formula](u, v, **parameters).ravel()


# The table


def read_patterns(path: str | Path = REFERENCE) -> pd.DataFrame:
    """Read a table of patterns.

    Raises
    ------
    AtlasError
        The file is missing, lacks a column, or has a row that no formula draws (one line with its number).
    """
    mend = f"see {REFERENCE.name} for a table"
    try:
        table = pd.read_csv(path, sep="\t", dtype={"direction": str}, keep_default_na=False)
        table = table[list(COLUMNS)]
    except OSError as error:
        raise AtlasError(f"{path}: {error.strerror}; mend the path of the patterns in the configuration") from error
    except (KeyError, ValueError) as error:
        raise AtlasError(f"{path}: {error}; {mend}") from error
    for row, pattern in enumerate(table.to_dict("records"), 2):
        try:
            if pattern["name"] in ("", "other", "dead"):
                raise ValueError("a name is missing or reserved (other, dead)")
            _draw(pattern, max(3, int(pattern["smallest"])))
        except (KeyError, TypeError, ValueError) as error:
            raise AtlasError(f"{path}: row {row}: {error}; {mend}") from error
    return table


def _draw(pattern: Mapping[str, Any], side: int) -> np.ndarray:
    """The unit taps, float32 [side * side], of a row of the table."""
    given = {name: float(value) for name, _, value in (text.partition("=") for text in pattern["parameters"].split())}
    # a turn is the direction's, but a spot that is shifted there is not turned
    direction = "" if pattern["formula"] == "centre" else pattern["direction"]
    values = sample(side, pattern["formula"], pattern["sign"], direction, **given)
    return centre_and_normalise(values[None])[0]


def draw_patterns(table: pd.DataFrame, side: int) -> Templates:
    """The patterns of a table that kernels of a side have, drawn at its taps."""
    there = table[(table["smallest"] <= side) & (side <= table["largest"])].sort_values(
        ["family", "name"], kind="stable"
    )
    taps = np.array([_draw(pattern, side) for pattern in there.to_dict("records")], np.float32).reshape(-1, side**2)
    drawn = taps.any(axis=1)  # on few taps a formula may be constant
    there = there[drawn]
    return Templates(
        there["name"].tolist(),
        there["family"].tolist(),
        there["parameters"].tolist(),
        np.ascontiguousarray(taps[drawn]),
    )


def threshold_of(side: int, stated: Mapping[str, float] = MappingProxyType({})) -> float:
    """Dissimilarity from which on kernels of a side are `other`: as stated for the size, else as in the paper."""
    return stated.get(size_name(side), FAR.get(side, FAR_ELSE))


@functools.cache
def templates(side: int) -> Templates:
    """The reference patterns, sampled on side x side taps.

    Parameters
    ----------
    side : int
        Height and width of a kernel in taps.

    Returns
    -------
    Templates
        labels, families, parameters (lists of str) and taps (float32 [templates, side * side], centred unit kernels).
    """
    return draw_patterns(read_patterns(), side)


# Labels


class Labels(NamedTuple):
    """What n kernels are named, arrays [n].

    - `name`, `second`: the label, and the most similar name of another family.
    - `similarity`, `margin`: cosine to the pattern of the label, and how much less that to the second is.
    """

    name: np.ndarray
    second: np.ndarray
    similarity: np.ndarray
    margin: np.ndarray


class Matcher:
    """Names kernels of one size by their most similar pattern.

    Products are of whole numbers small enough to be exact, so that no BLAS and no number of threads changes a bit.

    Parameters
    ----------
    drawn : Templates
        From `draw_patterns`.
    """

    def __init__(self, drawn: Templates):
        self.side = round(drawn.taps.shape[1] ** 0.5)
        self.names = np.array(list(dict.fromkeys(drawn.labels)), object)
        starts = [drawn.labels.index(name) for name in self.names]
        self._groups = [slice(*ends) for ends in zip(starts, [*starts[1:], None], strict=True)]
        self._taps = _whole(drawn.taps, EXACT)
        # names of a family lie together
        families = [drawn.families[start] for start in starts]
        self._firsts = np.unique(families, return_index=True)[1]
        self._rank = np.array([complexity(families[first]) for first in self._firsts])

    def match(self, units: np.ndarray, margin: float = MARGIN) -> Labels:
        """The labels of centred unit kernels, float32 [n, taps]; near-ties go to the simpler family."""
        parts = [self._match(units[low : low + BLOCK], margin) for low in range(0, max(1, len(units)), BLOCK)]
        return Labels(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _match(self, units: np.ndarray, margin: float) -> Labels:
        # cosine of each name's most similar pattern, [names, n]
        cosines = self._taps @ _whole(units, EXACT).T
        best = np.stack([cosines[group].max(axis=0) for group in self._groups]) / EXACT**2
        # and of each family, [families, n], with the name
        ends = [*self._firsts[1:], len(best)]
        likest = np.stack([best[low:high].argmax(axis=0) + low for low, high in zip(self._firsts, ends, strict=True)])
        kernels = np.arange(len(units))
        of = best[likest, kernels]
        # of the families within the margin of the best, the simplest, and of these the most similar
        near = of >= of.max(axis=0) - margin
        simplest = np.where(near, self._rank[:, None], len(SIMPLEST) + 1).min(axis=0)
        family = np.where(near & (self._rank[:, None] == simplest), of, -2).argmax(axis=0)
        similarity = of[family, kernels].astype(np.float32)
        name = likest[family, kernels]
        of[family, kernels] = -2
        other = of.argmax(axis=0)
        ahead = similarity - of[other, kernels].astype(np.float32)
        return Labels(self.names[name], self.names[likest[other, kernels]], similarity, ahead)

    def match_scrambled(self, units: np.ndarray) -> np.ndarray:
        """Cosines of the most similar patterns to copies of each kernel with random phases, float32 [n, `DRAWS`].

        The phases are the same for all kernels, so that a kernel has the same copies in every file.
        """
        rows, weights, patterns = self._spectra
        best = np.empty((len(units), DRAWS), np.float32)
        for low in range(0, len(units), BLOCK // 2):
            images = units[low : low + BLOCK // 2].reshape(-1, self.side, self.side).astype(np.float64)
            amplitudes = weights * np.abs(np.fft.fft2(images)).reshape(len(images), -1)[:, rows]
            length = np.linalg.norm(amplitudes, axis=1, keepdims=True)
            copies = _whole(amplitudes / np.maximum(length, 1e-12), COARSE).astype(np.float32)
            for draw, drawn in enumerate(patterns):
                best[low : low + BLOCK // 2, draw] = (copies @ drawn).max(axis=1) / COARSE**2
        return best

    @functools.cached_property
    def _spectra(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Frequencies of one half of the plane, weights [f] of their amplitudes, and patterns, [`DRAWS`, f, patterns].

        A copy of a kernel with random phases is `sum_f amplitude_f cos(phase_f + ...)`: its cosine to a pattern is a
        product of its amplitudes with the pattern's real parts after a turn by the phases (Parseval).
        """
        places = np.arange(self.side**2).reshape(self.side, self.side)
        mirrored = np.roll(places[::-1, ::-1], (1, 1), (0, 1)).ravel()
        rows = np.flatnonzero((places.ravel() <= mirrored) & (places.ravel() > 0))
        weights = np.sqrt(np.where(mirrored[rows] == rows, 1, 2)) / self.side
        noise = np.random.default_rng([0, self.side]).standard_normal((DRAWS, self.side, self.side))
        phases = np.fft.fft2(noise).reshape(DRAWS, -1)[:, rows]
        phases /= np.abs(phases)
        taps = self._taps.reshape(-1, self.side, self.side) / EXACT
        spectra = np.fft.fft2(taps).reshape(len(taps), -1)[:, rows].conj()
        turned = np.stack([(phase * spectra).real.T for phase in phases]) * weights[:, None]
        return rows, weights, _whole(turned, COARSE).astype(np.float32)


def _whole(values: np.ndarray, steps: float) -> np.ndarray:
    return np.rint(values.astype(np.float64) * steps)


def complexity(family: str) -> int:
    """Place of a family in `SIMPLEST`; families of a user's own come last."""
    return next((rank for rank, name in enumerate(SIMPLEST) if family.endswith(name)), len(SIMPLEST))


def family_of(label: str) -> str:
    """`First-Derivative-NE` -> `First-Derivative`, `Centre` -> `On-Centre`; without a formula -> `Further patterns`."""
    label = f"On-{label}" if f"On-{label}" in FAMILIES else label
    return next((name for name in FAMILIES if label == name or label.startswith(f"{name}-")), "Further patterns")


def kind_of(label: str) -> str:
    """A label without sign and direction: `On-Second-Derivative-NE-SW` -> `Second-Derivative`; others stay."""
    return next((name for name in SIMPLEST if name in label), label)


def resemble(prototypes: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Label and cosine [n] of the pattern most like each prototype.

    Parameters
    ----------
    prototypes : float array [n, side * side]
        Centred unit kernels.

    Returns
    -------
    labels : list of str
        `pattern-N`, N the row + 1, where the best cosine is below 0.7.
    cosine : float array [n]
    """
    found = Matcher(templates(round(prototypes.shape[1] ** 0.5))).match(prototypes)
    far = found.similarity < UNNAMED
    return [f"pattern-{n + 1}" if far[n] else name for n, name in enumerate(found.name)], found.similarity
