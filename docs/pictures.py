"""Pictures of the documents: those that are kept, the gallery of patterns, those of the glossary.

`snakemake pictures` draws those that are kept. Each has in it the digest of the files that say how it looks, by which
`tests/workflow/test_documents.py` tells when it is old.
"""

import hashlib
import io
import json
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from kernel_atlas.api import ENCODER, assign, extract
from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import centre_and_normalise, draw_noise
from kernel_atlas.core.patterns import REFERENCE, Templates, family_of, templates
from kernel_atlas.core.vocabulary import FAMILIES
from kernel_atlas.evidence.controls import make_control
from kernel_atlas.figures.kernels import draw_kernel
from kernel_atlas.figures.style import INK, SOFT, atlas_style, look_of, open_canvas, place_axes, short
from kernel_atlas.io.tables import whole
from kernel_atlas.model.encoder import read_encoder
from kernel_atlas.model.poses import turn

ROOT = Path(__file__).parents[1]
SHARES, NETWORKS = (ROOT / "resources/reference" / name for name in ("shares.csv", "networks.csv"))
PAGES = ROOT / "kernel_atlas/publish/pages"
LOOKS = {  # kept picture -> what it is drawn from
    "shares": (SHARES, NETWORKS, REFERENCE),
    "report": (PAGES / "report.html", PAGES / "head.html"),
    "atlas": (PAGES / "atlas.html", PAGES / "atlas.css", PAGES / "head.html"),
}
VIEWS = {
    "report": ("", "figure"),
    "atlas": ("#size=9x9", ""),
}  # address, and what is below
WINDOW = (1300, 780)  # CSS pixels
WIDTH = 9.0  # inches
SIZES = ("7x7", "5x5", "3x3")
ROWS = 10  # labels shown: the commonest of 5x5 and 7x7 kernels
PITCH, TOP, FOOT = 0.31, 0.58, 0.6  # inches: of a row, above and below the rows
KERNEL = 0.27  # inches
IN_ROW = 22  # kernels of the gallery, with a place for the name of each side
PANELS = (2.55, 4.72, 6.89)  # inches: left ends of the panels of sizes
PANEL = 1.95


