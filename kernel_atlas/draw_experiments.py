"""Sum up, draw and put into words the experiments: networks that differ in one thing, and kernels replaced.

Each experiment is a table of resources/experiments or of results/experiments, and an entry in `EXPERIMENTS`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from kernel_atlas.canvas import (
    FAMILIES,
    PERCENT,
    SOFT,
    WIDTH,
    Drawing,
    draw_interval,
    draw_legend,
    look_of,
    open_canvas,
    place_axes,
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
    "small_set": "a small set, not augmented",
    "small_set_random_labels": "a small set, random labels",
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
# of the families of fitted formulas, after `evidence.families`
FORMULAS = {
    "fit_centre": ("#d55e00", "", "difference of Gaussians"),
    "fit_first_derivative": ("#009e73", "\\\\", "first derivative"),
    "fit_second_derivative": ("#f0e442", "////", "second derivative"),
    "fit_cross": ("#cc79a7", "xx", "cross"),
}
ROWS = (
    (1.95, 3.35),
    (3.65, 5.05),
    (5.35, 6.75),
    (7.05, WIDTH - 0.4),
)  # inches from the left, of the panels with a condition a row
PITCH = 0.24  # inches from a row to the next
LEGEND = 0.3  # inches from the foot of a figure to the legend of formulas, above that of labels
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
        condition, against, layer (from 1, `all`), networks, measure (`clustered`, `explained`, a family of formulas or
        of labels), units (layers of networks), kernels, share with its interval over units, untrained (the share at
        step 0), difference (mean over units of the share beyond that of the same unit of `against`) with its interval,
        half_step (the first step kept from which on the share is at least half of the last one; none where that is
        below 5 %); params, top1 and train_top1 (percent, means over networks). No intervals below five units.
    """
    units = table.set_index(["condition", "seed", "layer_index"]).sort_index()
    first = units[units["step"] == 0]
    last = units[units["step"] == units.groupby(["condition", "seed"])["step"].transform("max")]
    rows = []
    for condition, part in table.groupby("condition", sort=False):
        against = part["against"].iloc[0] if part["against"].notna().all() else ""
        curve = last.loc[condition].groupby("seed")[["params", "top1", "train_top1"]].first().mean()
        for layer in ["all", *sorted(part["layer_index"].unique())]:
            name = layer if layer == "all" else layer + 1
            about = {"condition": condition, "against": against, "layer": name, "networks": part["seed"].nunique()}
            chosen = [_chosen(each, condition, layer) for each in (units, first, last)]
            other = _chosen(last, against, layer) if against in units.index.levels[0] else None
            for measure in [*MEASURES, *FORMULAS, *FAMILIES]:
                rows.append({**about, "measure": measure, **_measure(measure, *chosen, other, seed), **curve})
    return pd.DataFrame(rows)


def _chosen(units: pd.DataFrame, condition: str, layer: int | str) -> pd.DataFrame:
    """The rows of a condition, of one layer or of all."""
    part = units.loc[condition]
    return part if layer == "all" else part.xs(layer, level="layer_index", drop_level=False)


def _measure(
    name: str, way: pd.DataFrame, start: pd.DataFrame, end: pd.DataFrame, other: pd.DataFrame | None, seed: int
) -> dict[str, float]:
    """A share of the kernels at the end, at the start, beyond that of another condition, and when it came."""
    low, high = bootstrap_share(end[name].to_numpy(), end["kernels"].to_numpy(), [seed])
    apart = np.array([]) if other is None else _share(end, name).sub(_share(other, name)).dropna().to_numpy()
    apart_low, apart_high = bootstrap_share(apart, np.ones(len(apart)), [seed])
    return {
        "units": len(end),
        "kernels": int(end["kernels"].sum()),
        "share": end[name].sum() / end["kernels"].sum(),
        "low": float(low),
        "high": float(high),
        "untrained": start[name].sum() / start["kernels"].sum(),
        "difference": apart.mean() if len(apart) else np.nan,
        "difference_low": float(apart_low),
        "difference_high": float(apart_high),
        "half_step": _half(_share(way.groupby("step")[[name, "kernels"]].sum(), name)),
    }


