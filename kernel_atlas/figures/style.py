"""How figures look, and how they are written: style, colours of families, kernels as images, rows, legends, words."""

import base64
import html
import io
import json
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from fontTools import subset
from fontTools.ttLib import TTFont
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter
from PIL import Image

from kernel_atlas.core.patterns import family_of
from kernel_atlas.core.vocabulary import FAMILIES, FITTED
from kernel_atlas.io.tables import whole, write_csv
from kernel_atlas.stats.shares import one_per_group

WIDTH = 9.0  # inches: 864 pixels of a page, where text keeps its size
DOTS = {"svg": 200, "pdf": 300}  # per inch, of what is drawn as an image: pages show 96, paper more
STYLE = Path(__file__).with_name("atlas.mplstyle")
_LOOK = matplotlib.rc_params_from_file(STYLE, use_default_template=False)
INK, SOFT = _LOOK["text.color"], _LOOK["axes.edgecolor"]
TAPS = "RdBu_r"  # white at zero; its two ends differ to every kind of colour vision
HALO = withStroke(linewidth=2.5, foreground="white", alpha=0.85)  # lets ink be read on any colour
GLYPHS = {"normal": "DejaVuSans.ttf", "bold": "DejaVuSans-Bold.ttf"}
UNNEEDED = ["FFTM", "GDEF", "GPOS", "GSUB", "MATH"]  # tables of a font that plain words do not use
BOX = {
    "facecolor": "white",
    "alpha": 0.75,
    "lw": 0,
    "pad": 0.6,
}  # the same for words, which a halo would turn into paths
PERCENT = FuncFormatter(lambda share, _: f"{100 * share:.3g} %")  # of ticks


class Drawing(NamedTuple):
    """A figure, the data it shows, its title, its caption, and a text for those who cannot see it."""

    figure: Figure
    data: pd.DataFrame
    title: str
    caption: str
    alt: str


def short(label: str) -> str:
    """A label as figures write it: `On-Second-Derivative-EW` -> `On 2nd deriv. EW`."""
    label = re.sub(r"-([NS][EW])-([NS][EW])$", "-\\1\N{EN DASH}\\2", label)  # an axis, not to be broken at its dash
    label = re.sub(r"-?Second-Derivative-?", " 2nd deriv. ", label)
    return re.sub(r"-?First-Derivative-?", " 1st deriv. ", label).strip()


def open_canvas(height: float) -> tuple[Figure, Axes]:
    """A figure, and axes that cover it with inches as unit, y downwards from the top left."""
    figure = Figure(figsize=(WIDTH, height))
    canvas = figure.add_axes([0, 0, 1, 1])
    canvas.set(xlim=(0, WIDTH), ylim=(height, 0))
    canvas.set_axis_off()
    canvas.set_zorder(1)  # above axes added later
    return figure, canvas


def open_rows(rows: int, left: float, legend: float = 0.42) -> tuple[Figure, Axes]:
    """A figure with a horizontal bar or box a row, of the same thickness whatever their number."""
    low = 0.5 + legend
    height = low + 0.45 + 0.205 * rows
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes([left / WIDTH, low / height, (WIDTH - left - 0.95) / WIDTH, (height - low - 0.3) / height])
    axes.set_ylim(-0.6, rows - 0.4)
    axes.tick_params(axis="y", length=0)
    return figure, axes


def place_axes(figure: Figure, left: float, top: float, right: float, bottom: float, **more: str) -> Axes:
    """Axes between inches from the left and from the top of a figure."""
    width, height = figure.get_size_inches()
    box = [left / width, 1 - bottom / height, (right - left) / width, (bottom - top) / height]
    return figure.add_axes(box, **more)


def draw_nothing(size: str, title: str, why: str) -> Drawing:
    """A figure that says that there is nothing to show."""
    words = f"Nothing to show of the {size} kernels: {why}."
    figure, canvas = open_canvas(0.6)
    canvas.text(WIDTH / 2, 0.3, words, ha="center", va="center", color=SOFT)
    return Drawing(figure, pd.DataFrame({"size": [size], "nothing": [why]}), title, words, words)


def draw_interval(axes: Axes, y: float, low: float, high: float, colour: str, ends: bool = False) -> None:
    """An interval, if there is one."""
    if np.isfinite(low) and np.isfinite(high):
        axes.hlines(y, low, high, color=colour, lw=1.1, zorder=2, path_effects=[HALO] if ends else None)
        if ends:
            axes.plot([low, high], [y, y], "|", color=colour, ms=5)


