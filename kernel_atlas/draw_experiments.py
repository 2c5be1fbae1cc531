"""Sum up, draw and put into words the experiments: networks under different conditions, and kernels replaced.

Each is a table in resources/experiments or results/experiments, and an entry in `EXPERIMENTS`.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from kernel_atlas.canvas import (
    FAMILIES,
    FITTED,
    PERCENT,
    SOFT,
    WIDTH,
    Drawing,
    draw_interval,
    draw_legend,
    look_of,
    open_canvas,
    place_axes,
    step_axis,
)
from kernel_atlas.draw_ablation import draw_ablation, find_ablation, summarise_ablation
from kernel_atlas.statistics import bootstrap_share
from kernel_atlas.words import joined, percent, points

MEASURES = {
    "clustered": "in a cluster",
    "explained": "explained by a formula",
    "beyond": "beyond spectrum",
}
READ = (  # how the measures are read
    "A kernel is explained by a formula if its best difference of Gaussians, derivative or cross is more like it than "
    "99 % of Gaussian-noise kernels are like theirs. It is beyond its spectrum if it is more like a formula than 95 % "
    "of kernels with the power spectra of its layer and random phases are, as 5 % are by chance: smooth kernels "
    "resemble a formula whatever their phases."
)
FROZEN = 0.9999  # cosine to its first taps of a kernel that only got a constant
COMMON = 0.05  # share of a layer's kernels from which on it is asked when a pattern came
FORMULAS = {f"fit_{name}": look for name, look in FITTED.items()}
# inches from the left, of the panels with a condition a row
ROWS = ((1.95, 3.05), (3.28, 4.38), (4.61, 5.71), (5.94, 7.14), (7.37, WIDTH - 0.4))
PITCH = 0.24  # inches from a row to the next
LEGEND = 0.42  # inches from the foot of a figure to the legend of formulas, above that of labels
COLOURS = ("#000000", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00")
MARKS = ("o", "s", "D", "^", "v", "P")


# --- The summary ------------------------------------------------------------------------------------------------


def summarise_runs(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """summary.csv: what the kernels of each condition are at the end, before training, and against another condition.

    Parameters
    ----------
    table : DataFrame
        runs.csv: condition, title, against, seed, params and the columns of `dynamics.measure_run`.
    seed : int

    Returns
    -------
    DataFrame
        A row for each condition, layer (from 1; `all`) and measure (of `MEASURES`, or a family of formulas or labels):
        condition, title, against (a title, empty where there is none), networks, units (layers of networks), kernels;
        share at the last step with its interval over units; untrained, the share at step 0; gain, the mean over units
        of the share beyond that at step 0, with its interval; difference, the same beyond that of the same unit of
        `against`, with its interval, and agree, whether it has one sign in all networks; half_after and half_until, the
        steps between which the share passes half of its last value for good (none where that is below 5 %);
        cosine_to_first, between the kernels at the end and at step 0; params, top1 and train_top1 (percent), means over
        networks; top1_difference beyond that of `against` with top1_lowest and top1_highest of the networks. No
        intervals below five units.
    """
    units = table.set_index(["condition", "seed", "layer_index"]).sort_index()
    first = units[units["step"] == 0]
    last = units[units["step"] == units.groupby(["condition", "seed"])["step"].transform("max")]
    titles = table.drop_duplicates("condition").set_index("condition")["title"]
    rows = []
    for condition, part in table.groupby("condition", sort=False):
        against = part["against"].iloc[0] if part["against"].iloc[0] in titles.index else ""
        networks = last.loc[condition].groupby("seed")[["params", "top1", "train_top1"]].first()
        about = {"condition": condition, "title": titles[condition], "against": titles.get(against, "")}
        about |= {"networks": len(networks), "cosine_to_first": last.loc[condition, "cosine_to_first"].mean()}
        about |= networks.mean().to_dict()
        apart = pd.Series([np.nan])
        if against:
            apart = (networks["top1"] - last.loc[against].groupby("seed")["top1"].first()).dropna()
        about |= {"top1_difference": apart.mean(), "top1_lowest": apart.min(), "top1_highest": apart.max()}
        for layer in ["all", *sorted(part["layer_index"].unique())]:
            name = layer if layer == "all" else layer + 1
            chosen = [_chosen(each, condition, layer) for each in (units, first, last)]
            other = _chosen(last, against, layer) if against else None
            for measure in [*MEASURES, *FORMULAS, *FAMILIES]:
                rows.append({**about, "layer": name, "measure": measure, **_measure(measure, *chosen, other, seed)})
    return pd.DataFrame(rows)


def _chosen(units: pd.DataFrame, condition: str, layer: int | str) -> pd.DataFrame:
    """The rows of a condition, of one layer or of all."""
    part = units.loc[condition]
    return part if layer == "all" else part.xs(layer, level="layer_index", drop_level=False)


def _measure(
    name: str, way: pd.DataFrame, start: pd.DataFrame, end: pd.DataFrame, other: pd.DataFrame | None, seed: int
) -> dict[str, float]:
    """A share of the kernels at the end, at the start, beyond these and another condition's, and when it came."""
    low, high = bootstrap_share(end[name].to_numpy(), end["kernels"].to_numpy(), [seed])
    found = {"units": len(end), "kernels": int(end["kernels"].sum())}
    found |= {"share": end[name].sum() / end["kernels"].sum(), "low": float(low), "high": float(high)}
    found["untrained"] = start[name].sum() / start["kernels"].sum()
    for title, base in (("gain", start), ("difference", other)):
        apart = pd.Series(dtype=float) if base is None else _share(end, name).sub(_share(base, name)).dropna()
        low, high = bootstrap_share(apart.to_numpy(), np.ones(len(apart)), [seed])
        found |= {title: apart.mean(), f"{title}_low": float(low), f"{title}_high": float(high)}
    found["agree"] = (
        len(apart) > 0 and abs(np.sign(apart.groupby("seed").mean()).sum()) == apart.index.unique("seed").size
    )
    found["half_after"], found["half_until"] = _half(_share(way.groupby("step")[[name, "kernels"]].sum(), name))
    return found


