"""The spectrum: what the decoder draws along the code, cut into clusters."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kernel_atlas.figures import style
from kernel_atlas.figures.kernels import draw_kernel, draw_row, stack, taps_columns
from kernel_atlas.figures.write import Drawing
from kernel_atlas.model.clusters import cluster_of

HIGH, STRIP = 1.45, 0.25  # inches: of the density, of the decoded kernels


def draw(size: str, threshold: float, spectrum: pd.DataFrame, clusters: pd.DataFrame, sample: pd.DataFrame) -> Drawing:
    """The decoded kernels along the code, the density of codes, and the named clusters."""
    figure, data = draw_stretches(spectrum, clusters, sample["code"], sample["cluster"] >= 0)
    caption = (
        f"Codes of {spectrum['kernels'].sum():,} {size} training kernels, and what the decoder draws at even steps. "
        "Coloured kernels are clustered, their dissimilarity to what is drawn of their code being below "
        f"{threshold:g}; grey ones are not. Below, what is drawn at the median code of each cluster, with the label "
        "of most of its kernels."
    )
    alt = f"Density of the codes of {size} kernels, decoded kernels along the code, and the named clusters."
    return Drawing(figure, data, f"The code of {size} kernels", caption, alt)


def draw_stretches(
    spectrum: pd.DataFrame, clusters: pd.DataFrame, code: pd.Series, is_near: pd.Series
) -> tuple[Figure, pd.DataFrame]:
    """The picture and its data; of some kernels, the codes and whether each is clustered."""
    decoded, counts, codes = stack(spectrum["decoded"]), spectrum["kernels"].to_numpy(), spectrum["code"].to_numpy()
    row = cluster_of(codes, clusters)  # of the stretch that holds each sample
    density = counts / max(1, counts.sum())
    # of each step, the share of its kernels that is clustered
    drawn = np.clip((code.to_numpy() * len(codes)).astype(int), 0, len(codes) - 1)
    near, there = (np.bincount(drawn[keep], minlength=len(codes)) for keep in (is_near.to_numpy(), slice(None)))
    clustered = density * near / np.maximum(there, 1)

    columns = 4 if style.is_narrow() else 9
    names = [style.wrapped(style.short(label), style.page_width() / columns) for label in clusters["label"]]
    cell = 0.5 + 0.13 * max(name.count("\n") + 1 for name in names)  # inches: prototype, words
    foot = 0.3 + HIGH + STRIP + 0.5
    figure, canvas = style.open_canvas(foot + cell * -(-len(clusters) // columns))
    left, right = 0.75, figure.get_figwidth() - 0.05
    axes = style.place_axes(figure, left, 0.3, right, 0.3 + HIGH)
    edges = np.linspace(0, 1, len(codes) + 1)
    axes.stairs(density, edges, fill=True, color=style.GREY, alpha=0.4)
    axes.stairs(density, edges, color=style.GREY, lw=0.6)
    for index, cluster in enumerate(clusters.itertuples()):
        inside = np.flatnonzero(row == index)
        if len(inside):
            axes.stairs(
                clustered[inside], edges[inside[0] : inside[-1] + 2], fill=True, color=style.shade_of(cluster.label)
            )
        if index:
            axes.axvline(cluster.code_low, color=style.SOFT, lw=0.5, ls=(0, (2, 2)))
        if cluster.code_high - cluster.code_low > 0.25 / (right - left):
            middle = (cluster.code_low + cluster.code_high) / 2
            axes.text(middle, 1.02, cluster.cluster, ha="center", va="bottom", transform=axes.get_xaxis_transform())
    axes.set_yscale("function", functions=(lambda y: np.sqrt(np.maximum(y, 0)), np.square))
    most = max(1e-6, 1.05 * density.max())
    ticks = [float(f"{most * part:.0e}") for part in (1 / 16, 1 / 2)]
    axes.set(xlim=(0, 1), ylim=(0, most), ylabel="kernels per step", xticks=[], yticks=ticks)
    axes.yaxis.set_major_formatter(style.PERCENT)
    strip = style.place_axes(figure, left, 0.34 + HIGH, right, 0.34 + HIGH + STRIP)
    number = int((right - left) / STRIP)
    at = [np.abs(codes - (step + 0.5) / number).argmin() for step in range(number)]
    draw_row(strip, decoded[at], 0, 0)
    strip.set(xlim=(0, number), ylim=(1, 0), yticks=[], xticks=[0, number / 2, number], xlabel="code")
    strip.set_xticklabels(["0", "0.5", "1"])
    _draw_clusters(canvas, clusters, _prototypes(row, counts, decoded, len(clusters)), names, foot, cell)
    canvas.set(xlim=(0, figure.get_figwidth()), ylim=(figure.get_figheight(), 0))
    data = pd.DataFrame({"code": codes, "kernels": counts, "share": density, "clustered": clustered})
    data[["cluster", "label"]] = clusters[["cluster", "label"]].to_numpy()[row]
    return figure, data.join(taps_columns(decoded))


def _prototypes(row: np.ndarray, counts: np.ndarray, decoded: np.ndarray, clusters: int) -> np.ndarray:
    """What is drawn at the median code of the kernels of each stretch; zeros of one narrower than a step."""
    found = np.zeros((clusters, decoded.shape[1]), np.float32)
    for index in np.unique(row):
        inside = np.flatnonzero(row == index)
        passed = counts[inside].cumsum()
        found[index] = decoded[inside[np.searchsorted(passed, passed[-1] / 2)]]
    return found


def _draw_clusters(
    canvas: Axes, clusters: pd.DataFrame, prototypes: np.ndarray, names: list[str], top: float, cell: float
) -> None:
    """The prototype of each cluster with its number and label, in rows from inches below the top."""
    columns = 4 if style.is_narrow() else 9
    pitch = (style.page_width() - 0.1) / columns
    for place, (cluster, prototype, name) in enumerate(zip(clusters.itertuples(), prototypes, names, strict=True)):
        x, y = 0.05 + place % columns * pitch, top + place // columns * cell
        draw_kernel(canvas, prototype, x + 0.45, y, 0.32, {"ec": style.shade_of(cluster.label), "lw": 1.4})
        canvas.text(x + 0.02, y + 0.16, cluster.cluster, va="center", weight="bold")
        canvas.text(x + 0.02, y + 0.38, name, va="top", linespacing=1.1)
