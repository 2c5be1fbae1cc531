"""The figures of experiments."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from kernel_atlas.core.vocabulary import FAMILIES, FORMULAS, MEASURES
from kernel_atlas.figures import style
from kernel_atlas.figures.ablation import draw_ablation
from kernel_atlas.figures.maps import draw_maps
from kernel_atlas.figures.write import Drawing
from kernel_atlas.training.summaries import share

SHARES = {"share": ("trained", style.BLUE, "o"), "untrained": ("before training", style.GREY, "X")}
FITS = {
    name: {"facecolor": FAMILIES[family][0], "hatch": hatch, "edgecolor": style.GROUND, "lw": 0.2}
    for name, (_, family, hatch, _) in FORMULAS.items()
}
LABELS = {family: style.look_of(family) for family in FAMILIES}
WAYS = {
    "cosine_to_last": "cosine to the last kernel",
    "relabelled": "with another label than the last",
    "beyond": "beyond their spectrum",
}
PAIR = {
    "top1": ("with patterns", style.BLUE, "o"),
    "control_top1": ("control", style.GREY, "X"),
    "usual_top1": ("learned from noise", style.ORANGE, style.TICK),
}
WORTH = {True: ("a difference that holds", style.BLUE, "D"), False: ("a difference that does not", style.BLUE, "o")}
QUESTIONS = {
    "frozen": "frozen, with a skip connection",
    "no_skip": "frozen, without one",
    "start": "trained from there",
    "room": "what there is to gain",
}


def draw_shares(table: pd.DataFrame, summary: pd.DataFrame, title: str, curves: bool = False) -> Drawing:
    """The shares of each condition, a row each; with `curves` also accuracy by step."""
    whole = summary[summary["layer"] == "all"]
    first = whole.drop_duplicates("condition").set_index("condition")
    inches = 1.1 if style.is_narrow() else 1.8
    names = {
        name: style.wrapped(f"{row.title} ({row.top1:.1f}\N{NO-BREAK SPACE}%)", inches)
        for name, row in first.iterrows()
    }
    lines = max(name.count("\n") + 1 for name in names.values())
    titles = [*MEASURES.values(), "by pattern", "by formula", *(["accuracy by step"] * curves)]
    figure, panels = style.open_panels(titles, 0.6 + (0.08 + 0.14 * lines) * len(names), columns=(3, 1))
    for place, (axes, words) in enumerate(zip(panels.values(), titles, strict=True)):
        if words == titles[-1] and curves:
            handles = _draw_accuracy(axes, table, names)
            continue
        if words in MEASURES.values():
            part = whole[whole["measure"] == list(MEASURES)[place]].rename(columns={"condition": "row"})
            points = pd.concat([part.assign(kind=kind, value=part[kind]) for kind in SHARES])
            points[["low", "high"]] = points[["low", "high"]].where(points["kind"] == "share")
            style.draw_points(axes, points, names, SHARES, 0.3)
        else:
            _stack_bars(axes, whole, list(names), LABELS if words == "by pattern" else FITS)
            style.name_rows(axes, names.values())
        axes.tick_params(labelleft=style.is_narrow() or place % 3 == 0)
        style.share_axis(axes, "")
    fitted = {FORMULAS[name][0]: Patch(**look) for name, look in FITS.items()}
    there = style.families_legend(family for family in FAMILIES if table[family].any())
    style.add_legend(figure, style.points_legend(SHARES) | there | fitted | (handles if curves else {}))
    caption = (
        "Small networks trained alike but for what the row says, with their top-1 in brackets; shares of the "
        "kernels of the first stage, with 95 % intervals over layers. Explained: nearer to a formula than 99 % of "
        "Gaussian noise. Beyond spectrum: nearer to one than 95 % of kernels with the same spectra and random "
        "phases, as 5 % are by chance."
    )
    return Drawing(figure, summary, title, caption, "Dots and stacked bars, a row for each condition.")


def _stack_bars(axes: Axes, whole: pd.DataFrame, conditions: list[str], looks: Mapping[str, dict]) -> None:
    """What kernels are labelled or explained as, a bar a condition."""
    wide = whole.pivot(index="condition", columns="measure", values="share").loc[conditions, list(looks)]
    base = np.zeros(len(wide))
    for name, look in looks.items():
        axes.barh(np.arange(len(wide)), wide[name], 0.7, base, **look)
        base += wide[name].to_numpy()


def _draw_accuracy(axes: Axes, table: pd.DataFrame, names: Mapping[str, str]) -> dict:
    """Top-1 by step, a line a condition over its seeds; what the lines mean."""
    curves = table[table["step"] > 0].drop_duplicates(["condition", "seed", "step"])
    look = dict(hue="condition", style="condition", hue_order=list(names), style_order=list(names), legend=False)
    palette = dict(zip(names, sns.color_palette(style.COLOURS, len(names)), strict=True))
    sns.lineplot(
        curves, x="step", y="top1", palette=palette, errorbar=("pi", 100), err_kws={"alpha": 0.2}, ax=axes, **look
    )
    axes.set(xlabel="step", ylabel="top-1 of test images, %")
    titles = table.drop_duplicates("condition").set_index("condition")["title"]
    return {titles[name]: line for name, line in zip(names, axes.get_lines(), strict=False)}


def draw_dynamics(table: pd.DataFrame, summary: pd.DataFrame, title: str) -> Drawing:
    """Labels by step of each layer, and how the kernels come to what they are at the end."""
    way = table[table["condition"] == table["condition"].iloc[0]]
    layers = {f"labels of layer {layer + 1}": part for layer, part in way.groupby("layer_index")}
    figure, panels = style.open_panels([*layers, *WAYS.values()], 1.7, columns=(3, 1))
    for name, part in layers.items():
        sums = part.groupby("step")[["kernels", *FAMILIES]].sum()
        shares = pd.DataFrame({family: share(sums, family) for family in FAMILIES if sums[family].any()})
        place = style.step_axis(panels[name], sums.index.to_numpy())
        base = np.zeros(len(shares))
        for family in shares:
            look = style.look_of(family)
            panels[name].stairs(
                base + shares[family], np.append(place, place[-1] * 1.2), baseline=base, fill=True, **look
            )
            base += shares[family].to_numpy()
        panels[name].set(xlim=(place[0], place[-1] * 1.2), ylim=(0, 1))
        panels[name].yaxis.set_major_formatter(style.PERCENT)
        panels[name].yaxis.set_major_locator(MaxNLocator(3))
    layer = way["layer_index"].add(1).astype(str)
    data = way.assign(layer=layer, relabelled=way["relabelled"] / way["kernels"], beyond=way["beyond"] / way["kernels"])
    for column, words in WAYS.items():
        axes = panels[words]
        at = style.step_axis(axes, np.sort(data["step"].unique()))
        points = data.assign(at=data["step"].map(dict(zip(np.sort(data["step"].unique()), at, strict=True))))
        looks = {"palette": list(style.COLOURS[: len(layers)]), "markers": list(style.MARKS[: len(layers)])}
        named = {"x": "at", "y": column, "hue": "layer", "style": "layer", "legend": False}
        sns.lineplot(points, **named, **looks, errorbar=("pi", 100), ax=axes)
        axes.set(ylim=(0, 1.02), xlabel="step", ylabel="")
    lines = {f"layer {name}": line for name, line in zip(sorted(layer.unique()), axes.get_lines(), strict=False)}
    style.add_legend(figure, style.families_legend(family for family in FAMILIES if way[family].any()) | lines)
    caption = (
        f"The kernels of the first stage while networks are trained ({summary['title'].iloc[0]}), at steps that lie "
        "evenly on a logarithmic scale, with step 0 at the left end. Lines are means over seeds, bands reach from "
        "the lowest to the highest."
    )
    return Drawing(figure, summary, title, caption, "Stacked areas and lines of the kernels by step.")


def draw_verdict(table: pd.DataFrame, summary: pd.DataFrame, title: str) -> Drawing:
    """Each pair of conditions, a row: the accuracy of both, and what the one is worth beyond the other."""
    inches = 1.4 if style.is_narrow() else 3.3
    rows = {
        pair.Index: style.wrapped(
            f"{QUESTIONS[pair.question]}: {_bare(pair.condition)} against {_bare(pair.control)}", inches
        )
        for pair in table.itertuples()
    }
    lines = sum(name.count("\n") + 1.4 for name in rows.values())
    figure, panels = style.open_panels(
        ["top-1, %", "difference in points"], 0.6 + 0.13 * lines, columns=(2, 1), sharey=True
    )
    accuracy, difference = panels.values()
    points = table.melt(["question"], list(PAIR), "kind", ignore_index=False).assign(low=np.nan, high=np.nan)
    style.draw_points(accuracy, points.assign(row=points.index), rows, PAIR, 0)
    style.draw_points(
        difference, table.assign(row=table.index, kind=table["holds"], value=table["difference"]), rows, WORTH, 0
    )
    ends = {"color": style.GREY, "alpha": 0.3, "zorder": 0}
    bar = difference.barh(range(len(table)), 2 * table["seed_range"], 0.9, -table["seed_range"], **ends)
    difference.axvline(0, color=style.INK, lw=0.6)
    for axes in (accuracy, difference):
        axes.set_xlabel("")
    worth = {holds: look for holds, look in WORTH.items() if (table["holds"] == holds).any()}
    style.add_legend(figure, style.points_legend(PAIR | worth) | {"as learned networks differ by seed": bar})
    caption = (
        "Networks whose 7x7 kernels have patterns, or are a control of equal norm: the same spectra with random "
        "phases, or a normal distribution with the covariance of trained kernels. Lines are 95 % intervals over "
        "seeds and test images. A pair holds if its interval is above 0 and its difference above the range of "
        "learned networks over seeds, by rules that came before the networks."
    )
    return Drawing(figure, summary, title, caption, "Dots of accuracy and of its differences, a row a pair.")


def _bare(title: str) -> str:
    """A title without the question before its colon."""
    return title.partition(": ")[2] or title


FIGURES: dict[str, tuple[str, Callable[..., Drawing]]] = {  # title, drawn by (that of the ablation from a table more)
    "data": ("Which patterns need natural images", draw_shares),
    "dense": ("Depthwise against dense convolutions", draw_shares),
    "dynamics": ("When patterns form in training", draw_dynamics),
    "init": ("What kernels may start from", partial(draw_shares, curves=True)),
    "pull": ("What a pull towards prototypes does", draw_shares),
    "covariance": ("Frozen kernels, first kernels and their controls", draw_shares),
    "decay": ("What the weight decay of kernels does", draw_shares),
    "verdict": ("Patterns, or only their covariance?", draw_verdict),
    "ablation": ("What kernels are for", draw_ablation),
    "maps": ("What kernels make of images", draw_maps),
}