def _share(counts: pd.DataFrame, name: str) -> pd.Series:
    return counts[name] / counts["kernels"]


def _half(share: pd.Series) -> tuple[float, float]:
    """The last step below half of what a share comes to, and the next one; NaN where it is small or always more."""
    below = share.index[share < share.iloc[-1] / 2]
    if share.iloc[-1] < COMMON or not len(below):
        return np.nan, np.nan
    return float(below.max()), float(share.index[share.index > below.max()].min())


# --- The words --------------------------------------------------------------------------------------------------


def find_shares(summary: pd.DataFrame) -> list[str]:
    """What the kernels of each condition are, and where this differs from before training and from other conditions."""
    whole = summary[summary["layer"] == "all"]
    said = []
    for measure, words in MEASURES.items():
        part = whole[whole["measure"] == measure]
        listed = "; ".join(
            f"{row.title} {percent(row.share, row.low, row.high)} (untrained {percent(row.untrained)})"
            for row in part.itertuples()
        )
        sentences = [f"Kernels {words}: {listed}."]
        alike = part[~(part["gain_low"] > 0) & part["gain_low"].notna() & (part["cosine_to_first"] < FROZEN)]
        if len(alike):
            sentences.append(f"Not shown to be more than before training: {joined(list(alike['title']))}.")
        for against, rows in _compared(part).groupby("against", sort=False):
            apart = _is_apart(rows)
            if apart.any():
                sentences.append(f"In all networks unlike {against}: {_differences(rows[apart], 'title')}.")
            if not apart.all():
                sentences.append(f"Not told from {against}: {joined(list(rows.loc[~apart, 'title']))}.")
        said.append(" ".join(sentences))
    return said


def find_labels(summary: pd.DataFrame) -> list[str]:
    """Which patterns are rarer or commoner than under the condition held against."""
    patterns = [*FORMULAS, *(family for family in FAMILIES if family != "other")]
    part = _compared(summary[(summary["layer"] == "all") & summary["measure"].isin(patterns)])
    part = part.assign(pattern=part["measure"].map(_pattern))
    return [
        f"{title[0].upper()}{title[1:]}, patterns in all networks unlike {against}: {_differences(rows, 'pattern')}."
        for (title, against), rows in part[_is_apart(part)].groupby(["title", "against"], sort=False)
    ]


def find_accuracy(summary: pd.DataFrame) -> list[str]:
    """Accuracy of each condition, and against another one."""
    part = summary.drop_duplicates("condition")
    listed = "; ".join(f"{row.title} {row.top1:.1f} ({row.train_top1:.1f})" for row in part.itertuples())
    said = [f"Top-1 on test images (on training images), in percent, means over networks: {listed}."]
    for against, rows in part[part["top1_difference"].notna()].groupby("against", sort=False):
        listed = "; ".join(
            f"{row.title} {row.top1_difference:z.1f} ({row.top1_lowest:z.1f} to {row.top1_highest:z.1f})"
            for row in rows.itertuples()
        )
        said.append(f"Top-1 beyond {against} with the same seed, in points (of the networks): {listed}.")
    return said


def find_parameters(summary: pd.DataFrame) -> list[str]:
    part = summary.drop_duplicates("condition")
    listed = "; ".join(f"{row.title} {row.params:,.0f}" for row in part.itertuples())
    return [
        "Dense stages are as wide as keeps the parameters and operations of each, so that they have fewer channels. "
        f"Parameters of the networks: {listed}."
    ]


