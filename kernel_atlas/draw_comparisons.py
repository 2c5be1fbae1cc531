"""Draw how networks compare, and where patterns come from: depth, data, padding, layers, small sets of keys.

As in `draw`: tables in; the figure, the data drawn and the words beside it out. Tables may hold all sizes.
"""

import re
from itertools import takewhile
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, MaxNLocator
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import squareform

from kernel_atlas.canvas import (
    FAMILIES,
    HALO,
    INK,
    PERCENT,
    SOFT,
    WIDTH,
    Drawing,
    cut,
    draw_interval,
    draw_kernel,
    draw_nothing,
    open_canvas,
    place_axes,
    short,
)
from kernel_atlas.patterns import COMPASS, family_of
from kernel_atlas.sheet import images_of, one_per_group
from kernel_atlas.words import KINDS, interval, percent, points

NETWORKS = 36  # of the heat map; with more the names cannot be read
PAIRS = 60  # of the contrasts, about a page
FEWEST = 4  # points of a scatter
BLUE, ORANGE = "#0072b2", "#d55e00"
MARKERS = "osD^vP*X"
HUES = [colour for family, (colour, _) in FAMILIES.items() if family not in ("On-Second-Derivative", "other")][:7]
TITLE_OF_ACCURACY = "Accuracy, images and size"
VARIABLES = {  # of a network, how the figure names it and how the table of correlations does
    "top1": ("top-1 accuracy in %", "top1"),
    "images": ("training images", "log10_images"),
    "params": ("parameters", "log10_params"),
}
MEASURES = {
    "noisy": "no more like a template than noise",
    "dead": "dead kernels",
    "sparsity": "all taps near zero",
    "variance_entropy": "variance entropy",
    "orthogonality": "orthogonality",
    "banding": "log2 of row to column energy",
}
SHARES = ("dead", "noisy", "sparsity")  # the other measures have no percent
STYLES = {"symmetric": "o", "same": "s", "unknown": "^"}
PUSHED = {"symmetric": (0.5, -0.5), "same": (-0.5, 0.5)}  # see evidence.offsets
PADDED = ("On-Square", "Off-Square", "On-Centre", "Off-Centre")
AXES = ("EW", "NE-SW", "NS", "NW-SE")  # each 45 degrees further, as in patterns.second_derivative
SUBJECTS = {"real": (BLUE, "-", "o"), "untrained": (ORANGE, "-.", "s"), "dense": ("#009e73", ":", "D")}
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


def draw_similarity(size: str, threshold: float, models: pd.DataFrame, architectures: pd.DataFrame) -> Drawing:
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
    upper = matrix.to_numpy()[np.triu_indices(len(names), 1)]
    nearest, farthest = pairs.loc[pairs["jensen_shannon"].idxmin()], pairs.loc[pairs["jensen_shannon"].idxmax()]
    ends = (
        f"{nearest['model_a']} and {nearest['model_b']} are the most alike ({nearest['jensen_shannon']:.2f}), "
        f"{farthest['model_a']} and {farthest['model_b']} the least ({farthest['jensen_shannon']:.2f})"
    )
    which = f"the {len(names)} with most kernels of {len(independent)}" if len(names) < len(independent) else "all"
    caption = (
        f"Jensen-Shannon distance (base 2; 0: equal, 1: nothing in common) between the shares of {size} labels of "
        f"independent networks, {which}, in the order of average linkage, whose tree is at the right. The median "
        f"distance is {np.nanmedian(upper):.2f}; {ends}. Networks with few kernels are apart by chance too."
    )
    if missing:
        caption += f" Pairs whose distance is not known are crossed out: {missing}."
    alt = f"Heat map of the distances between the {size} label shares of {len(names)} networks: {ends}."
    data = matrix.rename_axis("model").reset_index()
    return Drawing(figure, data, "Similarity", caption, alt)


