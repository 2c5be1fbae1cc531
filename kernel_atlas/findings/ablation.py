"""Findings of the ablation."""

import numpy as np
import pandas as pd

from kernel_atlas.training.summaries import LABELLED, LAYERS, NAMES, WIDE


def find_ablation(summary: pd.DataFrame) -> list[str]:
    """Sentences on the accuracy lost by each replacement of kernels; their numbers are cells of summary.csv.

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
    for size, part in summary[summary["size"] != "all"].groupby("size"):
        whole = part[part["label"] == "all"].set_index("replacement")
        listed = ", ".join(f"{NAMES[name]} {_points(row)}" for name, row in whole.iterrows())
        again = ", ".join(
            f"{NAMES[name]} {_points(row, '_reestimated')}"
            for name, row in whole.iterrows()
            if np.isfinite(row["difference_reestimated"])
        )
        first = whole.iloc[0]
        of = f"mean of {first['models']} network{'s' if first['models'] > 1 else ''}, in points"
        said.append(
            f"With every {size} kernel replaced, its mean and norm kept, top-1 accuracy changes ({of}) by: {listed}."
        )
        if again:
            said.append(f"The same with the statistics of batch norm estimated again: {again}.")
        clustered = part[part["label"] == "clustered"]
        if len(clustered):
            rows = [row for _, row in clustered.iterrows()]
            listed = ", ".join(f"{NAMES[row['replacement']]} {_beside_others(row)}" for row in rows)
            said.append(f"With only the clustered {size} kernels replaced, or as many others in their place: {listed}.")
        is_layer = part["label"].str.startswith(LAYERS)
        for name in LABELLED:
            rows = [row for _, row in part[is_layer & (part["replacement"] == name)].iterrows()]
            listed = ", ".join(f"{row['label'].removeprefix(LAYERS)} {_beside_others(row)}" for row in rows)
            if rows:
                said.append(
                    f"With the {size} kernels of a single layer replaced, each by {NAMES[name]}, or as many others, by "
                    f"the fifth of the depth in which it lies: {listed}."
                )
        single = ~part["label"].isin(["all", "clustered", "other"]) & ~is_layer
        labels = part[single & (part["replacement"] == "random") & part["beyond_low"].notna()]
        apart = labels[(labels["beyond_low"] > 0) | (labels["beyond_high"] < 0)]
        if len(apart):
            listed = ", ".join(f"{row.label} {_points(row._asdict(), '', 'beyond')}" for row in apart.itertuples())
            said.append(
                "Random kernels in place of one label cost more (below 0) or less than in place of as many other "
                f"{size} kernels: {listed} (one label in twenty comes by chance)."
            )
        elif len(labels):
            said.append(
                f"No label of the {size} kernels is told from as many others by what random kernels in its place cost, "
                "as far as the networks measured can tell."
            )
    return said


def _points(row: pd.Series | dict, end: str = "", name: str = "difference") -> str:
    value, low, high = (row[f"{name}{part}{end}"] for part in ("", "_low", "_high"))
    return f"{value:z.1f} [{low:z.1f}, {high:z.1f}]" if np.isfinite(low) else f"{value:z.1f}"


def _beside_others(row: pd.Series) -> str:
    return _points(row) + (f" (others {_points(row, '', 'others')})" if np.isfinite(row["others"]) else "")
