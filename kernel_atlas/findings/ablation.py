"""Findings of the ablation: what a replacement costs beyond controls that are as far from each kernel."""

from collections.abc import Iterator

import pandas as pd

from kernel_atlas.core.words import joined
from kernel_atlas.training.summaries import CONTROLS, LABELLED, LAYERS, NAMES, UNCONTROLLED, WIDE

CAVEAT = (
    "A fit has five or six free numbers and a sign, made to each kernel that it replaces; opposite and zero have no "
    "control."
)


def find_ablation(summary: pd.DataFrame) -> list[str]:
    """Which replacements are told from both controls at an equal cosine; the numbers are in the table.

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
    held = summary[~summary["replacement"].isin(UNCONTROLLED)]
    whole = held[held["label"] == "all"]
    said += _judge("All kernels of a size replaced, at the same cosine:", whole["replacement"].map(NAMES), whole)
    parts = held[(held["label"] != "all") & held["replacement"].isin(LABELLED)]
    names = parts["label"].str.removeprefix(LAYERS) + " by " + parts["replacement"].map(NAMES)
    said += _judge("Kernels of one label or depth replaced:", names, parts, brief=True)
    return [*said, CAVEAT]


def _judge(start: str, names: pd.Series, rows: pd.DataFrame, brief: bool = False) -> Iterator[str]:
    """Which rows cost less, more, or are not told from kernels at the same cosine; if `brief`, only those told apart.

    Less and more are less and more than both controls, each with an interval that leaves out 0.
    """
    low, high = (rows[[f"beyond_{kind}{end}" for kind in CONTROLS]] for end in ("_low", "_high"))
    less, more, few = (low > 0).all(axis=1), (high < 0).all(axis=1), low.isna().any(axis=1)
    if brief:
        told = {"less is lost than in both controls with": less, "more is lost with": more}
        rest = "all others are not told from both, one in twenty is by chance"
    else:
        told = {
            "less is lost than in both controls with": less,
            "more is lost than in both controls with": more,
            "not told from at least one control:": ~less & ~more & ~few,
        }
        rest = "sizes with fewer than five networks have no interval" if few.any() else ""
    listed = [f"{words} {_listed(names[which], rows['size'][which])}" for words, which in told.items() if which.any()]
    if listed or rest:
        yield f"{start} {'; '.join([*listed, *([rest] if rest else [])])}."


def _listed(names: pd.Series, sizes: pd.Series) -> str:
    """`its pattern (3x3, all sizes)`: each name with its sizes."""
    sizes = sizes.replace("all", "all sizes")
    return joined([f"{name} ({', '.join(part)})" for name, part in sizes.groupby(names, sort=False)])