def _share(counts: pd.DataFrame, name: str) -> pd.Series:
    return counts[name] / counts["kernels"]


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
            said.append(f"Shown to differ from {_against(apart)} in kernels {words}: {listed}.")
        if len(alike):
            listed = joined([name_of(condition) for condition in alike["condition"]])
            said.append(f"No difference from {_against(alike)} is shown in kernels {words} for {listed}.")
    return said


def find_labels(summary: pd.DataFrame) -> list[str]:
    """Which patterns are rarer or commoner than under the condition held against."""
    patterns = [*FORMULAS, *(family for family in FAMILIES if family != "other")]
    part = summary[(summary["layer"] == "all") & summary["measure"].isin(patterns)]
    apart = part[(part["difference_low"] > 0) | (part["difference_high"] < 0)]
    said = []
    for condition, rows in apart.groupby("condition", sort=False):
        listed = ", ".join(
            f"{_pattern(row.measure)} {points(row.difference, row.difference_low, row.difference_high)}"
            for row in rows.itertuples()
        )
        said.append(f"Patterns whose share differs from {_against(rows)}, {name_of(condition)}: {listed}.")
    return said


def find_accuracy(summary: pd.DataFrame) -> list[str]:
    part = summary.drop_duplicates("condition")
    listed = "; ".join(f"{name_of(row.condition)} {row.top1:.1f} ({row.train_top1:.1f})" for row in part.itertuples())
    networks = part["networks"].min()
    of = f", means of {networks} networks" if networks > 1 else ""
    return [f"Top-1 on test images (on training images), in percent{of}: {listed}."]


def find_caveat(summary: pd.DataFrame) -> list[str]:
    units = summary.loc[summary["layer"] == "all", "units"].max()
    return [
        f"Intervals are over {units} layers of {summary['networks'].max()} small networks with short training, and "
        "cover less than they say; of so many differences, some come by chance."
    ]


def find_appearance(summary: pd.DataFrame) -> list[str]:
    """When the patterns of the first condition come, layer by layer."""
    first = summary[summary["condition"] == summary["condition"].iloc[0]]
    patterns = {name: _pattern(name) for name in [*FORMULAS, *FAMILIES] if name != "other"}
    said = []
    for measure, words in {**MEASURES, **patterns}.items():
        rows = first[(first["measure"] == measure) & (first["layer"] != "all") & first["half_step"].notna()]
        steps = [
            f"{row.half_step:.0f} (layer {row.layer}, {percent(row.share)} at the end)" for row in rows.itertuples()
        ]
        if steps:
            said.append(f"The share {words} is at least half of its last value from step {joined(steps)} on.")
    return said


def _pattern(measure: str) -> str:
    return f"fitted by a {FORMULAS[measure][2]}" if measure in FORMULAS else f"labelled {measure}"


def _against(rows: pd.DataFrame) -> str:
    return joined([name_of(name) for name in dict.fromkeys(rows["against"])])


# --- The figures ------------------------------------------------------------------------------------------------


