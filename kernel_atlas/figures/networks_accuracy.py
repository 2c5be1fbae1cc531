"""The share with a pattern beside accuracy, images and size."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator

from kernel_atlas.core.vocabulary import FAMILIES
from kernel_atlas.core.words import interval
from kernel_atlas.figures.style import PERCENT, SOFT, WIDTH, cut
from kernel_atlas.figures.write import Drawing, draw_nothing
from kernel_atlas.io.sheet import images_of
from kernel_atlas.stats.independence import one_per_group
from kernel_atlas.stats.resampling import FEWEST

MARKERS = "osD^vP*X"
HUES = [colour for family, (colour, _) in FAMILIES.items() if family not in ("On-Second-Derivative", "other")][:7]
TITLE_OF_ACCURACY = "Accuracy, images and size"
VARIABLES = {  # of a network, how the figure names it and how correlation.csv does
    "top1": ("top-1 accuracy in %", "top1"),
    "images": ("training images", "log10_images"),
    "params": ("parameters", "log10_params"),
}


def draw(
    size: str, threshold: float, models: pd.DataFrame, correlation: pd.DataFrame, datasets: pd.DataFrame
) -> Drawing:
    """The share with a pattern against accuracy, number of training images and number of parameters."""
    points = one_per_group(models[models["size"] == size]).dropna(subset=["pattern_share"])
    points = points.assign(images=[float(images_of(name, datasets)) for name in points["dataset"]])
    points[["top1", "params"]] = points[["top1", "params"]].astype(float)
    points["dataset"] = points["dataset"].fillna("not stated")
    shown = [variable for variable in VARIABLES if points[variable].notna().sum() >= FEWEST]
    if not shown:
        return draw_nothing(
            size, TITLE_OF_ACCURACY, f"accuracy, data set and size of fewer than {FEWEST} networks known"
        )
    points = points.dropna(subset=shown, how="all").sort_values("model")
    absent = [words for variable, (words, _) in VARIABLES.items() if variable not in shown]
    known = correlation[correlation["size"] == size].sort_values("n", ascending=False, kind="stable")
    known = {variable: known[known["variable"] == VARIABLES[variable][1]].head(3) for variable in shown}

    common = points["dataset"].value_counts().index[: len(MARKERS) - 1].tolist()
    looks = dict(zip(common, zip(MARKERS, HUES, strict=True), strict=False))
    others = points["dataset"].nunique() - len(common)
    columns = 3 if len(shown) > 1 else 2  # where names of data sets have room
    lines = max(1, *(len(rows) for rows in known.values()))
    foot = 0.62 + 0.17 * (-(-(len(common) + (others > 0)) // columns)) + 0.2 * bool(absent)
    top = 0.15 + 0.15 * lines
    height = top + 2.6 + foot
    figure = Figure(figsize=(WIDTH, height))
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    figure.subplots_adjust(0.08, foot / height, 0.985, 1 - top / height, wspace=0.08)
    for axes, variable in zip(panels, shown, strict=True):
        part = points.dropna(subset=[variable])
        wide = part[variable].max() > 10 * part[variable].min()
        if wide:
            axes.set_xscale("log")
        else:
            axes.xaxis.set_major_locator(MaxNLocator(4))
        if variable != "top1":
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        part = part.assign(place=_side_by_side(part[variable], wide))
        faint = 0.45 if len(part) > 40 else 0.8
        for name, networks in part.groupby(part["dataset"].where(part["dataset"].isin(common), "")):
            marker, colour = looks.get(name, (MARKERS[-1], SOFT))
            axes.vlines(
                networks["place"], networks["pattern_low"], networks["pattern_high"], color=colour, lw=0.6, alpha=faint
            )
            look = {
                "ls": "",
                "marker": marker,
                "color": colour,
                "ms": 6 if len(part) <= 40 else 4.5,
                "mec": "white",
                "mew": 0.4,
            }
            axes.plot(networks["place"], networks["pattern_share"], **look)
        coefficients = [
            f"{'all data sets' if row.dataset == 'all' else cut(row.dataset, 20)}: "
            f"r = {interval(row.pearson, row.pearson_low, row.pearson_high)}, {row.n} networks"
            for row in known[variable].itertuples()
        ]
        axes.set_title("\n".join(coefficients) or "too few for a coefficient", size=7, loc="left", color=SOFT)
        axes.set_xlabel(VARIABLES[variable][0])
        axes.tick_params(length=2)
    panels[0].set(ylim=(0, 1), ylabel="share of kernels with a pattern")
    panels[0].yaxis.set_major_formatter(PERCENT)
    handles = [Line2D([], [], ls="", marker=m, color=c, label=cut(name, 40)) for name, (m, c) in looks.items()]
    if others:
        words = f"{others} other data set{'s' if others > 1 else ''}"
        handles.append(Line2D([], [], ls="", marker=MARKERS[-1], color=SOFT, label=words))
    figure.legend(handles=handles, loc="lower center", ncols=columns, handletextpad=0.2, bbox_to_anchor=(0.5, 0.02))
    left_out = f"Known of fewer than {FEWEST} networks, and not drawn: {', '.join(absent)}." if absent else ""
    figure.text(0.5, (foot - 0.58) / height, left_out, ha="center", va="center", size=7, color=SOFT)
    drawn = ", ".join(VARIABLES[variable][0] for variable in shown)
    caption = (
        f"Share of {size} kernels with a pattern in networks, one of those that share weights or a recipe, with its "
        f"95 % interval over layers, against: {drawn}. Markers tell data sets; of several the largest counts as "
        "training images; points at the same number are side by side. Accuracies, and numbers of parameters, compare "
        f"within a data set only; Pearson's r takes logarithms of numbers. {left_out}"
    ).strip()
    alt = f"Scatter of the share of {size} kernels with a pattern in each network against {drawn}."
    columns = ["model", "dataset", *VARIABLES, "pattern_share", "pattern_low", "pattern_high"]
    return Drawing(figure, points[columns], TITLE_OF_ACCURACY, caption, alt)


def _side_by_side(values: pd.Series, logarithmic: bool) -> pd.Series:
    """Values moved a little where several are equal, by the golden ratio so that neighbours are not in a row."""
    scale = np.log10(values) if logarithmic else values
    width = 0.05 * (np.ptp(scale) or 1.0)
    turn = scale.groupby(values).cumcount() * (5**0.5 - 1) / 2
    moved = scale + np.where(values.duplicated(keep=False), width * ((turn + 0.5) % 1 - 0.5), 0)
    return 10**moved if logarithmic else moved
