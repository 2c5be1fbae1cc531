"""The figure of the maps of kernels."""

import pandas as pd
from matplotlib.ticker import LogLocator

from kernel_atlas.figures import style
from kernel_atlas.figures.write import Drawing
from kernel_atlas.training.map_summaries import CONTROLS, FEWEST_KERNELS, shown

PANELS = {  # measure: words, whether it is a ratio on a logarithmic axis
    "absolute_relative_mean": ("|mean| / sd", False),
    "skewness": ("skewness", False),
    "variance_ratio": ("variance / equal share", True),
    "unit_variance_ratio": ("the same, at unit norm", True),
}
LOOKS = {"value": ("kernels of networks", style.COLOURS[0], "o")} | {
    name: (words, colour, mark)
    for (name, words), colour, mark in zip(
        CONTROLS.items(), (style.INK, style.COLOURS[1], style.COLOURS[2]), "XD^", strict=True
    )
}


def draw_maps(table: pd.DataFrame, summary: pd.DataFrame, title: str) -> Drawing:
    """What the maps of each family of labels are like, a row each, beside those of the controls.

    Parameters
    ----------
    table, summary : DataFrame
        maps.csv and summary.csv.
    title : str
    """
    data = shown(summary).set_index(["size", "label"])
    rows = {
        (s, label): f"{s} {style.short(label)}"
        for s in style.sizes_of(data.reset_index())
        for label in data.loc[s].index
    }
    height = 0.6 + 0.26 * len(rows)
    figure, panels = style.open_panels([words for words, _ in PANELS.values()], height, columns=(4, 1), sharey=True)
    for axes, (measure, (_, ratio)) in zip(panels.values(), PANELS.items(), strict=True):
        part = data[data["measure"] == measure]
        parts = [part.assign(kind=kind, value=part[kind]) for kind in LOOKS]
        points = pd.concat(parts).assign(row=lambda rows: list(rows.index)).reset_index(drop=True)
        points["low"], points["high"] = (
            points[f"value_{end}"].where(points["kind"] == "value") for end in ("low", "high")
        )
        style.draw_points(axes, points, rows, LOOKS)
        axes.axvline(float(ratio), color=style.GREY, lw=0.8)
        axes.set_xlabel("")
        if ratio:
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_locator(LogLocator(2, numticks=5))
            axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}" if x >= 1 else f"1/{1 / x:g}")
            axes.minorticks_off()
    style.add_legend(figure, style.points_legend(LOOKS))
    caption = (
        "Output maps of depthwise kernels on test images, before bias and batch norm: means over independent "
        "networks, with 95 % intervals (none below five). Controls see the same input and have the norm of each "
        f"kernel; an equal share of the layer's variance is 1. Left out: labels of fewer than {FEWEST_KERNELS} "
        "kernels, or of one network where others are of more."
    )
    alt = "Dots of the maps of kernels, a row for each family of labels, a panel for each measure."
    return Drawing(figure, summary, title, caption, alt)
