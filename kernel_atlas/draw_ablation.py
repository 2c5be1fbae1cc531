"""Sum up and draw what networks lose when their kernels are replaced: means over models of the table of `ablation`."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from kernel_atlas.canvas import INK, SOFT, WIDTH, Drawing, draw_interval, open_canvas, place_axes, short
from kernel_atlas.statistics import bootstrap_share, fifth_of

NAMES = {
    "reconstruction": "its reconstruction",
    "prototype": "its prototype",
    "fit": "its fitted formula",
    "master_key": "its master key",
    "random": "a random kernel",
    "shuffled": "its taps shuffled",
    "zero": "zero",
}
LABELLED = ("prototype", "random")  # drawn for labels: is the pattern of the label enough, and is there need of one
LAYERS = "layer, "  # how the labels begin that stand for single layers
PLACES = ("1st fifth", "2nd fifth", "3rd fifth", "4th fifth", "5th fifth")  # of the depth
MEASURED = ("difference", "others", "beyond")
BLUE, ORANGE = "#0072b2", "#d55e00"


def summarise_ablation(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """summary.csv: means over models of the changes in accuracy.

    Parameters
    ----------
    table : DataFrame
        ablation.csv, of any number of models.
    seed : int

    Returns
    -------
    DataFrame
        size (`all` where all sizes are replaced), label (`all` likewise; `layer, 1st fifth` and so on where one layer
        is, in that fifth of the depth), replacement, models, kernels; difference, others and beyond, each with its
        interval over models, none below five; lowest and highest difference; the same with the ending _reestimated.
    """
    rows = []
    for row, (key, part) in enumerate(_parts(table).groupby(["size", "label", "replacement"], sort=False)):
        about = dict(zip(["size", "label", "replacement"], key, strict=True))
        about |= {"models": len(part), "kernels": int(part["kernels"].sum())}
        for end in ("", "_reestimated"):
            for name in MEASURED:
                values = part[f"{name}{end}"].dropna().to_numpy()
                low, high = bootstrap_share(values, np.ones(len(values)), [seed + row])
                mean = values.mean() if len(values) else np.nan
                about |= {f"{name}{end}": mean, f"{name}_low{end}": float(low), f"{name}_high{end}": float(high)}
            about |= {f"lowest{end}": part[f"difference{end}"].min(), f"highest{end}": part[f"difference{end}"].max()}
        rows.append(about)
    order = {name: place for place, name in enumerate(NAMES)}
    frame = pd.DataFrame(rows)
    keys = frame.assign(replacement=frame["replacement"].map(order), whole=frame["label"] != "all")
    return frame.loc[keys.sort_values(["size", "whole", "label", "replacement"]).index].reset_index(drop=True)


def _parts(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a label for each part; of each model, the mean over the layers in a fifth of the depth."""
    table = table.copy()
    for column in ("size", "label"):
        table[column] = table[column].fillna("").replace("", "all")
    is_layer = table["layer_index"].notna()
    layers = table[is_layer]
    last = layers.groupby("model")["layer_index"].transform("max").clip(lower=1)
    layers = layers.assign(label=LAYERS + fifth_of(layers["layer_index"] / last).map(dict(enumerate(PLACES))))
    keys = ["model", "replacement", "size", "label"]
    changes = [f"{name}{end}" for end in ("", "_reestimated") for name in MEASURED]
    means = layers.groupby(keys, sort=False).agg({"kernels": "sum"} | dict.fromkeys(changes, "mean")).reset_index()
    return pd.concat([table.loc[~is_layer, means.columns], means], ignore_index=True)


