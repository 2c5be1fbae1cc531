"""Which clusters come back."""

import pandas as pd

from kernel_atlas.core.words import joined, number, percent

NAMED = 4  # stable clusters


def find_stability(stability: pd.DataFrame, stability_summary: pd.DataFrame) -> list[str]:
    """How many clusters are stable, which, and how far other runs move names and shares; of both autoencoders."""
    summary = stability_summary[stability_summary["kind"] == "all"]
    plain, posed = (summary[summary["method"] == method] for method in ("autoencoder", "posed"))
    if plain.empty:
        return []
    said = [
        f"From other starts and on other networks, these clusters come back: {_counts(stability, plain)}.",
        f"The median run gives another label to {_moved(plain)}.",
    ]
    if len(posed):
        said.append(
            f"Of kernels in one pose these come back: {_counts(stability, posed)}; the median run gives another label "
            f"to {_moved(posed)}."
        )
    return said


def _counts(stability: pd.DataFrame, summary: pd.DataFrame) -> str:
    counts = []
    for row in summary.itertuples():
        own = (stability["size"] == row.size) & (stability["method"] == row.method) & (stability["kind"] == "all")
        kept = stability[own & (stability["stable"] == "yes")].nlargest(NAMED, "kernels")["label"]
        labels = list(dict.fromkeys(kept))  # two clusters may have one label
        named = f" ({joined(labels)}{' and more' if row.stable > NAMED else ''})" if labels else ""
        counts.append(f"{number(row.stable)} of {number(row.clusters)} at {row.size}{named}")
    return "; ".join(counts)


def _moved(summary: pd.DataFrame) -> str:
    moved = [
        f"{percent(row.moved)} of the {row.size} kernels ({percent(row.lowest_share)} to {percent(row.highest_share)} "
        "clustered)"
        for row in summary.itertuples()
    ]
    return joined(moved)
