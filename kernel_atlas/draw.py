"""Draw the figures: tables in; the figure, the data drawn and the words beside it out.

To add a figure, write its function here (of the evidence, in `draw_evidence`, `draw_fits` or `draw_comparisons`), list
it in `FIGURES` and name its tables in rules/draw.smk. A function gets the size, the threshold and its tables; a caption
says how the figure was made and what to see, with numbers taken from the data drawn.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from kernel_atlas import draw_comparisons, draw_evidence, draw_fits
from kernel_atlas.canvas import (
    BOX,
    FAMILIES,
    HALO,
    INK,
    PERCENT,
    SOFT,
    STYLE,
    WIDTH,
    Drawing,
    between,
    count_rows,
    cut,
    draw_kernel,
    draw_legend,
    draw_scale,
    look_of,
    networks,
    open_canvas,
    open_rows,
    place_axes,
    short,
    wrapped,
)
from kernel_atlas.clusters import cluster_of
from kernel_atlas.kernels import centre_and_normalise
from kernel_atlas.patterns import family_of
from kernel_atlas.sheet import one_per_group
from kernel_atlas.words import percent

STRIP = 42  # kernels drawn evenly along the code
QUANTILES = (0.1, 0.5, 0.9)  # of the kernels of a stretch; the middle one is its prototype
MEMBERS = {"best": 5, "random": 6, "worst": 5}  # of a row of the contact sheet
MODELS_OF_CODES = 12  # rows of histograms
BINS = 50  # of a histogram of codes
MODELS = 30  # bars of models; with more they cannot be read on a page
PANELS = 12  # models whose layers are drawn
POINTS = 4000  # of the scatter; more hide each other


def draw(name: str, size: str, threshold: float, tables: Mapping[str, pd.DataFrame]) -> Drawing:
    """Draw one of `FIGURES`.

    Parameters
    ----------
    name : str
    size : str
        `7x7`.
    threshold : float
        Dissimilarity below which a kernel is clustered.
    tables : mapping
        The tables that the figure's function asks for, by name. Taps are a column of arrays.
    """
    with style.context(STYLE):
        return FIGURES[name](size, threshold, **tables)


# The figures


def draw_spectrum(size: str, threshold: float, spectrum: pd.DataFrame, clusters: pd.DataFrame) -> Drawing:
    """The decoded kernels along the code, the density of codes, and the named stretches."""
    decoded, counts, codes = _stack(spectrum["decoded"]), spectrum["kernels"].to_numpy(), spectrum["code"].to_numpy()
    row = cluster_of(codes, clusters)  # of the stretch that holds each sample
    density = counts / max(1, counts.sum())
    shares = np.bincount(row, density, len(clusters))

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
    title = f"The spectrum of {counts.sum():,} trained {size} kernels"
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
    for index, cluster in enumerate(clusters.itertuples()):
        inside, look = np.flatnonzero(row == index), look_of(family_of(cluster.label))
        if len(inside):
            axes.stairs(density[inside], edges[inside[0] : inside[-1] + 2], fill=True, **look)
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
            draw_kernel(canvas, _sample_at(quantile, inside, counts, decoded), middle, top, side)
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

    data = pd.DataFrame({"code": codes, "kernels": counts, "share": density})
    data[["cluster", "label"]] = clusters[["cluster", "label"]].to_numpy()[row]
    fullest = np.sort(density)[::-1][: len(codes) // 10].sum()
    by_cluster = pd.Series(shares).groupby([clusters["cluster"], clusters["label"]]).sum()
    number, label = by_cluster.idxmax()
    caption = (
        f"Top: density of the codes of {counts.sum():,} {size} training kernels, and what the decoder draws at even "
        f"steps of the code. Below: each of the {len(clusters)} stretches, with what the decoder draws at the 10 %, "
        "50 % and 90 % quantiles of the kernels in it, its name, and its share of kernels (clustered or not). "
        "Neighbouring codes draw similar kernels, and kernels crowd: the fullest tenth of the code holds "
        f"{percent(fullest)} of them, and cluster {number} ({label}) {percent(by_cluster.max())}."
    )
    listed = ", ".join(f"{label} {percent(share)}" for label, share in zip(clusters["label"], shares, strict=True))
    alt = f"Spectrum of the {size} kernels. Stretches along the code, with their share of kernels: {listed}."
    return Drawing(figure, data.join(_taps_columns(decoded)), "Spectrum", caption, alt)


def draw_members(
    size: str, threshold: float, spectrum: pd.DataFrame, clusters: pd.DataFrame, sample: pd.DataFrame
) -> Drawing:
    """Real kernels of each cluster beside its prototype."""
    decoded, counts = _stack(spectrum["decoded"]), spectrum["kernels"].to_numpy()
    row = cluster_of(spectrum["code"].to_numpy(), clusters)
    begin, pitch, side, gap = 2.75, 0.375, 0.34, 0.11
    groups = _groups(clusters)
    figure, canvas = open_canvas(0.65 + pitch * len(groups))
    draw_scale(canvas, WIDTH - 2.7, 0.48 + pitch * len(groups))
    canvas.text(begin - 0.3, 0.2, "prototype", ha="right", va="center", size=7.5, color=SOFT)
    starts, column = {}, 0  # of each block, in inches
    for block, (chosen, most) in enumerate(MEMBERS.items()):
        starts[chosen] = begin + column * pitch + block * gap
        words = {"best": "best fitted", "random": "at random", "worst": "worst fitted"}[chosen]
        canvas.text(starts[chosen], 0.2, words, va="center", size=7.5, color=SOFT)
        column += most
    drawn, likeness = [], []
    for place, (cluster, label) in enumerate(groups):
        top, members = 0.36 + place * pitch, _members(sample, cluster, label)
        kernels = centre_and_normalise(_stack(members["weight"], decoded.shape[1]))
        middle = {"va": "center", "y": top + side / 2}
        canvas.text(x=0.42, s=short(label), **middle)
        canvas.text(x=begin - 0.84, s=percent(len(members) / len(sample)), ha="right", size=7, color=SOFT, **middle)
        if label != "other":
            canvas.text(x=0.32, s=str(cluster), ha="right", weight="bold", **middle)
            stretches = np.flatnonzero((clusters["cluster"] == cluster) & (clusters["label"] == label))
            prototype = _sample_at(0.5, np.flatnonzero(np.isin(row, stretches)), counts, decoded)
            draw_kernel(canvas, prototype, begin - 0.5, top, side, frame=INK)
            if len(members):
                likeness.append((np.median(kernels @ prototype), cluster))
        for chosen, places in _contact_sheet(members["dissimilarity"].to_numpy()).items():
            for column, kernel in enumerate(kernels[places]):
                draw_kernel(canvas, kernel, starts[chosen] + side / 2 + column * pitch, top, side)
            drawn.append(members.iloc[places].assign(chosen=chosen, position=np.arange(len(places))))
    data = pd.concat(drawn, ignore_index=True)
    rest = percent((sample["label"] == "other").mean())
    caption = (
        f"For each cluster its prototype and kernels of a random sample of {len(sample):,} {size} training kernels: "
        "those least and most dissimilar to their reconstruction, and some of the others at random, in the order of "
        "their dissimilarity, with the cluster's share of the sample. "
    )
    if likeness:
        (least, unlike), (most, alike) = min(likeness), max(likeness)
        caption += (
            "How alike a cluster is: the median cosine of its members to its prototype lies between "
            f"{least:.2f} (cluster {unlike}) and {most:.2f} (cluster {alike}). "
        )
    caption += f"The last row shows the {rest} whose dissimilarity is {threshold:g} or more."
    alt = (
        f"Contact sheet of {size} kernels: a row for each of {len(groups) - 1} clusters with its prototype and up to "
        f"{sum(MEMBERS.values())} members, and a row of kernels in no cluster, {rest} of the sample."
    )
    columns = [
        "cluster",
        "label",
        "chosen",
        "position",
        "model",
        "layer_index",
        "layer",
        "channel",
        "code",
        "dissimilarity",
    ]
    taps = _taps_columns(_stack(data["weight"], decoded.shape[1]))
    return Drawing(figure, data[columns].join(taps), "Members", caption, alt)


def draw_models(
    size: str, threshold: float, models: pd.DataFrame, labels: pd.DataFrame, noise: pd.DataFrame
) -> Drawing:
    """The share clustered of each model, by family of labels, with its interval and the controls."""
    independent, controls = _largest_first(models[models["size"] == size])
    shown = pd.concat([independent.head(MODELS), controls.head(MODELS // 3)])
    control = shown["use"] == "control"
    shown["family"] = shown["family"].astype(object).where(shown["family"].notna(), "no family stated")
    shown.loc[control, "family"] = "controls"
    families = shown.assign(rank=shown.groupby("family")["clustered_share"].transform("mean"))
    shown = families.sort_values(["rank", "family", "clustered_share", "model"], ignore_index=True).drop(columns="rank")
    shares = _family_shares(labels[labels["size"] == size], "model").reindex(shown["model"], fill_value=0)
    by_noise = noise.loc[noise["kh"] == int(size.split("x")[0]), "label"].ne("other").mean()

    last = shown.index[shown["family"] != shown["family"].shift(-1)]  # rows, from below, at the top of each family
    left = 2.75 if len(last) == 1 else 3.75
    figure, axes = open_rows(len(shown), left)
    y, base = np.arange(len(shown)), np.zeros(len(shown))
    for family in shares:
        axes.barh(y, shares[family], 0.78, base, **look_of(family), alpha=0.45 if family == "other" else 1)
        base += shares[family].to_numpy()
    known = shown["share_low"].notna().to_numpy()
    ends = shown.loc[known, ["share_low", "share_high"]].to_numpy().T
    axes.hlines(y[known], *ends, color=INK, lw=1, path_effects=[HALO])
    axes.plot(ends, np.stack([y[known]] * 2), "|", color=INK, ms=4.5)
    axes.axvline(by_noise, color=INK, lw=1, ls=(0, (4, 2)))
    axes.text(by_noise, len(shown) - 0.35, f" Gaussian noise {percent(by_noise)}", size=7, va="bottom")
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
    axes.set(xlim=(0, 1), xlabel=f"share of kernels with a dissimilarity below {threshold:g}")
    axes.xaxis.set_major_formatter(PERCENT)
    draw_legend(figure, shares.columns)

    trained = shown.loc[~control, "clustered_share"]
    caption = (
        f"{networks(len(trained), len(independent))}{' and the controls' if control.any() else ''}"
        f"{', by family of networks' if len(last) > 1 else ''}: the share of "
        f"{size} kernels with a dissimilarity below {threshold:g}, by family of patterns; lines are 95 % bootstrap "
        f"intervals over the layers of a model, if it has five. Networks have {percent(trained.min())} to "
        f"{percent(trained.max())}; Gaussian noise has {percent(by_noise)}"
    )
    if control.any():
        caption += f", and control networks at most {percent(shown.loc[control, 'clustered_share'].max())}"
    listed = [f"{row.model} {percent(row.clustered_share)}" for row in shown[::-1].itertuples()]
    alt = f"Share of {size} kernels clustered per model: {', '.join(listed)}; Gaussian noise {percent(by_noise)}."
    columns = ["model", "family", "use", "kernels", "dead", "clustered_share", "share_low", "share_high"]
    data = shown[columns].assign(noise_share=by_noise).join(shares.reset_index(drop=True))
    return Drawing(figure, data, "Models", f"{caption}.", alt)


def draw_layers(size: str, threshold: float, models: pd.DataFrame, layers: pd.DataFrame) -> Drawing:
    """Shares of the families of labels along the layers of the models with most kernels."""
    independent, _ = _largest_first(models[models["size"] == size])
    chosen = independent["model"].head(PANELS).tolist()
    layers = layers[(layers["size"] == size) & layers["model"].isin(chosen)]
    shares = _family_shares(layers, ["model", "layer_index"])
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    height = 0.75 + 1.42 * rows
    figure = Figure(figsize=(WIDTH, height))
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    figure.subplots_adjust(0.065, 0.78 / height, 0.99, 1 - 0.25 / height, wspace=0.1, hspace=0.62)
    ends = []
    for axes, model in zip(panels, chosen, strict=False):
        part = shares.loc[model]
        edges, base = np.arange(len(part) + 1) + 0.5, np.zeros(len(part))
        for family in part:
            top = base + part[family].to_numpy()
            axes.stairs(top, edges, baseline=base, fill=True, **look_of(family))
            base = top
        axes.set_title(cut(model, 38), size=7.5, loc="left", pad=3)
        axes.set(xlim=(0.5, len(part) + 0.5), ylim=(0, 1))
        axes.set_yticks([0, 0.5, 1], ["0", "50", "100 %"])
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        axes.tick_params(length=2)
        first, last = 1 - part.get("other", 0 * part.iloc[:, 0]).iloc[[0, -1]]
        ends.append(f"{model} {percent(first)} in the first and {percent(last)} in the last")
    for axes in panels[len(chosen) :]:
        axes.set_visible(False)
    words = f"layer with {size} depthwise kernels, from input to output"
    figure.text(0.5275, 0.5 / height, words, ha="center", va="center")
    draw_legend(figure, shares.columns)
    clustered = 1 - shares.get("other", 0 * shares.iloc[:, 0])
    caption = (
        f"{networks(len(chosen), len(independent))}: shares of the families of patterns in each layer with {size} "
        f"kernels; grey kernels have a dissimilarity of {threshold:g} or more. Over these {len(shares)} layers the "
        f"share clustered runs from {percent(clustered.min())} to {percent(clustered.max())}, with a median of "
        f"{percent(clustered.median())}."
    )
    alt = f"Shares of patterns along the {size} layers of {len(chosen)} models. Clustered: {'; '.join(ends)} layer."
    return Drawing(figure, shares.loc[chosen].reset_index(), "Layers", caption, alt)


def draw_projection(size: str, threshold: float, sample: pd.DataFrame) -> Drawing:
    """The sample along its principal components."""
    sample = sample.iloc[np.linspace(0, len(sample) - 1, min(POINTS, len(sample))).astype(int)]
    kernels = centre_and_normalise(_stack(sample["weight"]))
    kernels -= kernels.mean(axis=0)
    values, vectors = np.linalg.eigh(kernels.T @ kernels)
    explained, components = values[::-1][:4] / max(values.sum(), 1e-12), vectors.T[::-1][:4]
    strongest = np.abs(components).argmax(axis=1, keepdims=True)
    components = components * np.sign(np.take_along_axis(components, strongest, axis=1))  # eigenvectors have no sign
    data = sample[["model", "layer_index", "channel", "label"]].reset_index(drop=True)
    axis_names = [f"component_{number}" for number in range(1, 5)]
    data[axis_names] = kernels @ components.T

    height, first_left, side = 4.85, 0.85, 3.6
    figure, canvas = open_canvas(height)
    families = data["label"].map(family_of)
    limit = 1.05 * data[axis_names].abs().max(axis=None)
    points = pd.concat([data[families == "other"], data[families != "other"]])  # those in no cluster lie below
    colours = [FAMILIES[family_of(label)][0] for label in points["label"]]
    for panel, (across, up) in enumerate([(0, 1), (2, 3)]):
        left = first_left + panel * 4.4
        axes = figure.add_axes([left / WIDTH, 1.05 / height, side / WIDTH, side / height])
        axes.axhline(0, color=SOFT, lw=0.4)
        axes.axvline(0, color=SOFT, lw=0.4)
        places = points[[axis_names[across], axis_names[up]]].to_numpy().T
        axes.scatter(*places, s=3, c=colours, lw=0, rasterized=True, antialiased=False)  # a tenth of the bytes
        ticks = [-1, -0.5, 0, 0.5, 1]
        axes.set(xticks=ticks, yticks=ticks, xlim=(-limit, limit), ylim=(-limit, limit))
        axes.tick_params(length=2)
        axes.set_xlabel(f"component {across + 1} ({percent(explained[across])} of the variance)")
        axes.set_ylabel(f"component {up + 1} ({percent(explained[up])} of the variance)")
        for sign in (-1, 1):
            draw_kernel(canvas, sign * components[across], left + side / 2 * (1 + 0.91 * sign), 4.05, 0.32)
            draw_kernel(canvas, sign * components[up], left - 0.55, 1.84 - 0.91 * side / 2 * sign, 0.32)
        medians = data[families != "other"].groupby("label")[[axis_names[across], axis_names[up]]].median()
        for label, (x, y) in zip(medians.index, _spread(medians.to_numpy(), limit), strict=True):
            axes.text(x, y, short(label), ha="center", va="center", size=6.5, bbox=BOX)
    draw_legend(figure, [family for family in FAMILIES if (families == family).any()])
    caption = (
        f"{len(data):,} {size} training kernels, drawn at random, along their first four principal components, which "
        f"hold {percent(explained.sum())} of the variance and are drawn as kernels at the ends of their axes. Colours "
        "are families, and each label stands near the median of its kernels. The labels were made without this "
        "projection: where colours lie apart, two ways of looking agree. Grey kernels are in no cluster."
    )
    medians = data[families != "other"].groupby("label")[axis_names[:2]].median()
    listed = ", ".join(f"{label} ({x:z.2f}, {y:z.2f})" for label, x, y in medians.itertuples())
    alt = f"Scatter of {size} kernels along principal components; medians along the first two: {listed or 'none'}."
    return Drawing(figure, data, "Projection", caption, alt)


def draw_codes(
    size: str, threshold: float, clusters: pd.DataFrame, sample: pd.DataFrame, noise: pd.DataFrame
) -> Drawing:
    """Where on the code the kernels of each model lie, and where noise does."""
    side, counts = int(size.split("x")[0]), sample["model"].value_counts()
    chosen = sorted(counts.index, key=lambda model: (-counts[model], model))[:MODELS_OF_CODES]
    noise = noise[(noise["kh"] == side) & noise["code"].notna()].assign(model="Gaussian noise")
    columns = ["model", "code", "label"]
    rows = pd.concat([sample[sample["model"].isin(chosen)][columns], noise[columns]], ignore_index=True)
    rows["family"] = rows["label"].map(family_of)
    rows["bin"] = (rows["code"] * BINS).astype(int).clip(0, BINS - 1)
    names = [*chosen, *["Gaussian noise"][: len(noise)]]
    counted = rows.groupby(["model", "bin", "family"]).size().rename("kernels").reset_index()
    counted["share"] = counted["kernels"] / counted["model"].map(counted.groupby("model")["kernels"].sum())

    left, pitch, top = 2.75, 0.42, 0.42
    foot = top + pitch * len(names)
    figure, canvas = open_canvas(foot + 1.0)
    axes = place_axes(figure, left, top, WIDTH - 0.95, foot)
    edges, order = np.linspace(0, 1, BINS + 1), [f for f in FAMILIES if f in set(counted["family"])]
    highest = {}
    for row, model in enumerate(names):
        part = counted[counted["model"] == model].pivot(index="bin", columns="family", values="share")
        part = part.reindex(index=range(BINS), columns=order).fillna(0)
        base, floor = np.zeros(BINS), len(names) - 1 - row
        highest[model] = part.sum(axis=1).max()
        for family in order:
            heights = 0.86 / highest[model] * part[family].to_numpy()
            inside = np.flatnonzero(heights)
            if len(inside):
                bins, look = slice(inside[0], inside[-1] + 1), look_of(family)
                low, ends = floor + base[bins], edges[inside[0] : inside[-1] + 2]
                axes.stairs(low + heights[bins], ends, baseline=low, fill=True, **look)
            base += heights
        axes.axhline(floor, color=SOFT, lw=0.5)
        middle = top + (row + 0.62) * pitch
        canvas.text(left - 0.1, middle, cut(model, 44), ha="right", va="center", size=7.5)
        of_model = f"{(rows['model'] == model).sum():,}\ntop {percent(highest[model])}"
        canvas.text(WIDTH - 0.9, middle, of_model, va="center", size=6.5, color=SOFT)
    for cluster in clusters.itertuples():
        if cluster.code_low > 0:
            axes.axvline(cluster.code_low, color=SOFT, lw=0.5, dashes=(2, 2))
        if cluster.code_high - cluster.code_low > 0.018:
            x = left + (WIDTH - 0.95 - left) * (cluster.code_low + cluster.code_high) / 2
            canvas.text(x, 0.3, str(cluster.cluster), ha="center", va="center", size=7, weight="bold")
    canvas.text(left - 0.1, 0.3, "cluster", ha="right", va="center", size=6.5, color=SOFT)
    canvas.text(WIDTH - 0.9, 0.3, "kernels", va="center", size=6.5, color=SOFT)
    axes.set(xlim=(0, 1), ylim=(0, len(names)), yticks=[], xlabel="code")
    axes.spines["left"].set_visible(False)
    draw_legend(figure, order)

    of_all = np.bincount((sample["code"] * BINS).astype(int).clip(0, BINS - 1), minlength=BINS) / len(sample)
    shares = {
        model: part.groupby("bin")["share"].sum().reindex(range(BINS), fill_value=0)
        for model, part in counted.groupby("model")
    }
    apart = pd.Series({model: np.abs(share - of_all).sum() / 2 for model, share in shares.items()})
    caption = (
        f"Codes of the kernels of the {len(chosen)} models with most {size} kernels in a random sample of "
        f"{len(sample):,} training kernels, in {BINS} steps, each row scaled to its fullest step; grey kernels are not "
        "clustered, dashes are the borders of clusters. "
    )
    if len(noise):
        caption += (
            "A model whose histogram is that of the whole sample would have a total variation distance of 0 to it, one "
            f"with nothing in common 1: models have {apart[chosen].min():.2f} to {apart[chosen].max():.2f}, Gaussian "
            f"noise {apart['Gaussian noise']:.2f}."
        )
    caption = caption.strip()
    listed = ", ".join(f"{model} {distance:.2f}" for model, distance in apart[names].items())
    alt = f"Histograms of the codes of {size} kernels per model; total variation distance to all: {listed}."
    return Drawing(figure, counted, "Codes", caption, alt)


def draw_tap_sums(size: str, threshold: float, clusters: pd.DataFrame, sample: pd.DataFrame) -> Drawing:
    """The sum of raw taps in each cluster, relative to the largest sum that the kernel's norm allows."""
    raw = _stack(sample["weight"]).astype(np.float64)
    # |sum| <= side * L2 norm (Cauchy-Schwarz). Scales of layers differ by orders of magnitude; this ratio does not.
    ratio = raw.sum(axis=1) / np.maximum(raw.shape[1] ** 0.5 * np.linalg.norm(raw, axis=1), 1e-30)
    sample = sample.assign(ratio=ratio)
    rows = []
    for cluster, label in _groups(clusters):
        values = _members(sample, cluster, label)["ratio"]
        if len(values):
            rows.append((cluster, label, len(values), *values.quantile([0.05, 0.25, 0.5, 0.75, 0.95])))
    data = pd.DataFrame(rows, columns=["cluster", "label", "kernels", "whislo", "q1", "med", "q3", "whishi"])

    figure, axes = open_rows(len(data), left=2.0, legend=0)
    y = np.arange(len(data))[::-1]
    axes.axvline(0, color=SOFT, lw=0.6)
    boxes = axes.bxp(
        data.drop(columns=["cluster", "label", "kernels"]).to_dict("records"),
        positions=y,
        orientation="horizontal",
        widths=0.62,
        showfliers=False,
        patch_artist=True,
        medianprops={"color": INK, "lw": 1.4},
        whiskerprops={"color": SOFT},
        capprops={"color": SOFT},
    )
    for box, label in zip(boxes["boxes"], data["label"], strict=True):
        box.set(**look_of(family_of(label)))
    names = data[["cluster", "label"]].itertuples(index=False)
    axes.set_yticks(y, [label if c < 0 else f"{short(label)}  {c}" for c, label in names])
    count_rows(axes, y, data["kernels"])
    words = f"sum of taps / ({size.split('x')[0]} · L2 norm): ±1 for a constant kernel, 0 for a balanced one"
    axes.set(xlim=(-1.02, 1.02), xlabel=words)
    caption = (
        f"Sum of the raw taps of {len(sample):,} {size} training kernels, divided by the largest sum that their L2 "
        "norm allows, so that layers compare; boxes hold the middle half of a cluster, lines the middle 90 %. "
    )
    for family, words in (
        ("First-Derivative", "First derivatives, which the paper found balanced"),
        ("On-Centre", "On-Centre"),
        ("Off-Centre", "Off-Centre"),
    ):
        medians = data.loc[data["label"].map(family_of) == family, "med"]
        if len(medians):
            caption += f"{words}: {between(medians)}. "
    listed = ", ".join(f"{label} {median:z.2f}" for label, median in zip(data["label"], data["med"], strict=True))
    alt = f"Box plots of the relative sum of taps of {size} kernels per cluster; medians: {listed}."
    return Drawing(figure, data, "Sum of taps", caption.strip(), alt)


