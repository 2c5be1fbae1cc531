"""How much the autoencoders tell of networks that they did not see."""

import pandas as pd

from kernel_atlas.core.words import joined, percent
from kernel_atlas.stats.resampling import FEWEST_NETWORKS

HELD_OUT = ["held_out_share", "low", "high"]
EQUAL = ["equal_null_share", "equal_null_low", "equal_null_high"]


def find_held_out(held_out: pd.DataFrame) -> list[str]:
    """What one number says of networks that its autoencoder did not see, beside named patterns and random phases."""
    said, equal, few = [], {"more": [], "no more": []}, []
    for size, rows in held_out.groupby("size", sort=False):
        known = rows.set_index("method")
        if not {"autoencoder", "patterns"} <= set(known.index):
            continue
        row, patterns = known.loc["autoencoder"], known.loc["patterns"]
        more = row["equal_null_low"] > patterns["equal_null_high"]
        equal["more" if more else "no more"].append(
            f"{size} ({percent(*row[EQUAL])} against {percent(*patterns[EQUAL])})"
        )
        said.append(
            f"{percent(*row[HELD_OUT])} at {size} against {percent(row['phase_share'])} (in-sample "
            f"{percent(row['in_sample_share'])})"
        )
        if row["count"] < FEWEST_NETWORKS:
            few.append(size)
    if not said:
        return []
    listed = [
        f"{words} unseen kernels than the named patterns at {joined(sizes)}" for words, sizes in equal.items() if sizes
    ]
    words = [
        f"At equal null, a code of one number holds {'; '.join(listed)}.",
        f"At the usual threshold the code holds of unseen kernels, against their copies with random phases: "
        f"{'; '.join(said)}.",
    ]
    if few:
        words.append(f"No intervals at {joined(few)}: the networks or layers are too few.")
    return words