def find_ablation(summary: pd.DataFrame) -> list[str]:
    """Sentences of what the kernels are needed for; their numbers are cells of summary.csv.

    Parameters
    ----------
    summary : DataFrame
        Rows of one size, or of all.
    """
    said = []
    for size, part in summary[summary["size"] != "all"].groupby("size"):
        whole = part[part["label"] == "all"].set_index("replacement")
        listed = ", ".join(f"{NAMES[name]} {_points(row)}" for name, row in whole.iterrows())
        again = ", ".join(
            f"{NAMES[name]} {_points(row, '_reestimated')}"
            for name, row in whole.iterrows()
            if np.isfinite(row["difference_reestimated"])
        )
        first = whole.iloc[0]
        of = f"mean of {first['models']} network{'s' if first['models'] > 1 else ''}, in points"
        said.append(
            f"With every {size} kernel replaced, its mean and norm kept, top-1 accuracy changes ({of}) by: {listed}."
        )
        if again:
            said.append(f"The same with the statistics of batch norm estimated again: {again}.")
        clustered = part[part["label"] == "clustered"]
        if len(clustered):
            rows = [row for _, row in clustered.iterrows()]
            listed = ", ".join(f"{NAMES[row['replacement']]} {_beside_others(row)}" for row in rows)
            said.append(f"With only the clustered {size} kernels replaced, or as many others in their place: {listed}.")
        is_layer = part["label"].str.startswith(LAYERS)
        for name in LABELLED:
            rows = [row for _, row in part[is_layer & (part["replacement"] == name)].iterrows()]
            listed = ", ".join(f"{row['label'].removeprefix(LAYERS)} {_beside_others(row)}" for row in rows)
            if rows:
                said.append(
                    f"With the {size} kernels of a single layer replaced, each by {NAMES[name]}, or as many others, by "
                    f"the fifth of the depth in which it lies: {listed}."
                )
        single = ~part["label"].isin(["all", "clustered", "other"]) & ~is_layer
        labels = part[single & (part["replacement"] == "random") & part["beyond_low"].notna()]
        apart = labels[(labels["beyond_low"] > 0) | (labels["beyond_high"] < 0)]
        if len(apart):
            listed = ", ".join(f"{row.label} {_points(row._asdict(), '', 'beyond')}" for row in apart.itertuples())
            said.append(
                "Random kernels in place of one label cost more (below 0) or less than in place of as many other "
                f"{size} kernels: {listed} (one label in twenty comes by chance)."
            )
        elif len(labels):
            said.append(
                f"No label of the {size} kernels is told from as many others by what random kernels in its place cost, "
                "as far as the networks measured can tell."
            )
    return said


def _points(row: pd.Series | dict, end: str = "", name: str = "difference") -> str:
    value, low, high = (row[f"{name}{part}{end}"] for part in ("", "_low", "_high"))
    return f"{value:z.1f} [{low:z.1f}, {high:z.1f}]" if np.isfinite(low) else f"{value:z.1f}"


def _beside_others(row: pd.Series) -> str:
    return _points(row) + (f" (others {_points(row, '', 'others')})" if np.isfinite(row["others"]) else "")