def draw_thresholds(
    size: str, threshold: float, models: pd.DataFrame, thresholds: pd.DataFrame, knees: pd.DataFrame | None = None
) -> Drawing:
    """The share clustered against the threshold, with the knee of the median curve where the evidence has it."""
    curves = thresholds[thresholds["size"] == size].pivot(index="threshold", columns="model", values="clustered_share")
    independent, controls = (part["model"] for part in _largest_first(models[models["size"] == size]))
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
    here, control = np.interp(threshold, x, median), np.interp(threshold, x, noise)
    caption = (
        f"Share of the {size} kernels of each independent network that every threshold would count as clustered. At "
        f"{threshold:g}, which is used here, the median network has {percent(here)} and Gaussian noise "
        f"{percent(control)}; the two curves are furthest apart at {(median - noise).idxmax():g}."
    )
    if knee is not None and len(knee):
        caption += (
            f" The median curve bends at {knee['knee']:g} (the point farthest above its chord), where noise has "
            f"{percent(knee['knee_noise'])}; up to {knee['noise_floor']:g} noise has at most 1 %."
        )
    alt = (
        f"Curves of the share clustered against the threshold for {len(independent)} networks; at {threshold:g} their "
        f"median is {percent(here)} and Gaussian noise has {percent(control)}."
    )
    data = curves.assign(median=median).reset_index().melt("threshold", var_name="model", value_name="clustered_share")
    return Drawing(figure, data, "Thresholds", caption, alt)