def count_rows(axes: Axes, y: np.ndarray, kernels: pd.Series) -> None:
    """The number of kernels at the right end of each row."""
    for place, count in zip([len(y) - 0.35, *y], ["kernels", *(f"{count:,}" for count in kernels)], strict=True):
        where = {"x": 1.015, "y": place, "transform": axes.get_yaxis_transform()}
        axes.text(**where, s=count, va="bottom" if count == "kernels" else "center", size=7, color=SOFT)


def draw_kernel(canvas: Axes, taps: np.ndarray, middle: float, top: float, side: float, frame: str = "") -> None:
    """A kernel as a small image, scaled to its own largest tap so that patterns compare; zero is white."""
    image = np.reshape(taps, (round(len(taps) ** 0.5), -1)) / max(np.abs(taps).max(), 1e-12)
    left, right = middle - side / 2, middle + side / 2
    where = {"extent": (left, right, top + side, top), "aspect": "auto", "interpolation": "nearest"}
    canvas.imshow(image, cmap=TAPS, vmin=-1, vmax=1, **where)
    canvas.add_patch(Rectangle((left, top), side, side, fill=False, ec=frame or "#bbbbbb", lw=0.9 if frame else 0.3))


def draw_scale(canvas: Axes, left: float, top: float) -> None:
    """The colours of taps."""
    where = {"extent": (left + 0.72, left + 1.52, top + 0.09, top), "aspect": "auto", "interpolation": "nearest"}
    canvas.imshow(np.linspace(-1, 1, 64)[None], cmap=TAPS, **where)
    words = {"va": "center", "size": 6.5, "color": SOFT}
    canvas.text(left + 0.67, top + 0.045, "taps: \N{MINUS SIGN}max", ha="right", **words)
    canvas.text(left + 1.57, top + 0.045, "+max of each kernel", ha="left", **words)


def look_of(family: str) -> dict[str, Any]:
    """How an area of a family is filled."""
    colour, hatch = FAMILIES[family]
    return {"facecolor": colour, "hatch": hatch, "edgecolor": "white", "lw": 0.2}