def digest(name: str) -> str:
    """Of the files that say how a kept picture looks."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in LOOKS[name])).hexdigest()


def draw_kept(name: str, page: str | Path, output: str | Path) -> None:
    """Draw a picture that is kept.

    Parameters
    ----------
    name : str
        shares, report or atlas.
    page : path
        Of the run, for the last two.
    output : path
        PNG.

    Raises
    ------
    AtlasError
        There is no browser, or the atlas would show kernels of other people's networks.
    """
    if name == "shares":
        content = io.BytesIO()
        with atlas_style(WIDTH):
            draw_shares().savefig(content, format="png", dpi=160)
        picture = Image.open(content)
    else:
        if name == "atlas":
            _check_own(Path(page))
        picture = _photograph(Path(page), *VIEWS[name])
    source = PngInfo()
    source.add_text("Source", digest(name))
    with whole(output) as partial:
        picture.convert("RGB").save(partial, "png", optimize=True, pnginfo=source)


def _check_own(atlas: Path) -> None:
    """Raise an error unless all 9x9 kernels of an atlas are of the embedded networks."""
    text = re.search(r'id="facts-of-the-page">(.*?)</script>', atlas.read_text(encoding="utf-8"), re.DOTALL)[1]
    size = VIEWS["atlas"][0].removeprefix("#size=")
    there = {
        one["model"] for one in json.loads(text)["models"] if any(block["size"] == size for block in one["blocks"])
    }
    others = there - {path.stem for path in (ROOT / "resources/zoo").glob("*.safetensors")}
    if others or not there:
        found = ", ".join(sorted(others)) or "none found"
        raise AtlasError(f"{atlas}: its {size} kernels must be of embedded networks, as in the default run ({found})")


def _photograph(page: Path, fragment: str, below: str) -> Image.Image:
    """The top of a page, down to an element if one is named."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (browser and driver):
        raise AtlasError("pictures need a browser: apt-get install chromium chromium-driver")
    from selenium import webdriver  # of the group dev, and the site is built without it
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--hide-scrollbars"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options, Service(driver))
    try:
        screen = {"width": WINDOW[0], "height": WINDOW[1], "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        driver.get(page.resolve().as_uri() + fragment)
        time.sleep(2)  # until all is drawn
        bottom = "return arguments[0] ? document.querySelector(arguments[0]).getBoundingClientRect().top : innerHeight"
        end = min(WINDOW[1], driver.execute_script(bottom, below))
        picture = Image.open(io.BytesIO(driver.get_screenshot_as_png()))
        return picture.crop((0, 0, WINDOW[0], int(end)))
    finally:
        driver.quit()


def draw_shares() -> Figure:
    """Which patterns the kernels of the reference networks have: a row a label, a panel a size."""
    shares = pd.read_csv(SHARES).set_index(["size", "label"])
    summary = ["with a pattern", "above the equal null", "beyond spectrum", "clustered", "dead", "other"]
    named = shares.loc[["7x7", "5x5"], "share"].drop(summary, level="label").groupby("label").mean()
    families = list(FAMILIES)
    shown = sorted(named.nlargest(ROWS).index, key=lambda label: (families.index(family_of(label)), label))
    rows = [*shown, "with a pattern", "above the equal null"]
    figure, canvas = open_canvas(TOP + PITCH * len(rows) + FOOT)
    patterns = templates(7)
    for row, label in enumerate(rows):
        middle = TOP + PITCH * (row + 0.5 + 0.35 * (row >= ROWS))
        if label in patterns.labels:
            for place, taps in enumerate(taps_of(patterns, label)):
                draw_kernel(canvas, taps, 0.25 + 0.31 * place, middle - KERNEL / 2, KERNEL)
        words = {"above the equal null": "at equal null"}.get(label, short(label))
        canvas.text(1.1, middle, words, va="center", size=9, weight="normal" if row < ROWS else "bold")
    for left, size in zip(PANELS, SIZES, strict=True):
        axes = place_axes(figure, left, TOP, left + PANEL, TOP + PITCH * (len(rows) + 0.35))
        _draw_size(axes, shares.loc[size].reindex(rows), size)
    title = f"Which patterns the kernels of {pd.read_csv(NETWORKS)['model'].nunique()} real networks have"
    canvas.text(0.1, 0.2, title, size=12, weight="bold", va="center")
    _draw_words(canvas)
    return figure


def _draw_size(axes: Axes, rows: pd.DataFrame, size: str) -> None:
    """Bars with intervals, and the share of kernels with random phases as a line across the totals."""
    networks = pd.read_csv(NETWORKS).query("size == @size")
    places = np.arange(len(rows)) + 0.35 * (np.arange(len(rows)) >= ROWS)
    for place, row in zip(places, rows.itertuples(), strict=True):
        look = {"facecolor": SOFT} if place >= ROWS else look_of(family_of(row.Index))
        if np.isnan(row.share):
            axes.text(0.015, place, "no such pattern", va="center", size=7, color=SOFT)
            continue
        axes.barh(place, row.share, height=0.68, **look)
        axes.hlines(place, row.share_low, row.share_high, color=INK, lw=1)
        axes.text(
            max(row.share, row.share_high) + 0.015, place, f"{100 * row.share:.1f} %", va="center", size=7, color=INK
        )
    chance = {"with a pattern": networks["phase_share"].mean(), "above the equal null": 0.05}
    for place, label in zip(places[ROWS:], chance, strict=True):
        axes.vlines(chance[label], place - 0.42, place + 0.42, color="#d55e00", lw=2.2)
    axes.set(xlim=(0, 1.08), ylim=(len(rows) - 0.15, -0.5), yticks=[])
    axes.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"], size=7)
    axes.set_title(f"{size}: {len(networks)} networks", size=9, pad=4)


def _draw_words(canvas: Axes) -> None:
    bottom = canvas.get_ylim()[0]
    words = (
        "Bars: mean share over networks; lines: 95 % interval. Orange: the same kernels with random phases. "
        "At equal null: above the cosine that 5 % of these reach."
    )
    canvas.text(0.1, bottom - 0.12, words, size=7.5, color=SOFT, va="center")


def taps_of(patterns: Templates, label: str, most: int = 3) -> np.ndarray:
    """Some patterns of a label, evenly from the narrowest to the widest, unit taps [most or fewer, side * side]."""
    there = patterns.taps[[name == label for name in patterns.labels]]
    there = there[np.argsort(-np.abs(there).max(axis=1), kind="stable")]
    return there[np.unique(np.linspace(0, len(there) - 1, most).round().astype(int))]


def draw_gallery(folder: Path) -> None:
    """Draw the patterns of each family from the narrowest to the widest, a row for each label and side: `FAMILY.svg`.

    Sides of a label share a row where they fit.
    """
    sides = {side: templates(side) for side in (3, 5, 7, 9)}
    for family in sorted(set(sides[7].families)):
        rows = []
        for label in sorted({label for label in sides[7].labels if family_of(label) == family}):
            drawn = {side: taps_of(patterns, label, 99) for side, patterns in sides.items() if label in patterns.labels}
            wide = sum(map(len, drawn.values())) + len(drawn) > IN_ROW
            rows += [(label, [group]) for group in drawn.items()] if wide else [(label, list(drawn.items()))]
        figure, canvas = open_canvas(0.1 + PITCH * len(rows))
        for row, (label, groups) in enumerate(rows):
            middle, left = 0.05 + PITCH * (row + 0.5), 1.6
            if row == 0 or rows[row - 1][0] != label:
                canvas.text(0.05, middle, short(label), va="center", size=9)
            for side, kernels in groups:
                canvas.text(left + 0.1, middle, f"{side}x{side}", va="center", ha="right", size=8, color=SOFT)
                step = min(0.3, (WIDTH - left - 0.3) / len(kernels))
                for place, taps in enumerate(kernels):
                    draw_kernel(canvas, taps, left + 0.3 + step * place, middle - KERNEL / 2, min(KERNEL, 0.9 * step))
                left += 0.3 * len(kernels) + 0.45
        figure.savefig(folder / f"{family}.svg")


def draw_glossary(folder: Path) -> None:
    """Draw the terms that a picture explains, on kernels of an embedded network: `glossary_TERM.svg`."""
    kernels = extract(ROOT / "resources/zoo/cifar10_7x7_s0.safetensors").query("layer_index == 0")
    taps = np.stack(kernels["weight"])
    units = centre_and_normalise(taps)
    labeller = read_encoder(ENCODER)[7]
    found = assign(kernels)
    again = labeller.coder.decode(labeller.coder.encode(units[:6]))
    codes = np.linspace(0.01, 0.99, 20).astype(np.float32)
    smooth = taps_of(templates(7), "On-Centre")[-1:]
    strips = {
        "kernel": taps[:12],
        "unit": units[:12],
        "spectrum": labeller.coder.decode(codes),
        "prototype": labeller.prototypes["kernel"].to_list(),
        "reconstruction": np.stack([units[:6], again], 1).reshape(12, -1),
        "pose": turn(units[[2]].repeat(16, 0), np.arange(16)),
        "phase": [*smooth, *(make_control("phase", smooth, seed)[0] for seed in range(11))],
        "noise": draw_noise(12, 7, 0),
        "other": units[(found["label"] == "other").to_numpy()][:12],
    }
    for name, strip in strips.items():
        figure, canvas = open_canvas(0.5)
        figure.set_size_inches(0.06 + 0.44 * len(strip), 0.5)
        canvas.set_xlim(0, 0.06 + 0.44 * len(strip))
        for place, kernel in enumerate(strip):
            draw_kernel(canvas, kernel, 0.25 + 0.44 * place, 0.06, 0.38)
        figure.savefig(folder / f"glossary_{name}.svg")