def draw_kmeans(size: str, threshold: float, centres: pd.DataFrame) -> Drawing:
    """The centres of k-means with their names and shares."""
    columns, side = min(10, len(centres)), 0.66
    pitch = (WIDTH - 0.2) / max(columns, 8)
    names = [wrapped(short(label), pitch, 7) for label in centres["label"]]
    row_height = 1.2 + 0.13 * (max(name.count("\n") for name in names) + 1)
    figure, canvas = open_canvas(0.42 + row_height * -(-len(centres) // columns))
    canvas.text(0.1, 0.2, f"k-means of the {size} kernels, k = {len(centres)}", va="center", weight="bold")
    draw_scale(canvas, WIDTH - 2.7, 0.16)
    kernels, taps = centres["kernels"].sum(), _stack(centres["centre"])
    data = centres.drop(columns="centre").assign(share=centres["kernels"] / kernels)
    for place, (cluster, share) in enumerate(zip(data["cluster"], data["share"], strict=True)):
        middle, top = 0.1 + (place % columns + 0.5) * pitch, 0.42 + place // columns * row_height
        canvas.text(middle, top + 0.06, str(cluster), ha="center", va="center", weight="bold")
        draw_kernel(canvas, taps[place], middle, top + 0.16, side)
        words = f"{names[place]}\n{percent(share)}"
        canvas.text(middle, top + side + 0.22, words, ha="center", va="top", size=7, linespacing=1.2)
    caption = (
        f"The {len(centres)} centres of k-means over {kernels:,} {size} kernels, named like the clusters of the "
        f"autoencoder, with the share of kernels nearest to each. {percent(centres['clustered'].sum() / kernels)} "
        f"have a dissimilarity below {threshold:g} to their centre: the baseline for what the autoencoder clusters."
    )
    listed = ", ".join(f"{label} {percent(share)}" for label, share in zip(data["label"], data["share"], strict=True))
    alt = f"Centres of k-means of the {size} kernels, with their share of kernels: {listed}."
    return Drawing(figure, data.join(_taps_columns(taps)), "k-means", caption, alt)


FIGURES = {
    "spectrum": draw_spectrum,
    "members": draw_members,
    "models": draw_models,
    "layers": draw_layers,
    "codes": draw_codes,
    "projection": draw_projection,
    "tap_sums": draw_tap_sums,
    "thresholds": draw_thresholds,
    "kmeans": draw_kmeans,
    **draw_evidence.FIGURES,
    **draw_fits.FIGURES,
    **draw_comparisons.FIGURES,
}


# Parts of data


def _groups(clusters: pd.DataFrame) -> list[tuple[int, str]]:
    """Cluster and label of each row of a figure, along the code, and last what is in no cluster."""
    return [*clusters[["cluster", "label"]].drop_duplicates().itertuples(index=False, name=None), (-1, "other")]


def _members(sample: pd.DataFrame, cluster: int, label: str) -> pd.DataFrame:
    return sample[(sample["cluster"] == cluster) & (sample["label"] == label)]


def _contact_sheet(dissimilarity: np.ndarray) -> dict[str, np.ndarray]:
    """Which kernels stand in each block of `MEMBERS`, by their place in the sample, the least dissimilar first."""
    order = np.argsort(dissimilarity, kind="stable")
    best, order = order[: MEMBERS["best"]], order[MEMBERS["best"] :]
    worst, order = order[-MEMBERS["worst"] :], np.sort(order[: -MEMBERS["worst"]])
    # the sample is in the order of models and layers: even steps through it take from as many as they can
    steps = np.linspace(0, len(order) - 1, min(MEMBERS["random"], len(order))).round().astype(int)
    drawn = order[steps]
    return {"best": best, "random": drawn[np.argsort(dissimilarity[drawn], kind="stable")], "worst": worst}


def _sample_at(quantile: float, inside: np.ndarray, counts: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """What the decoder draws at a quantile of the kernels of a stretch, given by the samples inside it."""
    if not len(inside):  # a stretch drawn by hand, narrower than a step
        return np.zeros(decoded.shape[1])
    passed = counts[inside].cumsum()
    place = np.searchsorted(passed, passed[-1] * quantile) if passed[-1] else (len(inside) - 1) // 2
    return decoded[inside[place]]


def _family_shares(table: pd.DataFrame, unit: str | list[str]) -> pd.DataFrame:
    """Shares per unit (rows) and family (columns, in the order of `FAMILIES`, those that occur); no dead kernels."""
    table = table[table["label"] != "dead"]
    table = table.assign(family=table["label"].map(family_of))
    wide = table.pivot_table(index=unit, columns="family", values="share", aggfunc="sum", fill_value=0.0)
    return wide[[family for family in FAMILIES if family in wide]]


def _largest_first(models: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Independent networks and controls of one size; most kernels first."""
    controls = models[models["use"] == "control"]
    return one_per_group(models), controls.sort_values("kernels", ascending=False, kind="stable")


def _square_root_ticks(highest: float) -> list[float]:
    """Round shares that leave room for their labels on a square-root scale."""
    ticks = []
    for tick in [factor * 10.0**power for power in (-4, -3, -2, -1) for factor in (1, 2, 5)] + [1.0]:
        if tick <= 1.05 * highest and tick**0.5 - (ticks[-1] if ticks else 0) ** 0.5 > 0.2 * highest**0.5:
            ticks.append(tick)
    return ticks


def _spread(points: np.ndarray, limit: float) -> np.ndarray:
    """Move text positions [n, 2] up until no line of text lies on another, in axes from -limit to limit."""
    wide, high = 0.5 * limit, 0.085 * limit
    moved, placed = points.astype(float), np.zeros(len(points), bool)
    for index in np.argsort(points[:, 1], kind="stable"):
        while (placed & (np.abs(moved - moved[index]) < (wide, high)).all(axis=1)).any():
            moved[index, 1] += high / 4
        placed[index] = True
    return moved


def _stack(taps: pd.Series, width: int = 0) -> np.ndarray:
    """A column of arrays as one array, [0, width] where it is empty."""
    return np.stack(taps.to_list()).astype(np.float32) if len(taps) else np.zeros((0, width), np.float32)


def _taps_columns(kernels: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(kernels, columns=[f"tap_{number}" for number in range(kernels.shape[1])])
