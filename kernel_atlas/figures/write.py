"""How figures are written: a drawing with its data and words, as SVG for pages and PDF for print."""

import base64
import io
import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from kernel_atlas.figures.style import SOFT, WIDTH, atlas_style, open_canvas
from kernel_atlas.io.tables import whole, write_csv

DOTS = {"svg": 200, "pdf": 300}  # per inch, of what is drawn as an image: pages show 96, paper more


class Drawing(NamedTuple):
    """A figure, the data it shows, its title, its caption, and a text for those who cannot see it."""

    figure: Figure
    data: pd.DataFrame
    title: str
    caption: str
    alt: str


def draw_nothing(size: str, title: str, why: str) -> Drawing:
    """A figure that says that there is nothing to show."""
    words = f"Nothing to show of the {size} kernels: {why}."
    figure, canvas = open_canvas(0.6)
    canvas.text(WIDTH / 2, 0.3, words, ha="center", va="center", color=SOFT)
    return Drawing(figure, pd.DataFrame({"size": [size], "nothing": [why]}), title, words, words)


def write_drawing(drawing: Drawing, svg: str | Path, pdf: str | Path, data: str | Path, words: str | Path) -> None:
    """Write the figure as SVG and PDF, the data as CSV and the words as JSON; of equal bytes each time, but for PDF."""
    # ids start from the name of the file: they repeat from run to run, and differ between figures on one page
    with atlas_style(**{"svg.hashsalt": Path(svg).stem}):
        picture = io.StringIO()
        drawing.figure.savefig(picture, format="svg", dpi=DOTS["svg"], metadata={"Date": None, "Creator": None})
        with whole(svg) as partial:
            partial.write_text(lighten(picture.getvalue()), encoding="utf-8")
        undated = {"CreationDate": None, "Creator": None, "Producer": None}
        paper = io.BytesIO()  # as what is wrong with the disk is then what the error says
        drawing.figure.savefig(paper, format="pdf", dpi=DOTS["pdf"], metadata=undated)
        with whole(pdf) as partial:
            partial.write_bytes(paper.getvalue())
    write_csv(drawing.data, data, float_format="%.6g")
    text = {"title": drawing.title, "caption": drawing.caption, "alt": drawing.alt}
    with whole(words) as partial:
        partial.write_text(json.dumps(text, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def lighten(svg: str) -> str:
    """The same drawing in fewer bytes: places to a hundredth of a point, images packed as tightly as PNG can."""
    svg = re.sub(r"<[^>]+>", lambda tag: re.sub(r"-?\d+\.\d{3,}", _hundredths, tag[0]), svg)
    svg = re.sub(r' transform="rotate\(-0 [^)]*\)"|(?<=\n) +', "", svg)
    return re.sub(r"(?<=data:image/png;base64,)[^\"]+", lambda image: _packed(image[0]), svg)


def _hundredths(number: re.Match) -> str:
    return f"{float(number[0]):z.2f}".rstrip("0").rstrip(".")


def _packed(image: str) -> str:
    """An image of at most 256 colours with a palette; base64 in, base64 out, the same pixels."""
    pixels = Image.open(io.BytesIO(base64.b64decode(image))).convert("RGBA")
    colours, places = np.unique(np.asarray(pixels).reshape(-1, 4), axis=0, return_inverse=True)
    if len(colours) <= 256:
        pixels = Image.frombytes("P", pixels.size, places.astype(np.uint8).tobytes())
        pixels.putpalette(colours.tobytes(), "RGBA")
    packed = io.BytesIO()
    pixels.save(packed, "png", optimize=True)
    return base64.b64encode(packed.getvalue()).decode()
