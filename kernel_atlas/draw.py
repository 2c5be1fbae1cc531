"""Draw the figures: tables in; the figure, the data drawn and the words beside it out.

The only module that knows matplotlib. To add a figure, write its function, list it in `FIGURES` and name its tables in
rules/draw.smk. A function gets the size, the threshold and its tables; the words of its caption say how it was made and
what to see, with numbers taken from the data drawn.
"""

import io
import json
import re
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Polygon, Rectangle

from kernel_atlas.kernels import centre_and_normalise
from kernel_atlas.statistics import one_per_group
from kernel_atlas.clusters import cluster_of

WIDTH = 9.0  # inches: 864 pixels of a page, where the text keeps its size
DOTS = 200  # per inch, of what is drawn as an image
INK, SOFT = "#222222", "#6b6b6b"
TAPS = "RdBu_r"  # white at zero, and its two ends differ to every kind of colour vision
STRIP = 42  # kernels drawn evenly along the code
QUANTILES = (0.1, 0.5, 0.9)  # of the kernels of a stretch; the middle one is its prototype
MEMBERS = 16  # a row of the contact sheet
MODELS = 30  # bars of models; with more they cannot be read on a page
PANELS = 12  # models whose layers are drawn
POINTS = 5000  # of the scatter; more hide each other

STYLE = {
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "white",
    # DejaVu comes with matplotlib, so that a layout is the same everywhere; Verdana is as wide where a page lacks it
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
    "font.size": 8,
    "hatch.linewidth": 0.7,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.color": INK,
    "xtick.color": SOFT,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.color": SOFT,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 7.5,
    "ytick.major.width": 0.6,
}

# One colour per family of labels, the same in every figure and size: hues of Okabe & Ito (2008), which colour-blind
# readers tell apart. Off is hatched beside its On, so that no family is told by colour alone.
FAMILIES = {
    "On-Centre": ("#d55e00", ""),
    "Off-Centre": ("#0072b2", "////"),
    "On-Square": ("#e69f00", ""),
    "Off-Square": ("#56b4e9", "////"),
    "On-Cross": ("#cc79a7", ""),
    "Off-Cross": ("#5b3a8c", "////"),
    "First-Derivative": ("#009e73", ""),
    "On-Second-Derivative": ("#f0e442", ""),
    "Off-Second-Derivative": ("#8a8a00", "////"),
    "Further patterns": ("#8c5a3c", "xxx"),
    "other": ("#cfcfcf", ""),
}
HALO = patheffects.withStroke(linewidth=2.5, foreground="white", alpha=0.85)  # lets ink be read on any colour


class Drawing(NamedTuple):
    """A figure, the data it shows, its title, a caption, and a text for those who cannot see it."""

    figure: Figure
    data: pd.DataFrame
    title: str
    caption: str
    alt: str