def find_pull(summary: pd.DataFrame) -> list[str]:
    return [
        "After each step, what of a kernel is not its nearest prototype (or, as a control, its nearest prototype with "
        "scrambled phases) decays once more as fast as weight decay makes all of it decay. Kernels are more like "
        "prototypes then by construction; the question is what that costs or gains in accuracy."
    ]


def find_appearance(summary: pd.DataFrame) -> list[str]:
    """When the patterns of the first condition come, layer by layer."""
    first = summary[summary["condition"] == summary["condition"].iloc[0]]
    patterns = {name: _pattern(name) for name in [*FORMULAS, *FAMILIES] if name != "other"}
    said = []
    for measure, words in {**MEASURES, **patterns}.items():
        rows = first[(first["measure"] == measure) & (first["layer"] != "all") & first["half_until"].notna()]
        listed = joined(
            [
                f"{row.half_after:.0f} and {row.half_until:.0f} (layer {row.layer}; {percent(row.share)} at the end)"
                for row in rows.itertuples()
            ]
        )
        if len(rows):
            said.append(f"The share {words} passes half of its last value between steps {listed}.")
    return said


def find_caveat(summary: pd.DataFrame) -> list[str]:
    """What to keep in mind."""
    whole = summary[summary["layer"] == "all"]
    listed = "; ".join(
        f"{row.title} {row.cosine_to_first:z.2f}" for row in whole.drop_duplicates("condition").itertuples()
    )
    return [
        f"Median cosine of the kernels to what they started from: {listed}. The recipe lets kernels decay fast: noise "
        "goes early, and so does what kernels that are not frozen start from.",
        "Labels are those of one autoencoder, which the kernels of the zoo trained, also some of these data sets; what "
        "formulas fit does not depend on it.",
        f"Intervals are over {whole['units'].max()} layers of {whole['networks'].max()} small networks with short "
        "training, and cover less than they say; of so many differences, some come by chance.",
    ]


def _compared(part: pd.DataFrame) -> pd.DataFrame:
    """Rows that are held against others; kernels that stayed as they were are what they were made."""
    return part[part["difference_low"].notna() & (part["cosine_to_first"] < FROZEN)]


def _is_apart(rows: pd.DataFrame) -> pd.Series:
    return rows["agree"] & ((rows["difference_low"] > 0) | (rows["difference_high"] < 0))


def _differences(rows: pd.DataFrame, name: str) -> str:
    return "; ".join(
        f"{row[name]} {points(row['difference'], row['difference_low'], row['difference_high'])}"
        for _, row in rows.iterrows()
    )


def _pattern(measure: str) -> str:
    return f"fitted by a {FORMULAS[measure][0]}" if measure in FORMULAS else f"labelled {measure}"


# --- The figures ------------------------------------------------------------------------------------------------


def _draw_rows(figure: Figure, table: pd.DataFrame, summary: pd.DataFrame, top: float) -> None:
    """A condition a row: shares clustered and explained with their intervals, and what as, as stacked bars."""
    whole = summary[summary["layer"] == "all"]
    titles = whole.drop_duplicates("condition").set_index("condition")["title"]
    conditions = list(titles.index)
    foot = top + PITCH * len(conditions)
    panels = [place_axes(figure, left, top, right, foot) for left, right in ROWS]
    for axes, (measure, words) in zip(panels, MEASURES.items(), strict=False):
        part = whole[whole["measure"] == measure].set_index("condition")
        for place, condition in enumerate(conditions):
            row = part.loc[condition]
            axes.plot(row["untrained"], place, "o", color=SOFT, mfc="white", ms=4.5, zorder=2)
            draw_interval(axes, place, row["low"], row["high"], COLOURS[2])
            axes.plot(row["share"], place, "o", color=COLOURS[2], ms=5, zorder=3)
        axes.set(xlim=(-0.04, 1.04), xlabel=words.removeprefix("explained "))
    fitted = {
        name: {"facecolor": FAMILIES[family][0], "hatch": hatch, "edgecolor": "white", "lw": 0.2}
        for name, (_, family, hatch, _) in FORMULAS.items()
    }
    looks = {"labels": {family: look_of(family) for family in FAMILIES}, "formulas": fitted}
    for axes, (words, parts) in zip(panels[len(MEASURES) :], looks.items(), strict=True):
        for place, condition in enumerate(conditions):
            left, shares = 0.0, whole[whole["condition"] == condition].set_index("measure")["share"]
            for name, look in parts.items():
                axes.barh(place, shares[name], left=left, height=0.72, **look)
                left += shares[name]
        axes.set(xlim=(0, 1), xlabel=words)
    for axes in panels:
        axes.set_ylim(len(conditions) - 0.5, -0.5)
        axes.set_xticks([0, 0.5, 1], ["0", "50", "100 %"])
        axes.set_yticks(range(len(conditions)), titles if axes is panels[0] else [])
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
    handles = [Patch(**look, label=FORMULAS[name][0]) for name, look in fitted.items()]
    draw_legend(figure, [family for family in FAMILIES if table[family].any()])
    figure.legend(handles=handles, loc="lower center", ncols=4, bbox_to_anchor=(0.5, LEGEND / figure.get_figheight()))


