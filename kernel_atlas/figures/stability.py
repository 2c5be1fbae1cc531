"""Which clusters come back."""

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from kernel_atlas.core.vocabulary import STABLE
from kernel_atlas.core.words import number
from kernel_atlas.figures.kernels import draw_kernel
from kernel_atlas.figures.style import INK, PERCENT, SOFT, WIDTH, open_canvas, place_axes, short
from kernel_atlas.figures.write import Drawing, draw_nothing
from kernel_atlas.model.clusters import cluster_of


def draw(
    size: str,
    threshold: float,
    stability: pd.DataFrame,
    restarts: pd.DataFrame,
    clusters: pd.DataFrame,
    spectrum: pd.DataFrame,
) -> Drawing:
    """Which clusters come back from other starts and from other models, and how many kernels those runs cluster."""
    rows, runs = stability[stability["size"] == size], restarts[restarts["size"] == size].reset_index(drop=True)
    every = rows[rows["kind"] == "all"].reset_index(drop=True)
    if every.empty:
        return draw_nothing(size, "Stability", "nothing was trained again, or there is no cluster to come back")
    head, pitch, side = 0.62, 0.34, 0.3
    foot = head + pitch * len(every)
    low = max(foot, head + 0.2 * len(runs))
    figure, canvas = open_canvas(low + 0.98)
    prototypes = _prototypes(clusters, spectrum)
    panels = {
        "recurs": (place_axes(figure, 2.75, head, 4.35, foot), "runs with its prototype"),
        "jaccard": (place_axes(figure, 4.6, head, 6.2, foot), "Jaccard index of members"),
    }
    kinds = {"restart": (-0.27, ">", "other starts"), "bootstrap": (0.27, "<", "other models or layers")}
    for column, (axes, words) in panels.items():
        axes.set(xlim=(-0.02, 1.02), ylim=(len(every) - 0.5, -0.5), xlabel=words, yticks=[])
        axes.set_xticks(np.arange(5) / 4, ["0", "0.25", "0.5", "0.75", "1"])
        axes.axvline(STABLE[column], color=INK, lw=0.9, ls=(0, (4, 2)))
        where = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "bottom"}
        axes.text(STABLE[column], 1, f"{STABLE[column]:g}", **where)
        axes.hlines(np.arange(len(every)), 0, 1, color="#dddddd", lw=0.6, zorder=0)
        for kind, (off, marker, _) in kinds.items():
            part = rows[rows["kind"] == kind].set_index("cluster")[column].reindex(every["cluster"])
            axes.plot(part, np.arange(len(every)) + off, marker, color="#56b4e9", ms=3.2, clip_on=False)
        stable = every["stable"].to_numpy() == "yes"
        for which, look in ((stable, {"marker": "o"}), (~stable, {"marker": "X", "mfc": "w"})):
            axes.plot(every[column][which], np.flatnonzero(which), ls="", color=INK, ms=6, clip_on=False, **look)
    panels["recurs"][0].plot(every["chance"], np.arange(len(every)), "|", color="#d55e00", ms=10, mew=1.6)
    aside = {"size": 6.5, "color": SOFT, "va": "center"}
    canvas.text(2.6, head - 0.12, "kernels", ha="right", **aside)
    canvas.text(6.5, head - 0.12, "stable?", ha="center", **aside)
    for row, cluster in enumerate(every.itertuples()):
        top = head + row * pitch + 0.02
        canvas.text(0.3, top + side / 2, str(cluster.cluster), ha="right", va="center", weight="bold")
        if cluster.cluster in prototypes:
            draw_kernel(canvas, prototypes[cluster.cluster], 0.55, top, side)
        canvas.text(0.8, top + side / 2, short(cluster.label), va="center")
        canvas.text(2.6, top + side / 2, number(cluster.kernels), ha="right", **aside)
        yes = cluster.stable == "yes"
        weight = "bold" if yes else "normal"
        canvas.text(6.5, top + side / 2, "yes" if yes else "no", ha="center", va="center", weight=weight, size=7.5)

    axes = place_axes(figure, 7.62, head, WIDTH - 0.52, head + max(0.2 * len(runs), 0.4))
    names = {"main": "this run", "restart": "start", "bootstrap": "models"}
    looks = {"main": ("D", INK), "restart": (">", "#56b4e9"), "bootstrap": ("<", "#56b4e9")}
    for row, run in enumerate(runs.itertuples()):
        marker, colour = looks[run.kind]
        axes.hlines(row, 0, run.clustered_share, color="#dddddd", lw=0.8, zorder=0)
        axes.plot(run.clustered_share, row, marker, color=colour, ms=5, clip_on=False)
        where = {"x": 1.08, "y": row, "transform": axes.get_yaxis_transform()}
        axes.text(**where, s=f"{run.clusters:g}", ha="left", va="center", size=7)
    axes.text(
        1.02, -1.05, "clusters", transform=axes.get_yaxis_transform(), ha="left", va="center", size=6.5, color=SOFT
    )
    highest = max(runs["clustered_share"].max(), 0.05) if len(runs) else 1
    labels = [names[run.kind] + (f" {run.run:g}" if run.run else "") for run in runs.itertuples()]
    axes.set_yticks(range(len(runs)), labels)
    axes.set(ylim=(max(len(runs), 2) - 0.5, -0.5), xlim=(0, min(1, 1.1 * highest)), xlabel="kernels clustered")
    axes.xaxis.set_major_locator(MaxNLocator(2))
    axes.xaxis.set_major_formatter(PERCENT)
    axes.tick_params(axis="y", length=0)
    canvas.text(0.1, 0.16, "Clusters of this run", weight="bold", va="center")
    canvas.text(7.0, 0.16, "All runs", weight="bold", va="center")
    canvas.text(2.75, 0.16, "Do they come back?", weight="bold", va="center")
    handles = {
        "all runs, stable": Line2D([], [], ls="", marker="o", color=INK, ms=6),
        "all runs, not stable": Line2D([], [], ls="", marker="X", color=INK, mfc="w", ms=6),
        **{words: Line2D([], [], ls="", marker=m, color="#56b4e9", ms=4) for _, m, words in kinds.values()},
        "by chance": Line2D([], [], ls="", marker="|", color="#d55e00", ms=10, mew=1.6),
        "least of a stable cluster": Line2D([], [], color=INK, lw=0.9, ls=(0, (4, 2))),
    }
    figure.legend(handles.values(), handles, loc="lower center", ncols=6, columnspacing=1.2, handletextpad=0.5)
    caption = (
        f"Each {size} cluster of this run against runs from another start or on models or layers drawn with "
        "replacement: the share of runs where a prototype matched one to one has a cosine of at least 0.9 to it, the "
        "same where random kernels stand for prototypes, and the mean Jaccard index of the members. Both limits "
        "(dashed) were set before results were seen."
    )
    alt = f"Dots of how often each of the {len(every)} {size} clusters comes back, and the clusters of every run."
    data = pd.concat([rows.assign(panel="clusters"), runs.assign(panel="runs")], ignore_index=True)
    return Drawing(figure, data, "Stability", caption, alt)


def _prototypes(clusters: pd.DataFrame, spectrum: pd.DataFrame) -> dict[int, np.ndarray]:
    """What the decoder draws at the median code of each cluster's kernels."""
    held = cluster_of(spectrum["code"].to_numpy(), clusters)
    numbers = clusters["cluster"].to_numpy()[held]
    found = {}
    for cluster in clusters["cluster"].unique():
        inside = np.flatnonzero(numbers == cluster)
        if len(inside):
            passed = spectrum["kernels"].to_numpy()[inside].cumsum()
            found[cluster] = np.asarray(spectrum["decoded"].iloc[inside[np.searchsorted(passed, passed[-1] / 2)]])
    return found
