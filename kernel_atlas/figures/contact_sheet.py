"""The kernels of one checkpoint on one picture: a band for each layer, its commonest pattern at the left."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from kernel_atlas.core.kernels import centre_and_normalise, spread
from kernel_atlas.core.patterns import family_of, templates
from kernel_atlas.core.vocabulary import FAMILIES
from kernel_atlas.figures.kernels import draw_kernel
from kernel_atlas.figures.style import SOFT, add_legend, atlas_style, cut, open_canvas, short, wrapped
from kernel_atlas.io.tables import whole

WIDTH = 9.0  # inches
LAYERS = 24  # at most, so that the sheet stays a page
ROWS = 2  # of kernels, at most, of each layer
COLUMNS = 38
SHARP = 200  # dots per inch
MARGIN, LEFT, SIDE = 0.15, 0.62, 0.19  # inches: around all, to the first kernel, of a kernel
STEP = (WIDTH - LEFT - MARGIN) / COLUMNS
HEAD, LEGEND, NAME, GAP = 0.86, 0.18, 0.19, 0.09  # inches: above all, of a row of the legend, of a name, between layers
FRAMES = 6  # side by side in the legend
UNKNOWN = "not square"


def write_sheet(kernels: pd.DataFrame, title: str, path: str | Path) -> None:
    """Write the contact sheet as PNG.

    Parameters
    ----------
    kernels : DataFrame
        What `assign(extract(...))` returns.
    title : str
    path : path
    """
    with atlas_style(WIDTH):
        figure = draw_sheet(kernels, title)
        with whole(path) as partial:
            figure.savefig(partial, format="png", dpi=SHARP, metadata={"Software": None})


def draw_sheet(kernels: pd.DataFrame, title: str) -> Figure:
    """The contact sheet. What does not fit is left out evenly, and the sheet says how much that is."""
    layers = [part for _, part in kernels.groupby("layer_index", sort=True)]
    # of each size evenly: in networks whose sizes alternate, every second layer has the same
    by_size = sorted(range(len(layers)), key=lambda index: (*layers[index][["kh", "kw"]].iloc[0], index))
    shown = [layers[index] for index in sorted(by_size[place] for place in spread(len(layers), LAYERS))]
    bands = [_in_order(part) for part in shown]
    heights = [NAME + GAP + STEP * -(-len(band) // COLUMNS) for band in bands]
    frames = _frames(pd.concat(bands))
    top = HEAD + LEGEND * -(-len(frames) // FRAMES)
    figure, canvas = open_canvas(top + sum(heights) + MARGIN)
    beside = {"loc": "upper left", "bbox_to_anchor": (MARGIN / WIDTH, 1 - (HEAD - 0.14) / figure.get_figheight())}
    add_legend(figure, frames, ncols=FRAMES, fontsize=7, handleheight=1.2, borderpad=0, borderaxespad=0, **beside)
    for part, band, height in zip(shown, bands, heights, strict=True):
        pattern, taps = _commonest(part)
        _draw_name(canvas, part, len(band), pattern, top)
        if taps is not None:
            draw_kernel(canvas, taps, LEFT / 2 + MARGIN / 4, top + NAME, height - NAME - GAP, _frame(pattern))
        for place, kernel in enumerate(band.itertuples()):
            row, column = divmod(place, COLUMNS)
            taps = np.reshape(kernel.weight, (kernel.kh, kernel.kw))
            middle = LEFT + STEP * column + SIDE / 2
            draw_kernel(canvas, taps, middle, top + NAME + STEP * row, SIDE, _frame(kernel.label))
        top += height
    _draw_head(canvas, kernels, title, len(layers), len(shown))
    return figure


def _in_order(layer: pd.DataFrame) -> pd.DataFrame:
    """The live kernels of a layer that are shown, by family and label, the most similar first."""
    live = layer[~layer["dead"]]
    place = live["label"].map(lambda label: list(FAMILIES).index(family_of(label)), na_action="ignore")
    order = live.assign(place=place).sort_values(["place", "label", "similarity"], ascending=[True, True, False])
    return live.loc[order.index].iloc[spread(len(live), ROWS * COLUMNS)]


def _commonest(layer: pd.DataFrame) -> tuple[str | None, np.ndarray | None]:
    """The commonest pattern of a layer, and its drawing that is most like the mean of the kernels that have it."""
    named = layer[layer["label"].notna() & ~layer["label"].isin(["other", "dead"])]
    if named.empty:
        return None, None
    label, drawn = named["label"].mode()[0], templates(int(named["kh"].iloc[0]))
    mine = drawn.taps[[one == label for one in drawn.labels]]
    mean = centre_and_normalise(np.stack(named.loc[named["label"] == label, "weight"])).mean(axis=0)
    return label, mine[(mine @ mean).argmax()] if len(mine) else None  # a pattern of one's own has no drawing


def _draw_name(canvas: Axes, layer: pd.DataFrame, shown: int, pattern: str | None, top: float) -> None:
    first = layer.iloc[0]
    live = int((~layer["dead"]).sum())
    count = f"{shown} of {live} kernels" if shown < live else f"{live} kernel{'s' * (live != 1)}"
    facts = [f"{first['kh']}x{first['kw']}", count]
    if live < len(layer):
        facts.append(f"{len(layer) - live} dead, not shown")
    if layer["label"].isna().all():
        facts.append(f"{UNKNOWN}, in the order of channels")
    elif live:
        facts.append(f"{(~layer['label'].isin(['other', 'dead'])).sum() / live:.0%} with a pattern")
        facts += [f"most often {short(pattern)}"] if pattern else []
    canvas.text(MARGIN, top + NAME - 0.05, f"{first['layer_index']}  {cut(first['layer'], 70)}", size=7.5, va="bottom")
    canvas.text(WIDTH - MARGIN, top + NAME - 0.05, ", ".join(facts), size=7, color=SOFT, ha="right", va="bottom")


def _frame(label: str | None) -> dict[str, object]:
    """The frame of a kernel: the colour of its family, broken if that is Off; faint without a label."""
    if label is None:
        return {"ec": "#e4e4e4", "lw": 0.4}
    colour, hatch = FAMILIES[family_of(label)]
    return {"ec": colour, "lw": 0.8 if label == "other" else 1.4, "ls": (0, (2, 0.8)) if hatch else "-"}


def _draw_head(canvas: Axes, kernels: pd.DataFrame, title: str, layers: int, shown: int) -> None:
    live, known = ~kernels["dead"], kernels["label"].notna()
    counted = int((live & known).sum())
    words = f"{len(kernels):,} kernels in {layers} layer{'s' * (layers > 1)}"
    if counted:
        patterned = (live & known & (kernels["label"] != "other")).sum()
        words += f"; {patterned / counted:.0%} of the {counted:,} square ones have a pattern"
    if shown < layers:
        words += f"; {shown} layers are shown, of each size evenly along the network"
    canvas.text(MARGIN, 0.24, cut(title, 70), size=10, weight="bold", va="center")
    words += (
        ". At the left the commonest pattern of a layer, then its kernels in the order of their labels. Each is scaled "
        "to its own largest tap: red is positive, blue negative, white zero. Frames are families of patterns."
    )
    canvas.text(MARGIN, 0.41, wrapped(words, WIDTH - 2 * MARGIN, 6.8), size=7.5, va="top", linespacing=1.25)


def _frames(kernels: pd.DataFrame) -> dict[str, Patch]:
    """The frames that occur, by what they mean."""
    there = {None if label is None else family_of(label): label for label in kernels["label"]}
    names = {family: short(family) for family in FAMILIES} | {"other": "other (no pattern)", None: UNKNOWN}
    return {name: Patch(facecolor="white", **_frame(there[key])) for key, name in names.items() if key in there}
