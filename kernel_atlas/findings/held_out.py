"""How much the autoencoders tell of networks that they did not see."""

import pandas as pd

from kernel_atlas.core.words import number, percent
from kernel_atlas.stats.resampling import FEWEST_NETWORKS

NAMES = {
    "autoencoder": "the autoencoder",
    "posed": "the autoencoder of kernels in one pose",
    "codebook": "a codebook of five prototypes and their 16 images",
    "patterns": "the reference patterns",
}


def find_held_out(held_out: pd.DataFrame) -> list[str]:
    """Shares by methods that were fitted on other networks, and what they let through.

    Parameters
    ----------
    held_out : DataFrame
        The rows of one size.
    """
    rows = held_out.set_index("method")
    said = []
    for method in ("autoencoder", "posed"):
        if method in rows.index:
            row = rows.loc[method]
            over = f"mean over {number(row['count'])} {row['units']}"
            said.append(
                f"Fitted on other {row['units']}, {NAMES[method]} clusters "
                f"{percent(row['held_out_share'], row['low'], row['high'])} of the kernels ({over}; of this run, "
                f"in-sample, {percent(row['in_sample_share'])}); of copies with random phases "
                f"{percent(row['phase_share'])}, of Gaussian noise {percent(row['noise_share'])}."
            )
    if said:
        null = rows.sort_values("equal_null_share", ascending=False, kind="stable")
        listed = ", ".join(
            f"{NAMES[method]} {percent(row['equal_null_share'], row['equal_null_low'], row['equal_null_high'])}"
            for method, row in null.iterrows()
        )
        said.append(f"Above the similarity that one in twenty copies with random phases passes: {listed}.")
        first = rows.iloc[0]
        if first["count"] < FEWEST_NETWORKS:
            said.append(f"No interval: {number(first['count'])} {first['units']} are too few.")
    return said
