"""The findings: sentences with their uncertainty, each number of which is a cell of a table in results/.

Where the data cannot say, a function says so or says nothing. To add a finding, write its function and list it in
`PER_SIZE` or `OVERALL`, with the tables it reads.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from kernel_atlas.words import KINDS, number, percent

MANY = 10  # networks below which a correlation is no finding
FEW = 4  # independent networks below which an interval over networks says little
SHARE = ["share", "share_low", "share_high"]


def state_findings(tables: Mapping[str, pd.DataFrame], sizes: Sequence[str]) -> pd.DataFrame:
    """findings.csv: every sentence, with what it is about and the tables that its numbers are from.

    Parameters
    ----------
    tables : mapping
        Name (the file's, without its ending) -> table. A finding whose tables are not all there is not stated.
    sizes : sequence of str
        Those that have an autoencoder.

    Returns
    -------
    DataFrame
        size (empty for what is about all), finding, tables (names, with blanks), sentence.
    """
    rows = []
    for size in [*sizes, ""]:
        for find, names in (PER_SIZE if size else OVERALL).items():
            if all(name in tables for name in names):
                given = [tables[name] for name in names]
                if size:
                    given = [table[table["size"] == size] for table in given]
                rows += [(size, find.__name__.removeprefix("find_"), " ".join(names), words) for words in find(*given)]
    return pd.DataFrame(rows, columns=["size", "finding", "tables", "sentence"])


def find_shares(totals: pd.DataFrame, chance: pd.DataFrame) -> list[str]:
    """How much of one size is clustered, how sure that is, and what the controls say; the share first."""
    live = totals.set_index("label").drop(index="dead", errors="ignore")
    if live.empty:
        return ["No independent network has live kernels of this size."]
    threshold = chance["threshold"].iloc[0]
    if "clustered" not in live.index:
        return [f"No kernel is clustered (dissimilarity below {threshold:g})."]
    clustered = live.loc["clustered"]
    networks = clustered["models"]
    found = [
        f"{percent(*clustered[SHARE])} of the kernels are clustered (dissimilarity below {threshold:g}), "
        f"{number(clustered['kernels'])} in {number(networks)} independent network{'s' if networks > 1 else ''}."
    ]
    if networks < FEW:
        found.append("Too few networks to say how others differ.")
    shares = dict(zip(chance["control"], chance["clustered_share"], strict=True))
    listed = ", ".join(f"{name} {percent(value)}" for name, value in list(shares.items())[:FEW])
    if len(shares) > FEW:
        listed += " and lower ones"
    share, low, _ = clustered[SHARE]
    end, surest = ("lower end of the interval", low) if np.isfinite(low) else ("share", share)
    highest = max(shares.values())
    verdict = "more than twice" if surest > 2 * highest > 0 else "above" if surest > highest else "not above"
    found.append(f"Controls: {listed}; the {end} is {verdict} the highest of them.")
    common = live.drop(index=["other", "clustered"], errors="ignore").nlargest(3, "share")
    named = (f"{label} {percent(*row[SHARE])}" for label, row in common.iterrows())
    found.append(f"Most common: {', '.join(named)}.")
    if "dead" in totals["label"].values:
        kernels, share = totals.set_index("label").loc["dead", ["kernels", "share"]]
        found.append(f"Left out as dead: {number(kernels)} kernels, {percent(share)} of all.")
    return found


def find_fit(history: pd.DataFrame) -> list[str]:
    """How far the shares of networks that trained the autoencoder are in-sample."""
    kept = history[history["chosen"]]
    best = kept.loc[kept["held_out_loss"].idxmin()]
    return [
        f"The autoencoder leaves a mean dissimilarity of {best['loss']:.3f} on the kernels that trained it and "
        f"{best['held_out_loss']:.3f} on those held out: shares of networks that trained it are in-sample to that "
        "degree. Intervals are over networks, for this one autoencoder; another seed moves shares and names too."
    ]


def find_drift(drift: pd.DataFrame) -> list[str]:
    """Which assigned networks the autoencoder does not cover, if there are any."""
    rows = drift[drift["advice"] == "retrain"].sort_values("beyond", ascending=False)
    if rows.empty:
        return []
    listed = ", ".join(
        f"{row.model} {percent(row.beyond, row.beyond_low, row.beyond_high)}" for row in rows.head(FEW).itertuples()
    )
    return [
        "Not covered by the autoencoder, as more than twice the usual tenth of their kernels lie beyond the "
        f"dissimilarity that a tenth of the training kernels exceed: {listed}{' and more' if len(rows) > FEW else ''}. "
        "They have other patterns or none; if their patterns matter, set use = train."
    ]


def find_controls(controls: pd.DataFrame) -> list[str]:
    """Whether kernels without structure are clustered too."""
    table, said = controls.set_index(["control", "encoder"]), []
    for encoder, through in (("main", "the autoencoder of this run"), ("own", "autoencoders trained on them")):
        shares = {kind: table.loc[(kind, encoder)] for kind in KINDS if (kind, encoder) in table.index}
        if "real" in shares and len(shares) > 1:
            real = shares.pop("real")
            listed = ", ".join(f"{KINDS[kind]} {percent(*_interval(row))}" for kind, row in shares.items())
            unseen = " of layers that it did not see" if encoder == "own" else ""
            said.append(
                f"Through {through}, {percent(*_interval(real))} of real kernels{unseen} are clustered "
                f"({percent(real['above_chance'])} above Gaussian noise), against {listed}."
            )
    return said


def find_correlation(correlation: pd.DataFrame) -> list[str]:
    """Accuracy, size and the share clustered, or why nothing can be said."""
    cannot = "Whether better or larger networks have a higher share cannot be said: no data set has"
    if correlation.empty:
        return [f"{cannot} four independent networks in the sheet whose top1 or params are given and differ."]
    many = correlation[correlation["n"] >= MANY]
    if many.empty:
        return [f"{cannot} ten independent networks in the sheet; the coefficients of fewer are in the table below."]
    clear = many[(many["pearson_low"] > 0) | (many["pearson_high"] < 0)]
    if clear.empty:
        return [
            "No correlation of the share clustered with top-1 or the number of parameters has an interval without zero."
        ]
    listed = [
        f"{row['size']} on {row['dataset']}, {row['variable']}: r = {row['pearson']:.2f} "
        f"[{row['pearson_low']:.2f}, {row['pearson_high']:.2f}], n = {row['n']}"
        for row in clear.nlargest(3, "n").to_dict("records")
    ]
    return [
        "Correlations of the share clustered with top-1 or with the number of parameters that have an interval without "
        f"zero: {'; '.join(listed)}."
    ]


def _interval(row: pd.Series) -> tuple[float, float, float]:
    return tuple(row[["clustered_share", "low", "high"]])


Finding = Callable[..., list[str]]
# Of each size: functions of the rows of that size.
PER_SIZE: dict[Finding, tuple[str, ...]] = {
    find_shares: ("totals", "chance"),
    find_fit: ("history",),
    find_drift: ("drift",),
    find_controls: ("controls",),
}
OVERALL: dict[Finding, tuple[str, ...]] = {find_correlation: ("correlation",)}