def _draw_rows(figure: Figure, summary: pd.DataFrame, top: float) -> None:
    """A condition a row: shares clustered and explained with their intervals, and what as, as stacked bars."""
    whole = summary[summary["layer"] == "all"]
    conditions = list(dict.fromkeys(whole["condition"]))
    foot = top + PITCH * len(conditions)
    panels = [place_axes(figure, left, top, right, foot) for left, right in ROWS]
    for axes, (measure, words) in zip(panels, MEASURES.items(), strict=False):
        part = whole[whole["measure"] == measure].set_index("condition")
        for place, condition in enumerate(conditions):
            row = part.loc[condition]
            axes.plot(row["untrained"], place, "o", color=SOFT, mfc="white", ms=4.5, zorder=2)
            draw_interval(axes, place, row["low"], row["high"], COLOURS[2])
            axes.plot(row["share"], place, "o", color=COLOURS[2], ms=5, zorder=3)
        axes.set(xlim=(-0.03, 1.03), xlabel=f"kernels {words}")
    fitted = {
        name: {"facecolor": colour, "hatch": hatch, "edgecolor": "white", "lw": 0.2}
        for name, (colour, hatch, _) in FORMULAS.items()
    }
    looks = {"labels": {family: look_of(family) for family in FAMILIES}, "formulas that explain": fitted}
    for axes, (words, parts) in zip(panels[2:], looks.items(), strict=True):
        for place, condition in enumerate(conditions):
            left, shares = 0.0, whole[whole["condition"] == condition].set_index("measure")["share"]
            for name, look in parts.items():
                axes.barh(place, shares[name], left=left, height=0.72, **look)
                left += shares[name]
        axes.set(xlim=(0, 1), xlabel=words)
    for axes in panels:
        axes.set_ylim(len(conditions) - 0.5, -0.5)
        axes.set_xticks([0, 0.5, 1])
        axes.xaxis.set_major_formatter(PERCENT)
        axes.set_yticks(range(len(conditions)), list(map(name_of, conditions)) if axes is panels[0] else [])
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#e6e6e6", lw=0.5)
        axes.set_axisbelow(True)
    beside = {"transform": panels[-1].get_yaxis_transform(), "size": 7}
    for place, top1 in enumerate(whole.drop_duplicates("condition")["top1"]):
        panels[-1].text(1.04, place, f"{top1:.1f}", va="center", **beside)
    panels[-1].text(1.04, -0.55, "top-1", color=SOFT, va="bottom", **beside)
    handles = [
        Line2D([], [], marker="o", color=COLOURS[2], ms=5, lw=1.1, label="trained, with its interval"),
        Line2D([], [], marker="o", color=SOFT, mfc="white", ms=4.5, ls="", label="before training"),
    ]
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "fontsize": 7, "borderaxespad": 0.2}
    panels[0].legend(handles=handles, ncols=2, **place)
    handles = [Patch(**look, label=FORMULAS[name][2]) for name, look in fitted.items()]
    figure.legend(handles=handles, loc="lower center", ncols=4, bbox_to_anchor=(0.5, LEGEND / figure.get_figheight()))


def _draw_families(figure: Figure, shares: pd.Series) -> None:
    """The legend of the families that there are; share by family."""
    draw_legend(figure, [family for family in FAMILIES if shares[family].max() > 0])


def _time(axes: Axes, steps: np.ndarray) -> np.ndarray:
    """A logarithmic axis of steps, on which 0 has a place; the places of the steps."""
    ticks = [0.5, *(10.0**power for power in range(1 + int(np.log10(steps.max()))))]
    axes.set_xscale("log")
    axes.set_xticks(ticks, ["0", *(f"{tick:,.0f}" for tick in ticks[1:])])
    axes.minorticks_off()
    axes.set(xlim=(0.5, steps.max()), xlabel="step")
    return np.where(steps == 0, 0.5, steps)


def _by_family(summary: pd.DataFrame) -> pd.Series:
    return summary[summary["layer"] == "all"].groupby("measure")["share"].max()


def draw_shares(table: pd.DataFrame, summary: pd.DataFrame, title: str) -> Drawing:
    """The shares of each condition, a row each."""
    figure, _ = open_canvas(1.4 + PITCH * summary["condition"].nunique())
    _draw_rows(figure, summary, 0.35)
    _draw_families(figure, _by_family(summary))
    told = " ".join([*find_shares(summary), *find_accuracy(summary)])
    caption = (
        "Networks of the zoo's kind, trained alike but for what the row says; the kernels are those of the first "
        "stage. A kernel is explained by a formula if its best difference of Gaussians, derivative or cross is more "
        "like it than 99 % of Gaussian-noise kernels are like theirs. Lines are 95 % intervals over layers of "
        "networks; top-1 is in percent of test images."
    )
    return Drawing(figure, summary, title, caption, f"Dot plots and stacked bars, a row for each condition. {told}")


