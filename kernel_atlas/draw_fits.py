"""Draw which patterns with a formula the kernels resemble, and what the fits find of synthetic ones.

As in `draw`: tables in; the figure, the data drawn and the words beside it out. Tables may hold all sizes.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FixedLocator, MaxNLocator

from kernel_atlas.canvas import (
    BOX,
    FAMILIES,
    FITTED,
    INK,
    PERCENT,
    SOFT,
    WIDTH,
    Drawing,
    draw_interval,
    draw_kernel,
    draw_nothing,
    look_of,
    open_canvas,
    place_axes,
    short,
    wrapped,
)
from kernel_atlas.draw_evidence import LINES
from kernel_atlas.patterns import family_of, templates
from kernel_atlas.words import KINDS, interval, joined, number, percent, share_of

TURNS = {"first_derivative": 360, "second_derivative": 180, "cross": 90}  # degrees after which an angle comes again


def draw_fits(size: str, threshold: float, fit_cosines: pd.DataFrame, fit_explained: pd.DataFrame) -> Drawing:
    """How well the best pattern of continuous families fits each kernel, and each control."""
    cosines, explained = (table[table["size"] == size] for table in (fit_cosines, fit_explained))
    totals = explained[explained["family"] == "all"].set_index("subject")
    subjects = [subject for subject in KINDS if subject in totals.index]
    if not subjects or cosines.empty:
        return draw_nothing(size, "Fits", "no kernels were fitted")
    rows = len(subjects)
    foot = max(2.75, 0.4 + 0.42 * rows)
    figure, canvas = open_canvas(foot + 0.85)
    left = place_axes(figure, 0.72, 0.4, 4.0, foot)
    for subject in reversed(subjects):  # the real kernels above
        part, (colour, style) = cosines[cosines["subject"] == subject], LINES[subject]
        edges = np.append(part["cosine_low"], part["cosine_high"].iloc[-1:])
        left.stairs(part["share"], edges, color=colour, ls=style, lw=2.2 if subject == "real" else 1.3)
    noise = explained["threshold"].iloc[0]
    left.axvline(noise, color=SOFT, lw=1, ls=":")
    # from where the first thousandth of a kind lies: a single kernel that fits nothing would squeeze the others
    below = cosines.sort_values("cosine_low").groupby("subject")["share"].cumsum()
    begin = cosines.loc[below[below > 0.001].index, "cosine_low"].min()
    beside = "right" if noise > (begin + 1) / 2 else "left"
    where = {"transform": left.get_xaxis_transform(), "ha": beside, "va": "bottom", "size": 7, "color": SOFT}
    left.text(noise, 1.01, f"99 % of noise below {noise:.3f}", **where)
    left.set(xlim=(begin, 1), ylim=(0, 1.05 * max(cosines["share"].max(), 1e-6)), ylabel="share of kernels")
    width = (cosines["cosine_high"] - cosines["cosine_low"]).iloc[0]
    left.set_xlabel(f"best cosine to a pattern with a formula (steps of {width:.2g})")
    left.yaxis.set_major_formatter(PERCENT)

    right = place_axes(figure, 6.35, 0.4, WIDTH - 0.3, foot)
    stacked = explained[explained["family"] != "all"].pivot(index="subject", columns="family", values="explained_share")
    stacked = stacked.reindex(index=subjects, columns=list(FITTED)).fillna(0)
    base = np.zeros(rows)
    for family in FITTED:
        right.barh(np.arange(rows), stacked[family], 0.62, base, **_look(family))
        base += stacked[family].to_numpy()
    for row, subject in enumerate(subjects):
        total = totals.loc[subject]
        draw_interval(right, row, total["explained_low"], total["explained_high"], INK, ends=True)
        end = np.nanmax(total[["explained_share", "explained_high"]].astype(float))
        where = (end + 0.02, "left") if end < 0.8 else (1.0, "right")
        right.text(
            where[0],
            row - (0.44 if end >= 0.8 else 0),
            percent(total["explained_share"]),
            ha=where[1],
            va="center",
            size=7,
            bbox=BOX,
        )
        colour, style = LINES[subject]
        right.plot(
            [-0.19, -0.03],
            [row, row],
            color=colour,
            ls=style,
            lw=2.2 if subject == "real" else 1.3,
            transform=right.get_yaxis_transform(),
            clip_on=False,
        )
        words = f"{wrapped(KINDS[subject], 1.25, 7)}\n{number(total['kernels'])}"
        right.text(-0.22, row, words, transform=right.get_yaxis_transform(), ha="right", va="center", size=7)
    right.set(
        xlim=(0, 1), ylim=(rows - 0.5, -0.6), xlabel="share of kernels above the noise, by best family", yticks=[]
    )
    right.xaxis.set_major_formatter(PERCENT)
    canvas.text(0.72, 0.14, "How well the best pattern fits", weight="bold", va="center")
    canvas.text(4.6, 0.14, "How many kernels are explained", weight="bold", va="center")
    _legend(figure, FITTED)
    families = explained[(explained["subject"] == subjects[0]) & (explained["family"] != "all")]
    most = families.loc[families["explained_share"].idxmax()]
    keys = "explained_share", "explained_low", "explained_high"
    said = [f"{KINDS[s]} {share_of(totals.loc[s], *keys)}" for s in subjects]
    medians = joined(
        [f"{totals.at[s, 'cosine_median']:.3f} for {KINDS[s]}" for s in ("real", "gaussian") if s in totals.index]
    )
    caption = (
        f"Left: best cosine of each {size} kernel to a difference of Gaussians, a first or second derivative or a "
        f"cross, whose parameters are fitted to it; the medians are {medians}. More parameters fit more, so controls "
        f"are fitted in the same way, and a kernel counts as explained above {noise:.3f}, which 1 % of Gaussian noise "
        f"exceeds. Right: explained are {', '.join(said)} (lines: 95 % intervals over models); most of the "
        f"{KINDS[subjects[0]]} by the {FITTED[most['family']][0]}, {share_of(most, *keys)}."
    )
    alt = f"Shares of {size} kernels explained by patterns with a formula: {', '.join(said)}."
    data = pd.concat([cosines.assign(panel="cosines"), explained.assign(panel="explained")], ignore_index=True)
    return Drawing(figure, data, "Fits", caption, alt)


def draw_fit_scales(
    size: str,
    threshold: float,
    fit_scales: pd.DataFrame,
    fit_orientations: pd.DataFrame,
    fit_cardinal: pd.DataFrame,
) -> Drawing:
    """How large the explained patterns are along the networks, and which way the derivatives point."""
    scales, turns, cardinal = (table[table["size"] == size] for table in (fit_scales, fit_orientations, fit_cardinal))
    if scales.empty:
        return draw_nothing(size, "Scales and directions", "no kernel fits a pattern better than noise does")
    figure, canvas = open_canvas(5.55)
    canvas.text(0.1, 0.14, "Scale of the explained kernels along the networks", weight="bold", va="center")
    highest, gap = 1.06 * scales["sigma_q90"].max(), 2.13
    for place, family in enumerate(FITTED):
        axes = place_axes(figure, 0.62 + gap * place, 0.55, 0.62 + gap * place + 1.85, 2.15)
        part = scales[scales["family"] == family]
        middle, wide = (part["depth_low"] + part["depth_high"]) / 2, part["depth_high"] - part["depth_low"]
        axes.vlines(middle, part["sigma_q10"], part["sigma_q90"], color=SOFT, lw=1)
        box = part["sigma_q75"] - part["sigma_q25"]
        axes.bar(middle, box, 0.66 * wide, part["sigma_q25"], **_look(family) | {"edgecolor": INK, "lw": 0.5})
        axes.hlines(part["sigma_median"], middle - 0.33 * wide, middle + 0.33 * wide, color=INK, lw=2)
        axes.set(xlim=(0, 1), ylim=(0, highest), xlabel="depth")
        axes.set_xticks([0, 0.5, 1], ["first", "0.5", "last"])
        axes.tick_params(length=2, labelleft=not place)
        words = f"{FITTED[family][0]}, {number(part['kernels'].sum())}"
        axes.text(0, 1.03, words, transform=axes.transAxes, size=7.5, va="bottom")
        if not place:
            axes.set_ylabel("sigma in taps")
        if part.empty:
            axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", color=SOFT)

    canvas.text(0.1, 2.88, "Directions of the explained derivatives", weight="bold", va="center")
    for left, family in ((0.5, "first_derivative"), (3.35, "second_derivative")):
        part = turns[turns["family"] == family]
        axes = place_axes(figure, left, 3.35, left + 1.75, 5.1, projection="polar")
        middle = np.radians((part["angle_low"] + part["angle_high"]) / 2)
        wide = np.radians(part["angle_high"] - part["angle_low"])
        for turn in (0, np.pi)[: 1 if family == "first_derivative" else 2]:  # an axis has two ends
            axes.bar(middle + turn, part["share"], 0.94 * wide, **_look(family) | {"lw": 0})
        kernels = part["kernels"].sum()
        axes.set_xticks(np.arange(8) * np.pi / 4, ["E", "NE", "N", "NW", "W", "SW", "S", "SE"])
        top = part["share"].max() if kernels else 1
        axes.set_ylim(0, 1.05 * top)
        axes.set_yticks([top / 2, top], [])
        axes.tick_params(pad=-2)
        axes.grid(color="#cccccc", lw=0.5)
        axes.spines["polar"].set(color=SOFT, lw=0.5)
        even = 1 / max(1, len(part))
        axes.plot(np.linspace(0, 2 * np.pi, 181), np.full(181, even), color=INK, lw=1, ls=(0, (4, 2)))
        what = "way to the bright side" if family == "first_derivative" else "axis of the derivative"
        words = f"{FITTED[family][0]}: {what}"
        canvas.text(left + 0.875, 3.1, words, ha="center", va="center", size=7.5)
        edge = f"{number(kernels)} kernels; rim {percent(1.05 * top)} of them, dashed: even"
        canvas.text(left + 0.875, 5.35, edge if kernels else "none", ha="center", va="center", size=6.5, color=SOFT)

    rows = []
    for family, subject, which in itertools.product(
        ("first_derivative", "second_derivative"), KINDS, ("explained", "all")
    ):
        found = cardinal[
            (cardinal["family"] == family) & (cardinal["subject"] == subject) & (cardinal["which"] == which)
        ]
        if len(found) and (subject == "real" or which == "all"):  # few controls are explained
            rows.append(found.iloc[0])
    axes = place_axes(figure, 7.1, 3.2, WIDTH - 0.15, 4.95)
    axes.axvline(0, color=SOFT, lw=0.6)
    labels = []
    for place, row in enumerate(rows):
        colour, marker = FAMILIES[FITTED[row["family"]][1]][0], FITTED[row["family"]][3]
        full = row["which"] == "explained"
        draw_interval(axes, place, row["cardinal_low"], row["cardinal_high"], INK)
        axes.plot(row["cardinal"], place, marker, mfc=colour if full else "w", mec=INK, mew=0.7, ms=5, clip_on=False)
        labels.append(KINDS[row["subject"]] + (", explained" if full else ""))
    axes.set_yticks(range(len(rows)), labels)
    axes.tick_params(axis="y", length=0, labelsize=6.5)
    axes.set(
        xlim=(-1, 1),
        ylim=(max(len(rows), 1) - 0.4, -0.6),
        xlabel="\N{MINUS SIGN}1 diagonal \N{EN DASH} rows, columns 1",
    )
    canvas.text(5.75, 2.88, "Mean of cos 4 angle", weight="bold", va="center")
    handles = [
        Line2D([], [], ls="", marker=FITTED[f][3], mfc="w", mec=INK, mew=0.7, ms=5, label=FITTED[f][0]) for f in TURNS
    ][:2]
    axes.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(1.04, 1.0),
        ncols=2,
        columnspacing=0.8,
        handletextpad=0.1,
        fontsize=6.5,
    )
    said = []
    for family in FITTED:
        part = scales[scales["family"] == family]
        if len(part) > 1:
            first, last = part.iloc[0], part.iloc[-1]
            said.append(f"{FITTED[family][0]} {first['sigma_median']:.2f} to {last['sigma_median']:.2f}")
    caption = (
        f"Top: sigma of the {size} kernels of each family that are fitted better than noise, by depth in their network "
        "(line 80 %, box 50 %, bar median)"
    )
    caption += f"; medians from first to last: {', '.join(said)} taps. " if said else ". "
    caption += (
        "Below: where derivatives point, and the mean of cos 4 angle, 1 where all lie along rows or columns and "
        "\N{MINUS SIGN}1 where all are diagonal, with that of controls, as taps on a grid may favour directions by "
        "themselves; hollow marks are all kernels that are best fitted by the family."
    )
    for family in ("first_derivative", "second_derivative"):
        for row in rows:
            if row["family"] == family and row["which"] == "explained":
                value = interval(row["cardinal"], row["cardinal_low"], row["cardinal_high"])
                caption += f" It is {value} for the {FITTED[family][0]}s of trained networks."
    listed = [
        f"{FITTED[row.family][0]} at depth {row.depth_low:g} to {row.depth_high:g} {row.sigma_median:.2f}"
        for row in scales.itertuples()
    ]
    alt = f"Median sigma in taps of the explained {size} kernels: {', '.join(listed)}."
    tables = {"scales": scales, "orientations": turns, "cardinal": pd.DataFrame(rows, columns=cardinal.columns)}
    data = pd.concat([table.assign(panel=name) for name, table in tables.items() if len(table)], ignore_index=True)
    return Drawing(figure, data, "Scales and directions", caption, alt)


def draw_fit_labels(size: str, threshold: float, fit_labels: pd.DataFrame, fit_crosses: pd.DataFrame) -> Drawing:
    """Which families explain each label of the autoencoder, and the formula of the cross."""
    labels, crosses = fit_labels[fit_labels["size"] == size], fit_crosses[fit_crosses["size"] == size]
    if labels.empty:
        return draw_nothing(size, "Labels and formulas", "no kernels were fitted")
    wide = labels.pivot(index="assigned", columns="family", values="explained_share")
    wide = wide.reindex(columns=[*FITTED, "all"]).fillna(0)
    families = list(FAMILIES)
    order = sorted(wide.index, key=lambda label: (families.index(family_of(label)), label))
    wide, kernels = wide.loc[order], labels[labels["family"] == "all"].set_index("assigned")["kernels"].reindex(order)
    head, pitch = 0.74, 0.24
    foot = max(head + pitch * len(wide), 3.9)
    figure, canvas = open_canvas(foot + 0.3)
    left, cell = 2.3, 0.6
    canvas.text(0.1, 0.16, "What explains the kernels of each label", weight="bold", va="center")
    names = ["difference\nof Gauss.", "first\nderivative", "second\nderivative", "cross", "any"]
    aside = {"size": 6.5, "color": SOFT, "va": "bottom"}
    for column, name in enumerate(names):
        canvas.text(
            left + (column + 0.5) * cell + 0.1 * (column == 4),
            head - 0.06,
            name,
            ha="center",
            size=7,
            va="bottom",
            linespacing=1.1,
        )
    canvas.text(left - 0.12, head - 0.06, "kernels", ha="right", **aside)
    for row, label in enumerate(order):
        y = head + (row + 0.5) * pitch
        canvas.text(0.1, y, short(label), va="center", size=7.5)
        canvas.text(left - 0.12, y, number(kernels[label]), ha="right", **aside | {"va": "center"})
        for column, share in enumerate(wide.loc[label]):
            x = left + column * cell + 0.1 * (column == 4)
            canvas.add_patch(Rectangle((x, y - pitch / 2), cell, pitch, fc=_shade(share), ec="white", lw=0.8))
            colour = "white" if share > 0.55 else INK
            canvas.text(x + cell / 2, y, f"{100 * share:.1f}", ha="center", va="center", size=7, color=colour)
    begin = left + 5 * cell + 0.45
    canvas.text(begin, 0.16, "The formula of the cross", weight="bold", va="center")
    weights = crosses.assign(weight=crosses["weight"].astype(str)).set_index("weight")
    if "free" in weights.index:
        free = weights.loc["free"]
        sigma, elongation, weight = (free[f"{name}_median"] for name in ("sigma", "elongation", "centre_weight"))
        _draw_cross(canvas, begin, 0.5, int(size.split("x")[0]), sigma, elongation, weight)
        text = (
            f"sigma {_middle(free, 'sigma')} taps\nelongation k {_middle(free, 'elongation')}\n"
            f"weight w {_middle(free, 'centre_weight')}\nmedian of {number(free['kernels'])} kernels, 80 % in brackets"
        )
        canvas.text(begin, 1.62, text, va="top", size=7, linespacing=1.35)
        axes = place_axes(figure, begin + 0.95, 2.75, WIDTH - 0.62, 3.45)
        marks = {"free": "w free", "0": "w = 0", "-1": "w = \N{MINUS SIGN}1"}
        there = [name for name in marks if name in weights.index]
        for row, name in enumerate(there):
            found = weights.loc[name]
            draw_interval(axes, row, found["error_q10"], found["error_q90"], INK, ends=True)
            axes.plot(found["error_median"], row, "o" if name == "free" else "D", color="#5b3a8c", ms=5)
            where = {"x": 1.05, "y": row, "transform": axes.get_yaxis_transform(), "va": "center"}
            axes.text(s=f"{found['error_median']:.3f}", size=7, **where)
        axes.text(1.05, -0.75, "median", size=6.5, color=SOFT, transform=axes.get_yaxis_transform(), va="center")
        axes.set_yticks(range(len(there)), [marks[name] for name in there])
        axes.set(xlim=(0, 1.08 * weights["error_q90"].max()), ylim=(len(there) - 0.5, -0.6))
        axes.set_xlabel("error 1 \N{MINUS SIGN} cosine")
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        none = weights.loc["0", "error_median"] if "0" in weights.index else np.nan
        formula = (
            f" Right: the cross is the sum of two Gaussians at right angles, {elongation:.2f} times as long as wide "
            f"(sigma {sigma:.2f} taps), and {weight:z.2f} times a round one, medians of {number(free['kernels'])} "
            f"explained crosses; the median error is {free['error_median']:.3f}"
        )
        formula += "." if np.isnan(none) else f", and {none:.3f} without the round one."
        formula += (
            f" In {percent(free['at_bounds'])} of the fits sigma, elongation or weight is at its bound, so that the "
            "medians describe the bounds too."
        )
    else:
        canvas.text(
            begin,
            0.5,
            "No real kernel is explained by a cross:\nthere is nothing to take its formula from.",
            va="top",
            color=SOFT,
            linespacing=1.4,
        )
        formula = " No real kernel is explained by a cross."
    any_share = wide["all"].drop("other", errors="ignore")
    caption = (
        f"Left: of the {size} kernels of each label, the percentage whose best fit is in a family and is better than "
        "noise is fitted; the autoencoder gave the labels without these fits."
    )
    least, most = (percent(share) for share in any_share.agg(["min", "max"])) if len(any_share) else ("", "")
    if least != most:
        caption += f" Explained most is {any_share.idxmax()}, {most}, and least {any_share.idxmin()}, {least}."
    elif least:
        caption += f" Of every label {least} are explained."
    if "other" in wide.index:
        caption += f" Of what is in no cluster, {percent(wide.loc['other', 'all'])} are explained."
    listed = [f"{label} {percent(share)}" for label, share in wide["all"].items()]
    alt = f"Share of the {size} kernels of each label explained by any formula: {', '.join(listed)}."
    parts = {"labels": labels, "crosses": crosses}
    data = pd.concat([table.assign(panel=name) for name, table in parts.items() if len(table)], ignore_index=True)
    return Drawing(figure, data, "Labels and formulas", caption + formula, alt)


def draw_synthetic(size: str, threshold: float, synthetic: pd.DataFrame) -> Drawing:
    """Whether fits find the parameters and labels that synthetic kernels were drawn with."""
    rows = synthetic[synthetic["size"] == size]
    if rows.empty:
        return draw_nothing(size, "Synthetic kernels", "no synthetic kernels were fitted")
    decibels = rows["snr_db"].iloc[(rows["snr_db"] - 10).abs().argmin()]
    rows = rows[rows["snr_db"] == decibels].reset_index(drop=True)
    right = rows["family"] == rows["true_family"]
    turn = rows["true_family"].map(TURNS)  # none for a centre, which is nearly round
    # of the angles that draw the same pattern, the one next to the truth
    rows["angle"] += ((rows["true_angle"] - rows["angle"]) / turn).round().fillna(0) * turn.fillna(0)
    order = [
        label for label in dict.fromkeys(_ordered_labels()) if label in set(rows["true_label"]) | set(rows["label"])
    ]
    height = 5.15
    figure, canvas = open_canvas(height)
    canvas.text(0.1, 0.16, f"Parameters found at {decibels:g} dB", weight="bold", va="center")
    panels = {"sigma": "sigma (taps)", "angle": "angle (degrees)", "x": "x (taps)", "y": "y (taps)"}
    errors = {}
    for place, (name, words) in enumerate(panels.items()):
        across, down = 0.55 + 2.1 * (place % 2), 0.5 + 2.12 * (place // 2)
        axes = place_axes(figure, across, down, across + 1.6, down + 1.6)
        kept = right & (turn.notna() if name == "angle" else True)
        error = (rows[name] - rows[f"true_{name}"])[kept].abs()
        errors[name] = error.median()
        ends = rows.loc[kept, f"true_{name}"].agg(["min", "max"]).to_numpy() if kept.any() else np.array([0, 1])
        spread = max(np.ptp(ends), 1e-6)
        ends = ends + np.array([-0.12, 0.12]) * spread
        axes.plot(ends, ends, color=SOFT, lw=0.7, zorder=0)
        for family in FITTED:
            part = rows[kept & (rows["true_family"] == family)]
            look = {"s": 7, "marker": FITTED[family][3], "lw": 0.3, "edgecolors": INK, "antialiased": False}
            colours = [FAMILIES[FITTED[family][1]][0]] * len(part)
            axes.scatter(part[f"true_{name}"], part[name].clip(*ends), c=colours, rasterized=True, **look)
        axes.set(xlim=ends, ylim=ends, xlabel=f"true {words}")
        axes.set_ylabel("found", labelpad=2)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(FixedLocator([0, 90, 180, 270, 360]) if name == "angle" else MaxNLocator(4))
        axes.tick_params(length=2)
        median = f"median error {errors[name]:.2g}" if np.isfinite(errors[name]) else "none found"
        axes.text(0.03, 0.97, median, transform=axes.transAxes, size=6.5, va="top", bbox=BOX)
    handles = [
        Line2D([], [], ls="", marker=FITTED[f][3], color=FAMILIES[FITTED[f][1]][0], mec=INK, mew=0.3, ms=4.5)
        for f in FITTED
    ]
    names = [words for words, *_ in FITTED.values()]
    figure.legend(
        handles,
        names,
        loc="lower left",
        ncols=4,
        bbox_to_anchor=(0.005, 0.0),
        columnspacing=0.7,
        handletextpad=0.0,
        fontsize=7,
    )

    counts = pd.crosstab(rows["true_label"], rows["label"]).reindex(index=order, columns=order, fill_value=0)
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    left, top = 5.62, 0.5
    cell = min(0.3, (WIDTH - 0.1 - left) / len(order))
    canvas.text(4.4, 0.16, "Labels found, in percent of each true label", weight="bold", va="center")
    lines, side = np.arange(len(order) + 1) * cell, len(order) * cell
    canvas.hlines(top + lines, left, left + side, color="#e8e8e8", lw=0.3)
    canvas.vlines(left + lines, top, top + side, color="#e8e8e8", lw=0.3)
    for row, label in enumerate(order):
        y = top + (row + 0.5) * cell
        canvas.text(left - 0.06, y, short(label), ha="right", va="center", size=6.5)
        canvas.text(
            left + (row + 0.5) * cell,
            top + side + 0.05,
            short(label),
            ha="center",
            va="top",
            size=6.5,
            rotation=90,
        )
        for column, share in enumerate(shares.loc[label]):
            x = left + column * cell
            if share >= 0.005:
                canvas.add_patch(Rectangle((x, y - cell / 2), cell, cell, fc=_shade(share), lw=0))
                colour = "white" if share > 0.55 else INK
                canvas.text(x + cell / 2, y, f"{100 * share:.0f}", ha="center", va="center", size=6, color=colour)
    same, clear = (rows["label"] == rows["true_label"]), ~rows["between_names"].astype(bool)
    said = [f"{name} {error:.2g}" for name, error in errors.items() if np.isfinite(error)]
    caption = (
        f"{len(rows):,} {size} kernels drawn from the formulas with known parameters, with Gaussian noise {decibels:g} "
        f"dB below, and fitted like real ones. The right family is found for {percent(right.mean())}, the right label "
        f"for {percent(same.mean())}, and for {percent(same[clear].mean())} of the {clear.sum():,} that do not lie "
        "within 5 degrees of where a direction changes its name."
    )
    if said:
        caption += (
            f" Left: kernels of which the family is found; median absolute errors: {', '.join(said)} (taps, degrees; "
            "centres are too round for an angle; what is outside a panel is drawn at its edge)."
        )
    alt = (
        f"Parameters found against true ones of {len(rows):,} synthetic {size} kernels, and a matrix of labels: "
        f"{', '.join(f'{label} {percent(shares.at[label, label])}' for label in order)} found."
    )
    columns = ["true_family", "family", "true_label", "label", *(f"{a}{b}" for b in panels for a in ("true_", ""))]
    return Drawing(figure, rows[["size", "snr_db", *columns]], "Synthetic kernels", caption, alt)


FIGURES = {
    "fits": draw_fits,
    "fit_scales": draw_fit_scales,
    "fit_labels": draw_fit_labels,
    "synthetic": draw_synthetic,
}


# Parts


def _look(family: str) -> dict[str, object]:
    """How an area of a fitted family is filled."""
    _, like, hatch, _ = FITTED[family]
    return look_of(like) | {"hatch": hatch}


def _legend(figure: Figure, families: Sequence[str]) -> None:
    handles = [Patch(**_look(family), label=FITTED[family][0]) for family in families]
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), handlelength=2, columnspacing=1.6)


def _shade(share: float) -> tuple[float, float, float]:
    """White to blue, dark enough at 1 for white words."""
    return tuple(1 - share * (1 - one) for one in (0.0, 0.31, 0.55))


def _middle(row: pd.Series, name: str) -> str:
    middle, low, high = (f"{row[f'{name}_{quantile}']:z.2f}" for quantile in ("median", "q10", "q90"))
    return f"{middle} [{low}, {high}]".replace("-", "\N{MINUS SIGN}")


def _draw_cross(
    canvas: Axes, left: float, top: float, side: int, sigma: float, elongation: float, weight: float
) -> None:
    """`exp(-(u^2 + v^2/k^2)/2) + exp(-(u^2/k^2 + v^2)/2) + w exp(-(u^2 + v^2)/2)`, drawn finely and at the taps."""

    def parts(points: int) -> tuple[np.ndarray, np.ndarray]:
        steps = (np.arange(points) - (points - 1) / 2) * side / points / sigma
        u, v = np.meshgrid(steps**2, steps**2)
        bars = np.exp(-(u + v / elongation**2) / 2) + np.exp(-(u / elongation**2 + v) / 2)
        return bars, np.exp(-(u + v) / 2)

    bars, middle = parts(61)
    sampled = np.add(*(part * factor for part, factor in zip(parts(side), (1, weight), strict=True)))
    sign = "+" if weight >= 0 else "\N{MINUS SIGN}"
    pictures = [
        (bars, "two bars"),
        (middle, "round middle"),
        (bars + weight * middle, "cross"),
        (sampled - sampled.mean(), "at the taps"),
    ]
    box, step = 0.54, 0.87
    for place, (picture, words) in enumerate(pictures):
        x = left + box / 2 + place * step
        draw_kernel(canvas, picture.reshape(-1), x, top + 0.12, box)
        canvas.text(x, top + 0.84, words, ha="center", va="center", size=6.5, color=SOFT)
        between = ["", f"{sign} {abs(weight):.2f}", "=", "\N{RIGHTWARDS ARROW}"][place]
        canvas.text(x - step / 2, top + 0.12 + box / 2, between, ha="center", va="center", size=6.5)


def _ordered_labels() -> list[str]:
    """Labels of patterns with a formula, family by family."""
    labels = list(dict.fromkeys(templates(3).labels))
    families = list(FAMILIES)
    return sorted(labels, key=lambda label: families.index(family_of(label)))
