"""Distances between the label shares of networks."""

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import squareform

from kernel_atlas.figures.style import INK, SOFT, cut, open_canvas, place_axes
from kernel_atlas.figures.write import Drawing, draw_nothing
from kernel_atlas.stats.independence import one_per_group

NETWORKS = 36  # of the heat map; with more the names cannot be read


def draw(size: str, threshold: float, models: pd.DataFrame, architectures: pd.DataFrame) -> Drawing:
    """Distances between the label shares of independent networks, alike ones side by side."""
    independent = one_per_group(models[models["size"] == size])
    pairs = architectures[(architectures["size"] == size) & architectures["jensen_shannon"].notna()]
    # without live kernels a network has no labels, and no pair
    independent = independent[independent["model"].isin([*pairs["model_a"], *pairs["model_b"]])]
    names = independent["model"].head(NETWORKS).tolist()
    pairs = pairs[pairs["model_a"].isin(names) & pairs["model_b"].isin(names)]
    if len(names) < 3:
        return draw_nothing(size, "Similarity", "there are fewer than three independent networks with live kernels")
    matrix = pd.DataFrame(np.where(np.eye(len(names)), 0.0, np.nan), index=names, columns=names)
    for row in pairs.itertuples():
        matrix.loc[row.model_a, row.model_b] = matrix.loc[row.model_b, row.model_a] = row.jensen_shannon
    missing = int(matrix.isna().to_numpy().sum()) // 2
    # for the order alone, a pair without a distance is as far apart as any
    filled = matrix.fillna(matrix.max(axis=None)).to_numpy()
    links = linkage(squareform(filled, checks=False), "average", optimal_ordering=True)
    order = dendrogram(links, no_plot=True)["leaves"]
    matrix = matrix.iloc[order, order]

    few = len(names) <= 12
    pitch = 0.42 if few else min(0.3, 5.1 / len(names))
    side, left, top = pitch * len(names), 2.35, 0.15
    figure, canvas = open_canvas(top + side + 0.35)
    axes = place_axes(figure, left, top, left + side, top + side)
    highest = max(filled.max(), 1e-6)
    axes.patch.set(facecolor="white", hatch="xxxx", edgecolor="#bbbbbb")  # seen where a distance is missing
    image = axes.imshow(matrix, cmap="cividis_r", vmin=0, vmax=highest, aspect="auto", interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks(range(len(names)), [cut(name, 34) for name in matrix.index], size=min(7.5, 62 * pitch))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    tree = place_axes(figure, left + side + 0.08, top, left + side + 0.75, top + side)
    drawn = dendrogram(links, no_plot=True)
    for across, along in zip(drawn["dcoord"], drawn["icoord"], strict=True):
        tree.plot(across, np.array(along) / 10 - 0.5, color=SOFT, lw=0.8)
    tree.set(ylim=(len(names) - 0.5, -0.5), xlim=(0, None))
    tree.set_axis_off()
    bar = figure.colorbar(image, cax=place_axes(figure, left + side + 0.9, top, left + side + 1.02, top + min(side, 2)))
    bar.outline.set_linewidth(0.4)
    bar.set_label("Jensen-Shannon distance", size=7.5)
    if few:
        for y, x in np.argwhere(~np.eye(len(names), dtype=bool)):
            distance = matrix.iat[y, x]
            if np.isnan(distance):
                continue
            look = {"color": "white" if distance > 0.5 * highest else INK, "size": 6.5, "ha": "center", "va": "center"}
            canvas.text(left + (x + 0.5) * pitch, top + (y + 0.5) * pitch, f"{distance:.2f}", **look)
    canvas.text(
        left + side / 2, top + side + 0.18, "the same networks in the same order", ha="center", size=7, color=SOFT
    )
    which = f"the {len(names)} with most kernels of {len(independent)}" if len(names) < len(independent) else "all"
    caption = (
        f"Jensen-Shannon distance (base 2; 0: equal, 1: nothing in common) between the shares of {size} labels of "
        f"independent networks, {which}, in the order of average linkage, whose tree is at the right. Networks with "
        "few kernels are apart by chance too."
    )
    if missing:
        caption += f" Pairs whose distance is not known are crossed out: {missing}."
    alt = f"Heat map of the distances between the {size} label shares of {len(names)} networks."
    data = matrix.rename_axis("model").reset_index()
    return Drawing(figure, data, "Similarity", caption, alt)
