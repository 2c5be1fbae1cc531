"""How many kernels have a pattern, which, and against what that stands."""

import numpy as np
import pandas as pd

from kernel_atlas.core.patterns import family_of
from kernel_atlas.core.words import joined, number, percent
from kernel_atlas.findings.parts import OWN, SHARE
from kernel_atlas.stats.resampling import FEWEST_NETWORKS
from kernel_atlas.stats.shares import ABOVE_NULL, BEYOND, PATTERNED, SUMMARIES

COMMON = 3  # labels that are named
SEVERAL = 2  # networks, below which a mean is that of one


def compare_shares(totals: pd.DataFrame, chance: pd.DataFrame) -> pd.DataFrame:
    """The share with a pattern of each size beside its strongest control.

    Returns
    -------
    DataFrame
        size, share, share_low, share_high, models, control (a name), control_share, above (the lower end of the
        interval, or without one the share, exceeds the control), telling (exceeds it twice). Telling sizes come
        first, of them those of enough networks for an interval, then those of several, then large ones.
    """
    rows = []
    for size, part in totals[totals["label"] == PATTERNED].groupby("size"):
        row, controls = part.iloc[0], chance[chance["size"] == size].dropna(subset="pattern_share")
        if controls.empty:
            continue
        strongest = controls.loc[controls["pattern_share"].idxmax()]
        surest = row["share_low"] if np.isfinite(row["share_low"]) else row["share"]
        control = strongest["pattern_share"]
        found = {"size": size, **row[[*SHARE, "models"]], "control": strongest["control"], "control_share": control}
        rows.append(found | {"above": surest > control, "telling": surest > 2 * control})
    columns = ["size", *SHARE, "models", "control", "control_share", "above", "telling"]
    table = pd.DataFrame(rows, columns=columns)
    places = [
        (not row.telling, row.models < FEWEST_NETWORKS, row.models < SEVERAL, -side_of(row.size))
        for row in table.itertuples()
    ]
    return table.loc[sorted(table.index, key=places.__getitem__)].reset_index(drop=True)


def side_of(size: str) -> int:
    """`7x7` -> 7."""
    return int(size.split("x")[0])


def find_summary(totals: pd.DataFrame, chance: pd.DataFrame, models: pd.DataFrame) -> list[str]:
    """What the kernels of the largest informative size are, how sure that is, and how the other sizes compare."""
    table = compare_shares(totals, chance)
    if table.empty:
        return ["No kernel has a pattern."]
    first, others = table.iloc[0], list(table.iloc[1:].itertuples())
    live = totals[totals["size"] == first["size"]].set_index("label")
    said = [
        f"{percent(*first[SHARE])} of the {first['size']} kernels have a pattern, against "
        f"{percent(first['control_share'])} of {_control(first['control'])}, the strongest control.",
        f"At equal null, which one in twenty kernels with random phases passes, "
        f"{percent(*live.loc[ABOVE_NULL, SHARE])} have one (means over "
        f"{_networks(first['models'], models[models['size'] == first['size']])}).",
    ]
    if first["telling"]:
        patterns = _patterns(live)["share"]
        families = patterns.groupby(patterns.index.map(family_of)).sum().nlargest(COMMON).index
        said.append(f"The commonest families are {joined(list(families))}; single patterns {_commonest(live)}.")
    listed = "; ".join(
        f"{percent(row.share, row.share_low, row.share_high)} of {row.size} kernels against "
        f"{percent(row.control_share)}{'' if row.telling else ', which tells little'}"
        for row in others
    )
    if listed:
        said.append(f"Of the other sizes, with their strongest controls: {listed}.")
    elif not first["telling"]:
        said.append("That tells little.")
    return said


def find_shares(totals: pd.DataFrame, chance: pd.DataFrame) -> list[str]:
    """At which sizes names tell something, and the commonest of each."""
    table = compare_shares(totals, chance)
    telling, rest = (table.loc[table["telling"] == which, "size"].tolist() for which in (True, False))
    said = []
    if telling:
        said.append(
            f"A few patterns name many kernels at {joined(telling)}: over twice as many as in the strongest control."
        )
    if rest:
        said.append(f"At {joined(rest)} a name tells little: the strongest control has one more than half as often.")
    for size in telling[1:]:
        said.append(f"Commonest at {size}: {_commonest(totals[totals['size'] == size].set_index('label'))}.")
    return said


def find_controls_of_names(totals: pd.DataFrame, chance: pd.DataFrame) -> list[str]:
    """Whether names are more than the spectrum of a kernel gives: equal null and spectrum, for each size."""
    table = compare_shares(totals, chance)
    words = {True: [], False: []}
    for row in table.itertuples():
        words[bool(row.above)].append(row.size)
    said = []
    if words[True]:
        said.append(f"Trained kernels have patterns more often than every control at {joined(words[True])}.")
    if words[False]:
        said.append(f"They are not told from the strongest control at {joined(words[False])}.")
    live = totals.set_index(["size", "label"])["share"]
    listed = "; ".join(f"{percent(live[row.size, BEYOND])} at {row.size}" for row in table.itertuples())
    if listed:
        said.append(
            f"More like a pattern than nearly all copies of their own spectrum with random phases: {listed}; by chance "
            "one in twenty."
        )
    return said


def _commonest(live: pd.DataFrame) -> str:
    common = _patterns(live).nlargest(COMMON, "share")
    return joined([f"{label} {percent(*row[SHARE])}" for label, row in common.iterrows()])


def _patterns(live: pd.DataFrame) -> pd.DataFrame:
    return live.drop(index=["other", "dead", *SUMMARIES], errors="ignore")


def _control(name: str) -> str:
    words = {"random phases": "kernels with random phases", "Gaussian noise": "Gaussian-noise kernels"}
    return words.get(name, f"the kernels of {name}")


def _networks(count: int, models: pd.DataFrame) -> str:
    trained = models[models["use"] != "control"]
    own = trained["architecture"].fillna("").str.startswith(OWN).mean()
    whose = (
        f", {'all' if own == 1 else 'most' if own > 0.5 else 'some'} small ones of kernel-atlas itself"
        if own > 0
        else ""
    )
    few = ", too few for an interval" if count < FEWEST_NETWORKS else ""
    return f"{number(count)} independent network{'s' if count > 1 else ''}{whose}{few}"
