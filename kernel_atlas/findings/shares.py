"""How many kernels have a pattern, how many are clustered, how sure that is, and how well the autoencoder fits."""

import numpy as np
import pandas as pd

from kernel_atlas.core.words import number, percent
from kernel_atlas.findings.parts import SHARE
from kernel_atlas.stats.resampling import FEWEST_NETWORKS
from kernel_atlas.stats.shares import ABOVE_NULL, BEYOND, CLUSTERED, PATTERNED, SUMMARIES

FEW = 4  # of a list that are named


def find_shares(totals: pd.DataFrame, chance: pd.DataFrame) -> list[str]:
    """How many kernels of one size have a pattern, how sure that is, and what the controls say; the share first."""
    live = totals.set_index("label").drop(index="dead", errors="ignore")
    if live.empty:
        return ["No independent network has live kernels of this size."]
    threshold = chance["threshold"].iloc[0]
    if PATTERNED not in live.index:
        return [f"No kernel has a pattern (dissimilarity below {threshold:g})."]
    patterned = live.loc[PATTERNED]
    networks = patterned["models"]
    null, beyond = live["share"][[ABOVE_NULL, BEYOND]]
    shares = chance.set_index("control")["pattern_share"].dropna()
    listed = ", ".join(f"{name} {percent(value)}" for name, value in list(shares.items())[:FEW])
    if len(shares) > FEW:
        listed += " and lower ones"
    share, low, _ = patterned[SHARE]
    end, surest = ("lower end of the interval", low) if np.isfinite(low) else ("share", share)
    highest = shares.max()
    verdict = "more than twice" if surest > 2 * highest > 0 else "above" if surest > highest else "not above"
    mean = f"mean over {number(networks)} independent network{'s' if networks > 1 else ''}"
    at_null = f"at the threshold that one in twenty passes with random phases, {percent(null)}"
    first = (
        f"{percent(*patterned[SHARE])} of the kernels have a pattern (dissimilarity below {threshold:g}; {mean}); "
        f"{at_null} of the kernels have one."
    )
    telling = surest > 2 * highest
    if not telling:  # names that chance gives nearly as often are not worth a headline
        first = (
            f"{at_null[0].upper()}{at_null[1:]} of the kernels have a pattern ({mean}). At the usual threshold "
            f"{threshold:g} it is {percent(*patterned[SHARE])}, which tells little at this size."
        )
    found = [
        first,
        f"Controls: {listed}. The {end} is {verdict} the highest of them. {percent(beyond)} of the kernels are beyond "
        "their spectrum, one in twenty would be by chance.",
    ]
    if networks < FEWEST_NETWORKS:
        found.append(
            f"No interval: {number(networks)} network{'s are' if networks > 1 else ' is'} too few to say how others "
            "differ."
        )
    if telling:
        common = live.drop(index=["other", *SUMMARIES], errors="ignore").nlargest(3, "share")
        named = (f"{label} {percent(*row[SHARE])}" for label, row in common.iterrows())
        found.append(f"Most common: {', '.join(named)}.")
    if "dead" in totals["label"].values:
        kernels, share = totals.set_index("label").loc["dead", ["kernels", "share"]]
        found.append(f"Left out as dead: {number(kernels)} kernels, {percent(share)} of all.")
    return found


def find_clusters(totals: pd.DataFrame, chance: pd.DataFrame) -> list[str]:
    """How much the autoencoder of the run clusters, which is in-sample."""
    live = totals.set_index("label")
    if CLUSTERED not in live.index:
        return []
    noise = chance.set_index("control").at["Gaussian noise", "clustered_share"]
    return [
        f"The autoencoder clusters {percent(*live.loc[CLUSTERED, SHARE])} of the kernels, Gaussian noise "
        f"{percent(noise)}. It was trained on these networks: the share is in-sample."
    ]


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
