"""Pictures of kernels, and the arrays and rows that they are drawn from."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from kernel_atlas.figures.style import GREY

TAPS = "RdBu_r"  # white at zero; its two ends differ to every kind of colour vision
DOTS, GAP = 24, 3  # of a mosaic: dots of a kernel's side, at least, and between kernels


def draw_kernel(
    canvas: Axes, taps: np.ndarray, middle: float, top: float, side: float, frame: str | Mapping[str, object] = ""
) -> None:
    """A kernel as a small image, scaled to its own largest tap so that patterns compare; zero is white.

    Parameters
    ----------
    taps : array
        [height, width], or the taps of a square kernel row by row.
    middle, top, side : float
        Inches from the left and the top; the longer side of the kernel.
    frame : str or mapping
        The colour of the frame, or its whole look.
    """
    image = np.asarray(taps)
    image = image if image.ndim == 2 else image.reshape(round(image.size**0.5), -1)
    image = image / max(np.abs(image).max(), 1e-12)
    height, width = (side * length / max(image.shape) for length in image.shape)
    left, right = middle - width / 2, middle + width / 2
    where = {"extent": (left, right, top + height, top), "aspect": "auto", "interpolation": "nearest"}
    canvas.imshow(image, cmap=TAPS, vmin=-1, vmax=1, **where)
    look = frame if isinstance(frame, Mapping) else {"ec": frame or GREY, "lw": 0.9 if frame else 0.3}
    canvas.add_patch(Rectangle((left, top), width, height, fill=False, **look))


def draw_row(axes: Axes, kernels: Sequence[np.ndarray], left: float, top: float) -> None:
    """Square kernels side by side as one image, each a unit wide and scaled to its own largest tap."""
    side = round(len(kernels[0]) ** 0.5)
    scale, colours, tiles = -(-DOTS // side), matplotlib.colormaps[TAPS], []
    for taps in kernels:
        image = np.reshape(taps, (side, side)) / max(np.abs(taps).max(), 1e-12)
        tile = colours(0.5 + 0.5 * np.kron(image, np.ones((scale, scale))))
        tile[[0, -1]] = tile[:, [0, -1]] = to_rgba(GREY)  # a frame
        tiles.append(np.pad(tile, ((0, 0), (0, GAP), (0, 0))))
    image = np.concatenate(tiles, axis=1)
    extent = (left, left + len(kernels), top + 1 - GAP / (len(image) + GAP), top)
    axes.imshow(image, extent=extent, aspect="auto", interpolation="nearest")


def stack(taps: pd.Series) -> np.ndarray:
    """A column of arrays as one array."""
    return np.stack(taps.to_list()).astype(np.float32)


def taps_columns(kernels: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(kernels, columns=[f"tap_{number}" for number in range(kernels.shape[1])])
