"""The figure of the ablation: loss of accuracy against cosine, and what replacements cost beyond an equal cosine."""

import pandas as pd
import seaborn as sns
from matplotlib.lines import Line2D

from kernel_atlas.figures import style
from kernel_atlas.figures.write import Drawing
from kernel_atlas.training.summaries import CONTROLS, DIRECTIONS, NAMES, UNCONTROLLED, summarise_cosines, tell_apart

LINES = dict(zip(DIRECTIONS, (style.INK, *style.COLOURS), strict=False))
LOOKS = {  # by the column of what is beyond each control
    "beyond_scrambled": ("beyond a phase-scrambled direction", style.ORANGE, "D"),
    "beyond_random": ("beyond a random direction", style.INK, "o"),
}
COLUMNS = ["row", "value", "low", "high"]


def draw_ablation(table: pd.DataFrame, summary: pd.DataFrame, title: str, cosines: pd.DataFrame) -> Drawing:
    """Loss against cosine of each size; below, what replacements cost beyond the controls of equal cosine.

    Parameters
    ----------
    table, summary, cosines : DataFrame
        ablation.csv, summary.csv and cosines.csv.
    title : str
    """
    whole = summary[(summary["label"] == "all") & (summary["size"] != "all")]
    sizes = style.sizes_of(whole)
    rows = {name: _name(name) for name in NAMES if name in set(whole["replacement"]) - set(UNCONTROLLED)}
    curves, dots = ([f"{size}{words}" for size in sizes] for words in (" kernels", " beyond equal cosine"))
    heights = [2.1] * len(sizes) + [0.5 + 0.27 * len(rows)] * len(sizes)
    figure, panels = style.open_panels([*curves, *dots], heights, columns=(len(sizes), 1))
    means = summarise_cosines(cosines, 0)
    start = {"cosine": 1.0, "difference": 0.0, "low": 0.0, "high": 0.0}
    for size, curve, dot in zip(sizes, curves, dots, strict=True):
        axes = panels[curve]
        for place, (direction, colour) in enumerate(LINES.items()):
            mean = means[(means["size"] == size) & (means["direction"] == direction)].sort_values("cosine")
            mean = pd.concat([mean, pd.DataFrame([start])])
            sns.lineplot(mean, x="cosine", y="difference", color=colour, errorbar=None, ax=axes)
            beside = mean["cosine"] + 0.008 * (place - len(LINES) / 2)  # areas would hide each other
            axes.vlines(beside, mean["low"], mean["high"], color=colour, lw=0.9)
        axes.set(xlim=(1, 0), xlabel="cosine to the kernel", ylabel="change of top-1 in points" * (size == sizes[0]))
        own = whole[whole["size"] == size]
        parts = [
            own[["replacement", k, f"{k}_low", f"{k}_high"]].set_axis(COLUMNS, axis=1).assign(kind=k) for k in LOOKS
        ]
        style.draw_points(panels[dot], pd.concat(parts), rows, LOOKS, 0.4)
        panels[dot].axvline(0, color=style.GREY, lw=0.8)
        panels[dot].set_xlabel("points")
        panels[dot].tick_params(labelleft=style.is_narrow() or size == sizes[0])
    names = {name if name in CONTROLS else f"towards {_name(name)}": colour for name, colour in LINES.items()}
    style.add_legend(
        figure, {name: Line2D([], [], color=colour) for name, colour in names.items()} | style.points_legend(LOOKS)
    )
    caption = (
        "Above: change of top-1 when each kernel of a size is moved in a direction from itself (cosine 1), its mean "
        "and norm kept; means over networks with 95 % intervals, none below five. Below: what a replacement costs "
        "beyond kernels moved to the same cosine; right of 0 it costs less."
    )
    caption = " ".join(filter(None, [caption, tell_apart(table)]))
    alt = "Lines of the change of accuracy against cosine, and dots of what replacements cost beyond controls."
    return Drawing(figure, summary, title, caption, alt)


def _name(replacement: str) -> str:
    return NAMES[replacement].removeprefix("its ")
