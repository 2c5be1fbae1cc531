"""How figures are written: a drawing with its data and words, as SVG for wide and narrow pages, as PDF for print."""

import base64
import hashlib
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from kernel_atlas.figures.style import PAGE, PHONE, SOFT, atlas_style, page_width
from kernel_atlas.io.tables import whole, write_csv

DOTS = {"svg": 200, "pdf": 300}  # per inch, of what is drawn as an image: pages show 96, paper more
HASHED = r'(?<=["#])([pmh]|image|C[0-9a-f]+_[0-9a-f]+_)[0-9a-f]{10}(?=[")])'  # ids of clips, markers, hatches, images
UNDATED = {"svg": {"Date": None, "Creator": None}, "pdf": {"CreationDate": None, "Creator": None, "Producer": None}}


class Drawing(NamedTuple):
    """A figure, the data it shows, its title, its caption, and a text for those who cannot see it."""

    figure: Figure
    data: pd.DataFrame
    title: str
    caption: str
    alt: str


def draw_nothing(title: str, why: str) -> Drawing:
    """A figure that says that there is nothing to show."""
    words = f"Nothing to show: {why}."
    figure = Figure(figsize=(page_width(), 0.6))
    figure.text(0.5, 0.5, words, ha="center", va="center", color=SOFT, wrap=True)
    return Drawing(figure, pd.DataFrame({"nothing": [why]}), title, words, words)


def write_figure(
    draw: Callable[[], Drawing],
    figure: str | Path,
    phone: str | Path,
    pdf: str | Path,
    data: str | Path,
    words: str | Path,
) -> None:
    """Draw a figure twice, for wide and for narrow pages, and write it with its data and words.

    Parameters
    ----------
    draw : function
        Takes nothing; asks `style.is_narrow()` where a narrow page needs another layout.
    figure, phone, pdf, data, words : path
        SVG, narrow SVG, PDF, CSV and JSON. Bytes are equal each time.
    """
    for width, written in ((PHONE, {"svg": phone}), (PAGE, {"svg": figure, "pdf": pdf})):
        with atlas_style(width):
            drawing = draw()
            for kind, path in written.items():
                picture = io.BytesIO()  # as what is wrong with the disk is then what the error says
                drawing.figure.savefig(picture, format=kind, dpi=DOTS[kind], metadata=UNDATED[kind])
                content = picture.getvalue()
                with whole(path) as partial:
                    partial.write_bytes(
                        lighten(content.decode(), Path(path).name).encode() if kind == "svg" else content
                    )
    write_csv(drawing.data, data, float_format="%.6g")
    text = {"title": drawing.title, "caption": drawing.caption, "alt": drawing.alt}
    with whole(words) as partial:
        partial.write_text(json.dumps(text, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def lighten(svg: str, name: str) -> str:
    """The same drawing in fewer bytes: places to a hundredth of a point, images packed as tightly as PNG can.

    Ids that matplotlib hashes are numbered instead, after the name of the file. Hashes have the last digits of a
    layout in them, which are others from run to run; names keep figures on one page apart.
    """
    svg = re.sub(r"<[^>]+>", lambda tag: re.sub(r"-?\d+\.\d{3,}", _hundredths, tag[0]), svg)
    svg = re.sub(r' transform="rotate\(-0 [^)]*\)"|(?<=\n) +', "", svg)
    start, numbers = hashlib.sha256(name.encode()).hexdigest()[:6], {}
    svg = re.sub(HASHED, lambda id: f"i{start}-{numbers.setdefault(id[0], len(numbers))}", svg)
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
