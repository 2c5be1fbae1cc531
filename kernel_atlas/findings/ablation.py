"""Findings of the ablation: what a replacement costs beyond controls that are as far from each kernel."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from kernel_atlas.core.words import joined
from kernel_atlas.training.summaries import (
    CLUSTERED,
    CONTROLS,
    LABELLED,
    LAYERS,
    NAMES,
    PATTERNED,
    UNCONTROLLED,
    WIDE,
)


def find_ablation(summary: pd.DataFrame) -> list[str]:
    """Sentences on the accuracy lost by each replacement of kernels; their numbers are cells of summary.csv.

    What is said of patterns stands on `beyond_random` and `beyond_scrambled` alone: at an equal cosine.

    Parameters
    ----------
    summary : DataFrame
        Rows of one size, or of all.
    """
    said = []
    for row in summary.nlargest(1, "models").itertuples():
        if row.apart:
            said.append(
                f"Before any replacement, the top-1 accuracy of {row.apart} of {row.models} networks is more than "
                f"{WIDE:.0f} points from what the model sheet states; their images or weights may be others."
            )
    for size, part in summary.groupby("size"):
        said += _find_whole("depthwise" if size == "all" else size, part[part["label"] == "all"])
        for name in LABELLED:
            said += _find_parts(size, name, part[(part["label"] != "all") & (part["replacement"] == name)])
    said.append("A fit is made to each kernel that it replaces, by five or six free numbers and a sign.")
    return said


def _find_whole(size: str, whole: pd.DataFrame) -> Iterator[str]:
    """All kernels of a network (`depthwise`) or of a size replaced."""
    held = whole[~whole["replacement"].isin(UNCONTROLLED)]
    names = held["replacement"].map(NAMES)
    first = held.iloc[0]
    listed = "; ".join(
        f"{name} (cosine {row['cosine']:z.2f}) {_points(row, 'difference')}, random {_points(row, 'random')}, "
        f"scrambled {_points(row, 'scrambled')}, beyond these {_beyond(row)}"
        for name, (_, row) in zip(names, held.iterrows(), strict=True)
    )
    yield (
        f"With every {size} kernel replaced, its mean and norm kept, and with every one moved to the same cosine in a "
        f"random or a phase-scrambled direction, top-1 accuracy changes in points ({_counted(first)}) by: {listed}."
    )
    yield from _judge(f"With all {size} kernels at the same cosine,", names, held)
    again = held[np.isfinite(held["difference_reestimated"])]
    if len(again):
        listed = "; ".join(f"{NAMES[row['replacement']]} {_beyond(row, '_reestimated')}" for _, row in again.iterrows())
        yield f"Beyond the two with the statistics of batch norm estimated again, for {size} kernels: {listed}."
    rest = whole[whole["replacement"].isin(UNCONTROLLED)]
    if len(rest):
        listed = joined([f"{NAMES[row['replacement']]} {_points(row, 'difference')}" for _, row in rest.iterrows()])
        yield f"For {size} kernels, without a control, as nothing else lies where they do: {listed}."


def _find_parts(size: str, name: str, parts: pd.DataFrame) -> Iterator[str]:
    """Kernels with a pattern, of a cluster, of a fifth of the depth and of each label, all replaced in one way."""
    is_layer = parts["label"].str.startswith(LAYERS)
    groups = parts[parts["label"].isin([PATTERNED, CLUSTERED])], parts[is_layer]
    for words, rows in zip(("only the kernels", "a single layer, in a fifth of the depth,"), groups, strict=True):
        if rows.empty:
            continue
        labels = rows["label"].str.removeprefix(LAYERS)
        listed = "; ".join(
            f"{label} {_beyond(row)} (n = {row['networks']})"
            for label, (_, row) in zip(labels, rows.iterrows(), strict=True)
        )
        yield (
            f"With {words} replaced, of {size} kernels each by {NAMES[name]}, top-1 accuracy beyond the same cosine in "
            f"a random and in a phase-scrambled direction: {listed}."
        )
        yield from _judge(f"By {NAMES[name]}, {size} kernels at the same cosine,", labels, rows)
    labels = parts[~parts["label"].isin([PATTERNED, CLUSTERED]) & ~is_layer & parts["beyond_random_low"].notna()]
    if len(labels):
        low, high = (labels[[f"beyond_{kind}{end}" for kind in CONTROLS]] for end in ("_low", "_high"))
        apart = labels[(low > 0).all(axis=1) | (high < 0).all(axis=1)]
        listed = "; ".join(f"{row['label']} {_beyond(row)}" for _, row in apart.iterrows())
        yield (
            f"Of the labels of {size} kernels, each replaced alone by {NAMES[name]}, "
            + (
                f"these are told from both controls (one in twenty comes by chance): {listed}."
                if listed
                else "none is told from both controls."
            )
        )


def _judge(start: str, names: pd.Series, rows: pd.DataFrame) -> Iterator[str]:
    """Which rows cost less, more, or are not told from kernels at the same cosine.

    Less and more are less and more than both controls, each with an interval that leaves out 0.
    """
    low = rows[[f"beyond_{kind}_low" for kind in CONTROLS]]
    high = rows[[f"beyond_{kind}_high" for kind in CONTROLS]]
    less, more = (low > 0).all(axis=1), (high < 0).all(axis=1)
    few = low.isna().any(axis=1)
    verdicts = {
        "less is lost than in both controls with": less,
        "more is lost than in both controls with": more,
        "not told from at least one control:": ~less & ~more & ~few,
        "not told from the controls, as an interval takes five networks:": few,
    }
    listed = [f"{words} {joined(list(names[which]))}" for words, which in verdicts.items() if which.any()]
    if listed:
        yield f"{start} {'; '.join(listed)}."


def _counted(row: pd.Series) -> str:
    models = f" of {row['models']} models" if row["models"] > row["networks"] else ""
    return f"mean of n = {row['networks']} network{'s' if row['networks'] > 1 else ''}{models}"


def _points(row: pd.Series, name: str, end: str = "") -> str:
    value, low, high = (row[f"{name}{part}{end}"] for part in ("", "_low", "_high"))
    return f"{value:z.1f} [{low:z.1f}, {high:z.1f}]" if np.isfinite(low) else f"{value:z.1f}"


def _beyond(row: pd.Series, end: str = "") -> str:
    return joined([_points(row, f"beyond_{kind}", end) for kind in CONTROLS])
