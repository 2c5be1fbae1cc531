"""Draw how sure the clusters are, and against what.

As in `draw`: tables in; the figure, the data drawn and the words beside it out. Tables may hold all sizes.
"""

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from kernel_atlas.canvas import (
    INK,
    PERCENT,
    SOFT,
    WIDTH,
    Drawing,
    draw_interval,
    draw_kernel,
    draw_nothing,
    draw_scale,
    open_canvas,
    place_axes,
    short,
    wrapped,
)
from kernel_atlas.clusters import cluster_of
from kernel_atlas.words import KINDS, interval, joined, number, percent, share_of

EXAMPLES = 6  # kernels of a kind and an autoencoder
RULE = {"recurs": 0.8, "jaccard": 0.6}  # RECURS and JACCARD of evidence/stability.py, whose import loads torch

# Colour and line of each kind of kernels
LINES = {
    "real": ("#0072b2", "-"),
    "gaussian": (INK, (0, (4, 2))),
    "shuffled": ("#cc79a7", (0, (1, 1))),
    "phase": ("#009e73", (0, (6, 1.5, 1, 1.5))),
    "untrained": ("#d55e00", "-."),
    "dense": ("#e69f00", (0, (8, 2))),
}
METHODS = {  # name, colour and marker
    "kmeans": ("k-means", "#d55e00", "s"),
    "gaussian_mixture": ("Gaussian mixture", "#cc79a7", "^"),
    "hdbscan": ("HDBSCAN", "#8a8a00", "P"),
    "pca": ("principal components", "#009e73", "D"),
    "retrained": ("autoencoder, retrained", "#0072b2", "o"),
    "autoencoder": ("this run's autoencoder (saw both halves)", INK, "*"),
}
DODGE = {"gaussian_mixture": (1.06, 0), "pca": (1, 0.1)}  # drawn beside others at the same k


def draw_controls(size: str, threshold: float, controls: pd.DataFrame, examples: pd.DataFrame) -> Drawing:
    """What share of each kind of kernels is clustered, beside kernels and what the autoencoders make of them."""
    data = controls[controls["size"] == size].reset_index(drop=True)
    kinds = [kind for kind in KINDS if (data["control"] == kind).any()]
    if not kinds:
        return draw_nothing(size, "Controls", "no kernels were compared with controls")
    shares = data.set_index(["control", "encoder"])
    head, pitch, side, step = 0.62, 1.0, 0.36, 0.39
    foot = head + pitch * len(kinds)
    figure, canvas = open_canvas(foot + 0.72)
    axes = place_axes(figure, 1.42, head, 3.55, foot)
    axes.set(xlim=(0, 1), ylim=(len(kinds), 0), xlabel=f"share with a dissimilarity below {threshold:g}")
    axes.set_yticks([])
    axes.xaxis.set_major_formatter(PERCENT)
    draw_scale(canvas, WIDTH - 2.7, foot + 0.3)
    blocks = {"main": (4.15, "decoded by the run's autoencoder"), "own": (6.6, "by one trained on such kernels")}
    for left, words in blocks.values():
        canvas.text(left, head - 0.3, words, weight="bold", size=7.5, va="center")
        canvas.text(left, head - 0.14, "from the most to the least alike", size=6.5, color=SOFT, va="center")
    looks = {"main": {"marker": "o", "color": LINES["real"][0]}, "own": {"marker": "D", "color": "#d55e00", "mfc": "w"}}
    for row, kind in enumerate(kinds):
        top = head + row * pitch
        if row:
            canvas.plot([0.1, WIDTH - 0.06], [top, top], color=SOFT, lw=0.3)
        canvas.text(0.1, top + 0.42, wrapped(KINDS[kind], 1.3, 8.8), va="center", weight="bold", linespacing=1.2)
        for place, (encoder, (left, _)) in zip((0.34, 0.7), blocks.items(), strict=True):
            if (kind, encoder) not in shares.index:
                canvas.text(left, top + 0.44, "none was trained", size=7, color=SOFT, va="center")
                continue
            found = shares.loc[(kind, encoder)]
            share, low, high = found[["clustered_share", "low", "high"]].astype(float)
            draw_interval(axes, row + place, low, high, looks[encoder]["color"])
            axes.plot(share, row + place, ms=5, ls="", clip_on=False, zorder=3, **looks[encoder])
            ends = np.nan_to_num([low, high], nan=share)
            where = (ends[1] + 0.03, "left") if ends[1] < 0.75 else (ends[0] - 0.03, "right")
            axes.text(where[0], row + place, percent(share), ha=where[1], va="center", size=7)
            if encoder == "main":
                counted = f"{number(found['kernels'])} kernels"
                canvas.text(0.1, top + 0.72, counted, size=6.5, color=SOFT, va="center")
            some = examples[(examples["control"] == kind) & (examples["encoder"] == encoder)]
            steps = np.linspace(0, len(some) - 1, min(EXAMPLES, len(some))).round().astype(int)
            shown = some.sort_values("dissimilarity", kind="stable").iloc[steps]
            for column, one in enumerate(shown.itertuples()):
                middle, frame = left + side / 2 + column * step, INK if one.dissimilarity < threshold else ""
                draw_kernel(canvas, np.asarray(one.kernel), middle, top + 0.06, side, frame)
                draw_kernel(canvas, np.asarray(one.reconstruction), middle, top + 0.08 + side, side, frame)
                canvas.text(middle, top + 0.9, f"{one.dissimilarity:.2f}", size=6.5, ha="center", va="center")
        for words, y in (("kernel", 0.24), ("decoded", 0.62), ("dissim.", 0.9)):
            canvas.text(4.09, top + y, words, size=6.5, color=SOFT, ha="right", va="center")
    names = {"main": "the run's autoencoder", "own": "one trained on the kind itself"}
    handles = [Line2D([], [], ls="", ms=5, label=names[encoder], **looks[encoder]) for encoder in names]
    axes.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.42, 1.0), handletextpad=0.2)

    def said(kind: str) -> str:
        parts = [share_of(shares.loc[(kind, encoder)]) for encoder in names if (kind, encoder) in shares.index]
        return f"{KINDS[kind]} {' and '.join(parts)}"

    caption = (
        f"Left: share of {size} kernels of each kind with a dissimilarity below {threshold:g}, through the autoencoder "
        "of the run and, judged on other layers, through one trained on such kernels alone; lines are 95 % intervals. "
        "Right: kernels at even steps of dissimilarity above what is decoded from their code, framed where they are "
        "clustered. An autoencoder that imposed structure would cluster the controls as well: "
        f"{'; '.join(said(kind) for kind in kinds)}."
    )
    alt = f"Shares of {size} kernels clustered, by the run's and by their own autoencoder: "
    alt += f"{'; '.join(said(kind) for kind in kinds)}."
    return Drawing(figure, data, "Controls", caption, alt)


