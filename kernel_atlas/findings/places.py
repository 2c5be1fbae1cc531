"""Where the networks of the run lie among the reference networks."""

import pandas as pd

from kernel_atlas.core.words import joined, number, percent

FEW = 3  # networks with a lower and a higher share that are named


def find_places(places: pd.DataFrame) -> list[str]:
    """How the share with a pattern compares with those of the reference networks.

    Parameters
    ----------
    places : DataFrame
        The rows of one size.
    """
    if places.empty:
        return []
    first = places.iloc[0]
    said = {}
    for words, part in (
        ("below", places[places["pattern_share"] < first["low"]].nsmallest(FEW, "pattern_share")),
        ("above", places[places["pattern_share"] > first["high"]].nlargest(FEW, "pattern_share")),
    ):
        said[words] = joined([f"{row.model} ({percent(row.pattern_share)})" for row in part.itertuples()] or ["none"])
    return [
        f"Of {number(first['networks'])} reference networks of other people the middle half have "
        f"{percent(first['low'])} to {percent(first['high'])} of the kernels with a pattern, the median "
        f"{percent(first['median'])}. Lowest of this run below that range: {said['below']}; highest above it: "
        f"{said['above']}."
    ]
