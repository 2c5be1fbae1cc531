"""Where networks lie among the reference networks of resources/reference."""

import pandas as pd

from kernel_atlas.io.tables import in_order
from kernel_atlas.stats.resampling import FEWEST_NETWORKS

QUARTILES = {"low": 0.25, "median": 0.5, "high": 0.75}


def place_shares(shares: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """places.csv: shares with a pattern beside those of reference networks, for each size that enough of these have.

    Parameters
    ----------
    shares : DataFrame
        model, size, pattern_share (NaN where no kernel is live).
    reference : DataFrame
        resources/reference/networks.csv.
    """
    rows = []
    for row in shares.dropna(subset="pattern_share").itertuples():
        known = reference.loc[reference["size"] == row.size, "pattern_share"]
        if len(known) >= FEWEST_NETWORKS:
            place = {"model": row.model, "size": row.size, "pattern_share": row.pattern_share, "networks": len(known)}
            place |= {name: known.quantile(quantile) for name, quantile in QUARTILES.items()}
            rows.append(place | {"above": (known < row.pattern_share).mean()})
    return in_order(pd.DataFrame(rows), "places.csv")
