"""The share clustered at each threshold."""

import pandas as pd
from matplotlib.figure import Figure

from kernel_atlas.figures.style import HALO, INK, PERCENT, SOFT, WIDTH, largest_first
from kernel_atlas.figures.write import Drawing


def draw(
    size: str, threshold: float, models: pd.DataFrame, thresholds: pd.DataFrame, knees: pd.DataFrame | None = None
) -> Drawing:
    """The share clustered against the threshold, with the knee of the median curve where the evidence has it."""
    curves = thresholds[thresholds["size"] == size].pivot(index="threshold", columns="model", values="clustered_share")
    independent, controls = (part["model"] for part in largest_first(models[models["size"] == size]))
    curves = curves[[*independent, *controls, "noise"]]
    median, noise, x = curves[independent].median(axis=1), curves["noise"], curves.index.to_numpy()

    height = 3.7
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes([0.75 / WIDTH, 0.5 / height, 6.3 / WIDTH, (height - 0.7) / height])
    thin = {"color": "#0072b2", "lw": 0.6, "alpha": 0.3 if len(independent) < 60 else 0.15}
    lines = {f"networks ({len(independent)})": axes.plot(x, curves[independent], **thin)}
    lines["their median"] = axes.plot(x, median, color="#0072b2", lw=2.4, path_effects=[HALO])
    if len(controls):
        lines[f"control networks ({len(controls)})"] = axes.plot(x, curves[controls], color="#d55e00", lw=1.2, ls="-.")
    lines["Gaussian noise"] = axes.plot(x, noise, color=INK, lw=1.6, ls=(0, (4, 2)))
    axes.axvline(threshold, color=SOFT, lw=1, ls=":")
    axes.text(threshold, 1.01, f"threshold {threshold:g}", va="bottom", ha="center", size=7.5, color=SOFT)
    knee = None if knees is None else knees[(knees["size"] == size) & (knees["model"] == "all")].squeeze(axis=0)
    if knee is not None and len(knee):
        marks = (("knee", "knee", "knee_share", "o"), ("noise at most 1 %", "noise_floor", "floor_share", "D"))
        for words, where, share, marker in marks:
            look = {"marker": marker, "ls": "", "ms": 7, "color": "#0072b2", "mfc": "white", "mew": 1.6, "zorder": 4}
            lines[f"{words} (median)"] = axes.plot(knee[where], knee[share], **look)
    axes.set(xlim=(0, x.max()), ylim=(0, 1), ylabel="share of kernels clustered")
    axes.set_xlabel("dissimilarity to the reconstruction below which a kernel counts as clustered")
    axes.yaxis.set_major_formatter(PERCENT)
    axes.legend(
        [line[0] for line in lines.values()], lines, loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=2.6
    )
    caption = (
        f"Share of the {size} kernels of each independent network that every threshold would count as clustered, and "
        f"of noise; {threshold:g} is used here. The knee is the point of the median curve farthest above its chord."
    )
    alt = f"Curves of the share of {size} kernels clustered against the threshold, of networks and of noise."
    data = curves.assign(median=median).reset_index().melt("threshold", var_name="model", value_name="clustered_share")
    return Drawing(figure, data, "Thresholds", caption, alt)
