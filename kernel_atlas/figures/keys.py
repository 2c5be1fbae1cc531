"""Residuals of small sets of keys."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kernel_atlas.figures.kernels import draw_kernel
from kernel_atlas.figures.style import BLUE, INK, ORANGE, PERCENT, SOFT, WIDTH, draw_interval, open_canvas, place_axes
from kernel_atlas.figures.write import Drawing, draw_nothing

BEST = {  # whose kernels are matched with the filters: name, colour and marker
    "real": ("real", BLUE, "o"),
    "untrained": ("untrained", ORANGE, "s"),
    "gaussian": ("Gaussian noise", INK, "x"),
}
FILTER_SIZE = "7x7"  # of Babaiee et al. (arXiv 2509.11711)
SETS = {  # name, colour and marker
    "published": ("eight published filters", ORANGE, "*"),
    "random kernels": ("random kernels", SOFT, "X"),
    "prototypes": ("all prototypes", "#009e73", "P"),
    "greedy prototypes": ("prototypes, chosen greedily", "#009e73", "D"),
    "k-means": ("k-means, sign-blind", "#cc79a7", "s"),
}


def draw(
    size: str,
    threshold: float,
    key_sets: pd.DataFrame,
    greedy_sets: pd.DataFrame,
    master_key_shares: pd.DataFrame,
    filters: pd.DataFrame,
) -> Drawing:
    """What small sets of keys leave of kernels, and which published filters are used."""
    greedy = greedy_sets[(greedy_sets["size"] == size) & greedy_sets["residual"].notna()].sort_values("keys")
    sets = key_sets[(key_sets["size"] == size) & key_sets["set"].isin(list(SETS))]
    if greedy.empty:
        return draw_nothing(size, "Keys", "no sets of keys were searched")
    shares = master_key_shares[(master_key_shares["size"] == size) & (master_key_shares["filter"] != "all")]
    shares = shares[(shares["depth"] == "all") & shares["subject"].isin(list(BEST))]
    height, top, foot = 3.9, 0.2, 2.95
    figure, canvas = open_canvas(height)
    axes = place_axes(figure, 0.62, top, WIDTH - 0.15 if shares.empty else 5.35, foot)
    axes.fill_between(greedy["keys"], greedy["residual_low"], greedy["residual_high"], color=BLUE, alpha=0.2, lw=0)
    handles = {"chosen greedily": axes.plot(greedy["keys"], greedy["residual"], color=BLUE, lw=2)[0]}
    noise = {"color": INK, "lw": 1.2, "ls": (0, (4, 2))}
    handles["the same, of Gaussian noise"] = axes.plot(greedy["keys"], greedy["residual_gaussian"], **noise)[0]
    sets = sets.assign(order=sets["set"].map(list(SETS).index)).sort_values("order").drop(columns="order")
    real = sets[sets["subject"] == "real"]
    for _, alike in real.groupby("keys"):
        for dodge, row in zip(np.arange(len(alike)) - (len(alike) - 1) / 2, alike.itertuples(), strict=True):
            words, colour, marker = SETS[row.set]
            axes.vlines(row.keys + dodge * 0.35, row.mean_low, row.mean_high, color=colour, lw=1.1)
            look = {"color": colour, "marker": marker, "ls": "", "ms": 8 if marker == "*" else 6}
            handles[words] = axes.plot(row.keys + dodge * 0.35, row.mean, **look)[0]
    axes.set(
        xlim=(0, greedy["keys"].max() + 1), ylim=(None, 1), xlabel="keys in the set", ylabel="mean relative residual"
    )
    within = greedy[greedy["within_tolerance"].astype(bool)]
    if len(within):
        least = within["keys"].iloc[0]
        axes.axvline(least, color=SOFT, lw=0.8, ls=":")
        axes.text(least + 0.15, 0.03, least, transform=axes.get_xaxis_transform(), size=7, color=SOFT)
    figure.legend(handles.values(), handles, loc="lower center", ncols=4, handletextpad=0.4, columnspacing=1.2)
    caption = (
        f"What is left of {size} kernels of networks that a set was not chosen on, sqrt(1 - cosine^2), when each is "
        "written as a times its best key plus b. Bands and lines are 95 % intervals over networks, over layers where "
        "these are few, or over draws of random kernels. The dotted line is the smallest set within the tolerance of "
        "the largest one; sets of equal size are side by side."
    )
    alt = f"Curves of the mean residual of {size} kernels against the number of keys."
    if shares.empty:
        caption += "" if size == FILTER_SIZE else f" The published filters are {FILTER_SIZE}."
    else:
        _draw_filters(figure, canvas, (top, foot), shares, filters)
        caption += (
            " Right: the published filters and the share of kernels that each is best for. Red taps are positive and "
            "blue ones negative, scaled to a filter's largest."
        )
    data = pd.concat([greedy.assign(panel="greedy"), sets.assign(panel="sets"), shares.assign(panel="filters")])
    return Drawing(figure, data.drop(columns="size").reset_index(drop=True), "Keys", caption, alt)


def _draw_filters(
    figure: Figure, canvas: Axes, between: tuple[float, float], shares: pd.DataFrame, filters: pd.DataFrame
) -> None:
    """The published filters with the share of kernels that each is best for."""
    top, foot = between
    axes = place_axes(figure, 6.55, top, WIDTH - 0.15, foot)
    taps = filters.set_index(filters["filter"].astype(str)).drop(columns="filter")
    names = taps.index.tolist()
    pitch = (foot - top) / len(names)
    for place, name in enumerate(names):
        middle = top + (place + 0.5) * pitch
        draw_kernel(canvas, taps.loc[name].to_numpy(float), 6.33, middle - 0.42 * pitch, 0.84 * pitch)
        canvas.text(6.12, middle, name, ha="right", va="center", size=7.5)
    handles = {}
    for dodge, (subject, (words, colour, marker)) in zip((-0.2, 0.05, 0.25), BEST.items(), strict=True):
        for row in shares[shares["subject"] == subject].itertuples():
            place = names.index(str(row.filter)) + dodge
            draw_interval(axes, place, row.share_low, row.share_high, colour)
            handles[words] = axes.plot(row.share, place, marker, color=colour, ms=4.5)[0]
    axes.set(ylim=(len(names) - 0.5, -0.5), yticks=[], xlim=(0, None), xlabel="kernels the filter is best for")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(PERCENT)
    axes.legend(handles.values(), handles, loc="upper right", fontsize=6.5, handletextpad=0.1)
