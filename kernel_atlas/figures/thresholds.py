"""The share clustered at each threshold."""

import pandas as pd
import seaborn as sns

from kernel_atlas.figures.style import BLUE, INK, PERCENT, add_legend, largest_first, open_panels, sizes_of
from kernel_atlas.figures.write import Drawing


def draw(models: pd.DataFrame, thresholds: pd.DataFrame) -> Drawing:
    """The share clustered against the threshold, a line a network, a panel a size."""
    data = thresholds.dropna(subset="clustered_share")
    figure, panels = open_panels(sizes_of(data), 2.2, sharex=True, sharey=True)
    kept, looks = [], {"median of networks": {"color": BLUE, "lw": 2}, "Gaussian noise": {"color": INK, "ls": "--"}}
    for size, axes in panels.items():
        independent, _ = largest_first(models[models["size"] == size])
        own = data[(data["size"] == size) & data["model"].isin([*independent["model"], "noise"])]
        nets = own[own["model"] != "noise"]
        line = {"x": "threshold", "y": "clustered_share", "errorbar": None, "legend": False, "ax": axes}
        sns.lineplot(nets, units="model", estimator=None, color=BLUE, lw=0.6, alpha=0.4, **line)
        sns.lineplot(nets, estimator="median", **looks["median of networks"], **line)
        sns.lineplot(own[own["model"] == "noise"], **looks["Gaussian noise"], **line)
        axes.set(xlim=(0, data["threshold"].max()), ylim=(0, 1), xlabel="threshold", ylabel="share clustered")
        axes.yaxis.set_major_formatter(PERCENT)
        kept.append(own)
    add_legend(figure, dict(zip(looks, axes.get_lines()[-2:], strict=True)))
    caption = (
        "Share of the kernels of each independent network, and of noise, that would count as clustered at each "
        "threshold of the dissimilarity to the reconstruction."
    )
    alt = "Curves of the share of kernels clustered against the threshold, of networks and of noise."
    return Drawing(figure, pd.concat(kept), "Thresholds", caption, alt)
