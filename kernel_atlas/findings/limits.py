"""What one number, or one formula, does not say of a kernel; for the first screen."""

import pandas as pd

from kernel_atlas.core.vocabulary import KINDS
from kernel_atlas.core.words import number, percent

MOST = 0.5  # of the kernels
EXPLAINED = ["explained_share", "explained_low", "explained_high"]


def find_code_limit(held_out: pd.DataFrame, stability_summary: pd.DataFrame) -> list[str]:
    """The held-out share of a code of one number, and its stable clusters, at the first size."""
    rows = held_out[held_out["method"] == "autoencoder"]
    if rows.empty:
        return []
    row = rows.iloc[0]
    kept = stability_summary.query("kind == 'all' and method == 'autoencoder'")
    kept = kept[kept["size"] == row["size"]]
    stable = "".join(
        f", and {number(each.stable) if each.stable else 'none'} of its {number(each.clusters)} clusters come back "
        "from other starts and networks"
        for each in kept.itertuples()
        if each.stable < each.clusters
    )
    share = percent(row["held_out_share"], row["low"], row["high"])
    few = "One number does not say what most kernels are: an" if row["held_out_share"] < MOST else "An"
    return [
        f"{few} autoencoder with a one-number code clusters {share} of the {row['size']} kernels of {row['units']} "
        f"that it did not see{stable}."
    ]


def find_formula_limit(fit_explained: pd.DataFrame) -> list[str]:
    """What formulas fit, and the strongest of the controls that they fit too, at the first size."""
    rows = fit_explained[fit_explained["family"] == "all"]
    if rows.empty:
        return []
    size = rows["size"].iloc[0]
    known = rows[rows["size"] == size].set_index("subject")
    others = known.drop(index="real", errors="ignore")
    if "real" not in known.index or others.empty:
        return []
    kind = others["explained_share"].idxmax()
    return [
        f"Formulas with a few free numbers fit {percent(*known.loc['real', EXPLAINED])} of the {size} kernels, and "
        f"{percent(*others.loc[kind, EXPLAINED])} of the strongest control ({KINDS[kind]})."
    ]