def draw_legend(figure: Figure, families: Iterable[str]) -> None:
    """The families at the foot of a figure."""
    handles = [
        Patch(**look_of(family), label="other (not clustered)" if family == "other" else short(family))
        for family in families
    ]
    columns = len(handles) if len(handles) < 7 else -(-len(handles) // 2)
    figure.legend(handles=handles, loc="lower center", ncols=columns, handlelength=1.6, columnspacing=1.4)


def step_axis(axes: Axes, steps: np.ndarray) -> np.ndarray:
    """A logarithmic axis of steps on which 0 has a place, half a step; the places of the steps."""
    ticks = [0.5, *(10.0**power for power in range(1 + int(np.log10(steps.max()))))]
    axes.set_xscale("log")
    axes.set_xticks(ticks, ["0", *(f"{tick:,.0f}" for tick in ticks[1:])])
    axes.minorticks_off()
    axes.set(xlim=(0.5, steps.max()), xlabel="step")
    return np.where(steps == 0, 0.5, steps)


def wrapped(words: str, inches: float, points: float) -> str:
    """Words in lines no wider than a column; DejaVu Sans is 0.6 em wide on average."""
    return "\n".join(textwrap.wrap(words, max(6, int(inches * 72 / (0.6 * points)))))


def cut(name: str, length: int) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"


def between(values: pd.Series) -> str:
    low, high = f"{values.min():z.2f}", f"{values.max():z.2f}"
    return f"median {low}" if low == high else f"medians from {low} to {high}"


def networks(shown: int, there: int) -> str:
    if shown < there:
        return f"The {shown} of {there} independent networks with most kernels"
    return f"All {there} independent networks" if there > 1 else "The one independent network"


def write_drawing(drawing: Drawing, svg: str | Path, pdf: str | Path, data: str | Path, words: str | Path) -> None:
    """Write the figure as SVG and PDF, the data as CSV and the words as JSON; of equal bytes each time, but for PDF."""
    # ids start from the name of the file: they repeat from run to run, and differ between figures on one page
    with style.context([STYLE, {"svg.hashsalt": Path(svg).stem}]):
        picture = io.StringIO()
        drawing.figure.savefig(picture, format="svg", dpi=DOTS["svg"], metadata={"Date": None, "Creator": None})
        with whole(svg) as partial:
            partial.write_text(embed_fonts(lighten(picture.getvalue())), encoding="utf-8")
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


def embed_fonts(svg: str) -> str:
    """The same drawing with the glyphs of its words, so that it looks alike where DejaVu Sans is not installed."""
    used: dict[str, set[str]] = {"normal": set(), "bold": set()}
    for look, words in re.findall(r'<text[^>]*style="([^"]*)"[^>]*>(.*?)</text>', svg, re.DOTALL):
        used["bold" if "bold" in look else "normal"] |= set(html.unescape(re.sub("<.*?>", "", words)))
    faces = []
    for weight, glyphs in used.items():
        if glyphs:
            # the file of matplotlib itself: the system may have another version of it
            path = Path(matplotlib.get_data_path(), "fonts", "ttf", GLYPHS[weight])
            font = TTFont(path, recalcTimestamp=False)  # of equal bytes each time
            options = subset.Options(layout_features=[], hinting=False, drop_tables=UNNEEDED)
            reduced = subset.Subsetter(options)
            reduced.populate(text="".join(sorted(glyphs)))
            reduced.subset(font)
            # of equal tables fontTools packs one or all, as their places in memory have it: one is enough
            font["cmap"].tables = [max(font["cmap"].tables, key=lambda table: len(table.cmap))]
            font.flavor = "woff"
            packed = io.BytesIO()
            font.save(packed)
            data = base64.b64encode(packed.getvalue()).decode()
            source = f"src: url(data:font/woff;base64,{data})"
            faces.append(f'@font-face {{ font-family: "DejaVu Sans"; font-weight: {weight}; {source}; }}')
    return re.sub(r"(<style[^>]*>)", lambda tag: tag[0] + "\n".join(faces), svg, count=1)


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


def groups_of(clusters: pd.DataFrame) -> list[tuple[int, str]]:
    """Cluster and label of each row of a figure, along the code, and last what is in no cluster."""
    return [*clusters[["cluster", "label"]].drop_duplicates().itertuples(index=False, name=None), (-1, "other")]


def members_of(sample: pd.DataFrame, cluster: int, label: str) -> pd.DataFrame:
    return sample[(sample["cluster"] == cluster) & (sample["label"] == label)]


def sample_at(quantile: float, inside: np.ndarray, counts: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """What the decoder draws at a quantile of the kernels of a stretch, given by the samples inside it."""
    if not len(inside):  # a stretch drawn by hand, narrower than a step
        return np.zeros(decoded.shape[1])
    passed = counts[inside].cumsum()
    place = np.searchsorted(passed, passed[-1] * quantile) if passed[-1] else (len(inside) - 1) // 2
    return decoded[inside[place]]


def family_shares(table: pd.DataFrame, unit: str | list[str]) -> pd.DataFrame:
    """Shares per unit (rows) and family (columns, in the order of `FAMILIES`, those that occur); no dead kernels."""
    table = table[table["label"] != "dead"]
    table = table.assign(family=table["label"].map(family_of))
    wide = table.pivot_table(index=unit, columns="family", values="share", aggfunc="sum", fill_value=0.0)
    return wide[[family for family in FAMILIES if family in wide]]


def largest_first(models: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Independent networks and controls of one size; most kernels first."""
    controls = models[models["use"] == "control"]
    return one_per_group(models), controls.sort_values("kernels", ascending=False, kind="stable")


def stack(taps: pd.Series, width: int = 0) -> np.ndarray:
    """A column of arrays as one array, [0, width] where it is empty."""
    return np.stack(taps.to_list()).astype(np.float32) if len(taps) else np.zeros((0, width), np.float32)


def taps_columns(kernels: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(kernels, columns=[f"tap_{number}" for number in range(kernels.shape[1])])


LINES = {
    "real": ("#0072b2", "-"),
    "gaussian": (INK, (0, (4, 2))),
    "shuffled": ("#cc79a7", (0, (1, 1))),
    "phase": ("#009e73", (0, (6, 1.5, 1, 1.5))),
    "untrained": ("#d55e00", "-."),
    "dense": ("#e69f00", (0, (8, 2))),
}
TURNS = {"first_derivative": 360, "second_derivative": 180, "cross": 90}  # degrees after which an angle comes again


def look(family: str) -> dict[str, object]:
    """How an area of a fitted family is filled."""
    _, like, hatch, _ = FITTED[family]
    return look_of(like) | {"hatch": hatch}


def shade(share: float) -> tuple[float, float, float]:
    """White to blue, dark enough at 1 for white words."""
    return tuple(1 - share * (1 - one) for one in (0.0, 0.31, 0.55))


BLUE, ORANGE = "#0072b2", "#d55e00"
