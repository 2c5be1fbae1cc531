"""How well the autoencoders fit, and which networks they do not cover."""

import pandas as pd

from kernel_atlas.core.words import joined, percent

FEW = 4  # networks that are named


def find_fit(history: pd.DataFrame, chance: pd.DataFrame) -> list[str]:
    """The loss on kernels held out beside that on those that trained; a high one is a sign of failure."""
    thresholds = chance.drop_duplicates("size").set_index("size")["threshold"]
    kept = history[history["chosen"]].reset_index(drop=True)
    best = kept.loc[kept.groupby("size", sort=False)["held_out_loss"].idxmin()]
    listed = [f"{row.held_out_loss:.3f} at {row.size} ({row.loss:.3f})" for row in best.itertuples()]
    said = [f"Mean dissimilarity of kernels held out (of those that trained): {', '.join(listed)}."]
    high = best.loc[best["held_out_loss"] > best["size"].map(thresholds), "size"].tolist()
    if high:
        said.append(
            f"High reconstruction loss at {joined(high)}: the mean kernel held out is not clustered. The paper counts "
            "that as a failure."
        )
    return said


def find_drift(drift: pd.DataFrame) -> list[str]:
    """Which assigned networks the autoencoder does not cover, if there are any."""
    rows = drift[drift["advice"] == "retrain"].sort_values("beyond", ascending=False)
    if rows.empty:
        return []
    listed = ", ".join(
        f"{row.model} {percent(row.beyond, row.beyond_low, row.beyond_high)}" for row in rows.head(FEW).itertuples()
    )
    return [
        f"High reconstruction loss in networks that the autoencoder did not see: {listed}"
        f"{' and more' if len(rows) > FEW else ''} of their kernels lie beyond what a tenth of the training kernels "
        "exceed. Not covered by the autoencoder, they have other patterns or none; if their patterns matter, set use = "
        "train."
    ]