def draw_dynamics(table: pd.DataFrame, summary: pd.DataFrame, title: str) -> Drawing:
    """Labels by step of each layer, how kernels move, and what is left of the conditions at the end."""
    condition = table["condition"].iloc[0]
    ways = {layer: part for layer, part in table[table["condition"] == condition].groupby("layer_index")}
    figure, canvas = open_canvas(6.25 + PITCH * summary["condition"].nunique())
    heads = {
        0.15: f"Labels of the kernels by step: {name_of(condition)}",
        2.9: "How the kernels come to what they are at the end",
        5.05: "At the end, under this and other schedules",
    }
    for top, words in heads.items():
        canvas.text(0.1, top, words, weight="bold", size=9, va="center")
    pitch = (WIDTH - 0.55) / len(ways)
    for column, (layer, way) in enumerate(ways.items()):
        left = 0.6 + column * pitch
        axes = place_axes(figure, left, 0.55, left + pitch - 0.25, 2.3)
        sums = way.groupby("step")[["kernels", *FAMILIES]].sum()
        place = _time(axes, sums.index.to_numpy())
        low = np.zeros(len(sums))
        for family in FAMILIES:
            high = low + _share(sums, family)
            axes.fill_between(place, low, high, **look_of(family))
            low = high
        axes.set(ylim=(0, 1), title=f"layer {layer + 1}")
        axes.yaxis.set_major_formatter(PERCENT)
        axes.tick_params(labelleft=column == 0)

    drawn = {
        "cosine_to_last": "cosine to the last kernel, median",
        "relabelled": "with another label than at the end",
        "explained": "explained by a formula",
    }
    pitch = (WIDTH - 0.55) / len(drawn)
    for column, (name, words) in enumerate(drawn.items()):
        left = 0.6 + column * pitch
        axes = place_axes(figure, left, 3.3, left + pitch - 0.45, 4.5)
        for (layer, way), colour, mark in zip(ways.items(), COLOURS[1:], MARKS, strict=False):
            steps = way.groupby("step")
            value = steps[name].mean() if name == "cosine_to_last" else _share(steps[[name, "kernels"]].sum(), name)
            place = _time(axes, value.index.to_numpy())
            axes.plot(place, value, color=colour, marker=mark, ms=3, lw=1, label=f"layer {layer + 1}")
        axes.set(ylim=(-0.03, 1.03))
        axes.set_title(words, size=8)
        if name != "cosine_to_last":
            axes.yaxis.set_major_formatter(PERCENT)
        if column == 0:
            axes.legend(fontsize=7, loc="upper left")
    _draw_rows(figure, summary, 5.4)
    _draw_families(figure, pd.concat([_by_family(summary), table[list(FAMILIES)].max()]).groupby(level=0).max())
    told = " ".join([*find_appearance(summary), *find_shares(summary), *find_accuracy(summary)])
    caption = (
        "The kernels of the first stage while networks are trained, at steps that lie evenly on a logarithmic scale, "
        "with step 0 at the left end; networks of all seeds together. The rows at the foot are as in the figures of "
        "the other experiments."
    )
    return Drawing(figure, summary, title, caption, f"Stacked areas, lines and dot plots. {told}")


def draw_starts(table: pd.DataFrame, summary: pd.DataFrame, title: str) -> Drawing:
    """Accuracy by step for each start, and what the kernels are at the end."""
    figure, _ = open_canvas(4.75 + PITCH * summary["condition"].nunique())
    axes = place_axes(figure, 0.75, 0.2, WIDTH - 2.3, 2.95)
    curves = table.drop_duplicates(["condition", "seed", "step"])
    curves = curves[curves["step"] > 0]
    for (condition, part), colour, mark in zip(curves.groupby("condition", sort=False), COLOURS, MARKS, strict=False):
        for _, run in part.groupby("seed"):
            axes.plot(run["step"], run["top1"], color=colour, lw=0.5, alpha=0.5)
        mean = part.groupby("step")["top1"].mean()
        axes.plot(mean.index, mean, color=colour, marker=mark, ms=4, lw=1.3, label=name_of(condition))
    axes.set(xlabel="step", ylabel="top-1 of test images, %", xlim=(0, None))
    axes.grid(color="#e6e6e6", lw=0.5)
    axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=8)
    _draw_rows(figure, summary, 3.7)
    _draw_families(figure, _by_family(summary))
    told = " ".join([*find_accuracy(summary), *find_shares(summary)])
    caption = (
        "Networks whose 7x7 kernels start from noise, from the encoder's prototypes or from formulas, or stay as they"
        " start but for a learned number added to all taps of each. Thick lines are means over seeds, thin ones "
        "networks; on the way accuracy is that of the first 1,000 test images. The rows below are as in the figures "
        "of the other experiments."
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
