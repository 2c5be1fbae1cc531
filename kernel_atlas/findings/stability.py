"""Which clusters come back."""

import pandas as pd

from kernel_atlas.core.words import joined, number, percent

NAMED = 4  # stable clusters


def find_stability(stability: pd.DataFrame, stability_summary: pd.DataFrame) -> list[str]:
    """How many clusters are stable, which, and how far other runs move names and shares."""
    counts, moved = [], []
    for row in stability_summary[stability_summary["kind"] == "all"].itertuples():
        part = stability[(stability["size"] == row.size) & (stability["kind"] == "all")]
        kept = part[part["stable"] == "yes"].nlargest(NAMED, "kernels")["label"]
        named = f" ({joined(list(kept))}{' and more' if row.stable > NAMED else ''})" if len(kept) else ""
        counts.append(f"{number(row.stable)} of {number(row.clusters)} at {row.size}{named}")
        moved.append(
            f"{percent(row.moved)} of the {row.size} kernels ({percent(row.lowest_share)} to "
            f"{percent(row.highest_share)} clustered)"
        )
    if not counts:
        return []
    return [
        f"From other starts and on other networks, these clusters come back: {'; '.join(counts)}.",
        f"The median run gives another label to {joined(moved)}.",
    ]
