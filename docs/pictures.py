"""Pictures of the documents: the README's, the gallery of patterns, those of the glossary.

python docs/pictures.py    # draws docs/shares.png again, which is kept

The README's picture comes from kept tables alone; `tests/workflow/test_documents.py` tells when these have changed.
"""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kernel_atlas.api import ENCODER, assign, extract
from kernel_atlas.core.kernels import centre_and_normalise, draw_noise
from kernel_atlas.core.patterns import REFERENCE, Templates, family_of, templates
from kernel_atlas.core.vocabulary import FAMILIES
from kernel_atlas.evidence.controls import make_control
from kernel_atlas.figures.kernels import draw_kernel
from kernel_atlas.figures.style import INK, SOFT, atlas_style, look_of, open_canvas, place_axes, short
from kernel_atlas.model.encoder import read_encoder
from kernel_atlas.model.poses import turn

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "docs/shares.png"
SHARES, NETWORKS = (ROOT / "resources/reference" / name for name in ("shares.csv", "networks.csv"))
WIDTH = 9.0  # inches
SIZES = ("7x7", "5x5", "3x3")
ROWS = 10  # labels shown: the commonest of 5x5 and 7x7 kernels
PITCH, TOP, FOOT = 0.31, 0.58, 0.6  # inches: of a row, above and below the rows
KERNEL = 0.27  # inches
IN_ROW = 22  # kernels of the gallery, with a place for the name of each side
PANELS = (2.55, 4.72, 6.89)  # inches: left ends of the panels of sizes
PANEL = 1.95


def digest() -> str:
    """Of the tables that the kept picture is drawn from."""
    text = b"".join(path.read_bytes() for path in (SHARES, NETWORKS, REFERENCE))
    return hashlib.sha256(text).hexdigest()


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


if __name__ == "__main__":
    with atlas_style(WIDTH):
        draw_shares().savefig(KEPT, dpi=160, metadata={"Software": None, "Source": digest()})
