"""Which clusters come back."""

import numpy as np
import pandas as pd

from kernel_atlas.core.vocabulary import STABLE
from kernel_atlas.figures import style
from kernel_atlas.figures.write import Drawing, draw_nothing

LOOKS = {
    "recurs": ("runs with its prototype", style.BLUE, "o"),
    "jaccard": ("Jaccard index of its members", style.ORANGE, "D"),
    "chance": ("runs by chance", style.INK, style.TICK),
}


def draw(stability: pd.DataFrame) -> Drawing:
    """A row a cluster of this run, a panel a size and autoencoder."""
    data = stability[stability["kind"] == "all"]
    data = data.assign(panel=data["size"] + data["method"].map({"autoencoder": "", "posed": " in one pose"}))
    if data.empty:
        return draw_nothing("Stability", "nothing was trained again, or there is no cluster to come back")
    clusters = data["panel"].value_counts()
    names = [name for size in style.sizes_of(data) for name in (size, f"{size} in one pose") if name in clusters]
    across = len(names) // data["size"].nunique()
    figure, panels = style.open_panels(
        names, [0.7 + 0.2 * float(clusters[name]) for name in names], (across, 1), sharex=True
    )
    for name, axes in panels.items():
        own = data[data["panel"] == name]
        rows = {
            cluster: f"{cluster} {style.short(label)}"
            for cluster, label in zip(own["cluster"], own["label"], strict=True)
        }
        for place in np.flatnonzero(own["stable"] == "yes"):
            axes.axhspan(place - 0.5, place + 0.5, color=style.GREY, alpha=0.3, lw=0, zorder=0)
        table = own.melt("cluster", list(LOOKS), "look").rename(columns={"cluster": "row", "look": "kind"})
        style.draw_points(axes, table.assign(low=np.nan, high=np.nan), rows, LOOKS, 0.3)
        for measure, least in STABLE.items():
            axes.axvline(least, color=LOOKS[measure][1], lw=0.9, ls=(0, (4, 2)))
        style.share_axis(axes, "share")
    style.add_legend(figure, style.points_legend(LOOKS))
    caption = (
        "Clusters of this run, of the autoencoder and of that of kernels in one pose, against runs from other starts "
        "and on networks or layers drawn with replacement: the share of runs with a prototype of cosine 0.9 or more, "
        "that by chance, and the mean Jaccard index of the members. Shaded clusters are stable: they pass both limits "
        "(dashed), which were set before results were seen."
    )
    alt = "Dots of how often each cluster comes back, a row for each cluster and a panel for each size and autoencoder."
    return Drawing(figure, data.drop(columns="panel"), "Which clusters come back", caption, alt)