def draw_ablation(table: pd.DataFrame, summary: pd.DataFrame, title: str) -> Drawing:
    """What accuracy is lost by replacing all kernels of a size in each way, and those of one label against others.

    Parameters
    ----------
    table, summary : DataFrame
        ablation.csv and summary.csv.
    title : str
    """
    data = summary[(summary["size"] != "all")].reset_index(drop=True)
    whole = data[data["label"] == "all"]
    labels = data[(data["label"] != "all") & data["replacement"].isin(LABELLED) & data["others"].notna()]
    sizes = sorted(whole["size"].unique(), key=lambda size: -int(size.split("x")[0]))
    points = _parts(table).set_index(["size", "label", "replacement"]).sort_index()

    rows = [
        (size, name)
        for size in sizes
        for name in NAMES
        if ((whole["size"] == size) & (whole["replacement"] == name)).any()
    ]
    named = [
        (size, label)
        for size in sizes
        for label in sorted(labels.loc[labels["size"] == size, "label"].unique(), key=lambda x: (LAYERS in x, x))
    ]
    pitch, head = 0.3, 0.75
    middle = head + pitch * (len(rows) + 0.6 * len(sizes))
    low_head = middle + 1.1
    foot = low_head + pitch * 0.8 * (len(named) + 0.9 * len(sizes)) if named else middle
    figure, canvas = open_canvas(foot + 0.5)
    looks = {"": (BLUE, "o", "batch norm as trained"), "_reestimated": (ORANGE, "s", "batch norm estimated again")}

    axes = place_axes(figure, 2.6, head, WIDTH - 0.85, middle)
    ticks, place = [], 0.0
    for size in sizes:
        canvas.text(0.1, head + pitch * (place + 0.35), f"{size} kernels, each by", weight="bold", va="center")
        place += 0.6
        for name in [name for one, name in rows if one == size]:
            row = whole[(whole["size"] == size) & (whole["replacement"] == name)].iloc[0]
            for shift, (end, (colour, marker, _)) in zip((0.32, 0.68), looks.items(), strict=True):
                _dot(axes, place + shift, row, points.loc[[(size, "all", name)]], f"difference{end}", colour, marker)
            ticks.append((place + 0.5, NAMES[name]))
            axes.text(1.015, place + 0.5, str(row["models"]), transform=axes.get_yaxis_transform(), va="center", size=7)
            place += 1
    _dress(axes, ticks, place, "change of top-1 accuracy in points")
    axes.text(1.015, -0.05, "models", transform=axes.get_yaxis_transform(), size=7, color=SOFT, va="bottom")
    handles = [Line2D([], [], ls="", color=c, marker=m, ms=5, label=words) for c, m, words in looks.values()]
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1.01), ncols=2)
    canvas.text(0.1, 0.2, "All kernels of a size replaced", weight="bold", size=9, va="center")

    if named:
        canvas.text(
            0.1,
            low_head - 0.5,
            "The kernels of one label, or of one layer, replaced",
            weight="bold",
            size=9,
            va="center",
        )
        looks = {"difference": (INK, "D", "of the label or layer"), "others": ("#cc79a7", "o", "as many others")}
        handles = [Line2D([], [], ls="", color=c, marker=m, ms=5, label=words) for c, m, words in looks.values()]
        for column, name in enumerate(LABELLED):
            left = 2.6 + column * 2.85
            axes = place_axes(figure, left, low_head, left + 2.55, foot)
            ticks, place = [], 0.0
            for size in sizes:
                if column == 0 and any(one == size for one, _ in named):
                    y = low_head + pitch * 0.8 * (place + 0.5)
                    canvas.text(0.1, y, f"{size} kernels", weight="bold", va="center")
                place += 0.9
                for label in [label for one, label in named if one == size]:
                    found = labels[
                        (labels["size"] == size) & (labels["label"] == label) & (labels["replacement"] == name)
                    ]
                    for shift, (key, (colour, marker, _)) in zip((0.32, 0.68), looks.items(), strict=True):
                        _dot(axes, place + shift, found.iloc[0], points.loc[[(size, label, name)]], key, colour, marker)
                    if column:
                        where = {"transform": axes.get_yaxis_transform(), "va": "center", "size": 7}
                        axes.text(1.03, place + 0.5, str(found["models"].iloc[0]), **where)
                    ticks.append((place + 0.5, short(label)))
                    place += 1
            _dress(axes, ticks if column == 0 else [], place, f"change in points, by {NAMES[name]}")
            if column:
                axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1.0), ncols=2)
                axes.text(1.03, -0.05, "models", transform=axes.get_yaxis_transform(), size=7, color=SOFT, va="bottom")
    told = " ".join(find_ablation(summary))
    caption = (
        "Change of top-1 accuracy on test images when depthwise kernels are replaced, each by something with its mean "
        "and norm (zero has neither). Small marks are networks (of single layers, means over those in a fifth of the "
        "depth), large ones their mean, lines 95 % intervals over networks (none below five). The other kernels that a "
        "label or layer is compared with are drawn at random, for a label from the same layers as far as there are "
        "enough."
    )
    alt = f"Dot plots of the change of accuracy by replacement, by label and by layer. {told}"
    return Drawing(figure, summary, title, caption, alt)


def _dot(axes: Axes, y: float, row: pd.Series, models: pd.DataFrame, name: str, colour: str, marker: str) -> None:
    """The mean with its interval, and the models small."""
    base, _, again = name.partition("_")
    end = f"_{again}" if again else ""
    axes.plot(models[name], np.full(len(models), y), marker, color=colour, ms=2.5, alpha=0.45, mew=0, zorder=2)
    draw_interval(axes, y, row[f"{base}_low{end}"], row[f"{base}_high{end}"], colour)
    axes.plot(row[name], y, marker, color=colour, ms=5, mec="white", mew=0.5, zorder=3)


def _dress(axes: Axes, ticks: Iterable[tuple[float, str]], rows: float, words: str) -> None:
    axes.set_ylim(rows, 0)
    axes.axvline(0, color=SOFT, lw=0.6, zorder=1)
    places, names = zip(*ticks, strict=True) if ticks else ((), ())
    axes.set_yticks(places, names)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel(words)
    axes.grid(axis="x", color="#e6e6e6", lw=0.5)
    axes.set_axisbelow(True)