def draw(name: str, size: str, threshold: float, tables: Mapping[str, pd.DataFrame]) -> Drawing:
    """One of `FIGURES`.

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
    with matplotlib.rc_context(STYLE):
        return FIGURES[name](size, threshold, **tables)


def write(drawing: Drawing, svg: str | Path, data: str | Path, words: str | Path) -> None:
    """Write the figure as SVG, the data as CSV and the words as JSON; equal drawings give equal bytes."""
    pixels = io.StringIO()
    style = STYLE | {"svg.hashsalt": Path(svg).stem}  # ids differ between figures that one page shows
    with matplotlib.rc_context(style):
        drawing.figure.savefig(pixels, format="svg", dpi=DOTS, metadata={"Date": None, "Creator": None})
    Path(svg).write_text(pixels.getvalue(), encoding="utf-8")
    drawing.data.to_csv(data, index=False, float_format="%.6g")
    text = {"title": drawing.title, "caption": drawing.caption, "alt": drawing.alt}
    Path(words).write_text(json.dumps(text, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def family_of(label: str) -> str:
    """The family of a label: `First-Derivative-NE` -> `First-Derivative`. What has no formula is in `Further patterns`."""
    return next((family for family in FAMILIES if label.startswith(family)), "Further patterns")


def short(label: str) -> str:
    """A label as figures write it: `On-Second-Derivative-EW` -> `On 2nd deriv. EW`."""
    label = re.sub(r"-?Second-Derivative-?", " 2nd deriv. ", label)
    return re.sub(r"-?First-Derivative-?", " 1st deriv. ", label).strip()


# ---- figures


def draw_spectrum(size: str, threshold: float, spectrum: pd.DataFrame, clusters: pd.DataFrame) -> Drawing:
    """The decoded kernels along the code, the density of codes, and the named stretches."""
    decoded, counts = np.stack(spectrum["decoded"]), spectrum["kernels"].to_numpy()
    codes, shares = spectrum["code"].to_numpy(), counts / max(1, counts.sum())
    row = cluster_of(codes, clusters)  # of the stretch that holds each sample
    stretch_shares = np.bincount(row, shares, len(clusters))

    left, right, columns = 0.62, WIDTH - 0.1, len(clusters)
    pitch = (right - left) / columns
    side, font = min(0.72, 0.86 * pitch), 7.5 if pitch > 0.6 else 6.5
    names = [_wrapped(short(label), pitch, font) for label in clusters["label"]]
    top = {"density": 0.34, "strip": 1.78, "band": 2.02, "fan": 2.12, "columns": 2.56}
    images_end = top["columns"] + 0.22 + len(QUANTILES) * (side + 0.05)
    height = images_end + (max(name.count("\n") for name in names) + 1) * font * 1.25 / 72 + 0.30
    figure, canvas = _canvas(height)

    def across(code: float) -> float:
        return left + code * (right - left)

    axes = figure.add_axes([left / WIDTH, 1 - 1.5 / height, (right - left) / WIDTH, (1.5 - top["density"]) / height])
    axes.set(xlim=(0, 1), xlabel="")
    axes.set_yscale("function", functions=(lambda y: np.sqrt(np.maximum(y, 0)), np.square))
    axes.set_ylim(0, max(shares.max() * 1.08, 1e-6))
    axes.yaxis.set_major_locator(matplotlib.ticker.FixedLocator(_square_root_ticks(shares.max())))
    axes.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda share, _: f"{100 * share:g} %" if share else ""))
    axes.set_xticks(np.arange(6) / 5, ["0", "0.2", "0.4", "0.6", "0.8", "1"])
    axes.tick_params(axis="x", length=2, pad=1)
    for words, y in (("code", 1.6), ("decoded", top["strip"] + 0.1)):
        canvas.text(left - 0.12, y, words, ha="right", va="center", fontsize=6.5, color=SOFT)
    density = f"kernels per 1/{len(codes)}\n(square root)"
    canvas.text(0.12, 0.94, density, rotation=90, ha="center", va="center", fontsize=6.5, color=SOFT)
    title = f"The spectrum of {counts.sum():,} trained {size} kernels"
    canvas.text(0.1, 0.16, title, fontsize=10.5, fontweight="bold", va="center")

    edges = np.linspace(0, 1, len(codes) + 1)
    for index, cluster in enumerate(clusters.itertuples()):
        colour, hatch = FAMILIES[family_of(cluster.label)]
        inside = np.flatnonzero(row == index)
        if len(inside):
            axes.stairs(
                shares[inside],
                edges[inside[0] : inside[-1] + 2],
                fill=True,
                facecolor=colour,
                hatch=hatch,
                edgecolor="white",
                lw=0,
            )
        low, high = across(cluster.code_low), across(cluster.code_high)
        begin, end = left + index * pitch, left + (index + 1) * pitch
        gap = min(0.03, (high - low) / 4)
        canvas.add_patch(
            Rectangle(
                (low + gap / 2, top["band"]),
                high - low - gap,
                0.09,
                facecolor=colour,
                hatch=hatch,
                edgecolor="white",
                lw=0,
            )
        )
        corners = [
            (low + gap / 2, top["fan"]),
            (high - gap / 2, top["fan"]),
            (end - 0.03, top["columns"]),
            (begin + 0.03, top["columns"]),
        ]
        canvas.add_patch(Polygon(corners, facecolor=colour, alpha=0.28, lw=0))
        canvas.add_patch(Rectangle((begin + 0.03, top["columns"]), pitch - 0.06, 0.03, facecolor=colour, lw=0))
        if index:
            for begins, ends in ((top["density"], 1.5), (top["strip"] - 0.03, top["band"])):
                canvas.plot([low, low], [begins, ends], color=SOFT, lw=0.5, dashes=(2, 2))
        middle = (begin + end) / 2
        canvas.text(middle, top["columns"] + 0.14, str(index + 1), ha="center", va="center", fontweight="bold")
        for place, quantile in enumerate(QUANTILES):
            taps = decoded[_sample_at(counts, inside, quantile)] if len(inside) else np.zeros(decoded.shape[1])
            _draw_kernel(canvas, taps, middle, top["columns"] + 0.24 + place * (side + 0.05), side)
        canvas.text(middle, images_end + 0.06, names[index], ha="center", va="top", fontsize=font, linespacing=1.15)
        share = f"{100 * stretch_shares[index]:.1f} %"
        canvas.text(middle, height - 0.1, share, ha="center", va="center", fontsize=font, color=SOFT)
    for place, name in enumerate(("10 %", "median", "90 %")):
        y = top["columns"] + 0.24 + place * (side + 0.05) + side / 2
        canvas.text(left - 0.12, y, name, ha="right", va="center", fontsize=6.5, color=SOFT)
    pitch_strip = (right - left) / STRIP
    for code in (np.arange(STRIP) + 0.5) / STRIP:
        taps = decoded[np.abs(codes - code).argmin()]
        _draw_kernel(canvas, taps, across(code), top["strip"], 0.92 * pitch_strip)
    canvas.text(left - 0.12, height - 0.1, "kernels", ha="right", va="center", fontsize=6.5, color=SOFT)
    _scale_bar(canvas, WIDTH - 2.7, 0.12)

    data = pd.DataFrame({"code": codes, "kernels": counts, "share": shares, "cluster": clusters["cluster"].to_numpy()[row]})
    data["label"] = clusters["label"].to_numpy()[row]
    largest = int(stretch_shares.argmax())
    crowded = np.sort(shares)[::-1]
    caption = (
        f"The decoder of the {size} autoencoder, sampled evenly along its code of one number, above {columns} named "
        f"stretches with what it draws at the 10 %, 50 % and 90 % quantiles of the training kernels in each; below, the "
        f"share of the {counts.sum():,} training kernels whose code lies there. Neighbouring codes draw similar kernels, "
        f"and kernels crowd: the fullest tenth of the code holds {_percent(crowded[: len(codes) // 10].sum())} of them, "
        f"and stretch {largest + 1} ({short(clusters['label'][largest])}) alone {_percent(stretch_shares[largest])}."
    )
    listed = ", ".join(f"{short(c)} {_percent(s)}" for c, s in zip(clusters["label"], stretch_shares, strict=True))
    alt = f"Spectrum of the {size} kernels: {columns} stretches of the code with their share of kernels: {listed}."
    return Drawing(figure, data.join(_taps_columns(decoded)), "Spectrum", caption, alt)


def draw_members(
    size: str, threshold: float, spectrum: pd.DataFrame, clusters: pd.DataFrame, sample: pd.DataFrame
) -> Drawing:
    """Real kernels of each cluster beside its prototype."""
    decoded, counts = np.stack(spectrum["decoded"]), spectrum["kernels"].to_numpy()
    row = cluster_of(spectrum["code"].to_numpy(), clusters)
    begin, pitch, side = 2.5, 0.395, 0.355
    groups = [(cluster.cluster, cluster.label) for cluster in clusters.drop_duplicates(["cluster", "label"]).itertuples()]
    groups.append((-1, "other"))
    figure, canvas = _canvas(0.42 + pitch * len(groups))
    canvas.text(begin - 0.3, 0.2, "prototype", ha="right", va="center", fontsize=7.5, color=SOFT)
    canvas.text(begin, 0.2, "kernels of trained networks, the best fitted first", va="center", fontsize=7.5, color=SOFT)
    _scale_bar(canvas, WIDTH - 2.7, 0.16)
    drawn, likeness = [], []
    for place, (cluster, label) in enumerate(groups):
        y, members = 0.36 + place * pitch, sample[(sample["cluster"] == cluster) & (sample["label"] == label)]
        # the sample is in order of model and layer: even steps through it take from as many of them as possible
        steps = np.linspace(0, len(members) - 1, min(MEMBERS, len(members))).round().astype(int)
        chosen = members.iloc[steps].sort_values("dissimilarity", kind="stable")
        canvas.text(0.42, y + side / 2, short(label), va="center")
        share = len(members) / max(1, len(sample))
        canvas.text(begin - 0.84, y + side / 2, _percent(share), ha="right", va="center", fontsize=7, color=SOFT)
        if cluster >= 0:
            canvas.text(0.32, y + side / 2, str(place + 1), ha="right", va="center", fontweight="bold")
            stretches = clusters.index[(clusters["cluster"] == cluster) & (clusters["label"] == label)]
            inside = np.flatnonzero(np.isin(row, stretches))
            taps = decoded[_sample_at(counts, inside, 0.5)] if len(inside) else np.zeros(decoded.shape[1])
            _draw_kernel(canvas, taps, begin - 0.5, y, side, frame=INK)
            if len(members):
                likeness.append((np.median(centre_and_normalise(_stack(members["weight"])) @ taps), place))
        for column, kernel in enumerate(centre_and_normalise(_stack(chosen["weight"])) if len(chosen) else []):
            _draw_kernel(canvas, kernel, begin + side / 2 + column * pitch, y, side)
        drawn.append(chosen.assign(position=np.arange(len(chosen))))
    data = pd.concat(drawn, ignore_index=True)
    rest = (sample["cluster"] == -1).mean() if len(sample) else np.nan
    caption = (
        f"Up to {MEMBERS} {size} kernels of each cluster, taken in even steps from a random sample of {len(sample):,} "
        f"training kernels and put in order of their dissimilarity, beside the prototype; the share is of that sample. "
    )
    if likeness:
        (worst, weakest), (best, strongest) = min(likeness), max(likeness)
        caption += f"How like its prototype a cluster is: the median cosine of its members to it is {worst:.2f} in cluster "
        caption += f"{weakest + 1} and {best:.2f} in cluster {strongest + 1}; the others lie between. "
    caption += f"The {_percent(rest)} in the last row are within {threshold:g} of no stretch of the code."
    alt = f"Contact sheet: one row for each of {len(groups) - 1} clusters of {size} kernels with its prototype and up to "
    alt += f"{MEMBERS} member kernels, and a row of kernels that belong to no cluster ({_percent(rest)} of the sample)."
    columns = ["cluster", "label", "position", "model", "layer_index", "layer", "channel", "code", "dissimilarity"]
    return Drawing(figure, data[columns].join(_taps_columns(_stack(data["weight"]))), "Members", caption, alt)


def draw_models(
    size: str, threshold: float, models: pd.DataFrame, labels: pd.DataFrame, noise: pd.DataFrame
) -> Drawing:
    """The share clustered of each model, by family of labels, with its interval and the controls."""
    independent, controls = _largest_first(models[models["size"] == size])
    shown = pd.concat([independent.head(MODELS), controls.head(MODELS // 3)])
    shown = shown.sort_values(["clustered_share", "model"], ignore_index=True)
    shares = _family_shares(labels[labels["size"] == size], "model").reindex(shown["model"], fill_value=0)
    floor = _noise_share(noise, size)

    figure, axes = _rows(len(shown), left=2.75, right=0.95)
    y, before = np.arange(len(shown)), np.zeros(len(shown))
    for family in shares.columns.drop("other", errors="ignore"):
        colour, hatch = FAMILIES[family]
        width = shares[family].to_numpy()
        axes.barh(y, width, 0.78, before, color=colour, hatch=hatch, edgecolor="white", lw=0.3)
        before = before + width
    axes.barh(y, 1 - before, 0.78, before, color=FAMILIES["other"][0], alpha=0.45)
    known = shown["share_low"].notna()
    error = shown[["share_low", "share_high"]].to_numpy()[known].T
    axes.hlines(y[known], *error, color=INK, lw=1, path_effects=[HALO])
    axes.plot(error, np.stack([y[known]] * 2), "|", color=INK, ms=4.5)
    axes.axvline(floor, color=INK, lw=1, ls=(0, (4, 2)))
    axes.text(floor, len(shown) - 0.35, f" Gaussian noise {_percent(floor)}", fontsize=7, va="bottom")
    names = [
        f"{_cut(model, 34)} (control)" if use == "control" else _cut(model, 44)
        for model, use in zip(shown["model"], shown["use"], strict=True)
    ]
    axes.set_yticks(y, names)
    for tick, use in zip(axes.get_yticklabels(), shown["use"], strict=True):
        tick.set_style("italic" if use == "control" else "normal")
    for place, (kernels, dead) in enumerate(zip(shown["kernels"], shown["dead"], strict=True)):
        axes.text(1.015, place, f"{kernels - dead:,}", va="center", fontsize=7, color=SOFT)
    axes.text(1.015, len(shown) - 0.35, "kernels", va="bottom", fontsize=7, color=SOFT)
    axes.set(xlim=(0, 1), ylim=(-0.6, len(shown) - 0.4), xlabel=f"share of kernels within {threshold:g} of the spectrum")
    axes.xaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, symbol=" %"))
    axes.tick_params(axis="y", length=0)
    _legend(figure, shares.columns)

    trained = shown.loc[shown["use"] != "control", "clustered_share"]
    caption = f"{_networks(min(MODELS, len(independent)), len(independent))} and the controls: the share of {size} kernels whose dissimilarity to their "
    caption += f"reconstruction is below {threshold:g}, by family of patterns; lines are 95 % bootstrap intervals over the "
    caption += "layers of a model (none where it has one layer). "
    if len(trained):
        caption += f"Shares run from {_percent(trained.min())} to {_percent(trained.max())}, where Gaussian noise gets "
        caption += f"{_percent(floor)}"
    if len(controls):
        caption += f" and control networks at most {_percent(controls['clustered_share'].max())}"
    caption += "."
    listed = ", ".join(f"{m} {_percent(s)}" for m, s in zip(shown["model"][::-1], shown["clustered_share"][::-1], strict=True))
    alt = f"Bars of the share of {size} kernels clustered per model: {listed}; Gaussian noise {_percent(floor)}."
    columns = ["model", "use", "kernels", "dead", "clustered_share", "share_low", "share_high"]
    data = shown[columns].assign(noise_share=floor).join(shares.reset_index(drop=True))
    return Drawing(figure, data, "Models", caption, alt)


def draw_layers(size: str, threshold: float, models: pd.DataFrame, layers: pd.DataFrame) -> Drawing:
    """Shares of the families of labels along the layers of the models with most kernels."""
    independent, _ = _largest_first(models[models["size"] == size])
    chosen = independent["model"].head(PANELS).tolist()
    layers = layers[(layers["size"] == size) & layers["model"].isin(chosen)]
    columns = min(3, max(1, len(chosen)))
    rows = -(-max(1, len(chosen)) // columns)
    height = 0.75 + 1.42 * rows
    figure = Figure(figsize=(WIDTH, height))
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    figure.subplots_adjust(0.065, 0.78 / height, 0.99, 1 - 0.25 / height, wspace=0.1, hspace=0.62)
    tables = []
    families = _family_shares(layers, "layer_index").columns
    for axes, model in zip(grid, chosen, strict=False):
        part = layers[layers["model"] == model]
        shares = _family_shares(part, "layer_index").reindex(columns=families, fill_value=0)
        edges, base = np.arange(len(shares) + 1) + 0.5, np.zeros(len(shares))
        for family in families:
            colour, hatch = FAMILIES[family]
            upper = base + shares[family].to_numpy()
            axes.stairs(upper, edges, baseline=base, fill=True, facecolor=colour, hatch=hatch, edgecolor="white", lw=0)
            base = upper
        axes.set_title(_cut(model, 38), fontsize=7.5, loc="left", pad=3)
        axes.set(xlim=(0.5, len(shares) + 0.5), ylim=(0, 1))
        axes.set_yticks([0, 0.5, 1], ["0", "50", "100 %"])
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(6, integer=True, min_n_ticks=1))
        axes.tick_params(length=2)
        tables.append(shares.reset_index().assign(model=model, layer=np.arange(1, len(shares) + 1)))
    for axes in grid[len(chosen) :]:
        axes.set_visible(False)
    figure.text(0.5275, 0.5 / height, f"{size} depthwise layer, from the input to the output", ha="center", va="center")
    _legend(figure, families)
    data = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["model", "layer", "layer_index"])
    data = data[["model", "layer", "layer_index", *families]]
    clustered = 1 - data["other"] if "other" in data else pd.Series(1.0, data.index)
    caption = (
        f"{_networks(len(chosen), len(independent))}: shares of the families of patterns in each layer with {size} kernels; "
        f"grey kernels are within {threshold:g} of no stretch of the spectrum. "
        f"Over these {len(data)} layers the share clustered runs from {_percent(clustered.min())} to "
        f"{_percent(clustered.max())}, with a median of {_percent(clustered.median())}."
    )
    ends = []
    for model, part in clustered.groupby(data["model"], sort=False):
        ends.append(f"{model} {_percent(part.iloc[0])} in the first and {_percent(part.iloc[-1])} in the last")
    alt = f"Stacked shares of patterns per layer of {len(chosen)} models; clustered of the {size} layers: {'; '.join(ends)}."
    return Drawing(figure, data, "Layers", caption, alt)


def draw_projection(size: str, threshold: float, sample: pd.DataFrame) -> Drawing:
    """The sample along its principal components."""
    sample = sample.iloc[:: -(-len(sample) // POINTS)]
    kernels = centre_and_normalise(_stack(sample["weight"]))
    mean = kernels.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(kernels - mean, rowvar=False, bias=True))
    explained, components = values[::-1][:4] / max(values.sum(), 1e-12), vectors.T[::-1][:4]
    strongest = np.abs(components).argmax(axis=1)  # eigenvectors have no sign: let the strongest tap be positive
    components = components * np.sign(components[np.arange(len(components)), strongest])[:, None]
    points = (kernels - mean) @ components.T
    data = sample[["model", "layer_index", "channel", "label"]].reset_index(drop=True)
    data = data.join(pd.DataFrame(points.round(4), columns=[f"component_{n + 1}" for n in range(points.shape[1])]))

    height = 4.75
    figure, canvas = _canvas(height)
    canvas.set_zorder(1)
    families = data["label"].map(family_of)
    colours = families.map({family: colour for family, (colour, _) in FAMILIES.items()})
    grey = (families == "other").to_numpy()
    limit = np.abs(points).max(initial=0.1) * 1.25  # room for the components at the ends of the axes
    for panel, (across, up) in enumerate([(0, 1), (2, 3)]):
        x0 = 0.85 + panel * 4.4
        axes = figure.add_axes([x0 / WIDTH, 0.95 / height, 3.6 / WIDTH, 3.6 / height])
        for part, dots in ((grey, 2), (~grey, 3)):
            axes.scatter(*points[part][:, [across, up]].T, s=dots, c=colours[part], lw=0, rasterized=True)
        axes.axhline(0, color=SOFT, lw=0.4)
        axes.axvline(0, color=SOFT, lw=0.4)
        axes.set(xlim=(-limit, limit), ylim=(-limit, limit))
        axes.tick_params(length=2)
        axes.set_xlabel(f"component {across + 1} ({_percent(explained[across])} of the variance)")
        axes.set_ylabel(f"component {up + 1} ({_percent(explained[up])} of the variance)")
        for sign in (-1, 1):
            _draw_kernel(canvas, sign * components[across], x0 + 1.8 + sign * 1.6, 1.83, 0.34)
            _draw_kernel(canvas, sign * components[up], x0 + 1.8, 1.83 - sign * 1.6, 0.34)
        medians = data[~grey].groupby("label")[[f"component_{across + 1}", f"component_{up + 1}"]].median()
        for label, (x, y) in zip(medians.index, _spread(medians.to_numpy(), limit), strict=True):
            text = axes.text(x, y, short(label), ha="center", va="center", fontsize=6.5)
            text.set_path_effects([HALO])
    _legend(figure, [family for family in FAMILIES if (families == family).any()])
    caption = (
        f"{len(sample):,} {size} training kernels, drawn at random, centred and normalised, along their first four principal "
        f"components (drawn as kernels at the axes; all four hold {_percent(explained.sum())} of the variance), coloured by "
        f"label, with each name at the median of its kernels. Clusters that the one-number code cuts apart should lie "
        f"apart here too, though no label was made from this projection; grey kernels are in no cluster."
    )
    places = ", ".join(
        f"{short(label)} at {x:.2f}, {y:.2f}"
        for label, x, y in data[~grey].groupby("label")[["component_1", "component_2"]].median().itertuples()
    )
    alt = f"Scatter of {size} kernels along four principal components. Medians along the first two: {places or 'none'}."
    return Drawing(figure, data, "Projection", caption, alt)


def draw_tap_sums(size: str, threshold: float, clusters: pd.DataFrame, sample: pd.DataFrame) -> Drawing:
    """Box plots of the sum of raw taps per cluster, relative to the largest sum that the kernel's norm allows."""
    raw = _stack(sample["weight"]).astype(np.float64)
    # |sum| <= side * L2 norm (Cauchy-Schwarz): scales differ by orders of magnitude between layers, this does not
    relative = raw.sum(axis=1) / np.maximum(raw.shape[1] ** 0.5 * np.linalg.norm(raw, axis=1), 1e-30)
    groups = [(cluster.cluster, cluster.label) for cluster in clusters.drop_duplicates(["cluster", "label"]).itertuples()]
    rows = []
    for place, (cluster, label) in enumerate([*groups, (-1, "other")]):
        values = relative[((sample["cluster"] == cluster) & (sample["label"] == label)).to_numpy()]
        if len(values):
            row = cluster, label, place + 1, len(values), *np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
            rows.append(row)
    names = ["cluster", "label", "number", "kernels", "whislo", "q1", "med", "q3", "whishi"]
    data = pd.DataFrame(rows, columns=names)

    figure, axes = _rows(len(data), left=2.0, right=0.95, legend=0)
    y = np.arange(len(data))[::-1]
    axes.axvline(0, color=SOFT, lw=0.6)
    boxes = axes.bxp(
        data[["whislo", "q1", "med", "q3", "whishi"]].to_dict("records"),
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
        colour, hatch = FAMILIES[family_of(label)]
        box.set(facecolor=colour, hatch=hatch, edgecolor="white", linewidth=0.5)
    for place, kernels in zip(y, data["kernels"], strict=True):
        axes.text(1.03, place, f"{kernels:,}", va="center", fontsize=7, color=SOFT)
    axes.text(1.03, len(data) - 0.45, "kernels", va="bottom", fontsize=7, color=SOFT)
    numbers = [f"{n}  {short(label)}" if c >= 0 else label for c, label, n in data[names[:3]].itertuples(index=False)]
    axes.set_yticks(y, numbers)
    axes.tick_params(axis="y", length=0)
    axes.set(xlim=(-1.02, 1.02), ylim=(-0.6, len(data) - 0.4))
    axes.set_xlabel(f"sum of taps / ({size.split('x')[0]} · L2 norm): ±1 is a constant kernel, 0 a balanced one")
    caption = (
        f"Sum of the raw taps of each kernel of the sample, divided by the largest sum that its L2 norm allows, which makes "
        f"layers comparable; boxes hold the middle half and lines the middle 90 % of a cluster. "
    )
    derivative = data[data["label"].str.startswith("First-Derivative")]
    if len(derivative):
        caption += f"First derivatives should balance: their medians run from {derivative['med'].min():.2f} to "
        caption += f"{derivative['med'].max():.2f}. "
    for side in ("On-Centre", "Off-Centre"):
        medians = data.loc[data["label"] == side, "med"]
        if len(medians):
            caption += f"{side} kernels have medians from {medians.min():.2f} to {medians.max():.2f}. "
    listed = ", ".join(f"{short(label)} {median:.2f}" for label, median in zip(data["label"], data["med"], strict=True))
    alt = f"Box plots of the relative sum of taps per cluster of {size} kernels; medians: {listed or 'none'}."
    return Drawing(figure, data, "Sum of taps", caption.strip(), alt)


def draw_thresholds(size: str, threshold: float, models: pd.DataFrame, thresholds: pd.DataFrame) -> Drawing:
    """The share clustered against the threshold."""
    curves = thresholds[thresholds["size"] == size].pivot(
        index="threshold", columns="model", values="clustered_share"
    )
    controls = models.loc[(models["size"] == size) & (models["use"] == "control"), "model"]
    control = curves.columns.isin(controls)
    noise = curves.columns == "noise"
    trained = curves.loc[:, ~control & ~noise]
    median = trained.median(axis=1)

    height = 3.7
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes([0.75 / WIDTH, 0.5 / height, 6.3 / WIDTH, (height - 0.7) / height])
    x = curves.index.to_numpy()
    axes.plot(x, trained.to_numpy(), color="#0072b2", lw=0.6, alpha=0.3 if trained.shape[1] < 60 else 0.15)
    (bold,) = axes.plot(x, median, color="#0072b2", lw=2.4, path_effects=[HALO])
    handles, texts = [axes.lines[0], bold], [f"trained networks ({trained.shape[1]})", "their median"]
    if control.any():
        handles.append(axes.plot(x, curves.loc[:, control].to_numpy(), color="#d55e00", lw=1.2, ls="-.")[0])
        texts.append(f"control networks ({control.sum()})")
    handles += axes.plot(x, curves.loc[:, noise].to_numpy(), color=INK, lw=1.6, ls=(0, (4, 2)))
    texts.append("Gaussian noise")
    axes.axvline(threshold, color=SOFT, lw=1, ls=":")
    axes.text(threshold, 1.01, f" threshold {threshold:g}", va="bottom", ha="center", fontsize=7.5, color=SOFT)
    axes.set(xlim=(0, x.max()), ylim=(0, 1), xlabel="dissimilarity to the reconstruction below which a kernel is clustered")
    axes.set_ylabel("share of kernels clustered")
    axes.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, symbol=" %"))
    axes.legend(handles, texts, loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=2.6)
    data = curves.reset_index().melt("threshold", var_name="model", value_name="clustered_share").dropna()
    data = pd.concat([data, median.rename("clustered_share").reset_index().assign(model="median")], ignore_index=True)
    at = np.interp(threshold, x, median) if len(trained.columns) else np.nan
    floor = np.interp(threshold, x, curves.loc[:, noise].iloc[:, 0]) if noise.any() else np.nan
    widest = (median - curves.loc[:, noise].iloc[:, 0]).idxmax() if noise.any() and len(trained.columns) else np.nan
    caption = (
        f"Share of the {size} kernels of each network that a threshold counts as clustered, for every threshold. At the "
        f"one used here, {threshold:g}, the median network has {_percent(at)} and Gaussian noise {_percent(floor)}; the two "
        f"curves are furthest apart at {widest:g}."
    )
    alt = f"Curves of the share clustered against the threshold for {trained.shape[1]} networks; median {_percent(at)} and "
    alt += f"noise {_percent(floor)} at {threshold:g}."
    return Drawing(figure, data, "Thresholds", caption, alt)


