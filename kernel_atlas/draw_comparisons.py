"""Draw how networks compare, and where patterns come from: depth, data, padding, layers, small sets of keys.

As in `draw`: tables in; the figure, the data drawn and the words beside it out. Tables may hold all sizes.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import squareform

from kernel_atlas.canvas import (
    FAMILIES,
    HALO,
    INK,
    SOFT,
    WIDTH,
    Drawing,
    cut,
    draw_interval,
    draw_nothing,
    open_canvas,
    place_axes,
    short,
)
from kernel_atlas.patterns import family_of
from kernel_atlas.sheet import one_per_group
from kernel_atlas.words import interval, percent

NETWORKS = 36  # of the heat map; with more the names cannot be read
PAIRS = 40  # of the contrasts
FEWEST = 4  # points of a scatter
PERCENT = PercentFormatter(1, symbol=" %")
BLUE, ORANGE = "#0072b2", "#d55e00"
MARKERS = "osD^vP*X"
MEASURES = {
    "noisy": "no more like a template than noise",
    "dead": "dead kernels",
    "sparsity": "all taps near zero",
    "variance_entropy": "variance entropy",
    "orthogonality": "orthogonality",
    "banding": "log2 of row to column energy",
}
SUBJECTS = {"real": (BLUE, "-", "o"), "untrained": (ORANGE, "-.", "s"), "dense": ("#009e73", ":", "D")}
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
    names = independent["model"].head(NETWORKS).tolist()
    pairs = architectures[architectures["size"] == size]
    pairs = pairs[pairs["model_a"].isin(names) & pairs["model_b"].isin(names)]
    if len(names) < 3:
        return draw_nothing(size, "Similarity", "there are fewer than three independent networks")
    matrix = pd.DataFrame(0.0, index=names, columns=names)
    for row in pairs.itertuples():
        matrix.loc[row.model_a, row.model_b] = matrix.loc[row.model_b, row.model_a] = row.jensen_shannon
    links = linkage(squareform(matrix.to_numpy(), checks=False), "average", optimal_ordering=True)
    order = dendrogram(links, no_plot=True)["leaves"]
    matrix = matrix.iloc[order, order]

    pitch = min(0.3, 5.3 / len(names))
    side, left, top = pitch * len(names), 2.35, 0.15
    figure, canvas = open_canvas(top + side + 0.35)
    axes = place_axes(figure, left, top, left + side, top + side)
    highest = max(matrix.to_numpy().max(), 1e-6)
    image = axes.imshow(matrix, cmap="cividis_r", vmin=0, vmax=highest, aspect="auto", interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks(range(len(names)), [cut(name, 34) for name in matrix.index], size=min(7.5, 62 * pitch))
    axes.tick_params(length=0)
    tree = place_axes(figure, left + side + 0.08, top, left + side + 0.75, top + side)
    drawn = dendrogram(links, no_plot=True)
    for across, along in zip(drawn["dcoord"], drawn["icoord"], strict=True):
        tree.plot(across, np.array(along) / 10 - 0.5, color=SOFT, lw=0.8)
    tree.set(ylim=(len(names) - 0.5, -0.5), xlim=(0, None))
    tree.set_axis_off()
    bar = figure.colorbar(image, cax=place_axes(figure, left + side + 0.9, top, left + side + 1.02, top + min(side, 2)))
    bar.outline.set_linewidth(0.4)
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
        f"distance is {np.median(upper):.2f}; {ends}. Networks with few kernels are apart by chance too."
    )
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
        name = "Crosses, On and Off" if family == "Cross" else short(family)
        if family in trends.index and np.isfinite(trends.loc[family, "low"]):
            trend = interval(*trends.loc[family, ["spearman", "low", "high"]])
            name += f": {trend}"
            told.append(f"{'crosses' if family == 'Cross' else short(family)} {trend}")
        axes.set_title(name, size=7, loc="left", pad=3, weight="bold" if family == "Cross" else "normal")
    for axes in panels[len(families) :]:
        axes.set_visible(False)
    figure.text(0.5, 0.14 / height, "depth: 0 at a network's first layer, 1 at its last", ha="center", va="center")
    spearman = f" Rank correlation of share and depth within networks: {'; '.join(told)}." if told else ""
    networks = data["models"].max()
    caption = (
        f"Share of each family of labels among the live {size} kernels along the depth of up to {networks} independent "
        "networks, smoothed with a Gaussian of standard deviation 0.1, where at least five networks have layers; bands "
        f"are 95 % intervals over networks, scales differ between panels.{spearman} The curve pools kernels and the "
        "correlation looks within networks: they may disagree."
    )
    alt = f"Curves of the share of {len(families)} families of {size} labels against depth.{spearman}"
    return Drawing(figure, data.drop(columns="size"), "Depth", caption, alt)


def draw_accuracy(size: str, threshold: float, models: pd.DataFrame, correlations: pd.DataFrame) -> Drawing:
    """The share clustered against accuracy and against the number of parameters."""
    points = one_per_group(models[models["size"] == size])
    points = points.assign(log10_params=np.log10(points["params"].astype(float)))
    known = correlations[correlations["size"] == size]
    words = {"top1": "top-1 accuracy in %", "log10_params": "log10 of the number of parameters"}
    shown = {variable: points.dropna(subset=[variable, "clustered_share"]) for variable in words}
    shown = {variable: part for variable, part in shown.items() if len(part) >= FEWEST}
    if not shown:
        return draw_nothing(size, "Accuracy", f"the sheet states top1 or params of fewer than {FEWEST} networks")
    height = 3.4
    figure = Figure(figsize=(WIDTH, height))
    panels = figure.subplots(1, 2, sharey=True)
    figure.subplots_adjust(0.08, 0.75 / height, 0.985, 1 - 0.35 / height, wspace=0.08)
    sets = pd.concat(shown.values())["dataset"].fillna("not stated").value_counts().index[: len(MARKERS) - 1].tolist()
    colours = [colour for colour, _ in FAMILIES.values()]
    looks = dict(zip(sets, zip(MARKERS, colours, strict=False), strict=False))
    told = []
    for axes, variable in zip(panels, words, strict=True):
        axes.set_xlabel(words[variable])
        axes.yaxis.set_major_formatter(PERCENT)
        if variable not in shown:
            axes.text(0.5, 0.5, f"fewer than {FEWEST} networks", transform=axes.transAxes, ha="center", color=SOFT)
            axes.set_xticks([])
            continue
        for name, part in shown[variable].groupby(shown[variable]["dataset"].fillna("not stated")):
            marker, colour = looks.get(name, (MARKERS[-1], SOFT))
            axes.vlines(part[variable], part["share_low"], part["share_high"], color=colour, lw=0.7, alpha=0.6)
            axes.plot(part[variable], part["clustered_share"], marker, color=colour, ms=5, mec="white", mew=0.4)
        rows = known[known["variable"] == variable]
        rows = [
            f"{row.dataset}: r = {interval(row.pearson, row.pearson_low, row.pearson_high)} ({row.n} networks)"
            for row in rows.nlargest(3, "n").itertuples()
        ]
        told += [f"{words[variable]}, {row}" for row in rows]
        axes.set_title("\n".join(rows) or "too few for a coefficient", size=7, loc="left", color=SOFT)
    panels[0].set(ylim=(0, 1), ylabel="share of kernels clustered")
    handles = [Line2D([], [], ls="", marker=m, color=c, label=cut(name, 26)) for name, (m, c) in looks.items()]
    figure.legend(handles=handles, loc="lower center", ncols=min(4, len(handles)), handletextpad=0.2)
    said = f" Pearson's coefficient: {'; '.join(told)}." if told else ""
    caption = (
        f"Share of {size} kernels clustered against top-1 accuracy and network size, a point for each group of "
        "networks that share weights, with its 95 % interval over layers; markers tell data sets."
        f"{said} Accuracies on different data sets do not compare, so that top-1 has a coefficient within each."
    )
    alt = f"Scatter of the share of {size} kernels clustered against accuracy and parameters.{said}"
    columns = ["model", "dataset", "top1", "params", "clustered_share", "share_low", "share_high"]
    return Drawing(figure, points[columns].dropna(subset=["clustered_share"]), "Accuracy and size", caption, alt)


def draw_contrasts(size: str, threshold: float, contrasts: pd.DataFrame, contrast_kinds: pd.DataFrame) -> Drawing:
    """Pairs of networks that differ in one thing: what it does to the share clustered and to the labels."""
    data = contrasts[contrasts["size"] == size].sort_values(["contrast", "difference"], kind="stable").head(PAIRS)
    if data.empty:
        return draw_nothing(size, "Contrasts", "no pair of the table of contrasts is in the sheet")
    pitch = 0.23
    top, left = 0.45, 3.35
    foot = top + pitch * len(data)
    figure, canvas = open_canvas(foot + 0.55)
    axes, right = place_axes(figure, left, top, 6.2, foot), place_axes(figure, 6.5, top, WIDTH - 0.15, foot)
    axes.axvline(0, color=SOFT, lw=0.6)
    for row, pair in enumerate(data.itertuples()):
        draw_interval(axes, row, pair.low, pair.high, BLUE)
        axes.plot(pair.difference, row, "o", color=BLUE, ms=4.5)
        right.hlines(row, 0, pair.chance_high, color="#cfcfcf", lw=6)
        right.plot(pair.jensen_shannon, row, "D", color=ORANGE, ms=4.5)
        words = f"{pair.contrast}: {cut(pair.model, 22)} → {cut(pair.against, 22)}"
        canvas.text(left - 0.08, top + (row + 0.5) * pitch, words, ha="right", va="center", size=6)
    for one in (axes, right):
        one.set_ylim(len(data) - 0.5, -0.5)
        one.set_yticks([])
    axes.xaxis.set_major_formatter(PERCENT)
    axes.set_xlabel("share clustered, second less first")
    right.set_xlabel("distance of label shares (grey: by chance)")
    right.set_xlim(0, None)
    kinds = [
        f"{row.contrast} ({row.pairs} pair{'s' if row.pairs > 1 else ''}) {percent(row.difference, row.low, row.high)}"
        for row in contrast_kinds[contrast_kinds["size"] == size].itertuples()
    ]
    caption = (
        f"Pairs of networks that differ in one thing (config/contrasts.tsv): difference of the share of {size} kernels "
        "clustered, with its 95 % interval over layers where there are five, and Jensen-Shannon distance of the label "
        "shares; grey reaches to the 95 % quantile of what two random parts of the same kernels would show. Mean "
        f"differences: {'; '.join(kinds)}."
    )
    alt = f"Differences of the share of {size} kernels clustered in {len(data)} pairs. Means: {'; '.join(kinds)}."
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
                handles[subject] = axes.plot(part["middle"], part["mean"], **look)[0]
        chance = data.loc[data["measure"] == measure, "chance"].dropna()
        if len(chance):
            handles["Gaussian kernels"] = axes.axhline(chance.iloc[0], color=INK, lw=1, ls=(0, (4, 2)))
        if measure in ("noisy", "dead", "sparsity"):
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
        f"{words} {interval(*means.loc[measure, ['mean', 'low', 'high']])}"
        for measure, words in MEASURES.items()
        if measure in means.index
    ]
    band = banding[(banding["size"] == size) & (banding["subject"] == "real")]
    last = ""
    if len(band):
        change = interval(*band[["difference", "low", "high"]].iloc[0])
        last = f" The log2 ratio of the last fifth less that of the layers before is {change}."
    caption = (
        f"Means over the layers with {size} kernels of independent networks, by fifth of the depth, with 95 % intervals"
        f" over networks where there are five. Over all depths: {'; '.join(told)}.{last}"
    )
    alt = f"Six measures of {size} layers along the depth. Means: {'; '.join(told)}."
    return Drawing(figure, data.drop(columns=["size", "middle"]), "Layers by depth", caption, alt)


def draw_offsets(size: str, threshold: float, offsets: pd.DataFrame, padding: pd.DataFrame) -> Drawing:
    """Where kernels have their energy, by family of labels, and squares beside centres by padding."""
    rows = offsets[(offsets["size"] == size) & (offsets["subject"] == "real") & (offsets["stride"] == "all")]
    families = rows[(rows["padding"] == "all") & rows["label"].isin([*FAMILIES, "all"])]
    styles = rows[
        (rows["padding"] != "all") & rows["label"].isin(["On-Square", "Off-Square", "On-Centre", "Off-Centre"])
    ]
    if families.empty:
        return draw_nothing(size, "Offsets", "there are no kernels of independent networks")
    data = pd.concat([families.assign(panel="labels"), styles.assign(panel="padding")], ignore_index=True)
    ends = data[["dx", "dy", "dx_low", "dx_high", "dy_low", "dy_high"]].abs().max(axis=None)
    limit = max(0.5, 1.15 * ends)
    side = 3.3
    figure, canvas = open_canvas(side + 1.75)
    titles = {"labels": "By label", "padding": "Squares and centres, by padding"}
    for left, (panel, title) in zip((0.75, 5.05), titles.items(), strict=True):
        axes = place_axes(figure, left, 0.4, left + side, 0.4 + side)
        canvas.text(left, 0.2, title, weight="bold", size=8, va="center")
        for tap in np.arange(-np.floor(limit) - 0.5, limit + 0.5):
            axes.axhline(tap, color="#dddddd", lw=0.5, zorder=0)
            axes.axvline(tap, color="#dddddd", lw=0.5, zorder=0)
        axes.plot(0, 0, "+", color=SOFT, ms=8)
        handles = {}
        for row in data[data["panel"] == panel].itertuples():
            family = family_of(row.label) if row.label != "all" else "other"
            colour = INK if row.label == "all" else FAMILIES[family][0]
            marker = {"symmetric": "o", "same": "s", "unknown": "^", "all": "o"}.get(row.padding, "o")
            off = {"mfc": "white"} if row.label.startswith("Off") else {}
            axes.hlines(row.dy, row.dx_low, row.dx_high, color=colour, lw=0.9)
            axes.vlines(row.dx, row.dy_low, row.dy_high, color=colour, lw=0.9)
            look = {"color": colour, "marker": marker, "ls": "", "ms": 6, **off}
            name = "all kernels" if row.label == "all" else short(row.label)
            name += {"labels": "", "padding": f", {row.padding}"}[panel]
            handles[name] = axes.plot(row.dx, row.dy, **look)[0]
        axes.set(xlim=(-limit, limit), ylim=(-limit, limit), xlabel="taps to the right", ylabel="taps upwards")
        axes.tick_params(length=2)
        if handles:
            place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.13), "ncols": 3, "handletextpad": 0.1}
            axes.legend(handles.values(), handles, **place, columnspacing=0.8, fontsize=6.5)
        else:
            axes.text(0, limit / 2, "no padding is known", ha="center", color=SOFT)
    told = [
        f"{short(row.label)} ({row.dx:z.2f}, {row.dy:z.2f})"
        for row in families[families["label"] != "all"].itertuples()
    ]
    tests = padding[(padding["size"] == size) & (padding["test"] == "square - centre")]
    push = ""
    if len(tests):
        push = f" Squares lie {interval(*tests[['value', 'low', 'high']].iloc[0])} taps farther out than centres."
    caption = (
        f"Mean place of the energy of {size} kernels, in taps from the middle, with 95 % intervals over networks where "
        "there are five; grey lines are the borders of taps. Left: by label. Right: squares and centres by the padding "
        f"that the sheet or the source tells (same: TensorFlow's).{push} A square's prototype may itself be off the "
        "middle, so that part of its offset is how it was chosen."
    )
    alt = f"Mean offsets (right, up) of {size} kernels in taps: {'; '.join(told)}."
    return Drawing(figure, data.drop(columns="size"), "Offsets", caption, alt)


def draw_keys(
    size: str, threshold: float, key_sets: pd.DataFrame, greedy_sets: pd.DataFrame, master_key_shares: pd.DataFrame
) -> Drawing:
    """What small sets of keys leave of kernels, and which published filters are used."""
    greedy = greedy_sets[greedy_sets["size"] == size].sort_values("keys")
    sets = key_sets[(key_sets["size"] == size) & key_sets["set"].isin(list(SETS))]
    if greedy.empty:
        return draw_nothing(size, "Keys", "no sets of keys were searched")
    shares = master_key_shares[(master_key_shares["size"] == size) & (master_key_shares["filter"] != "all")]
    shares = shares[(shares["depth"] == "all") & shares["subject"].isin(["real", "gaussian", "untrained"])]
    height = 3.7
    figure, _ = open_canvas(height)
    axes = place_axes(figure, 0.62, 0.2, 5.5, height - 0.95)
    axes.fill_between(greedy["keys"], greedy["residual_low"], greedy["residual_high"], color=BLUE, alpha=0.2, lw=0)
    handles = {"chosen greedily": axes.plot(greedy["keys"], greedy["residual"], color=BLUE, lw=2)[0]}
    noise = {"color": INK, "lw": 1.2, "ls": (0, (4, 2))}
    handles["the same, Gaussian noise"] = axes.plot(greedy["keys"], greedy["residual_gaussian"], **noise)[0]
    for row in sets[sets["subject"] == "real"].itertuples():
        words, colour, marker = SETS[row.set]
        place = row.keys + 0.22 * (list(SETS).index(row.set) - 2)  # most have eight
        axes.vlines(place, row.mean_low, row.mean_high, color=colour, lw=0.9)
        look = {"color": colour, "marker": marker, "ls": "", "ms": 8 if marker == "*" else 5.5}
        handles[words] = axes.plot(place, row.mean, **look)[0]
    enough = greedy[greedy["within_tolerance"].astype(bool)].iloc[0]
    axes.axvline(enough["keys"], color=SOFT, lw=0.8, ls=":")
    axes.set(
        xlim=(0, greedy["keys"].max() + 1), ylim=(None, 1), xlabel="keys in the set", ylabel="mean relative residual"
    )
    figure.legend(handles.values(), handles, loc="lower center", ncols=4, handletextpad=0.4, columnspacing=1.2)
    other = place_axes(figure, 6.2, 0.2, WIDTH - 0.12, height - 0.95)
    told = ""
    if shares.empty:
        other.text(0.5, 0.5, "the published filters\nare 7x7", ha="center", va="center", color=SOFT, size=8)
        other.set_axis_off()
    else:
        looks = {"real": (BLUE, "o", -0.15), "untrained": (ORANGE, "s", 0.05), "gaussian": (INK, "x", 0.2)}
        for row in shares.itertuples():
            colour, marker, dodge = looks[row.subject]
            draw_interval(other, int(row.filter) + dodge, row.share_low, row.share_high, colour)
            other.plot(row.share, int(row.filter) + dodge, marker, color=colour, ms=4.5)
        other.set(ylim=(8.6, 0.4), yticks=range(1, 9), xlim=(0, None), ylabel="master key filter")
        other.set_xlabel("kernels it is best for")
        other.xaxis.set_major_formatter(PERCENT)
        marks = [Line2D([], [], ls="", marker=m, color=c, ms=4.5, label=name) for name, (c, m, _) in looks.items()]
        other.legend(handles=marks, loc="best", fontsize=6.5, handletextpad=0.1)
        most = shares[shares["subject"] == "real"].nlargest(1, "share").iloc[0]
        told = (
            f" Right: the share of kernels that each published filter is best for; filter {most['filter']} has most, "
            f"{percent(most['share'], most['share_low'], most['share_high'])}."
        )
    named = [
        f"{SETS[row.set][0]} ({row.keys}) {interval(row.mean, row.mean_low, row.mean_high)}"
        for row in sets[sets["subject"] == "real"].itertuples()
    ]
    caption = (
        f"What is left of {size} kernels of networks that a set was not chosen on, when each is written as a times its "
        "best key plus b, sqrt(1 - cosine^2); bands and lines are 95 % intervals over networks, or layers where these "
        f"are few. Left: of {len(greedy)} greedily chosen keys, {enough['keys']} (dotted) are within the tolerance of "
        f"all. Sets at their number of keys, side by side: {'; '.join(named)}.{told}"
    )
    alt = f"Mean residual of {size} kernels against the number of keys: {'; '.join(named)}."
    data = pd.concat([greedy.assign(panel="greedy"), sets.assign(panel="sets"), shares.assign(panel="filters")])
    return Drawing(figure, data.drop(columns="size").reset_index(drop=True), "Keys", caption, alt)


FIGURES = {
    "similarity": draw_similarity,
    "depth": draw_depth,
    "accuracy": draw_accuracy,
    "contrasts": draw_contrasts,
    "layer_measures": draw_layer_measures,
    "offsets": draw_offsets,
    "keys": draw_keys,
}
