"""Which clusters come back."""

import pandas as pd

from kernel_atlas.core.vocabulary import STABLE
from kernel_atlas.figures.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    TICK,
    add_legend,
    draw_points,
    open_panels,
    points_legend,
    share_axis,
    short,
    sizes_of,
)
from kernel_atlas.figures.write import Drawing, draw_nothing

MEASURES = {  # column: words, colour, marker
    "recurs": ("runs with its prototype", BLUE, "o"),
    "jaccard": ("Jaccard index of its members", ORANGE, "D"),
    "chance": ("runs by chance", INK, TICK),
}
LOOKS = {words: (colour, marker) for words, colour, marker in MEASURES.values()}


def draw(stability: pd.DataFrame) -> Drawing:
    """A row a cluster of this run, a panel a size."""
    data = stability[stability["kind"] == "all"]
    if data.empty:
        return draw_nothing("Stability", "nothing was trained again, or there is no cluster to come back")
    data = data.assign(row=data["cluster"].astype(str) + " " + data["label"].map(short))
    sizes = sizes_of(data)
    figure, panels = open_panels(sizes, 0.7 + 0.2 * data.groupby("size").size().max(), sharex=True)
    for size, axes in panels.items():
        own = data[data["size"] == size]
        table = own.melt("row", list(MEASURES), "measure").assign(low=float("nan"), high=float("nan"))
        table["kind"] = table["measure"].map({name: words for name, (words, *_) in MEASURES.items()})
        for row, stable in enumerate(own["stable"] == "yes"):
            axes.axhspan(row - 0.5, row + 0.5, color=GREY, alpha=0.25 * stable, lw=0, zorder=0)
        draw_points(axes, table, own["row"].tolist(), LOOKS, 0.3)
        for measure, least in STABLE.items():
            axes.axvline(least, color=MEASURES[measure][1], lw=0.9, ls=(0, (4, 2)))
        share_axis(axes, "share")
    add_legend(figure, points_legend(LOOKS))
    caption = (
        "Clusters of this run against runs from other starts and on networks or layers drawn with replacement: the "
        "share of runs with a prototype of cosine 0.9 or more, that by chance, and the mean Jaccard index of the "
        "members. Shaded clusters are stable: they pass both limits (dashed), which were set before results were "
        "seen."
    )
    alt = "Dots of how often each cluster comes back, a row for each cluster and a panel for each size."
    return Drawing(figure, data.drop(columns="row"), "Which clusters come back", caption, alt)