def draw_kmeans(size: str, threshold: float, centres: pd.DataFrame) -> Drawing:
    """The centres of k-means with their names and shares."""
    across = min(10, len(centres))
    pitch, side = (WIDTH - 0.2) / max(across, 8), 0.66
    names = [_wrapped(short(label), pitch, 7) for label in centres["label"]]
    row_height = 1.2 + 0.13 * max(name.count("\n") + 1 for name in names)
    rows = -(-len(centres) // across)
    figure, canvas = _canvas(0.42 + row_height * rows)
    whole = max(1, centres["kernels"].sum())
    canvas.text(0.1, 0.2, f"k-means of the {size} kernels, k = {len(centres)}", va="center", fontweight="bold")
    _scale_bar(canvas, WIDTH - 2.7, 0.16)
    for place, centre in enumerate(centres.itertuples()):
        x, y = 0.1 + (place % across + 0.5) * pitch, 0.42 + place // across * row_height
        canvas.text(x, y + 0.06, str(place + 1), ha="center", va="center", fontweight="bold")
        _draw_kernel(canvas, np.asarray(centre.centre), x, y + 0.16, side)
        words = f"{names[place]}\n{_percent(centre.kernels / whole)}"
        canvas.text(x, y + side + 0.22, words, ha="center", va="top", fontsize=7, linespacing=1.2)
    share = centres["clustered"].sum() / whole
    data = centres.drop(columns="centre").assign(share=centres["kernels"] / whole)
    named = ", ".join(f"{short(label)} {_percent(s)}" for label, s in zip(data["label"], data["share"], strict=True))
    caption = (
        f"The {len(centres)} centres of k-means over {whole:,} {size} kernels, named like the clusters of the autoencoder, with "
        f"the share of kernels nearest to each. {_percent(share)} of the kernels lie within {threshold:g} of their centre: "
        f"the share to compare with the autoencoder's, which has a whole curve of prototypes."
    )
    alt = f"Centres of k-means of the {size} kernels with their shares: {named}."
    return Drawing(figure, data.join(_taps_columns(_stack(centres["centre"]))), "k-means", caption, alt)


FIGURES = {
    "spectrum": draw_spectrum,
    "members": draw_members,
    "models": draw_models,
    "layers": draw_layers,
    "projection": draw_projection,
    "tap_sums": draw_tap_sums,
    "thresholds": draw_thresholds,
    "kmeans": draw_kmeans,
}


# ---- parts of figures


def _canvas(height: float) -> tuple[Figure, Axes]:
    """A figure, and axes that cover it with inches as unit, y downwards from the top left."""
    figure = Figure(figsize=(WIDTH, height))
    canvas = figure.add_axes([0, 0, 1, 1])
    canvas.set(xlim=(0, WIDTH), ylim=(height, 0))
    canvas.set_axis_off()
    return figure, canvas


def _rows(rows: int, left: float, right: float, legend: float = 0.42) -> tuple[Figure, Axes]:
    """A figure with one horizontal bar or box a row, of the same thickness whatever their number."""
    height = 0.95 + legend + 0.205 * max(rows, 1)
    figure = Figure(figsize=(WIDTH, height))
    low = 0.5 + legend
    box = [left / WIDTH, low / height, (WIDTH - left - right) / WIDTH, (height - low - 0.3) / height]
    return figure, figure.add_axes(box)


def _draw_kernel(canvas: Axes, taps: np.ndarray, middle: float, top: float, side: float, frame: str = "") -> None:
    """A kernel as a small image, scaled to its own largest tap, so that patterns compare and zero is white."""
    image = np.reshape(taps, (round(len(taps) ** 0.5), -1))
    largest = max(np.abs(image).max(), 1e-12)
    left, right = middle - side / 2, middle + side / 2
    extent = (left, right, top + side, top)
    canvas.imshow(image / largest, cmap=TAPS, vmin=-1, vmax=1, extent=extent, aspect="auto", interpolation="nearest")
    canvas.add_patch(Rectangle((left, top), side, side, fill=False, ec=frame or "#bbbbbb", lw=0.9 if frame else 0.3))


def _scale_bar(canvas: Axes, left: float, top: float) -> None:
    extent = (left + 0.72, left + 1.52, top + 0.09, top)
    canvas.imshow(np.linspace(-1, 1, 64)[None], cmap=TAPS, extent=extent, aspect="auto")
    canvas.text(left + 0.67, top + 0.045, "taps: −max", ha="right", va="center", fontsize=6.5, color=SOFT)
    canvas.text(left + 1.57, top + 0.045, "+max of each kernel", ha="left", va="center", fontsize=6.5, color=SOFT)


def _legend(figure: Figure, families: Iterable[str]) -> None:
    """The families at the foot of a figure, in their colours and hatches."""
    words = {"First-Derivative": "1st derivative", "On-Second-Derivative": "On 2nd deriv.", "other": "other (unclustered)"}
    words["Off-Second-Derivative"] = "Off 2nd deriv."
    handles = [
        Patch(facecolor=FAMILIES[family][0], hatch=FAMILIES[family][1], edgecolor="white", label=words.get(family, family))
        for family in families
    ]
    if handles:
        figure.legend(handles=handles, loc="lower center", ncols=len(handles) if len(handles) < 7 else -(-len(handles) // 2), handlelength=1.6, columnspacing=1.4)


def _family_shares(table: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Shares per unit (rows) and family (columns, in the order of `FAMILIES`, those that occur); no dead kernels."""
    table = table[table["label"] != "dead"]
    families = table["label"].map(family_of).rename("family")
    wide = table.groupby([table[unit], families])["share"].sum().unstack(fill_value=0.0)
    return wide[[family for family in FAMILIES if family in wide]]


def _noise_share(noise: pd.DataFrame, size: str) -> float:
    """The share of the Gaussian-noise kernels of a size that is clustered."""
    labels = noise.loc[noise["kh"] == int(size.split("x")[0]), "label"]
    return (labels != "other").mean() if len(labels) else np.nan


def _sample_at(counts: np.ndarray, inside: np.ndarray, quantile: float) -> int:
    """The sample of the code at a quantile of the kernels inside a stretch, given by its samples."""
    passed = counts[inside].cumsum()
    place = int(np.searchsorted(passed, passed[-1] * quantile)) if passed[-1] else int((len(inside) - 1) * quantile)
    return int(inside[place])


def _square_root_ticks(highest: float) -> list[float]:
    """Zero and round shares that leave room for their labels on a square-root scale."""
    rounds = [factor * 10.0**power for power in (-4, -3, -2, -1) for factor in (1, 2, 5)] + [1.0]
    ticks, last = [0.0], 0.0
    for value in rounds:
        if value <= highest * 1.05 and (value**0.5 - last**0.5) > 0.2 * highest**0.5:
            ticks.append(value)
            last = value
    return ticks


def _spread(points: np.ndarray, limit: float) -> np.ndarray:
    """Move text positions [n, 2] apart, upwards only, until lines of text do not lie on each other."""
    wide, high = 0.5 * limit, 0.085 * limit
    placed = np.empty((0, 2))
    moved = points.astype(float).copy()
    for index in np.argsort(points[:, 1], kind="stable"):
        x, y = points[index]
        while ((np.abs(placed[:, 0] - x) < wide) & (np.abs(placed[:, 1] - y) < high)).any():
            y += high / 4
        moved[index] = x, y
        placed = np.vstack([placed, moved[index]])
    return moved


def _wrapped(words: str, inches: float, points: float) -> str:
    """Words in lines no wider than a column; DejaVu Sans is 0.6 em wide on average."""
    return "\n".join(textwrap.wrap(words, max(6, int(inches * 72 / (0.6 * points)))))


def _cut(name: str, length: int) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if np.isfinite(share) else "unknown"


def _largest_first(models: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Independent networks, the largest of each group that shares weights, and controls; most kernels first."""
    ordered = models.sort_values("kernels", ascending=False, kind="stable")
    return one_per_group(ordered), ordered[ordered["use"] == "control"]


def _networks(shown: int, there: int) -> str:
    if shown == there:
        return f"All {there} independent networks" if there != 1 else "The one network"
    return f"The {shown} of {there} independent networks with most kernels"


def _stack(taps: pd.Series) -> np.ndarray:
    return np.stack([np.asarray(kernel, np.float32) for kernel in taps])


def _taps_columns(kernels: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(kernels.astype(np.float64).round(6), columns=[f"tap_{n}" for n in range(kernels.shape[1])])
