"""Sum up, draw and put into words the experiments: networks that differ in one thing, and kernels replaced.

Each experiment is a table of resources/experiments or of results/experiments, and an entry in `EXPERIMENTS`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from kernel_atlas.canvas import (
    FAMILIES,
    INK,
    PERCENT,
    SOFT,
    WIDTH,
    Drawing,
    draw_interval,
    draw_legend,
    look_of,
    open_canvas,
    place_axes,
    short,
)
from kernel_atlas.draw_ablation import draw_ablation, find_ablation, summarise_ablation
from kernel_atlas.statistics import bootstrap_share
from kernel_atlas.words import joined, percent, points

MEASURES = {"clustered": "in a cluster", "explained": "explained by a formula"}
COMMON = 0.05  # share of a layer's kernels from which on it is asked when a pattern came
NAMES = {
    "natural": "CIFAR-10, the zoo's recipe",
    "grey28": "grey, 28x28",
    "permuted": "pixels permuted",
    "phase_scrambled": "phases scrambled",
    "random_labels": "random labels",
    "fashion_mnist": "Fashion-MNIST",
    "chars74k": "Chars74K letters",
    "small_set": "2,000 images, not augmented",
    "small_set_random_labels": "the same with random labels",
    "dense_7x7": "dense 7x7",
    "dense_3x3": "dense 3x3",
    "depthwise_3x3": "depthwise 3x3",
    "short": "a quarter of the steps",
    "prototypes": "from prototypes",
    "formulas": "from formulas",
    "frozen_keys": "master keys, frozen",
    "frozen_noise": "noise, frozen",
}
COLOURS = ("#000000", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00")
MARKS = ("o", "s", "D", "^", "v", "P")


def name_of(condition: str) -> str:
    return NAMES.get(condition, condition.replace("_", " "))


# --- The summary ------------------------------------------------------------------------------------------------


def summarise_runs(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """summary.csv: what the kernels of each condition are at the end, before training, and against another condition.

    Parameters
    ----------
    table : DataFrame
        runs.csv: condition, against, seed and the columns of `dynamics.measure_run`.
    seed : int

    Returns
    -------
    DataFrame
        condition, against, layer (from 1, `all`), measure (`clustered`, `explained`, a family of labels), networks, units
        (layers of networks), kernels, share with its interval over units, untrained (the share at step 0), difference (mean
        over units of the share beyond that of the same unit of `against`) with its interval, half_step (the first step
        kept from which on the share is at least half of the last one; none where that is below 5 %); params, top1 and
        train_top1 (percent, means over networks). Intervals are missing below five units.
    """
    units = table.set_index(["condition", "seed", "layer_index", "step"]).sort_index()
    ends = table.groupby(["condition", "seed"])["step"].max()
    last = pd.concat(
        [units.xs((*run, step), level=("condition", "seed", "step"), drop_level=False) for run, step in ends.items()]
    )
    last = last.droplevel("step")
    first = units.xs(0, level="step")
    rows = []
    for condition, part in table.groupby("condition", sort=False):
        against = part["against"].iloc[0] if part["against"].notna().all() else ""
        curve = last.loc[condition].groupby("seed")[["params", "top1", "train_top1"]].first().mean()
        for layer in ["all", *sorted(part["layer_index"].unique())]:
            chosen = slice(None) if layer == "all" else [layer]
            end, start = (each.loc[condition].loc[(slice(None), chosen), :] for each in (last, first))
            over = units.loc[condition].loc[(slice(None), chosen, slice(None)), :].groupby("step")
            for measure in [*MEASURES, *FAMILIES]:
                low, high = bootstrap_share(end[measure].to_numpy(), end["kernels"].to_numpy(), [seed])
                row = {
                    "condition": condition,
                    "against": against,
                    "layer": layer if layer == "all" else layer + 1,
                    "measure": measure,
                    "networks": part["seed"].nunique(),
                    "units": len(end),
                    "kernels": int(end["kernels"].sum()),
                    "share": end[measure].sum() / end["kernels"].sum(),
                    "low": float(low),
                    "high": float(high),
                    "untrained": start[measure].sum() / start["kernels"].sum(),
                }
                if against in last.index.levels[0]:
                    other = last.loc[against].loc[(slice(None), chosen), :]
                    apart = (end[measure] / end["kernels"] - other[measure] / other["kernels"]).dropna().to_numpy()
                    bounds = bootstrap_share(apart, np.ones(len(apart)), [seed])
                    row |= dict(
                        zip(
                            ["difference", "difference_low", "difference_high"],
                            [apart.mean(), *map(float, bounds)],
                            strict=True,
                        )
                    )
                share = over[measure].sum() / over["kernels"].sum()
                rows.append(row | {"half_step": _half(share)} | curve.to_dict())
    names = ["difference", "difference_low", "difference_high"]
    frame = pd.DataFrame(rows)
    return frame.reindex(columns=[*frame.columns.difference(names, sort=False), *names])


def _half(share: pd.Series) -> float:
    """The step from which on a share is at least half of what it comes to."""
    if share.iloc[-1] < COMMON:
        return np.nan
    below = share.index[share < share.iloc[-1] / 2]
    return float(share.index[share.index > below.max()].min()) if len(below) else float(share.index[0])


# --- The words --------------------------------------------------------------------------------------------------


def find_shares(summary: pd.DataFrame) -> list[str]:
    """What is clustered and explained under each condition, and where this differs from the one it is held against."""
    whole = summary[summary["layer"] == "all"]
    said = []
    for measure, words in MEASURES.items():
        part = whole[whole["measure"] == measure]
        listed = "; ".join(
            f"{name_of(row.condition)} {percent(row.share, row.low, row.high)} (untrained {percent(row.untrained)})"
            for row in part.itertuples()
        )
        said.append(f"Kernels {words}: {listed}.")
        apart = part[(part["difference_low"] > 0) | (part["difference_high"] < 0)]
        alike = part[(part["difference_low"] <= 0) & (part["difference_high"] >= 0)]
        if len(apart):
            listed = ", ".join(
                f"{name_of(row.condition)} by {points(row.difference, row.difference_low, row.difference_high)}"
                for row in apart.itertuples()
            )
            said.append(
                f"In kernels {words} {listed} {'differ' if len(apart) > 1 else 'differs'} from {_against(apart)}."
            )
        if len(alike):
            listed = joined([name_of(condition) for condition in alike["condition"]])
            said.append(f"No difference from {_against(alike)} is shown in kernels {words} for {listed}.")
    return said


def find_labels(summary: pd.DataFrame) -> list[str]:
    """Which patterns are rarer or commoner than under the condition held against."""
    part = summary[(summary["layer"] == "all") & summary["measure"].isin(FAMILIES) & (summary["measure"] != "other")]
    apart = part[(part["difference_low"] > 0) | (part["difference_high"] < 0)]
    said = []
    for condition, rows in apart.groupby("condition", sort=False):
        listed = ", ".join(
            f"{row.measure} {points(row.difference, row.difference_low, row.difference_high)}"
            for row in rows.itertuples()
        )
        said.append(f"Patterns whose share differs from {_against(rows)}, {name_of(condition)}: {listed}.")
    return said


def find_accuracy(summary: pd.DataFrame) -> list[str]:
    part = summary.drop_duplicates("condition")
    listed = "; ".join(
        f"{name_of(row.condition)} {row.top1:.1f} % ({row.train_top1:.1f} %)" for row in part.itertuples()
    )
    return [f"Top-1 on test images (on training images): {listed}, means of {part['networks'].min()} networks."]


def find_caveat(summary: pd.DataFrame) -> list[str]:
    units = summary.loc[summary["layer"] == "all", "units"].max()
    return [
        f"Intervals are over {units} layers of {summary['networks'].max()} small networks with short training, and cover less "
        "than the 95 % they say; differences that come by chance are among those listed."
    ]


def find_appearance(summary: pd.DataFrame) -> list[str]:
    """When the patterns of the first condition come, layer by layer."""
    first = summary[summary["condition"] == summary["condition"].iloc[0]]
    said = []
    for measure, words in {**MEASURES, **{name: f"labelled {name}" for name in FAMILIES if name != "other"}}.items():
        rows = first[(first["measure"] == measure) & (first["layer"] != "all") & first["half_step"].notna()]
        if len(rows):
            listed = joined(
                [
                    f"{row.half_step:.0f} (layer {row.layer}, {percent(row.share)} at the end)"
                    for row in rows.itertuples()
                ]
            )
            said.append(f"The share {words} has half of its last value from step {listed} on.")
    return said


def _against(rows: pd.DataFrame) -> str:
    return joined([name_of(name) for name in dict.fromkeys(rows["against"])])


# --- The figures ------------------------------------------------------------------------------------------------


def _draw_rows(summary: pd.DataFrame, axes: Sequence[Axes]) -> None:
    """A condition a row: shares clustered and explained with their intervals, and labels as stacked bars."""
    whole = summary[summary["layer"] == "all"]
    conditions = list(dict.fromkeys(whole["condition"]))
    for column, measure in zip(axes, MEASURES, strict=False):
        part = whole[whole["measure"] == measure].set_index("condition")
        for place, condition in enumerate(conditions):
            row = part.loc[condition]
            column.plot(row["untrained"], place, "o", color=SOFT, mfc="white", ms=4.5, zorder=2)
            draw_interval(column, place, row["low"], row["high"], COLOURS[2])
            column.plot(row["share"], place, "o", color=COLOURS[2], ms=5, zorder=3)
        column.set(ylim=(len(conditions) - 0.5, -0.5), xlim=(-0.03, 1.03), xlabel=f"kernels {MEASURES[measure]}")
    bars = axes[2]
    for place, condition in enumerate(conditions):
        left = 0.0
        part = whole[whole["condition"] == condition].set_index("measure")["share"]
        for family in FAMILIES:
            bars.barh(place, part[family], left=left, height=0.72, **look_of(family))
            left += part[family]
    bars.set(ylim=(len(conditions) - 0.5, -0.5), xlim=(0, 1), xlabel="labels")
    for each in axes:
        each.xaxis.set_major_formatter(PERCENT)
        each.set_xticks([0, 0.25, 0.5, 0.75, 1])
        each.tick_params(axis="y", length=0)
        each.grid(axis="x", color="#e6e6e6", lw=0.5)
        each.set_axisbelow(True)
        each.set_yticks(range(len(conditions)), [name_of(name) for name in conditions] if each is axes[0] else [])
    top1 = whole.drop_duplicates("condition").set_index("condition")["top1"]
    for place, condition in enumerate(conditions):
        bars.text(1.03, place, f"{top1[condition]:.1f}", transform=bars.get_yaxis_transform(), va="center", size=7)
    bars.text(1.03, -0.55, "top-1", transform=bars.get_yaxis_transform(), size=7, color=SOFT, va="bottom")
    handles = [
        Line2D([], [], marker="o", color=COLOURS[2], ms=5, lw=1.1, label="trained, with its interval"),
        Line2D([], [], marker="o", color=SOFT, mfc="white", ms=4.5, ls="", label="before training"),
    ]
    axes[0].legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, fontsize=7)


def draw_shares(table: pd.DataFrame, summary: pd.DataFrame, title: str) -> Drawing:
    """The shares of each condition, a row each."""
    rows = summary["condition"].nunique()
    height = 1.35 + 0.24 * rows
    figure, _ = open_canvas(height)
    edges = [(1.95, 3.9), (4.05, 6.0), (6.15, WIDTH - 0.45)]
    _draw_rows(summary, [place_axes(figure, left, 0.35, right, height - 1.0) for left, right in edges])
    whole = summary[summary["layer"] == "all"].set_index("measure")
    draw_legend(figure, [family for family in FAMILIES if whole.loc[[family], "share"].max() > 0])
    told = " ".join([*find_shares(summary), *find_accuracy(summary)])
    caption = (
        "Networks of the zoo's kind, trained alike but for what the row says; the kernels are those of the first stage. A "
        "kernel is explained by a formula if its best difference of Gaussians, derivative or cross is more like it than 99 % "
        "of Gaussian-noise kernels are like theirs. Lines are 95 % intervals over layers of networks; top-1 in percent of "
        "test images."
    )
    return Drawing(figure, summary, title, caption, f"Dot plots and stacked bars, a row for each condition. {told}")


def draw_dynamics(table: pd.DataFrame, summary: pd.DataFrame, title: str) -> Drawing:
    """Labels by step of each layer, how kernels move, and what is left of the conditions at the end."""
    conditions = list(dict.fromkeys(table["condition"]))
    first = table[table["condition"] == conditions[0]]
    rows = len(conditions)
    height = 5.9 + 0.24 * rows
    figure, canvas = open_canvas(height)
    steps = np.sort(first["step"].unique())
    place = np.where(steps == 0, 0.5, steps)  # a logarithmic axis has no zero
    layers = sorted(first["layer_index"].unique())
    pitch = (WIDTH - 0.6) / len(layers)
    for layer in layers:
        left = 0.55 + layer * pitch
        axes = place_axes(figure, left, 0.6, left + pitch - 0.2, 2.3)
        sums = first[first["layer_index"] == layer].groupby("step")[["kernels", *FAMILIES]].sum()
        shares = [sums[family] / sums["kernels"] for family in FAMILIES]
        for family, low, high in zip(
            FAMILIES, np.cumsum([np.zeros(len(sums)), *shares[:-1]], 0), np.cumsum(shares, 0), strict=True
        ):
            axes.fill_between(place, low, high, **look_of(family))
        axes.set(title=f"layer {layer + 1}", ylim=(0, 1))
        _time(axes, steps)
        axes.yaxis.set_major_formatter(PERCENT)
        if layer:
            axes.set_yticklabels([])
    canvas.text(
        0.1, 0.2, f"Labels of the kernels by step, {name_of(conditions[0])}", weight="bold", size=9, va="center"
    )
    used = [family for family in FAMILIES if first[family].sum() > 0]

    canvas.text(0.1, 2.95, "How kernels come to what they are at the end", weight="bold", size=9, va="center")
    drawn = {
        "cosine_to_last": ("cosine to the last kernel", 1.0),
        "relabelled": ("with another label than at the end", "kernels"),
        "explained": ("explained by a formula", "kernels"),
    }
    for column, (name, (words, by)) in enumerate(drawn.items()):
        left = 0.55 + column * (WIDTH - 0.6) / 3
        axes = place_axes(figure, left, 3.2, left + (WIDTH - 0.6) / 3 - 0.35, 4.6)
        for layer, colour, mark in zip(layers, COLOURS[1:], MARKS, strict=False):
            part = first[first["layer_index"] == layer].groupby("step")
            value = part[name].mean() if by == 1.0 else part[name].sum() / part[by].sum()
            axes.plot(place, value, color=colour, marker=mark, ms=3, lw=1, label=f"layer {layer + 1}")
        axes.set(ylim=(-0.03, 1.03), title=words)
        axes.title.set_size(8)
        _time(axes, steps)
        if by != 1.0:
            axes.yaxis.set_major_formatter(PERCENT)
        if column == 0:
            axes.legend(fontsize=7, loc="lower right")
    top = 5.25
    canvas.text(0.1, top - 0.12, "At the end, under other schedules", weight="bold", size=9, va="center")
    edges = [(1.95, 3.9), (4.05, 6.0), (6.15, WIDTH - 0.45)]
    bottom = top + 0.3 + 0.24 * rows
    axes = [place_axes(figure, left, top + 0.3, right, bottom) for left, right in edges]
    _draw_rows(summary, axes)
    figure.set_size_inches(WIDTH, height)
    draw_legend(figure, used)
    told = " ".join([*find_appearance(summary), *find_shares(summary), *find_accuracy(summary)])
    caption = (
        "The kernels of the first stage while networks are trained, at steps that lie evenly on a logarithmic scale, step 0 at "
        "the left end; the networks of all seeds together. The cosine is the median over kernels. The rows at the foot are as "
        "in the figures of the other experiments."
    )
    return Drawing(figure, summary, title, caption, f"Stacked areas, lines and dot plots. {told}")


def _time(axes: Axes, steps: np.ndarray) -> None:
    axes.set_xscale("log")
    ticks = [0.5, *(10.0**power for power in range(1 + int(np.log10(max(steps)))))]
    axes.set_xticks(ticks, ["0", *(f"{tick:,.0f}" for tick in ticks[1:])])
    axes.minorticks_off()
    axes.set(xlim=(0.5, max(steps)), xlabel="step")


def draw_starts(table: pd.DataFrame, summary: pd.DataFrame, title: str) -> Drawing:
    """Accuracy by step for each start, and what the kernels are at the end."""
    conditions = list(dict.fromkeys(table["condition"]))
    height = 4.55 + 0.24 * len(conditions)
    figure, canvas = open_canvas(height)
    axes = place_axes(figure, 0.75, 0.35, WIDTH - 2.3, 3.0)
    curves = table.drop_duplicates(["condition", "seed", "step"])
    for condition, colour, mark in zip(conditions, COLOURS, MARKS, strict=False):
        part = curves[(curves["condition"] == condition) & (curves["step"] > 0)]
        for _, run in part.groupby("seed"):
            axes.plot(run["step"], run["top1"], color=colour, lw=0.5, alpha=0.5)
        mean = part.groupby("step")["top1"].mean()
        axes.plot(mean.index, mean, color=colour, marker=mark, ms=4, lw=1.3, label=name_of(condition))
    axes.set(xlabel="step", ylabel="top-1 of test images, %", xlim=(0, None))
    axes.grid(color="#e6e6e6", lw=0.5)
    axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=8)
    top = 3.75
    edges = [(1.95, 3.9), (4.05, 6.0), (6.15, WIDTH - 0.45)]
    _draw_rows(summary, [place_axes(figure, left, top, right, top + 0.24 * len(conditions)) for left, right in edges])
    whole = summary[summary["layer"] == "all"].set_index("measure")
    draw_legend(figure, [family for family in FAMILIES if whole.loc[[family], "share"].max() > 0])
    told = " ".join([*find_accuracy(summary), *find_shares(summary)])
    caption = (
        "Networks whose 7x7 kernels start from noise, from the encoder's prototypes or from formulas, or stay as they start "
        "but for a learned number added to all taps of each. Thick lines are means over seeds, thin ones networks, on the way on "
        "the first 1,000 test images. The rows below are as in the figures of the other experiments."
    )
    return Drawing(figure, summary, title, caption, f"Lines, dot plots and stacked bars. {told}")


# --- The experiments --------------------------------------------------------------------------------------------


class Experiment(NamedTuple):
    """Title; table and seed -> summary; table, summary and title -> figure; summary -> sentences."""

    title: str
    summarise: Callable[[pd.DataFrame, int], pd.DataFrame]
    draw: Callable[[pd.DataFrame, pd.DataFrame, str], Drawing]
    find: Sequence[Callable[[pd.DataFrame], list[str]]]


EXPERIMENTS = {
    "data": Experiment(
        "Which patterns need natural images",
        summarise_runs,
        draw_shares,
        (find_shares, find_labels, find_accuracy, find_caveat),
    ),
    "dense": Experiment(
        "Depthwise against dense convolutions",
        summarise_runs,
        draw_shares,
        (find_shares, find_labels, find_accuracy, find_caveat),
    ),
    "dynamics": Experiment(
        "When patterns form in training",
        summarise_runs,
        draw_dynamics,
        (find_appearance, find_shares, find_labels, find_accuracy, find_caveat),
    ),
    "init": Experiment(
        "What kernels may start from",
        summarise_runs,
        draw_starts,
        (find_accuracy, find_shares, find_labels, find_caveat),
    ),
    "ablation": Experiment("What kernels are for", summarise_ablation, draw_ablation, (find_ablation,)),
}


def state(experiment: str, summary: pd.DataFrame) -> list[str]:
    """The sentences of an experiment; their numbers are cells of its summary."""
    return [sentence for find in EXPERIMENTS[experiment].find for sentence in find(summary)]
