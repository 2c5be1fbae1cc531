"""Kernels of each cluster: the best, some at random, and the worst."""

import numpy as np
import pandas as pd

from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.core.words import percent
from kernel_atlas.figures.kernels import draw_kernel, draw_scale, groups_of, members_of, sample_at, stack, taps_columns
from kernel_atlas.figures.style import INK, SOFT, WIDTH, open_canvas, short
from kernel_atlas.figures.write import Drawing
from kernel_atlas.model.clusters import cluster_of

MEMBERS = {"best": 5, "random": 6, "worst": 5}  # of a row of the contact sheet


def draw(size: str, threshold: float, spectrum: pd.DataFrame, clusters: pd.DataFrame, sample: pd.DataFrame) -> Drawing:
    """Real kernels of each cluster beside its prototype."""
    decoded, counts = stack(spectrum["decoded"]), spectrum["kernels"].to_numpy()
    row = cluster_of(spectrum["code"].to_numpy(), clusters)
    begin, pitch, side, gap = 2.75, 0.375, 0.34, 0.11
    groups = groups_of(clusters)
    figure, canvas = open_canvas(0.65 + pitch * len(groups))
    draw_scale(canvas, WIDTH - 2.7, 0.48 + pitch * len(groups))
    canvas.text(begin - 0.3, 0.2, "prototype", ha="right", va="center", size=7.5, color=SOFT)
    starts, column = {}, 0  # of each block, in inches
    for block, (chosen, most) in enumerate(MEMBERS.items()):
        starts[chosen] = begin + column * pitch + block * gap
        words = {"best": "best fitted", "random": "at random", "worst": "worst fitted"}[chosen]
        canvas.text(starts[chosen], 0.2, words, va="center", size=7.5, color=SOFT)
        column += most
    drawn = []
    for place, (cluster, label) in enumerate(groups):
        top, members = 0.36 + place * pitch, members_of(sample, cluster, label)
        kernels = centre_and_normalise(stack(members["weight"], decoded.shape[1]))
        middle = {"va": "center", "y": top + side / 2}
        canvas.text(x=0.42, s=short(label), **middle)
        canvas.text(x=begin - 0.84, s=percent(len(members) / len(sample)), ha="right", size=7, color=SOFT, **middle)
        if label != "other":
            canvas.text(x=0.32, s=str(cluster), ha="right", weight="bold", **middle)
            stretches = np.flatnonzero((clusters["cluster"] == cluster) & (clusters["label"] == label))
            prototype = sample_at(0.5, np.flatnonzero(np.isin(row, stretches)), counts, decoded)
            draw_kernel(canvas, prototype, begin - 0.5, top, side, frame=INK)
        for chosen, places in _contact_sheet(members["dissimilarity"].to_numpy()).items():
            for column, kernel in enumerate(kernels[places]):
                draw_kernel(canvas, kernel, starts[chosen] + side / 2 + column * pitch, top, side)
            drawn.append(members.iloc[places].assign(chosen=chosen, position=np.arange(len(places))))
    data = pd.concat(drawn, ignore_index=True)
    caption = (
        f"For each cluster its prototype and kernels of a random sample of {size} training kernels: those least and "
        "most dissimilar to their reconstruction, and some of the others at random, in the order of their "
        "dissimilarity, with the cluster's share of the sample. The last row shows kernels whose dissimilarity is "
        f"{threshold:g} or more."
    )
    alt = f"Contact sheet of {size} kernels: a row for each cluster, and a row of kernels in no cluster."
    columns = [
        "cluster",
        "label",
        "chosen",
        "position",
        "model",
        "layer_index",
        "layer",
        "channel",
        "code",
        "dissimilarity",
    ]
    taps = taps_columns(stack(data["weight"], decoded.shape[1]))
    return Drawing(figure, data[columns].join(taps), "Members", caption, alt)


def _contact_sheet(dissimilarity: np.ndarray) -> dict[str, np.ndarray]:
    """Which kernels stand in each block of `MEMBERS`, by their place in the sample, the least dissimilar first."""
    order = np.argsort(dissimilarity, kind="stable")
    best, order = order[: MEMBERS["best"]], order[MEMBERS["best"] :]
    worst, order = order[-MEMBERS["worst"] :], np.sort(order[: -MEMBERS["worst"]])
    # the sample is in the order of models and layers: even steps through it cover most of them
    steps = np.linspace(0, len(order) - 1, min(MEMBERS["random"], len(order))).round().astype(int)
    drawn = order[steps]
    return {"best": best, "random": drawn[np.argsort(dissimilarity[drawn], kind="stable")], "worst": worst}
