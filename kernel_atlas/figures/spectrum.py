"""The spectrum: what the decoder draws along the code, cut into clusters."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter

from kernel_atlas.core.patterns import family_of
from kernel_atlas.core.words import percent
from kernel_atlas.figures.kernels import draw_kernel, draw_scale, sample_at, stack, taps_columns
from kernel_atlas.figures.style import SOFT, WIDTH, look_of, open_canvas, short, wrapped
from kernel_atlas.figures.write import Drawing
from kernel_atlas.model.clusters import cluster_of

STRIP = 42  # kernels drawn evenly along the code
QUANTILES = (0.1, 0.5, 0.9)  # of the kernels of a stretch; the middle one is its prototype


def draw(size: str, threshold: float, spectrum: pd.DataFrame, clusters: pd.DataFrame, sample: pd.DataFrame) -> Drawing:
    """The decoded kernels along the code, the density of codes, and the named stretches."""
    count = f"{spectrum['kernels'].sum():,}"
    title = f"The spectrum of {count} trained {size} kernels"
    figure, data = draw_stretches(title, spectrum, clusters, sample["code"], sample["cluster"] >= 0)
    caption = (
        f"Top: density of the codes of {count} {size} training kernels, and what the decoder draws at even "
        f"steps of the code. Below: each of the {len(clusters)} stretches, with what the decoder draws at the 10 %, "
        "50 % and 90 % quantiles of the kernels in it, its name, and its share of kernels (clustered or not). A "
        "stretch has the label of most of its clustered kernels, or is mixed. Grey kernels are not clustered."
    )
    alt = f"Spectrum of the {size} kernels, with the named stretches along the code."
    return Drawing(figure, data, "Spectrum", caption, alt)


def draw_stretches(
    title: str, spectrum: pd.DataFrame, clusters: pd.DataFrame, code: pd.Series, is_near: pd.Series
) -> tuple[Figure, pd.DataFrame]:
    """The picture and its data; of some kernels, the codes and whether each is clustered."""
    decoded, counts, codes = stack(spectrum["decoded"]), spectrum["kernels"].to_numpy(), spectrum["code"].to_numpy()
    row = cluster_of(codes, clusters)  # of the stretch that holds each sample
    density = counts / max(1, counts.sum())
    shares = np.bincount(row, density, len(clusters))
    # of each step, the share of its kernels that is clustered
    drawn = np.clip((code.to_numpy() * len(codes)).astype(int), 0, len(codes) - 1)
    near, there = (np.bincount(drawn[keep], minlength=len(codes)) for keep in (is_near.to_numpy(), slice(None)))
    clustered = density * near / np.maximum(there, 1)

    # From top to bottom, in inches: title, density, code, strip of kernels, band of stretches, fan, a column a stretch
    left, right = 0.72, WIDTH - 0.1
    pitch = (right - left) / len(clusters)
    side, points = min(0.72, 0.86 * pitch), 7.5 if pitch > 0.6 else 6.5
    names = [wrapped(short(label), pitch, points) for label in clusters["label"]]
    high, low, strip, band, fan, column = 0.34, 1.5, 1.78, 2.02, 2.12, 2.56
    tops = column + 0.24 + (side + 0.05) * np.arange(len(QUANTILES))
    foot = tops[-1] + side + 0.08
    height = foot + (max(name.count("\n") for name in names) + 1) * points * 1.25 / 72 + 0.28
    figure, canvas = open_canvas(height)
    canvas.text(0.1, 0.16, title, size=10.5, weight="bold", va="center")
    draw_scale(canvas, WIDTH - 2.7, 0.12)

    axes = figure.add_axes([left / WIDTH, 1 - low / height, (right - left) / WIDTH, (low - high) / height])
    axes.set_yscale("function", functions=(lambda y: np.sqrt(np.maximum(y, 0)), np.square))
    axes.set(xlim=(0, 1), ylim=(0, max(1e-6, 1.08 * density.max())))
    axes.set_xticks(np.arange(6) / 5, ["0", "0.2", "0.4", "0.6", "0.8", "1"])
    axes.tick_params(axis="x", length=2, pad=1)
    axes.yaxis.set_major_locator(FixedLocator(_square_root_ticks(density.max())))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    edges = np.linspace(0, 1, len(codes) + 1)
    axes.stairs(density, edges, fill=True, **look_of("other"))
    for index, cluster in enumerate(clusters.itertuples()):
        inside, look = np.flatnonzero(row == index), look_of(family_of(cluster.label))
        if len(inside):
            axes.stairs(clustered[inside], edges[inside[0] : inside[-1] + 2], fill=True, **look)
        begin, end = left + (right - left) * np.array([cluster.code_low, cluster.code_high])
        gap = min(0.015, (end - begin) / 8)
        canvas.add_patch(Rectangle((begin + gap, band), end - begin - 2 * gap, 0.09, **look))
        if index:
            for top, bottom in ((high, low), (strip - 0.03, band)):
                canvas.plot([begin, begin], [top, bottom], color=SOFT, lw=0.5, dashes=(2, 2))
        middle, half = left + (index + 0.5) * pitch, pitch / 2 - 0.03
        corners = [(begin + gap, fan), (end - gap, fan), (middle + half, column), (middle - half, column)]
        canvas.add_patch(Polygon(corners, color=look["facecolor"], alpha=0.28, lw=0))
        canvas.add_patch(Rectangle((middle - half, column), 2 * half, 0.03, color=look["facecolor"], lw=0))
        canvas.text(middle, column + 0.14, str(cluster.cluster), ha="center", va="center", weight="bold")
        for top, quantile in zip(tops, QUANTILES, strict=True):
            draw_kernel(canvas, sample_at(quantile, inside, counts, decoded), middle, top, side)
        canvas.text(middle, foot, names[index], ha="center", va="top", size=points, linespacing=1.15)
        canvas.text(middle, height - 0.1, percent(shares[index]), ha="center", va="center", size=points, color=SOFT)
    step = (right - left) / STRIP
    for place, code in enumerate((np.arange(STRIP) + 0.5) / STRIP):
        draw_kernel(canvas, decoded[np.abs(codes - code).argmin()], left + (place + 0.5) * step, strip, 0.92 * step)
    aside = {"ha": "right", "va": "center", "size": 6.5, "color": SOFT}
    for words, y in (("code", 1.6), ("decoded", strip + 0.09), ("cluster", column + 0.14), ("kernels", height - 0.1)):
        canvas.text(left - 0.12, y, words, **aside)
    for words, top in zip(("10 %", "median", "90 %"), tops, strict=True):
        canvas.text(left - 0.12, top + side / 2, words, **aside)
    words = f"kernels per 1/{len(codes)}\n(square root)"
    canvas.text(0.12, (high + low) / 2, words, rotation=90, **aside | {"ha": "center"})

    data = pd.DataFrame({"code": codes, "kernels": counts, "share": density, "clustered": clustered})
    data[["cluster", "label"]] = clusters[["cluster", "label"]].to_numpy()[row]
    return figure, data.join(taps_columns(decoded))


def _square_root_ticks(highest: float) -> list[float]:
    """Round shares that leave room for their labels on a square-root scale."""
    ticks = []
    for tick in [factor * 10.0**power for power in (-4, -3, -2, -1) for factor in (1, 2, 5)] + [1.0]:
        if tick <= 1.05 * highest and tick**0.5 - (ticks[-1] if ticks else 0) ** 0.5 > 0.2 * highest**0.5:
            ticks.append(tick)
    return ticks
