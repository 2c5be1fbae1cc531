"""Which clusters come back."""

import pandas as pd

from kernel_atlas.core.words import number, percent


def find_stability(stability: pd.DataFrame, stability_summary: pd.DataFrame) -> list[str]:
    """How many clusters are stable, which, and how far other runs move kernels and shares.

    Parameters
    ----------
    stability, stability_summary : DataFrame
        The rows of one size.
    """
    summary = stability_summary.set_index("kind")
    if "all" not in summary.index:
        return []
    every, kept = summary.loc["all"], stability[(stability["kind"] == "all") & (stability["stable"] == "yes")]
    runs = " and ".join(
        f"{number(summary.loc[kind, 'runs'])} {words}"
        for kind, words in (("restart", "other starts"), ("bootstrap", f"bootstraps of {every['units']}"))
        if kind in summary.index
    )
    said = f"none of {number(every['clusters'])} clusters is stable"
    if len(kept):
        named = ", ".join(kept.nlargest(4, "kernels")["label"]) + " and more" * (len(kept) > 4)
        said = (
            f"{number(every['stable'])} of {number(every['clusters'])} clusters {'are' if len(kept) > 1 else 'is'} "
            f"stable ({named}), with {percent(every['stable_kernels'])} of the clustered kernels"
        )
    return [
        f"In {runs}, {said}. By prototypes alone, {number(every['recurring'])} would be; a random kernel "
        f"is as near to a prototype in {percent(every['chance'])} of draws.",
        f"These runs have {number(every['fewest_clusters'])} to {number(every['most_clusters'])} clusters and "
        f"{percent(every['lowest_share'])} to {percent(every['highest_share'])} of the kernels clustered, the main run "
        f"{percent(every['clustered_share'])}. In the median run {percent(every['moved'])} of the kernels have another "
        f"label, and the adjusted Rand index over kernels clustered in both is {every['adjusted_rand']:.2f}.",
    ]
