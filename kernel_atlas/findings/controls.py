"""Does the autoencoder cluster kernels without structure too?"""

import pandas as pd

from kernel_atlas.core.vocabulary import KINDS
from kernel_atlas.core.words import joined, percent

INTERVAL = ["clustered_share", "low", "high"]


def find_controls(controls: pd.DataFrame) -> list[str]:
    """What the autoencoder of the run clusters, beside its strongest control."""
    said = []
    for size, part in controls[controls["encoder"] == "main"].groupby("size", sort=False):
        shares = part.set_index("control")
        others = shares.drop(index="real", errors="ignore")
        if "real" in shares.index and len(others):
            kind = others["clustered_share"].idxmax()
            said.append(
                f"{percent(*shares.loc['real', INTERVAL])} of {size} kernels against "
                f"{percent(*others.loc[kind, INTERVAL])} ({KINDS[kind]})"
            )
    return [f"The autoencoders cluster {joined(said)}, the strongest controls."] if said else []