def draw_baselines(size: str, threshold: float, baselines: pd.DataFrame, agreement: pd.DataFrame) -> Drawing:
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
    prototypes = [method for method in ("kmeans", "gaussian_mixture", "hdbscan") if (shares["method"] == method).any()]
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

    right = place_axes(figure, 7.25, 0.4, WIDTH - 0.15, foot)
    y = np.arange(len(pairs))
    right.axvline(0, color=SOFT, lw=0.6)
    for place, pair in enumerate(pairs.itertuples()):
        _, colour, marker = METHODS[pair.method_b]
        draw_interval(right, place, pair.low, pair.high, colour)
        right.plot(pair.adjusted_rand, place, marker, color=colour, ms=5)
    right.set_yticks(y, [f"{METHODS[pair.method_b][0]}, {pair.k_b:g}" for pair in pairs.itertuples()])
    ends = pairs[["adjusted_rand", "low", "high"]].to_numpy(float)
    least, most = np.nanmin(ends, initial=0), np.nanmax(ends, initial=0.2)
    right.set(ylim=(rows - 0.4, -0.6), xlim=(least - 0.03, 1.08 * most), xlabel="adjusted Rand index")
    right.tick_params(axis="y", length=0)
    there = [method for method in METHODS if (shares["method"] == method).any()]
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

    said = []
    for method, k in (("retrained", 1), ("kmeans", 10), ("gaussian_mixture", 10), ("pca", 1)):
        for row in shares[(shares["method"] == method) & (shares["k"] == k)].itertuples():
            what = {"retrained": "a code of one number", "pca": "one principal component"}.get(
                method, f"{METHODS[method][0]} with {k}"
            )
            share = share_of(row._asdict(), "held_out_share", "held_out_low", "held_out_high")
            said.append(f"{what} {share} (noise {percent(row.noise_share)})")
    nearest = ""
    if len(pairs):
        best = pairs.iloc[0]
        nearest = (
            f" Right: the labels most like the autoencoder's are those of {METHODS[best['method_b']][0]} with "
            f"{best['k_b']:g}, with an adjusted Rand index of {interval(*best[['adjusted_rand', 'low', 'high']])} "
            "(0 by chance, 1 for equals; intervals from random halves)."
        )
    caption = (
        f"Methods fitted on one half of the {size} training kernels: the share they cluster of that half (hollow), of "
        "the other one, which shares no model or no layer with it (filled, with 95 % intervals), and of Gaussian noise "
        f"(dashed). Of the other half: {', '.join(said) or 'not known'}.{nearest}"
    )
    listed = [
        f"{METHODS[row.method][0]} {row.k:g}: {percent(row.clustered_share)}, {percent(row.held_out_share)}, "
        f"{percent(row.noise_share)}"
        for row in shares.itertuples()
    ]
    alt = f"Shares of {size} kernels clustered in the fitted half, the other half and noise: {'; '.join(listed)}."
    drawn = pd.concat([shares.assign(panel="shares"), pairs.assign(panel="agreement")], ignore_index=True)
    return Drawing(figure, drawn, "Baselines", caption, alt)


