"""Other methods beside the autoencoder."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from kernel_atlas.core.vocabulary import METHODS
from kernel_atlas.figures.style import INK, PERCENT, SOFT, WIDTH, draw_interval, open_canvas, place_axes
from kernel_atlas.figures.write import Drawing, draw_nothing

DODGE = {"gaussian_mixture": (1.06, 0), "pca": (1, 0.1)}  # drawn beside others at the same k


def draw(size: str, threshold: float, baselines: pd.DataFrame, agreement: pd.DataFrame) -> Drawing:
    """What other methods cluster of kernels that they were fitted on, of others and of noise, and who agrees."""
    shares = baselines[baselines["size"] == size]
    pairs = agreement[(agreement["size"] == size) & (agreement["method_a"] == "autoencoder")]
    pairs = pairs.sort_values("adjusted_rand", ascending=False, kind="stable", ignore_index=True)
    if shares.empty:
        return draw_nothing(size, "Baselines", "no other method was fitted")
    rows = max(len(pairs), 1)
    foot = max(2.9, 0.4 + 0.21 * rows)
    figure, canvas = open_canvas(foot + 1.3)
    left = place_axes(figure, 0.62, 0.4, 3.0, foot)
    middle = place_axes(figure, 3.3, 0.4, 5.3, foot)
    prototypes = [
        method
        for method in ("kmeans", "gaussian_mixture", "hdbscan", "codebook", "patterns")
        if (shares["method"] == method).any()
    ]
    codes = [method for method in ("pca", "retrained") if (shares["method"] == method).any()]
    for axes, methods in ((left, prototypes), (middle, codes)):
        for method in methods:
            part, (_, colour, marker) = shares[shares["method"] == method].sort_values("k"), METHODS[method]
            factor, step = DODGE.get(method, (1, 0))
            k = part["k"].clip(lower=1) * factor + step
            axes.vlines(k, part["held_out_low"], part["held_out_high"], color=colour, lw=0.8, alpha=0.7)
            axes.plot(k, part["noise_share"], color=colour, lw=1, ls=(0, (2, 1.5)), marker=marker, ms=2.5)
            axes.plot(k, part["clustered_share"], color=colour, lw=0.8, marker=marker, ms=5, mfc="w")
            axes.plot(k, part["held_out_share"], color=colour, lw=1.6, marker=marker, ms=5)
    left.set_xscale("log", base=2)
    known = sorted(set(shares.loc[shares["method"].isin(prototypes), "k"].clip(lower=1))) or [1]
    ticks = [k for place, k in enumerate(known) if not place or k > 1.3 * known[place - 1]]
    left.xaxis.set_major_locator(FixedLocator(ticks))
    left.set_xticks(ticks, [f"{k:g}" for k in ticks])
    left.xaxis.set_minor_locator(NullLocator())
    middle.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    middle.set_xlim(0.6, shares.loc[shares["method"].isin(codes), "k"].max() + 0.4 if codes else 2)
    one = shares[(shares["method"] == "retrained") & (shares["k"] == 1)]
    for line in one["held_out_share"]:
        left.axhline(line, color=METHODS["retrained"][1], lw=1.2, ls=":")
    for run in shares.loc[shares["method"] == "autoencoder", "clustered_share"]:
        middle.plot(1, run, METHODS["autoencoder"][2], color=INK, mfc="w", ms=9, zorder=4)
    for axes, words in ((left, "prototypes"), (middle, "components, or numbers in the code")):
        axes.set(ylim=(0, 1), xlabel=words)
        axes.yaxis.set_major_formatter(PERCENT)
    left.set_ylabel(f"share of kernels with a dissimilarity below {threshold:g}")
    middle.tick_params(labelleft=False)
    canvas.text(0.62, 0.2, "Nearest of k prototypes", weight="bold", va="center")
    canvas.text(3.3, 0.2, "Reconstruction from k numbers", weight="bold", va="center")
    canvas.text(5.75, 0.2, "Same labels as the autoencoder's clusters?", weight="bold", va="center")

    _draw_agreement(place_axes(figure, 7.25, 0.4, WIDTH - 0.15, foot), pairs)
    _draw_legends(figure, [method for method in METHODS if (shares["method"] == method).any()])
    caption = (
        f"Methods fitted on one half of the {size} training kernels: the share they cluster of that half (hollow), of "
        "the other one, which shares no model or no layer with it (filled, with 95 % intervals), and of Gaussian noise "
        f"(dashed), in the mean over {shares['splits'].max()} random splits. "
        "Right: how far the labels agree with the autoencoder's, as adjusted Rand index (0 by chance, 1 for "
        "equals; intervals from random halves)."
    )
    alt = f"Curves of the share of {size} kernels clustered by each method, and dots of its agreement with the code."
    drawn = pd.concat([shares.assign(panel="shares"), pairs.assign(panel="agreement")], ignore_index=True)
    return Drawing(figure, drawn, "Baselines", caption, alt)


def _draw_agreement(axes: Axes, pairs: pd.DataFrame) -> None:
    """How far the labels of each method agree with the autoencoder's."""
    y = np.arange(len(pairs))
    axes.axvline(0, color=SOFT, lw=0.6)
    for place, pair in enumerate(pairs.itertuples()):
        _, colour, marker = METHODS[pair.method_b]
        draw_interval(axes, place, pair.low, pair.high, colour)
        axes.plot(pair.adjusted_rand, place, marker, color=colour, ms=5)
    axes.set_yticks(y, [f"{METHODS[pair.method_b][0]}, {pair.k_b:g}" for pair in pairs.itertuples()])
    ends = pairs[["adjusted_rand", "low", "high"]].to_numpy(float)
    least, most = np.nanmin(ends, initial=0), np.nanmax(ends, initial=0.2)
    axes.set(ylim=(max(len(pairs), 1) - 0.4, -0.6), xlim=(least - 0.03, 1.08 * most), xlabel="adjusted Rand index")
    axes.tick_params(axis="y", length=0)


def _draw_legends(figure: Figure, there: list[str]) -> None:
    """The methods, and the kernels that they were judged on."""
    handles = [
        Line2D([], [], ls="", marker=METHODS[m][2], color=METHODS[m][1], mfc="w" if m == "autoencoder" else None)
        for m in there
    ]
    grey = {"color": SOFT, "marker": "s"}
    styles = {
        "held-out half": Line2D([], [], lw=1.6, ms=5, **grey),
        "fitted half": Line2D([], [], lw=0.8, ms=5, mfc="w", **grey),
        "Gaussian noise": Line2D([], [], lw=1, ls=(0, (2, 1.5)), ms=2.5, **grey),
        "retrained with one number, held-out half": Line2D([], [], lw=1.2, ls=":", color=METHODS["retrained"][1]),
    }
    bottom = 1 / figure.get_size_inches()[1]
    place = {"loc": "lower center", "columnspacing": 1.2, "handletextpad": 0.4}
    names = [METHODS[method][0] for method in there]
    figure.legend(handles, names, ncols=3, bbox_to_anchor=(0.5, 0.24 * bottom), **place)
    figure.legend(styles.values(), styles, ncols=4, bbox_to_anchor=(0.5, 0.02 * bottom), handlelength=2.8, **place)
