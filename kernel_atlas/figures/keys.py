"""Residuals of small sets of keys."""

import pandas as pd
import seaborn as sns

from kernel_atlas.figures.style import COLOURS, INK, MARKS, add_legend, open_panels, points_legend, sizes_of
from kernel_atlas.figures.write import Drawing, draw_nothing

SETS = {
    "published": "eight published filters",
    "random kernels": "random kernels",
    "prototypes": "all prototypes",
    "greedy prototypes": "prototypes, chosen greedily",
    "k-means": "k-means, sign-blind",
}
LOOKS = dict(zip(SETS.values(), zip(COLOURS[1:], MARKS, strict=False), strict=False))


def draw(key_sets: pd.DataFrame, greedy_sets: pd.DataFrame) -> Drawing:
    """The mean residual of networks held out against the number of keys, a panel a size."""
    greedy = greedy_sets.dropna(subset="residual")
    sets = key_sets[key_sets["set"].isin(list(SETS)) & (key_sets["subject"] == "real")]
    if greedy.empty:
        return draw_nothing("Keys", "no sets of keys were searched")
    figure, panels = open_panels(sizes_of(greedy), 2.3, sharex=True, sharey=True)
    for size, axes in panels.items():
        own, others = greedy[greedy["size"] == size], sets[sets["size"] == size]
        axes.fill_between(own["keys"], own["residual_low"], own["residual_high"], color=COLOURS[0], alpha=0.2, lw=0)
        lines = {"data": own, "x": "keys", "errorbar": None, "legend": False, "ax": axes}
        sns.lineplot(y="residual", color=COLOURS[0], **lines)
        sns.lineplot(y="residual_gaussian", color=INK, ls="--", **lines)
        for place, one in enumerate(others.itertuples()):
            colour, marker = LOOKS[SETS[one.set]]
            keys = one.keys + 0.35 * (place - (len(others) - 1) / 2)  # sets of equal size side by side
            axes.vlines(keys, one.mean_low, one.mean_high, color=colour, lw=1.2)
            axes.plot(keys, one.mean, marker, color=colour, ms=5)
        axes.set(xlim=(0, None), ylim=(0, 1), ylabel="mean relative residual")
    greedily = dict(zip(("kernels, chosen greedily", "the same, of Gaussian noise"), axes.get_lines(), strict=False))
    add_legend(figure, greedily | points_legend(LOOKS))
    caption = (
        "What is left of kernels, sqrt(1 - cosine^2), when each is written as a times its best key plus b; keys "
        "were chosen on other networks. Bands and lines are 95 % intervals over networks, over layers where these "
        "are few, or over draws of random kernels."
    )
    alt = "Curves of the mean residual against the number of keys, a panel for each size."
    data = pd.concat([greedy.assign(panel="greedy"), sets.assign(panel="sets")], ignore_index=True)
    return Drawing(figure, data, "Keys", caption, alt)