def draw_shares(table: pd.DataFrame, summary: pd.DataFrame, title: str) -> Drawing:
    """The shares of each condition, a row each."""
    figure, _ = open_canvas(1.4 + PITCH * summary["condition"].nunique())
    _draw_rows(figure, table, summary, 0.35)
    told = " ".join([*find_shares(summary), *find_accuracy(summary)])
    caption = (
        "Networks of the zoo's kind, trained alike but for what the row says; kernels are those of the first stage. "
        f"{READ} Lines are 95 % intervals over layers of networks; top-1 is in percent of test images."
    )
    return Drawing(figure, summary, title, caption, f"Dot plots and stacked bars, a row for each condition. {told}")


def draw_dynamics(table: pd.DataFrame, summary: pd.DataFrame, title: str) -> Drawing:
    """Labels by step of each layer, how kernels move, and what is left of the conditions at the end."""
    condition = table["condition"].iloc[0]
    ways = {layer: part for layer, part in table[table["condition"] == condition].groupby("layer_index")}
    figure, canvas = open_canvas(6.55 + PITCH * summary["condition"].nunique())
    heads = {
        0.15: f"Labels of the kernels by step: {summary['title'].iloc[0]}",
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
        place = step_axis(axes, sums.index.to_numpy())
        low = np.zeros(len(sums))
        for family in FAMILIES:
            high = low + _share(sums, family)
            axes.fill_between(place, low, high, **look_of(family))
            low = high
        axes.set(ylim=(0, 1), title=f"layer {layer + 1}")
        axes.yaxis.set_major_formatter(PERCENT)
        axes.tick_params(labelleft=column == 0)

    drawn = {
        "cosine_to_last": "cosine to the last kernel",
        "code_to_last": "code from the last, of clustered",
        "relabelled": "with another label than the last",
        "beyond": "beyond spectrum",
    }
    pitch = (WIDTH - 0.35) / len(drawn)
    for column, (name, words) in enumerate(drawn.items()):
        left = 0.5 + column * pitch
        axes = place_axes(figure, left, 3.3, left + pitch - 0.38, 4.5)
        for (layer, way), colour, mark in zip(ways.items(), COLOURS[1:], MARKS, strict=False):
            steps = way.groupby("step")
            counted = name in ("relabelled", "beyond")
            value = _share(steps[[name, "kernels"]].sum(), name) if counted else steps[name].mean()
            place = step_axis(axes, value.index.to_numpy())
            axes.plot(place, value, color=colour, marker=mark, ms=3, lw=1, label=f"layer {layer + 1}")
        axes.set(ylim=(-0.03, 1.03) if name != "code_to_last" else (0, None))
        axes.set_title(words, size=8)
        if counted:
            axes.yaxis.set_major_formatter(PERCENT)
        if column == 0:
            axes.legend(fontsize=7, loc="upper left")
    _draw_rows(figure, table, summary, 5.4)
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
    looks = zip(itertools.cycle(COLOURS), itertools.cycle(MARKS), strict=True)
    for (_, part), (colour, mark) in zip(curves.groupby("condition", sort=False), looks, strict=False):
        for _, run in part.groupby("seed"):
            axes.plot(run["step"], run["top1"], color=colour, lw=0.5, alpha=0.5)
        mean = part.groupby("step")["top1"].mean()
        axes.plot(mean.index, mean, color=colour, marker=mark, ms=4, lw=1.3, label=part["title"].iloc[0])
    axes.set(xlabel="step", ylabel="top-1 of test images, %", xlim=(0, None))
    axes.grid(color="#e6e6e6", lw=0.5)
    axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=8)
    _draw_rows(figure, table, summary, 3.7)
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
        (find_shares, find_labels, find_accuracy, find_parameters, find_caveat),
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
    "pull": Experiment(
        "What a pull towards prototypes does",
        summarise_runs,
        draw_shares,
        (find_accuracy, find_pull, find_shares, find_labels, find_caveat),
    ),
    "ablation": Experiment("What kernels are for", summarise_ablation, draw_ablation, (find_ablation,)),
}


def state(experiment: str, summary: pd.DataFrame) -> list[str]:
    """The sentences of an experiment; their numbers are cells of its summary."""
    return [sentence for find in EXPERIMENTS[experiment].find for sentence in find(summary)]
