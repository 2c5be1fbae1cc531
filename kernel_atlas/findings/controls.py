"""Are kernels without structure clustered too?"""

import pandas as pd

from kernel_atlas.core.vocabulary import KINDS
from kernel_atlas.core.words import percent, points


def find_controls(controls: pd.DataFrame) -> list[str]:
    """Whether kernels without structure are clustered too."""
    table, said = controls.set_index(["control", "encoder"]), []
    for encoder, through in (
        ("main", "the autoencoder of this run"),
        ("posed", "that of kernels in one pose"),
        ("own", "autoencoders trained on them"),
    ):
        shares = {kind: table.loc[(kind, encoder)] for kind in KINDS if (kind, encoder) in table.index}
        if "real" in shares and len(shares) > 1:
            real = shares.pop("real")
            listed = ", ".join(f"{KINDS[kind]} {percent(*_interval(row))}" for kind, row in shares.items())
            unseen = " of layers that it did not see" if encoder == "own" else ""
            said.append(
                f"Through {through}, {percent(*_interval(real))} of real kernels{unseen} are clustered "
                f"({points(real['above_chance'])} above Gaussian noise), against {listed}."
            )
    return said


def _interval(row: pd.Series) -> tuple[float, float, float]:
    return tuple(row[["clustered_share", "low", "high"]])
