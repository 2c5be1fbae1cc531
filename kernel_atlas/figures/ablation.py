"""The figure of the ablation: loss of accuracy against cosine, and what replacements cost beyond an equal cosine."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from kernel_atlas.figures.style import (
    BLUE,
    BOX,
    INK,
    ORANGE,
    SOFT,
    WIDTH,
    draw_interval,
    open_canvas,
    place_axes,
    short,
)
from kernel_atlas.figures.write import Drawing
from kernel_atlas.training.summaries import (
    CLUSTERED,
    CONTROLS,
    LABELLED,
    LAYERS,
    NAMES,
    PATTERNED,
    UNCONTROLLED,
    ablation_parts,
    summarise_cosines,
    tell_apart,
)

LINES = {  # of each direction: colour, dashes
    "random": (INK, "-"),
    "scrambled": ("#009e73", (0, (6, 1.5, 1, 1.5))),
    "fit": (BLUE, (0, (4, 1.5))),
    "pattern": (ORANGE, "-"),
    "prototype": ("#cc79a7", (0, (4, 1.5))),
    "turned": ("#e69f00", (0, (1, 1))),
}
MARKS = {"random": (INK, "o"), "scrambled": ("#009e73", "s")}  # of what is beyond each control
PITCH = 0.22  # inches from a row to the next
CURVE = 2.9  # inches, the height of a panel of curves
NAMED = 1.95  # inches from the left, of the names of rows
LETTER = 7  # points, of the labels of replacements
RADII = (7, 12, 18, 26, 36, 48, 62)  # points from a replacement to its label, tried in turn


def draw_ablation(table: pd.DataFrame, summary: pd.DataFrame, title: str, cosines: pd.DataFrame) -> Drawing:
    """Loss against cosine of each size; below, what replacements cost beyond the controls of equal cosine.

    Parameters
    ----------
    table, summary, cosines : DataFrame
        ablation.csv, summary.csv and cosines.csv.
    title : str
    """
    sizes = sorted(set(summary["size"]) - {"all"}, key=lambda size: -int(size.split("x")[0]))
    points = ablation_parts(table).set_index(["size", "label", "replacement"]).sort_index()
    whole = summary[summary["label"] == "all"]
    names = [name for name in NAMES if name in set(whole["replacement"]) - set(UNCONTROLLED)]
    parts = summary[(summary["label"] != "all") & summary["replacement"].isin(LABELLED)]
    parts = parts[parts["label"].isin(FIRST) | parts["label"].str.startswith(LAYERS)]  # few networks have a label
    labels = sorted(parts["label"].unique(), key=lambda label: (LAYERS in label, label))
    lines = -(-len(sizes) // 2)
    middle = 1.5 + lines * (CURVE + 0.75)  # where the dots of whole sizes begin
    end = middle + PITCH * len(names)
    low = end + 1.2  # where those of parts begin
    foot = low + PITCH * len(labels) if labels else end
    figure, canvas = open_canvas(foot + 0.5, WIDTH)
    heads = {
        0.2: "Loss of accuracy against cosine, all kernels of a size",
        middle - 0.55: "Beyond the same cosine: all kernels replaced",
    } | ({low - 0.5: "Beyond the same cosine: the kernels of one part replaced"} if labels else {})
    for y, words in heads.items():
        canvas.text(0.1, y, words, weight="bold", size=9, va="center")
    _draw_curves(figure, sizes, cosines, whole)
    beside = [(size, None) for size in (["all", *sizes] if len(sizes) > 1 else sizes)]
    _draw_dots(figure, (middle, end), beside, names, whole, points)
    if labels:
        beside = [(size, name) for size in sizes for name in LABELLED]
        _draw_dots(figure, (low, foot), beside, labels, parts, points)
    handles = [
        Line2D([], [], ls="", color=colour, marker=marker, ms=5, label=f"beyond {CONTROLS[kind]}")
        for kind, (colour, marker) in MARKS.items()
    ]
    where = {"loc": "center right", "bbox_to_anchor": (1 - 0.2 / WIDTH, 1 - (middle - 0.55) / figure.get_figheight())}
    figure.legend(handles=handles, ncols=2, borderaxespad=0, **where)
    caption = (
        "Above: change of top-1 accuracy on test images when each kernel of a size is moved from itself (cosine 1) in "
        "a direction, its mean and norm kept. Thick lines are means over networks, bars 95 % intervals over these; "
        "below five networks thin lines are the models. Dots are replacements at their mean cosine; the opposite of a "
        "kernel lies at cosine -1, zero nowhere. Below: what a replacement costs beyond kernels that are moved to the "
        "same cosine, kernel by kernel, in a random and in a phase-scrambled direction; right of 0 it costs less. "
        "Small marks are models (of single layers, means over those in a fifth of the depth), large ones means over n "
        "networks, seeds of one recipe averaged first, lines 95 % intervals (none below five)."
    )
    caption = " ".join(filter(None, [caption, tell_apart(table)]))
    alt = "Lines of the change of accuracy against cosine, and dot plots of what replacements cost beyond controls."
    return Drawing(figure, summary, title, caption, alt)


FIRST = (PATTERNED, CLUSTERED, "other")  # parts before layers


# --- Curves -------------------------------------------------------------------------------------------------------


def _draw_curves(figure: Figure, sizes: Sequence[str], cosines: pd.DataFrame, whole: pd.DataFrame) -> None:
    """A panel for each size, two in a line."""
    means = summarise_cosines(cosines, 0)
    for number, size in enumerate(sizes):
        left, top = 0.65 + 4.35 * (number % 2), 0.95 + (CURVE + 0.75) * (number // 2)
        axes = place_axes(figure, left, top, left + 3.85, top + CURVE)
        passed = []  # places on curves, which labels avoid
        for place, (direction, (colour, dashes)) in enumerate(LINES.items()):
            mean = means[(means["size"] == size) & (means["direction"] == direction)].sort_values("cosine")
            mean = pd.concat([mean, pd.DataFrame([{"cosine": 1.0, "difference": 0.0, "low": 0.0, "high": 0.0}])])
            if mean["low"].isna().any():
                own = cosines[(cosines["size"] == size) & (cosines["direction"] == direction)]
                for _, model in own.groupby("model"):
                    line = model.sort_values("cosine")
                    axes.plot(line["cosine"], line["difference"], color=colour, lw=0.4, alpha=0.35, zorder=1)
            else:
                beside = mean["cosine"] + 0.009 * (place - len(LINES) / 2)  # six areas would be one
                axes.vlines(beside, mean["low"], mean["high"], color=colour, lw=0.8, alpha=0.6, zorder=1)
            axes.plot(mean["cosine"], mean["difference"], color=colour, ls=dashes, lw=1.3, zorder=2)
            at = np.linspace(0, 1, 60)
            passed.append(np.column_stack([at, np.interp(at, mean["cosine"], mean["difference"])]))
        rows = whole[whole["size"] == size].set_index("replacement")
        there = rows[rows["cosine"] > -0.9]
        axes.set_xlim(1.03, min(-0.05, there["cosine"].min() - 0.05))
        ends = means.loc[means["size"] == size, ["difference", "low"]].min().min()
        lowest = min(0, there["difference"].min(), ends)
        axes.set_ylim(1.06 * lowest, max(2, -0.06 * lowest))
        axes.axhline(0, color=SOFT, lw=0.6, zorder=0)
        axes.set(xlabel="cosine to the kernel", title=f"{size} kernels")
        if number % 2 == 0:
            axes.set_ylabel("change of top-1 in points")
        axes.grid(color="#ececec", lw=0.5)
        axes.set_axisbelow(True)
        _label_points(axes, there, rows.drop(there.index), np.concatenate(passed))
    handles = [
        Line2D([], [], color=colour, ls=dashes, lw=1.3, label=name if name in CONTROLS else f"towards {_name(name)}")
        for name, (colour, dashes) in LINES.items()
    ]
    height = figure.get_figheight()
    where = {"loc": "center left", "bbox_to_anchor": (0.55 / WIDTH, 1 - 0.5 / height), "borderaxespad": 0}
    figure.legend(handles=handles, ncols=len(handles), columnspacing=1.3, handlelength=2.4, **where)


def _name(replacement: str) -> str:
    return NAMES[replacement].removeprefix("its ")


def _label_points(axes: Axes, there: pd.DataFrame, apart: pd.DataFrame, curves: np.ndarray) -> None:
    """Replacements at their cosines with their names, those without one as lines across; words avoid each other."""
    inches = axes.get_window_extent().size / axes.figure.dpi
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    scale = 72 * inches / [right - left, top - bottom]  # points of paper
    origin, size = np.array([left, bottom]), 72 * inches

    def paper(values: np.ndarray) -> np.ndarray:
        return (np.asarray(values, float) - origin) * scale

    taken, dots = [], paper(there[["cosine", "difference"]].to_numpy())
    for name, row in apart.sort_values("difference").iterrows():
        if row["difference"] > bottom:
            axes.axhline(row["difference"], color=SOFT, lw=0.7, ls=(0, (1, 2)), zorder=1)
        words = f"{_name(name)} {row['difference']:z.1f}"
        y = max([3, paper([left, row["difference"]])[1] + 1.5, *(box[3] + 2 for box in taken)])
        taken.append((4, y, 4 + _width(words), y + LETTER * 1.15))
        axes.text(*_back((4, y), scale, origin), words, size=LETTER, color=SOFT, va="bottom", bbox=BOX)
    passed = paper(curves)
    for (name, row), dot in sorted(zip(there.iterrows(), dots, strict=True), key=lambda one: -one[0][1]["cosine"]):
        colour = LINES.get(name, (SOFT,))[0]
        axes.plot(row["cosine"], row["difference"], "o", color=colour, mec="white", mew=0.6, ms=5.5, zorder=4)
        box = _find_room(dot, _width(_name(name)), taken, dots, passed, size)
        taken.append(box)
        middle = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
        end = np.clip(dot, box[:2], box[2:])
        if np.linalg.norm(end - dot) > 8:
            ends = np.array([_back(dot, scale, origin), _back(end, scale, origin)])
            axes.plot(*ends.T, color=SOFT, lw=0.5, zorder=3)
        where = {"ha": "center", "va": "center", "zorder": 5, "bbox": BOX}
        axes.text(*_back(middle, scale, origin), _name(name), size=LETTER, color=INK, **where)


def _back(place: Sequence[float], scale: np.ndarray, origin: np.ndarray) -> np.ndarray:
    return np.asarray(place) / scale + origin


def _width(words: str) -> float:
    return 0.58 * LETTER * len(words)  # points; DejaVu Sans is a little narrower on average


def _find_room(
    dot: np.ndarray,
    width: float,
    taken: Sequence[Sequence[float]],
    dots: np.ndarray,
    passed: np.ndarray,
    size: np.ndarray,
) -> tuple[float, float, float, float]:
    """Left, bottom, right, top in points of the best place for words beside a dot: off words and dots, few curves."""
    best, price = None, np.inf
    for radius in RADII:
        for angle in np.arange(0, 2 * np.pi, np.pi / 12):
            x = dot[0] + radius * np.cos(angle) + np.cos(angle) * width / 2
            y = dot[1] + radius * np.sin(angle)
            box = (x - width / 2, y - LETTER * 0.6, x + width / 2, y + LETTER * 0.6)
            crossed = sum(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken)
            inside = min(box[0], box[1], size[0] - box[2], size[1] - box[3]) > 0
            hit = _inside(box, dots, 3).sum()
            now = 1000 * (crossed + hit + (not inside)) + 4 * _inside(box, passed, 0).sum() + radius
            if now < price:
                best, price = box, now
    return best


def _inside(box: Sequence[float], places: np.ndarray, margin: float) -> np.ndarray:
    low, high = np.array(box[:2]) - margin, np.array(box[2:]) + margin
    return ((places > low) & (places < high)).all(axis=1)


# --- Dots ---------------------------------------------------------------------------------------------------------


def _draw_dots(
    figure: Figure,
    between: tuple[float, float],
    beside: Sequence[tuple[str, str | None]],
    rows: Sequence[str],
    summary: pd.DataFrame,
    points: pd.DataFrame,
) -> None:
    """What is beyond each control: a panel for each size and, of parts, replacement; a row each replacement or part."""
    pitch = (WIDTH - NAMED - 0.1) / len(beside)
    for number, (size, replacement) in enumerate(beside):
        left = NAMED + pitch * number
        axes = place_axes(figure, left, between[0], left + pitch - 0.38, between[1])
        found = summary[summary["size"] == size]
        if replacement:
            found = found[found["replacement"] == replacement]
        found = found.set_index("label" if replacement else "replacement")
        for place, name in enumerate(rows):
            if name not in found.index:
                continue
            key = (size, name, replacement) if replacement else (size, "all", name)
            for shift, (kind, (colour, marker)) in zip((0.3, 0.7), MARKS.items(), strict=True):
                _dot(axes, place + shift, found.loc[name], points.loc[[key]], f"beyond_{kind}", colour, marker)
            count = {"transform": axes.get_yaxis_transform(), "va": "center", "size": 6.5, "color": SOFT}
            axes.text(1.03, place + 0.5, str(found.loc[name, "networks"]), **count)
        names = [_name(name) if name in NAMES else short(name) for name in rows]
        axes.set_yticks(np.arange(len(rows)) + 0.5, names if number == 0 else [])
        axes.set_ylim(len(rows), 0)
        axes.axvline(0, color=SOFT, lw=0.6, zorder=1)
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(4 if pitch > 1.5 else 2))
        axes.grid(axis="x", color="#e6e6e6", lw=0.5)
        axes.set_axisbelow(True)
        words = f"{size}{' ' if pitch > 1.5 else chr(10)}by {_name(replacement)}" if replacement else f"{size} kernels"
        axes.set_title(words, size=8)
        axes.text(1.03, -0.15, "n", transform=axes.get_yaxis_transform(), size=6.5, color=SOFT, va="bottom")
    height = figure.get_figheight()
    x, y = (NAMED + WIDTH - 0.4) / 2 / WIDTH, 1 - (between[1] + 0.34) / height
    figure.text(x, y, "points beyond the control (to the right it costs less)", ha="center", va="center", color=INK)


def _dot(axes: Axes, y: float, row: pd.Series, models: pd.DataFrame, name: str, colour: str, marker: str) -> None:
    """The mean with its interval, and the models small."""
    axes.plot(models[name], np.full(len(models), y), marker, color=colour, ms=2.3, alpha=0.4, mew=0, zorder=2)
    draw_interval(axes, y, row[f"{name}_low"], row[f"{name}_high"], colour)
    axes.plot(row[name], y, marker, color=colour, ms=4.5, mec="white", mew=0.5, zorder=3)