def draw_depth(size: str, threshold: float, depth: pd.DataFrame, trends: pd.DataFrame) -> Drawing:
    """The share of each family of labels along the depth of the networks."""
    data = depth[(depth["size"] == size) & depth["share"].notna()]
    trends = trends[trends["size"] == size].set_index("family")
    families = [family for family in ("Cross", *FAMILIES) if (data["family"] == family).any()]
    families = [family for family in families if not family.endswith("-Cross")]
    if not families:
        return draw_nothing(size, "Depth", "no depth is covered by five networks")
    columns = min(3, len(families))
    rows = -(-len(families) // columns)
    height = 0.55 + 1.4 * rows
    figure = Figure(figsize=(WIDTH, height))
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    figure.subplots_adjust(0.06, 0.48 / height, 0.99, 1 - 0.27 / height, wspace=0.28, hspace=0.5)
    told = []
    for axes, family in zip(panels, families, strict=False):
        part = data[data["family"] == family]
        colour = {"Cross": FAMILIES["On-Cross"][0], "other": SOFT}.get(family) or FAMILIES[family][0]
        axes.fill_between(part["depth"], part["low"], part["high"], color=colour, alpha=0.25, lw=0)
        axes.plot(part["depth"], part["share"], color=colour, lw=2, path_effects=[HALO])
        axes.set(xlim=(0, 1), ylim=(0, None))
        axes.yaxis.set_major_formatter(PERCENT)
        axes.yaxis.set_major_locator(MaxNLocator(4, min_n_ticks=2))
        axes.tick_params(length=2)
        name = {"Cross": "Crosses, On and Off", "other": "other (not clustered)"}.get(family, short(family))
        if family in trends.index and np.isfinite(trends.loc[family, "low"]):
            trend = interval(*trends.loc[family, ["spearman", "low", "high"]])
            name += f": trend {trend}"
            told.append(f"{'crosses' if family == 'Cross' else short(family)} {trend}")
        axes.set_title(name, size=7, loc="left", pad=3, weight="bold" if family == "Cross" else "normal")
    for place, axes in enumerate(panels):
        axes.tick_params(labelbottom=place + columns >= len(families))  # the last of each column
        axes.set_visible(place < len(families))
    figure.text(0.5, 0.14 / height, "depth: 0 at a network's first layer, 1 at its last", ha="center", va="center")
    if families[0] == "Cross":
        panels[0].set_facecolor("#f6f1f5")
    spearman = (
        f" Trends (mean rank correlations of share and depth within networks): {'; '.join(told)}." if told else ""
    )
    networks = data["models"].max()
    caption = (
        f"Share of each family of labels among the live {size} kernels along the depth of up to {networks} independent "
        "networks, smoothed with a Gaussian of standard deviation 0.1, where at least five networks have layers; bands "
        f"are 95 % intervals over networks, scales differ between panels.{spearman}"
    )
    if told:
        caption += " The curve pools kernels and the correlation looks within networks: they may disagree."
    alt = f"Curves of the share of {len(families)} families of {size} labels against depth.{spearman}"
    return Drawing(figure, data.drop(columns="size"), "Depth", caption, alt)


def draw_accuracy(
    size: str, threshold: float, models: pd.DataFrame, correlations: pd.DataFrame, datasets: pd.DataFrame
) -> Drawing:
    """The share clustered against accuracy, number of training images and number of parameters."""
    points = one_per_group(models[models["size"] == size]).dropna(subset=["clustered_share"])
    points = points.assign(images=[float(images_of(name, datasets)) for name in points["dataset"]])
    points[["top1", "params"]] = points[["top1", "params"]].astype(float)
    points["dataset"] = points["dataset"].fillna("not stated")
    shown = [variable for variable in VARIABLES if points[variable].notna().sum() >= FEWEST]
    if not shown:
        return draw_nothing(
            size, TITLE_OF_ACCURACY, f"accuracy, data set and size of fewer than {FEWEST} networks known"
        )
    points = points.dropna(subset=shown, how="all").sort_values("model")
    absent = [words for variable, (words, _) in VARIABLES.items() if variable not in shown]
    known = correlations[correlations["size"] == size].sort_values("n", ascending=False, kind="stable")
    known = {variable: known[known["variable"] == VARIABLES[variable][1]].head(3) for variable in shown}

    common = points["dataset"].value_counts().index[: len(MARKERS) - 1].tolist()
    looks = dict(zip(common, zip(MARKERS, HUES, strict=True), strict=False))
    others = points["dataset"].nunique() - len(common)
    columns = 3 if len(shown) > 1 else 2  # where names of data sets have room
    lines = max(1, *(len(rows) for rows in known.values()))
    foot = 0.62 + 0.17 * (-(-(len(common) + (others > 0)) // columns)) + 0.2 * bool(absent)
    top = 0.15 + 0.15 * lines
    height = top + 2.6 + foot
    figure = Figure(figsize=(WIDTH, height))
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    figure.subplots_adjust(0.08, foot / height, 0.985, 1 - top / height, wspace=0.08)
    told = []
    for axes, variable in zip(panels, shown, strict=True):
        part = points.dropna(subset=[variable])
        wide = part[variable].max() > 10 * part[variable].min()
        if wide:
            axes.set_xscale("log")
        else:
            axes.xaxis.set_major_locator(MaxNLocator(4))
        if variable != "top1":
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        part = part.assign(place=_side_by_side(part[variable], wide))
        faint = 0.45 if len(part) > 40 else 0.8
        for name, networks in part.groupby(part["dataset"].where(part["dataset"].isin(common), "")):
            marker, colour = looks.get(name, (MARKERS[-1], SOFT))
            axes.vlines(
                networks["place"], networks["share_low"], networks["share_high"], color=colour, lw=0.6, alpha=faint
            )
            look = {
                "ls": "",
                "marker": marker,
                "color": colour,
                "ms": 6 if len(part) <= 40 else 4.5,
                "mec": "white",
                "mew": 0.4,
            }
            axes.plot(networks["place"], networks["clustered_share"], **look)
        coefficients = [
            f"{'all data sets' if row.dataset == 'all' else cut(row.dataset, 20)}: "
            f"r = {interval(row.pearson, row.pearson_low, row.pearson_high)}, {row.n} networks"
            for row in known[variable].itertuples()
        ]
        told += [f"{VARIABLES[variable][0]}, {words}" for words in coefficients]
        axes.set_title("\n".join(coefficients) or "too few for a coefficient", size=7, loc="left", color=SOFT)
        axes.set_xlabel(VARIABLES[variable][0])
        axes.tick_params(length=2)
    panels[0].set(ylim=(0, 1), ylabel="share of kernels clustered")
    panels[0].yaxis.set_major_formatter(PERCENT)
    handles = [Line2D([], [], ls="", marker=m, color=c, label=cut(name, 40)) for name, (m, c) in looks.items()]
    if others:
        words = f"{others} other data set{'s' if others > 1 else ''}"
        handles.append(Line2D([], [], ls="", marker=MARKERS[-1], color=SOFT, label=words))
    figure.legend(handles=handles, loc="lower center", ncols=columns, handletextpad=0.2, bbox_to_anchor=(0.5, 0.02))
    left_out = f"Known of fewer than {FEWEST} networks, and not drawn: {', '.join(absent)}." if absent else ""
    figure.text(0.5, (foot - 0.58) / height, left_out, ha="center", va="center", size=7, color=SOFT)
    said = f" Pearson's r with its 95 % interval over networks: {'; '.join(told)}." if told else ""
    if left_out:
        said += f" {left_out}"
    drawn = ", ".join(VARIABLES[variable][0] for variable in shown)
    caption = (
        f"Share of {size} kernels clustered in {len(points)} networks, one of each group that shares weights, with its "
        f"95 % interval over layers, against: {drawn}. Markers tell data sets; of several the largest counts as the "
        "training images; points at the same number are side by side. Accuracies, and numbers of parameters, compare "
        f"within a data set only; r takes logarithms of numbers.{said}"
    )
    alt = f"Scatter of the share of {size} kernels clustered in {len(points)} networks.{said}"
    columns = ["model", "dataset", *VARIABLES, "clustered_share", "share_low", "share_high"]
    return Drawing(figure, points[columns], TITLE_OF_ACCURACY, caption, alt)


def draw_contrasts(size: str, threshold: float, contrasts: pd.DataFrame, contrast_kinds: pd.DataFrame) -> Drawing:
    """Pairs of networks that are listed for one difference: what it does to the share clustered and to the labels."""
    there = contrasts[contrasts["size"] == size].sort_values(["contrast", "difference"], kind="stable")
    if there.empty:
        return draw_nothing(size, "Contrasts", "no pair of the table of contrasts is in the sheet")
    counts = there["contrast"].value_counts()
    most = max((n for n in range(1, counts.max() + 1) if counts.clip(upper=n).sum() <= PAIRS), default=1)
    data = pd.concat([_spread_over(pairs, most) for _, pairs in there.groupby("contrast")])
    kinds = contrast_kinds[contrast_kinds["size"] == size].set_index("contrast")

    pitch, top, left = 0.21, 0.15, 3.55
    foot = top + pitch * (len(data) + data["contrast"].nunique())
    figure, canvas = open_canvas(foot + 0.72)
    axes, right = place_axes(figure, left, top, 6.25, foot), place_axes(figure, 6.5, top, WIDTH - 0.15, foot)
    axes.axvline(0, color=SOFT, lw=0.6, zorder=0)
    row, told = 0, []
    for contrast, pairs in data.groupby("contrast"):
        middle = top + (row + 0.5) * pitch
        canvas.text(0.1, middle, contrast, va="center", size=8, weight="bold")
        canvas.hlines(top + row * pitch, 0.1, WIDTH - 0.15, color="#dddddd", lw=0.5)
        if contrast in kinds.index:
            kind = kinds.loc[contrast]
            mean = points(kind["difference"], kind["low"], kind["high"])
            number = f"{kind['pairs']} pair{'s' if kind['pairs'] > 1 else ''}"
            told.append(f"{contrast} {mean} ({number}, labels beyond chance in {kind['beyond']})")
            canvas.text(left - 0.1, middle, f"mean of {number}: {mean}", ha="right", va="center", size=7)
            draw_interval(axes, row, kind["low"], kind["high"], INK)
            axes.plot(kind["difference"], row, "D", color=INK, ms=5)
            right.plot(kind["jensen_shannon"], row, "D", color=INK, ms=5)
        for pair in pairs.itertuples():
            row += 1
            draw_interval(axes, row, pair.low, pair.high, BLUE)
            axes.plot(pair.difference, row, "o", color=BLUE, ms=4)
            right.hlines(row, 0, pair.chance_high, color="#cfcfcf", lw=6)
            right.plot(pair.jensen_shannon, row, "s", color=ORANGE, ms=4)
            words = _change_of(pair.model, pair.against)
            canvas.text(left - 0.1, top + (row + 0.5) * pitch, words, ha="right", va="center", size=6.5, color=SOFT)
        row += 1
    for one in (axes, right):
        one.set_ylim(row - 0.5, -0.5)
        one.set_yticks([])
    axes.xaxis.set_major_formatter(PERCENT)
    axes.set_xlabel("share clustered, second less first")
    right.set_xlabel("distance of label shares")
    right.set_xlim(0, None)
    look = {"ls": "", "ms": 4.5}
    handles = [
        Line2D([], [], marker="o", color=BLUE, label="a pair", **look),
        Line2D([], [], marker="s", color=ORANGE, label="distance of a pair", **look),
        Patch(color="#cfcfcf", label="what chance reaches"),
        Line2D([], [], marker="D", color=INK, label="mean of a kind", **look),
    ]
    figure.legend(handles=handles, loc="lower right", ncols=4, columnspacing=1.2, handletextpad=0.4)
    shown = ""
    if most < counts.max():
        shown = f", {len(data)} of {len(there)} pairs evenly over the order of their differences"
    caption = (
        f"Pairs of networks, listed in config/contrasts.tsv for one difference (which may not be the only one){shown}: "
        f"difference of "
        f"the share of {size} kernels clustered, with its 95 % interval over layers where there are five, and "
        "Jensen-Shannon distance of the label shares; grey reaches to the 95 % quantile of what two random parts of "
        f"the same kernels would show. Mean differences, with intervals over five pairs or more: {'; '.join(told)}."
    )
    alt = f"Differences of the share of {size} kernels clustered in {len(data)} pairs. Means: {'; '.join(told)}."
    return Drawing(figure, data.drop(columns="size"), "Contrasts", caption, alt)


def draw_layer_measures(size: str, threshold: float, layer_depths: pd.DataFrame, banding: pd.DataFrame) -> Drawing:
    """What layers are like along the depth, beside controls and chance."""
    data = layer_depths[(layer_depths["size"] == size) & (layer_depths["depth"] != "all")]
    data = data[data["measure"].isin(list(MEASURES))]
    if data.empty:
        return draw_nothing(size, "Layers", "there are no layers of this size")
    data = data.assign(middle=data["depth"].str.split("-").str[0].astype(float) + 0.1)
    height = 3.9
    figure = Figure(figsize=(WIDTH, height))
    panels = figure.subplots(2, 3, sharex=True).ravel()
    figure.subplots_adjust(0.065, 0.78 / height, 0.985, 1 - 0.25 / height, wspace=0.24, hspace=0.32)
    handles = {}
    for axes, (measure, words) in zip(panels, MEASURES.items(), strict=True):
        for subject, (colour, line, marker) in SUBJECTS.items():
            part = data[(data["measure"] == measure) & (data["subject"] == subject)].sort_values("middle")
            if len(part):
                axes.fill_between(part["middle"], part["low"], part["high"], color=colour, alpha=0.2, lw=0)
                look = {"color": colour, "ls": line, "marker": marker, "ms": 3.5}
                handles[KINDS.get(subject, subject)] = axes.plot(part["middle"], part["mean"], **look)[0]
        chance = data.loc[data["measure"] == measure, "chance"].dropna()
        if len(chance):
            handles["Gaussian kernels"] = axes.axhline(chance.iloc[0], color=INK, lw=1, ls=(0, (4, 2)))
        if measure in SHARES:
            axes.yaxis.set_major_formatter(PERCENT)
            axes.set_ylim(0, max(0.01, axes.get_ylim()[1]))
        axes.set_title(words, size=7.5, loc="left", pad=3)
        axes.set(xlim=(0, 1), xticks=np.arange(6) / 5)
        axes.tick_params(length=2)
    figure.text(0.5, 0.42 / height, "depth, in fifths", ha="center", va="center")
    figure.legend(handles.values(), handles, loc="lower center", ncols=len(handles), handlelength=2.8)
    means = layer_depths[(layer_depths["size"] == size) & (layer_depths["depth"] == "all")]
    means = means[means["subject"] == "real"].set_index("measure")
    told = [
        f"{words} {(percent if measure in SHARES else interval)(*means.loc[measure, ['mean', 'low', 'high']])}"
        for measure, words in MEASURES.items()
        if measure in means.index
    ]
    listed = f" Over all depths, real kernels: {'; '.join(told)}." if told else ""
    band = banding[(banding["size"] == size) & (banding["subject"] == "real")]
    last = ""
    if len(band):
        change = interval(*band[["difference", "low", "high"]].iloc[0])
        last = f" The log2 ratio of the last fifth less that of the layers before is {change}."
    caption = (
        f"Means over the layers with {size} kernels of independent networks, by fifth of the depth, with 95 % intervals"
        " over networks where there are five; lines without a band are of fewer. Dashed: Gaussian kernels. Variance "
        "entropy is that of the variances along a layer's principal axes, 1 as of Gaussian kernels; orthogonality is 1 "
        "less the mean |cosine| of two kernels; the logarithm is positive where more energy is constant along rows "
        f"than along columns.{listed}{last}"
    )
    alt = f"Six measures of {size} layers along the depth.{listed}{last}"
    return Drawing(figure, data.drop(columns=["size", "middle"]), "Layers by depth", caption, alt)


def draw_offsets(size: str, threshold: float, offsets: pd.DataFrame, padding: pd.DataFrame) -> Drawing:
    """Where kernels have their energy, by label, and squares beside centres by padding."""
    rows = offsets[(offsets["size"] == size) & (offsets["subject"] == "real") & (offsets["stride"] == "all")]
    rows = rows.assign(family=["all" if label == "all" else family_of(label) for label in rows["label"]])
    # a family of several labels is left out: its directions cancel
    whole = (rows["label"] == rows["family"]) & rows["family"].isin(rows.loc[rows["label"] != rows["family"], "family"])
    labels = rows[(rows["padding"] == "all") & ~whole]
    styles = rows[(rows["padding"] != "all") & rows["family"].isin(PADDED) & ~whole]
    if labels.empty:
        return draw_nothing(size, "Offsets", "there are no kernels of independent networks")
    data = pd.concat([labels.assign(panel="labels"), styles.assign(panel="padding")], ignore_index=True)
    rank = data["family"].map({family: place for place, family in enumerate(("all", *FAMILIES))})
    data = data.assign(rank=rank).sort_values(["panel", "rank", "label", "padding"]).drop(columns="rank")
    limit = max(0.7, 1.1 * data[["dx", "dy", "dx_low", "dx_high", "dy_low", "dy_high"]].abs().max(axis=None))
    side, top = 3.5, 0.4
    longest = -(-max(len(labels), len(styles) + 2) // 3)
    figure, canvas = open_canvas(top + side + 0.7 + 0.165 * longest)
    titles = {"labels": "Mean offset of labels", "padding": "Squares and centres, by padding"}
    for left, (panel, title) in zip((0.7, 5.1), titles.items(), strict=True):
        axes = place_axes(figure, left, top, left + side, top + side)
        canvas.text(left, 0.2, title, weight="bold", size=8, va="center")
        axes.axvspan(-0.5, 0.5, 0.5 - 0.25 / limit, 0.5 + 0.25 / limit, color="#f1f1f1", zorder=0)
        for border in np.arange(-np.floor(limit) - 0.5, limit + 0.5):
            axes.axhline(border, color="#dddddd", lw=0.5, zorder=0)
            axes.axvline(border, color="#dddddd", lw=0.5, zorder=0)
        axes.text(-0.47, 0.47, "middle tap", size=6.5, color=SOFT, va="top")
        handles = {}
        if panel == "padding":
            for style, (x, y) in PUSHED.items():
                look = {"ls": "", "marker": STYLES[style], "color": SOFT, "mfc": "none", "ms": 9, "mew": 0.7}
                handles[f"pushed by stride 2, {style}"] = axes.plot(x, y, **look)[0]
        for row in data[data["panel"] == panel].itertuples():
            look = _look_of_offset(row.label, row.family, row.padding)
            axes.plot([0, row.dx], [0, row.dy], color=look["color"], lw=0.8, alpha=0.7)
            axes.hlines(row.dy, row.dx_low, row.dx_high, color=look["color"], lw=0.9)
            axes.vlines(row.dx, row.dy_low, row.dy_high, color=look["color"], lw=0.9)
            name = "all kernels" if row.label == "all" else short(row.label)
            name += {"labels": "", "padding": f", {row.padding}"}[panel]
            handles[name] = axes.plot(row.dx, row.dy, ls="", **look)[0]
        axes.set(xlim=(-limit, limit), ylim=(-limit, limit), xlabel="taps to the right", ylabel="taps upwards")
        axes.tick_params(length=2)
        place = {
            "loc": "upper center",
            "bbox_to_anchor": (0.47, -0.12),
            "ncols": 3,
            "handlelength": 1.4,
            "handletextpad": 0.5,
        }
        axes.legend(handles.values(), handles, **place, columnspacing=0.7, fontsize=6.5)
        if not (data["panel"] == panel).any():
            axes.text(
                0,
                0,
                "no network here has a known padding\nand squares or centres",
                ha="center",
                va="center",
                color=SOFT,
            )
    far = labels[labels["label"] != "all"].assign(length=np.hypot(labels["dx"], labels["dy"])).nlargest(3, "length")
    told = [
        f"{short(row.label)} ({interval(row.dx, row.dx_low, row.dx_high)}, {interval(row.dy, row.dy_low, row.dy_high)})"
        for row in far.itertuples()
    ]
    tests = padding[(padding["size"] == size) & (padding["test"] == "square - centre")]
    push = ""
    if len(tests):
        push = f" Squares lie {interval(*tests[['value', 'low', 'high']].iloc[0])} taps farther out than centres."
    listed = f" Farthest out are (right, up): {'; '.join(told)}." if told else ""
    caption = (
        f"Mean place of the energy of {size} kernels, in taps from the middle, with 95 % intervals over networks where "
        "there are five; grey lines are the borders of taps. Triangles and bars point along the direction in the name "
        "of a derivative. Right: squares and centres by the padding that the sheet or the source tells (same: "
        "TensorFlow's), of any stride, and where stride 2 would push what lies in the middle of its cell."
        f"{listed}{push} A square's prototype may itself be off the middle, so that part of its offset is how it was "
        "chosen."
    )
    alt = f"Mean offsets of {len(labels)} kinds of {size} kernels in taps.{listed}{push}"
    return Drawing(figure, data.drop(columns="size"), "Offsets", caption, alt)


def draw_keys(
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
    enough = ""
    within = greedy[greedy["within_tolerance"].astype(bool)]
    if len(within):
        least = within["keys"].iloc[0]
        axes.axvline(least, color=SOFT, lw=0.8, ls=":")
        axes.text(least + 0.15, 0.03, least, transform=axes.get_xaxis_transform(), size=7, color=SOFT)
        few = f"the first {least} are" if least > 1 else "the first is"
        enough = f" Of {len(greedy)} greedily chosen keys, {few} within the tolerance of all (dotted)."
    figure.legend(handles.values(), handles, loc="lower center", ncols=4, handletextpad=0.4, columnspacing=1.2)
    if shares.empty:
        told = "" if size == FILTER_SIZE else f" The published filters are {FILTER_SIZE}."
    else:
        told = _draw_filters(figure, canvas, (top, foot), shares, filters)
    named = [
        f"{SETS[row.set][0]} ({row.keys}) {interval(row.mean, row.mean_low, row.mean_high)}"
        for row in real.itertuples()
    ]
    listed = f" Sets and their number of keys: {'; '.join(named)}." if named else ""
    caption = (
        f"What is left of {size} kernels of networks that a set was not chosen on, sqrt(1 - cosine^2), when each is "
        "written as a times its best key plus b. Bands and lines are 95 % intervals over networks, over layers where "
        f"these are few, or over draws of random kernels.{enough}{listed} Sets of as many keys are side by side.{told}"
    )
    alt = f"Mean residual of {size} kernels against the number of keys.{enough}{listed}{told}"
    data = pd.concat([greedy.assign(panel="greedy"), sets.assign(panel="sets"), shares.assign(panel="filters")])
    return Drawing(figure, data.drop(columns="size").reset_index(drop=True), "Keys", caption, alt)


def _side_by_side(values: pd.Series, logarithmic: bool) -> pd.Series:
    """Values moved a little where several are equal, by the golden ratio so that neighbours are not in a row."""
    scale = np.log10(values) if logarithmic else values
    width = 0.05 * (np.ptp(scale) or 1.0)
    turn = scale.groupby(values).cumcount() * (5**0.5 - 1) / 2
    moved = scale + np.where(values.duplicated(keep=False), width * ((turn + 0.5) % 1 - 0.5), 0)
    return 10**moved if logarithmic else moved


def _look_of_offset(label: str, family: str, padding: str) -> dict[str, Any]:
    """The marker of a label: its colour tells the family, its shape the direction, or else the padding."""
    colour = INK if label == "all" else FAMILIES[family][0]
    towards = label.removeprefix(family).lstrip("-")
    if towards in COMPASS:
        return {"color": colour, "marker": (3, 0, 45 * COMPASS.index(towards) - 90), "ms": 7}
    if towards in AXES:
        return {"color": colour, "marker": (2, 2, 45 * AXES.index(towards) - 90), "ms": 9, "mew": 2.5}
    if family == "Further patterns" and label != family:
        return {"color": colour, "marker": f"${label.split('-')[-1]}$", "ms": 7}
    filled = {"mfc": "white"} if label.startswith("Off") else {}
    return {"color": colour, "marker": STYLES.get(padding, "o"), "ms": 6, **filled}


def _change_of(model: str, against: str) -> str:
    """From which network to which; of a long name only what differs."""
    if len(against) > 27:
        parts = zip(*(re.split(r"(?<=[._-])", name) for name in (model, against)), strict=False)
        same = sum(len(a) for a, _ in takewhile(lambda pair: pair[0] == pair[1], parts))
        against = f"…{against[same:]}" if same else against
    return f"{cut(model, 27)} → {cut(against, 27)}"


def _spread_over(pairs: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most so many rows, evenly over their order, the ends with them."""
    return pairs.iloc[np.linspace(0, len(pairs) - 1, min(most, len(pairs))).round().astype(int)]


def _draw_filters(
    figure: Figure, canvas: Axes, between: tuple[float, float], shares: pd.DataFrame, filters: pd.DataFrame
) -> str:
    """The published filters with the share of kernels each is best for; a sentence about the most used one."""
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
    real = shares[shares["subject"] == "real"]
    if real.empty:
        return ""
    most = real.nlargest(1, "share").iloc[0]
    share = percent(most["share"], most["share_low"], most["share_high"])
    return (
        f" Right: the published filters and the share of kernels that each is best for; filter {most['filter']} is "
        f"best for most, {share}. Red taps are positive and blue ones negative, scaled to a filter's largest."
    )


FIGURES = {
    "similarity": draw_similarity,
    "depth": draw_depth,
    "accuracy": draw_accuracy,
    "contrasts": draw_contrasts,
    "layer_measures": draw_layer_measures,
    "offsets": draw_offsets,
    "keys": draw_keys,
}
