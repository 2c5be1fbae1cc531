"""Shares of labels, a bar a model."""

import numpy as np
import pandas as pd

from kernel_atlas.core.words import percent
from kernel_atlas.figures.style import (
    HALO,
    INK,
    PERCENT,
    SOFT,
    WIDTH,
    count_rows,
    cut,
    draw_legend,
    family_shares,
    largest_first,
    look_of,
    networks,
    open_rows,
)
from kernel_atlas.figures.write import Drawing

MODELS = 30  # bars of models; with more they cannot be read on a page


def draw(size: str, threshold: float, models: pd.DataFrame, labels: pd.DataFrame, chance: pd.DataFrame) -> Drawing:
    """The share with a pattern of each model, by family of labels, with its interval and the controls."""
    independent, controls = largest_first(models[models["size"] == size])
    shown = pd.concat([independent.head(MODELS), controls.head(MODELS // 3)])
    control = shown["use"] == "control"
    shown["family"] = shown["family"].astype(object).where(shown["family"].notna(), "no family stated")
    shown.loc[control, "family"] = "controls"
    families = shown.assign(rank=shown.groupby("family")["pattern_share"].transform("mean"))
    shown = families.sort_values(["rank", "family", "pattern_share", "model"], ignore_index=True).drop(columns="rank")
    shares = family_shares(labels[labels["size"] == size], "model").reindex(shown["model"], fill_value=0)
    by_chance = chance[chance["size"] == size].set_index("control")["pattern_share"]

    last = shown.index[shown["family"] != shown["family"].shift(-1)]  # rows, from below, at the top of each family
    left = 2.75 if len(last) == 1 else 3.75
    figure, axes = open_rows(len(shown), left)
    y, base = np.arange(len(shown)), np.zeros(len(shown))
    for family in shares:
        axes.barh(y, shares[family], 0.78, base, **look_of(family), alpha=0.45 if family == "other" else 1)
        base += shares[family].to_numpy()
    known = shown["pattern_low"].notna().to_numpy()
    ends = shown.loc[known, ["pattern_low", "pattern_high"]].to_numpy().T
    axes.hlines(y[known], *ends, color=INK, lw=1, path_effects=[HALO])
    axes.plot(ends, np.stack([y[known]] * 2), "|", color=INK, ms=4.5)
    strongest = by_chance["random phases"]
    axes.axvline(strongest, color=INK, lw=1, ls=(0, (4, 2)))
    axes.text(strongest, len(shown) - 0.35, f" random phases {percent(strongest)}", size=7, va="bottom")
    beside = axes.get_yaxis_transform()
    start = (0.1 - left) / (WIDTH - left - 0.95)  # of the page's words, in widths of the axes
    for row in last if len(last) > 1 else ():
        axes.text(start, row, cut(shown.at[row, "family"], 17), transform=beside, va="center", size=7, weight="bold")
        axes.plot([start, 1], [row + 0.5] * 2, color=SOFT, lw=0.3, transform=beside, clip_on=False)
    control = shown["use"] == "control"
    marks = np.where(control, " (control)", "")
    names = [cut(model, 44 - len(mark)) + mark for model, mark in zip(shown["model"], marks, strict=True)]
    axes.set_yticks(y, names)
    count_rows(axes, y, shown["kernels"] - shown["dead"])
    axes.set(xlim=(0, 1), xlabel=f"share of kernels with a pattern (dissimilarity below {threshold:g})")
    axes.xaxis.set_major_formatter(PERCENT)
    draw_legend(figure, shares.columns)

    caption = (
        f"{networks((~control).sum(), len(independent))}{' and the controls' if control.any() else ''}"
        f"{', by family of networks' if len(last) > 1 else ''}: the share of "
        f"{size} kernels with a pattern (dissimilarity below {threshold:g}), by family of patterns; lines are 95 % "
        "bootstrap intervals over the layers of a model, if it has five. Dashed: the same kernels with random phases."
    )
    alt = f"Stacked bars of the share of {size} kernels with a pattern, a bar for each model."
    columns = ["model", "family", "use", "kernels", "dead", "pattern_share", "pattern_low", "pattern_high"]
    data = shown[columns].assign(random_phases=strongest).join(shares.reset_index(drop=True))
    return Drawing(figure, data, "Models", caption, alt)
