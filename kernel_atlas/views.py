"""Tables that show themselves: kernels, the description of a network, the difference of two; in notebooks and drawn."""

import base64
import html
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from kernel_atlas.core.words import percent, points

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 10  # rows of kernels in a notebook


class Picture:
    """A drawn figure, which notebooks show; `figure` is matplotlib's."""

    def __init__(self, figure: "Figure"):
        self.figure = figure

    def savefig(self, path: str | Path, **options: Any) -> None:
        """Write it as the ending of its name says."""
        from kernel_atlas.figures.style import atlas_style

        with atlas_style():
            self.figure.savefig(path, **options)

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=120)
        return content.getvalue()


class Kernels(pd.DataFrame):
    """A pandas table with a row for each kernel. A part of its rows is one too, without taps a plain table."""

    @property
    def _constructor(self) -> Any:
        def build(*arguments: Any, **options: Any) -> pd.DataFrame:
            table = pd.DataFrame(*arguments, **options)
            return Kernels(table) if {"kh", "kw", "weight", "dead", "layer"} <= set(table.columns) else table

        return build

    def plot(self, title: str = "") -> Picture:
        """The kernels of each layer in the order of their labels, which they get here if they have none."""
        from kernel_atlas import api
        from kernel_atlas.figures.contact_sheet import draw_sheet
        from kernel_atlas.figures.style import atlas_style

        with atlas_style():
            return Picture(draw_sheet(pd.DataFrame(self if "label" in self else api.label(self)), title))

    def _repr_html_(self) -> str:
        shown = pd.DataFrame(self.head(SHOWN))
        shown["weight"] = [_image(row.weight, row.kh, row.kw) for row in shown.itertuples()]
        table = shown.to_html(formatters={"layer": html.escape}, escape=False, float_format="{:.3g}".format)
        return f"{table}<p>{min(SHOWN, len(self))} of {len(self):,} kernels</p>"


class Description(pd.DataFrame):
    """A pandas table with a row for each layer; `sizes` has a row for each size."""

    _metadata = ["sizes"]  # noqa: RUF012  (pandas asks for this attribute)

    def plot(self, title: str = "") -> Picture:
        """The share with a pattern of each layer, beside random phases and reference networks."""
        from kernel_atlas.figures.description import draw_description
        from kernel_atlas.figures.style import atlas_style

        with atlas_style():
            return Picture(draw_description(pd.DataFrame(self), self.sizes, title))

    def _repr_html_(self) -> str:
        return describe_words(self.sizes).to_html(index=False) + describe_words(self).to_html(index=False)


class Difference(pd.DataFrame):
    """A pandas table with a row for each size and label."""

    def plot(self, title: str = "") -> Picture:
        """The change of each share, with its interval."""
        from kernel_atlas.figures.description import draw_difference
        from kernel_atlas.figures.style import atlas_style

        with atlas_style():
            return Picture(draw_difference(pd.DataFrame(self), title))

    def _repr_html_(self) -> str:
        return difference_words(self).to_html(index=False)


def describe_words(table: pd.DataFrame) -> pd.DataFrame:
    """A description as text: a row for each layer or size."""
    rows = []
    for row in table.to_dict("records"):
        dead = row["kernels"] == row["dead"]
        missing = "all dead" if dead else "not square"
        known = np.isfinite(row["pattern_share"])
        words = {"layer": row["layer"]} if "layer" in row else {}
        words |= {"size": row["size"], "kernels": f"{row['kernels']:,}", "dead": f"{row['dead']:,}"}
        words["with a pattern"] = (
            percent(row["pattern_share"], row["pattern_low"], row["pattern_high"]) if known else missing
        )
        words["random phases"] = percent(row["phase_share"]) if known else ""
        clustered = percent(row["clustered_share"]) if np.isfinite(row["clustered_share"]) else "no encoder"
        words["clustered"] = "" if dead else clustered
        words["commonest patterns"] = ", ".join(f"{label} {share:.0%}" for label, share in row["labels"])
        if "networks" in row:
            words["reference networks"] = _place(row)
        rows.append(words)
    return pd.DataFrame(rows)


def _place(row: dict[str, Any]) -> str:
    if not np.isfinite(row["pattern_share"]):
        return "no share to compare"
    if not row["networks"] > 0:
        return "too few reference networks have the size to compare"
    return (
        f"a larger share with a pattern than {row['above']:.0%} of {row['networks']:.0f} reference networks, of which "
        f"half have {row['reference_low']:.0%} to {row['reference_high']:.0%}"
    )


def difference_words(table: pd.DataFrame) -> pd.DataFrame:
    """A difference as text."""
    return pd.DataFrame(
        {
            "size": table["size"],
            "label": table["label"],
            "a": table["share_a"].map(percent),
            "b": table["share_b"].map(percent),
            "change": [points(row.change, row.low, row.high) for row in table.itertuples()],
        }
    )


def _image(weight: np.ndarray, height: int, width: int) -> str:
    """A kernel as a small image in HTML."""
    from matplotlib import colormaps
    from PIL import Image

    from kernel_atlas.figures.kernels import TAPS

    taps = np.nan_to_num(np.reshape(weight, (height, width)))
    colours = colormaps[TAPS](0.5 + 0.5 * taps / max(np.abs(taps).max(), 1e-12), bytes=True)
    content = io.BytesIO()
    Image.fromarray(colours).save(content, "png")
    data = base64.b64encode(content.getvalue()).decode()
    return f'<img src="data:image/png;base64,{data}" alt="" style="height:2.5em;image-rendering:pixelated">'