def draw_stability(
    size: str,
    threshold: float,
    stability: pd.DataFrame,
    restarts: pd.DataFrame,
    clusters: pd.DataFrame,
    spectrum: pd.DataFrame,
) -> Drawing:
    """Which clusters come back from other starts and from other models, and how many kernels those runs cluster."""
    rows, runs = stability[stability["size"] == size], restarts[restarts["size"] == size].reset_index(drop=True)
    every = rows[rows["kind"] == "all"].reset_index(drop=True)
    if every.empty:
        return draw_nothing(size, "Stability", "nothing was trained again, or there is no cluster to come back")
    head, pitch, side = 0.62, 0.34, 0.3
    foot = head + pitch * len(every)
    low = max(foot, head + 0.2 * len(runs))
    figure, canvas = open_canvas(low + 0.98)
    prototypes = _prototypes(clusters, spectrum)
    panels = {
        "recurs": (place_axes(figure, 2.75, head, 4.35, foot), "runs with its prototype"),
        "jaccard": (place_axes(figure, 4.6, head, 6.2, foot), "Jaccard index of members"),
    }
    kinds = {"restart": (-0.27, ">", "other starts"), "bootstrap": (0.27, "<", "other models or layers")}
    for column, (axes, words) in panels.items():
        axes.set(xlim=(-0.02, 1.02), ylim=(len(every) - 0.5, -0.5), xlabel=words, yticks=[])
        axes.set_xticks(np.arange(5) / 4, ["0", "0.25", "0.5", "0.75", "1"])
        axes.axvline(RULE[column], color=INK, lw=0.9, ls=(0, (4, 2)))
        axes.text(RULE[column], 1, f"{RULE[column]:g}", transform=axes.get_xaxis_transform(), ha="center", va="bottom")
        axes.hlines(np.arange(len(every)), 0, 1, color="#dddddd", lw=0.6, zorder=0)
        for kind, (off, marker, _) in kinds.items():
            part = rows[rows["kind"] == kind].set_index("cluster")[column].reindex(every["cluster"])
            axes.plot(part, np.arange(len(every)) + off, marker, color="#56b4e9", ms=3.2, clip_on=False)
        stable = every["stable"].to_numpy() == "yes"
        for which, look in ((stable, {"marker": "o"}), (~stable, {"marker": "X", "mfc": "w"})):
            axes.plot(every[column][which], np.flatnonzero(which), ls="", color=INK, ms=6, clip_on=False, **look)
    panels["recurs"][0].plot(every["chance"], np.arange(len(every)), "|", color="#d55e00", ms=10, mew=1.6)
    aside = {"size": 6.5, "color": SOFT, "va": "center"}
    canvas.text(2.6, head - 0.12, "kernels", ha="right", **aside)
    canvas.text(6.5, head - 0.12, "stable?", ha="center", **aside)
    for row, cluster in enumerate(every.itertuples()):
        top = head + row * pitch + 0.02
        canvas.text(0.3, top + side / 2, str(cluster.cluster), ha="right", va="center", weight="bold")
        if cluster.cluster in prototypes:
            draw_kernel(canvas, prototypes[cluster.cluster], 0.55, top, side)
        canvas.text(0.8, top + side / 2, short(cluster.label), va="center")
        canvas.text(2.6, top + side / 2, number(cluster.kernels), ha="right", **aside)
        yes = cluster.stable == "yes"
        weight = "bold" if yes else "normal"
        canvas.text(6.5, top + side / 2, "yes" if yes else "no", ha="center", va="center", weight=weight, size=7.5)

    axes = place_axes(figure, 7.62, head, WIDTH - 0.52, head + max(0.2 * len(runs), 0.4))
    names = {"main": "this run", "restart": "start", "bootstrap": "models"}
    looks = {"main": ("D", INK), "restart": (">", "#56b4e9"), "bootstrap": ("<", "#56b4e9")}
    for row, run in enumerate(runs.itertuples()):
        marker, colour = looks[run.kind]
        axes.hlines(row, 0, run.clustered_share, color="#dddddd", lw=0.8, zorder=0)
        axes.plot(run.clustered_share, row, marker, color=colour, ms=5, clip_on=False)
        where = {"x": 1.08, "y": row, "transform": axes.get_yaxis_transform()}
        axes.text(**where, s=f"{run.clusters:g}", ha="left", va="center", size=7)
    axes.text(
        1.02, -1.05, "clusters", transform=axes.get_yaxis_transform(), ha="left", va="center", size=6.5, color=SOFT
    )
    highest = max(runs["clustered_share"].max(), 0.05) if len(runs) else 1
    labels = [names[run.kind] + (f" {run.run:g}" if run.run else "") for run in runs.itertuples()]
    axes.set_yticks(range(len(runs)), labels)
    axes.set(ylim=(max(len(runs), 2) - 0.5, -0.5), xlim=(0, min(1, 1.1 * highest)), xlabel="kernels clustered")
    axes.xaxis.set_major_locator(MaxNLocator(2))
    axes.xaxis.set_major_formatter(PERCENT)
    axes.tick_params(axis="y", length=0)
    canvas.text(0.1, 0.16, "Clusters of this run", weight="bold", va="center")
    canvas.text(7.0, 0.16, "All runs", weight="bold", va="center")
    canvas.text(2.75, 0.16, "Do they come back?", weight="bold", va="center")
    handles = {
        "all runs, stable": Line2D([], [], ls="", marker="o", color=INK, ms=6),
        "all runs, not stable": Line2D([], [], ls="", marker="X", color=INK, mfc="w", ms=6),
        **{words: Line2D([], [], ls="", marker=m, color="#56b4e9", ms=4) for _, m, words in kinds.values()},
        "by chance": Line2D([], [], ls="", marker="|", color="#d55e00", ms=10, mew=1.6),
        "least of a stable cluster": Line2D([], [], color=INK, lw=0.9, ls=(0, (4, 2))),
    }
    figure.legend(handles.values(), handles, loc="lower center", ncols=6, columnspacing=1.2, handletextpad=0.5)
    others = runs.loc[runs["kind"] != "main", "clustered_share"]
    steady = every[every["stable"] == "yes"]
    caption = (
        f"Each {size} cluster of this run against {every['runs'].max():g} runs from another start or on models or "
        "layers drawn with replacement: the share of runs where a prototype matched one to one has a cosine of at "
        "least 0.9 to it, the same where random kernels stand for prototypes, and the mean Jaccard index of the "
        "members. "
        f"Both limits (dashed) were set beforehand; {len(steady)} of {len(every)} clusters pass"
    )
    caption += f", {joined([f'{row.cluster} ({row.label})' for row in steady.itertuples()])}." if len(steady) else "."
    main = runs.loc[runs["kind"] == "main", "clustered_share"]
    if len(others) and len(main):
        caption += (
            f" This run clusters {percent(main.iloc[0])} of the kernels, the others {percent(others.min())} to "
            f"{percent(others.max())}."
        )
    listed = [
        f"{row.cluster} {row.label} back in {percent(row.recurs)}, Jaccard {row.jaccard:.2f}, "
        f"{'stable' if row.stable == 'yes' else 'not stable'}"
        for row in every.itertuples()
    ]
    alt = f"Recurrence of the {len(every)} {size} clusters: {'; '.join(listed)}."
    data = pd.concat([rows.assign(panel="clusters"), runs.assign(panel="runs")], ignore_index=True)
    return Drawing(figure, data, "Stability", caption, alt)


FIGURES = {
    "controls": draw_controls,
    "baselines": draw_baselines,
    "stability": draw_stability,
}


# Parts


def _prototypes(clusters: pd.DataFrame, spectrum: pd.DataFrame) -> dict[int, np.ndarray]:
    """What the decoder draws at the median code of each cluster's kernels."""
    held = cluster_of(spectrum["code"].to_numpy(), clusters)
    numbers = clusters["cluster"].to_numpy()[held]
    found = {}
    for cluster in clusters["cluster"].unique():
        inside = np.flatnonzero(numbers == cluster)
        if len(inside):
            passed = spectrum["kernels"].to_numpy()[inside].cumsum()
            found[cluster] = np.asarray(spectrum["decoded"].iloc[inside[np.searchsorted(passed, passed[-1] / 2)]])
    return found
