"""Pictures of kernels, and the arrays and rows that they are drawn from."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from kernel_atlas.figures.style import SOFT

TAPS = "RdBu_r"  # white at zero; its two ends differ to every kind of colour vision


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
    look = frame if isinstance(frame, Mapping) else {"ec": frame or "#bbbbbb", "lw": 0.9 if frame else 0.3}
    canvas.add_patch(Rectangle((left, top), width, height, fill=False, **look))


def draw_scale(canvas: Axes, left: float, top: float) -> None:
    """The colours of taps."""
    where = {"extent": (left + 0.72, left + 1.52, top + 0.09, top), "aspect": "auto", "interpolation": "nearest"}
    canvas.imshow(np.linspace(-1, 1, 64)[None], cmap=TAPS, **where)
    words = {"va": "center", "size": 6.5, "color": SOFT}
    canvas.text(left + 0.67, top + 0.045, "taps: \N{MINUS SIGN}max", ha="right", **words)
    canvas.text(left + 1.57, top + 0.045, "+max of each kernel", ha="left", **words)


def stack(taps: pd.Series, width: int = 0) -> np.ndarray:
    """A column of arrays as one array, [0, width] where it is empty."""
    return np.stack(taps.to_list()).astype(np.float32) if len(taps) else np.zeros((0, width), np.float32)


def taps_columns(kernels: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(kernels, columns=[f"tap_{number}" for number in range(kernels.shape[1])])


def sample_at(quantile: float, inside: np.ndarray, counts: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """What the decoder draws at a quantile of the kernels of a stretch, given by the samples inside it."""
    if not len(inside):  # a stretch drawn by hand, narrower than a step
        return np.zeros(decoded.shape[1])
    passed = counts[inside].cumsum()
    place = np.searchsorted(passed, passed[-1] * quantile) if passed[-1] else (len(inside) - 1) // 2
    return decoded[inside[place]]
