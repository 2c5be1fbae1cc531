"""The findings: sentences with their uncertainty, each number of which is a cell of a table in results/.

Where the data cannot say, a function says so or says nothing. To add a finding, write its function and list it in
`PER_SIZE` or `OVERALL`, with the tables it reads.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from kernel_atlas.statistics import FEWEST, FIFTHS
from kernel_atlas.words import KINDS, interval, number, percent, points

MANY = 10  # networks, or kernels of a label, below which there is no finding
FEW = 4  # of a list that are named
SHARE = ["share", "share_low", "share_high"]
METHODS = {"kmeans": "k-means", "gaussian_mixture": "a Gaussian mixture", "hdbscan": "HDBSCAN"}
EXPLAINED = ["explained_share", "explained_low", "explained_high"]
LOOSE = 0.95  # cosine that noise exceeds in one fit of a hundred, above which being explained says little
PATTERNS = {
    "centre": "difference of Gaussians",
    "first_derivative": "first derivative",
    "second_derivative": "second derivative",
    "cross": "cross",
}
NAMED = {  # what labels of a pattern have in their names
    "-Centre": "centre",
    "-Cross": "cross",
    "First-Derivative": "first_derivative",
    "Second-Derivative": "second_derivative",
}
MEAN = ["mean", "low", "high"]
VALUE = ["value", "low", "high"]
PUSHED = {"square": "of Square", "either": "of Square or Centre", "all": "of all kernels"}  # in tests of padding


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
        for title, find, names in PER_SIZE if size else OVERALL:
            if all(name in tables for name in names):
                given = [tables[name] for name in names]
                if size:
                    given = [table[table["size"] == size] for table in given]
                rows += [(size, title, " ".join(names), sentence) for sentence in find(*given)]
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
    shares = dict(zip(chance["control"], chance["clustered_share"], strict=True))
    listed = ", ".join(f"{name} {percent(value)}" for name, value in list(shares.items())[:FEW])
    if len(shares) > FEW:
        listed += " and lower ones"
    share, low, _ = clustered[SHARE]
    end, surest = ("lower end of the interval", low) if np.isfinite(low) else ("share", share)
    highest = max(shares.values())
    verdict = "more than twice" if surest > 2 * highest > 0 else "above" if surest > highest else "not above"
    found = [
        f"{percent(*clustered[SHARE])} of the kernels are clustered (dissimilarity below {threshold:g}), "
        f"{number(clustered['kernels'])} in {number(networks)} independent network{'s' if networks > 1 else ''}; noise "
        f"and control networks: {listed}. The {end} is {verdict} the highest of them.",
        "Controls that are made of these kernels may have more: they are a finding of their own.",
    ]
    if networks < FEWEST:
        found.append("Too few networks to say how others differ.")
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
                f"({points(real['above_chance'])} above Gaussian noise), against {listed}."
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


def find_baselines(baselines: pd.DataFrame, agreement: pd.DataFrame) -> list[str]:
    """How a code of one number compares with other methods on kernels that neither was fitted on, and agrees with them.

    Parameters
    ----------
    baselines, agreement : DataFrame
        The rows of one size.
    """
    rows = baselines.set_index(["method", "k"])
    if not {("retrained", 1), ("kmeans", 10)} <= set(rows.index):
        return []
    if np.isnan(rows.loc[("retrained", 1), "held_out_low"]):
        return []
    one, ten = rows.loc[("retrained", 1)], rows.loc[("kmeans", 10)]
    others = {"k-means with k = 10": ten, "one principal component": rows.loc[("pca", 1)]}
    starts = f"the best of {number(one['starts'])} starts" if one["starts"] > 1 else "one start"
    longer = {"a code of two": ("retrained", 2), "a code of three": ("retrained", 3)}
    others |= {words: rows.loc[key] for words, key in longer.items() if key in rows.index}
    said = [
        "Of kernels of networks or layers that a method was not fitted on, an autoencoder with a code of one number "
        f"({starts}) clusters {_held_out(one)}, "
        f"{', '.join(f'{words} {_held_out(row)}' for words, row in others.items())}; "
        f"of Gaussian noise the code of one {percent(one['noise_share'])}, k-means {percent(ten['noise_share'])}."
    ]
    means = baselines[baselines["method"] == "kmeans"]
    fewer, more = means["difference_low"] > 0, means["difference_high"] < 0
    parts = {
        "fewer than": means[fewer],
        "as many, within the interval, as": means[~fewer & ~more],
        "more than": means[more],
    }
    listed = [f"{words} the code of one with k = {_listed(part['k'])}" for words, part in parts.items() if len(part)]
    said.append(f"k-means clusters {'; '.join(listed)}. These intervals do not cover what another start would change.")
    pairs = agreement[(agreement["method_a"] == "autoencoder") & agreement["low"].notna()]
    if len(pairs):
        best = pairs.loc[pairs["adjusted_rand"].idxmax()]
        said.append(
            f"The clusters of the code agree most with {METHODS[best['method_b']]}, k = {best['k_b']}: adjusted Rand "
            f"index {best['adjusted_rand']:.2f} [{best['low']:.2f}, {best['high']:.2f}] over "
            f"{number(best['kernels'])} kernels, where chance has zero and equals have one."
        )
    return said


def find_stability(stability: pd.DataFrame, stability_summary: pd.DataFrame) -> list[str]:
    """How many clusters are stable, which, and how far other runs move kernels and shares.

    Parameters
    ----------
    stability, stability_summary : DataFrame
        The rows of one size.
    """
    summary = stability_summary.set_index("kind")
    if "all" not in summary.index:
        return []
    every, kept = summary.loc["all"], stability[(stability["kind"] == "all") & (stability["stable"] == "yes")]
    runs = " and ".join(
        f"{number(summary.loc[kind, 'runs'])} {words}"
        for kind, words in (("restart", "other starts"), ("bootstrap", "bootstraps of networks or layers"))
        if kind in summary.index
    )
    said = f"none of {number(every['clusters'])} clusters is stable"
    if len(kept):
        named = ", ".join(kept.nlargest(4, "kernels")["label"]) + " and more" * (len(kept) > 4)
        said = (
            f"{number(every['stable'])} of {number(every['clusters'])} clusters {'are' if len(kept) > 1 else 'is'} "
            f"stable ({named}), with {percent(every['stable_kernels'])} of the clustered kernels"
        )
    return [
        f"In {runs}, {said}. By prototypes alone, {number(every['recurring'])} would be; a random kernel "
        f"is as near to a prototype in {percent(every['chance'])} of draws.",
        f"These runs have {number(every['fewest_clusters'])} to {number(every['most_clusters'])} clusters and "
        f"{percent(every['lowest_share'])} to {percent(every['highest_share'])} of the kernels clustered, the main run "
        f"{percent(every['clustered_share'])}. In the median run {percent(every['moved'])} of the kernels have another "
        f"label, and the adjusted Rand index over kernels clustered in both is {every['adjusted_rand']:.2f}.",
    ]


def find_fits(fit_explained: pd.DataFrame, fit_crosses: pd.DataFrame, fit_cardinal: pd.DataFrame) -> list[str]:
    """How many kernels the families explain, against the same fit of controls, and what crosses and directions are."""
    rows = fit_explained.set_index(["subject", "family"])
    if ("real", "all") not in rows.index:
        return []
    real, noise = rows.loc[("real", "all")], rows.loc[("gaussian", "all")]
    others = {kind: rows.loc[(kind, "all")] for kind in KINDS if kind != "real" and (kind, "all") in rows.index}
    listed = ", ".join(f"{KINDS[kind]} {percent(*row[EXPLAINED])}" for kind, row in others.items())
    families = rows.loc["real"].drop("all")
    said = [
        f"{percent(*real[EXPLAINED])} of {number(real['kernels'])} kernels are explained by a difference of Gaussians, "
        f"a first or second derivative or a cross: their best cosine is above the {real['threshold']:.3f} that one in "
        f"a hundred Gaussian-noise kernels exceeds (the median of all is {real['cosine_median']:.3f}). Of controls: "
        f"{listed}.",
    ]
    if real["explained_share"] > 0:
        most = families["explained_share"].idxmax()
        said.append(
            f"The formula that explains most is the {PATTERNS[most]}, {percent(*families.loc[most, EXPLAINED])}."
        )
    if real["threshold"] > LOOSE:
        said.append(
            f"As noise is fitted to {noise['cosine_median']:.3f} in the median, with hardly more taps than parameters, "
            "a good fit says little at this size."
        )
    crosses = fit_crosses.astype({"weight": str}).set_index("weight")
    if len(crosses) and crosses.loc["free", "kernels"]:
        free, none = crosses.loc["free"], crosses.loc["0"]
        parts = ", ".join(
            f"{words} {interval(*free[[f'{name}_median', f'{name}_q10', f'{name}_q90']])}"
            for name, words in (
                ("sigma", "width (sigma, in taps)"),
                ("elongation", "elongation"),
                ("centre_weight", "weight"),
            )
        )
        said.append(
            f"Crosses ({number(free['kernels'])} kernels) are two elongated Gaussians at right angles and a round one "
            f"of their width with a weight: {parts}, each the median and the middle four fifths. The error (one less "
            f"cosine) is {free['error_median']:.3f} in the median, without the round one {none['error_median']:.3f}. "
            f"{percent(free['at_bounds'])} of these fits have one of the three at its bound: the families end there, "
            "not the kernels."
        )
    cardinal = fit_cardinal[fit_cardinal["which"] == "explained"].set_index(["subject", "family"])
    key = "real", "first_derivative"
    if key in cardinal.index and np.isfinite(cardinal.loc[key, "cardinal_low"]):
        mean, low, high = cardinal.loc[key, ["cardinal", "cardinal_low", "cardinal_high"]]
        where = "rows and columns" if low > 0 else "diagonals" if high < 0 else "no direction of the grid"
        said.append(
            f"First derivatives prefer {where}: the mean cosine of four times their angle, one along rows or columns "
            f"and minus one along diagonals, is {interval(mean, low, high)}."
        )
    return said


def find_fit_labels(fit_labels: pd.DataFrame) -> list[str]:
    """Whether the kernels of a label are those that the formula of its name fits better than others do."""
    better = []
    for label, rows in fit_labels.groupby("assigned", sort=False):
        own = next((family for words, family in NAMED.items() if words in label), None)
        of = rows.set_index("family")
        shares, kernels = of["share"].drop("all"), of.at["all", "kernels"]
        best = shares.idxmax()
        if own and kernels >= MANY and shares[best] > shares[own]:
            better.append(
                f"{label} ({percent(shares[best])} by a {PATTERNS[best]}, {percent(shares[own])} by a {PATTERNS[own]})"
            )
    if not better:
        return []
    return [
        "A label is the name of what the decoder draws, not of each kernel: free formulas of another family fit more "
        f"kernels than those of the label's own do for {', '.join(better)}."
    ]


def find_master_keys(key_sets: pd.DataFrame, greedy_sets: pd.DataFrame) -> list[str]:
    """What the best of few keys leaves of each kernel, by sets of keys that were chosen on other networks."""
    found = []
    sets = key_sets.dropna(subset="mean_low").set_index(["set", "subject"])
    if ("published", "real") in sets.index:
        real, noise, phase = (sets.loc[("published", name)] for name in ("real", "gaussian", "phase"))
        found.append(
            f"The best of the eight published master key filters leaves a mean relative residual of {_left(real)} of "
            f"{number(real['kernels'])} kernels of {real['models']} networks, {_left(noise)} of Gaussian noise, and "
            f"{_left(phase)} of kernels with random phases."
        )
    if ("greedy", "real") in sets.index:
        words = {
            "greedy": "chosen greedily",
            "k-means": "that are centres of k-means",
            "greedy prototypes": "chosen greedily from the prototypes",
            "random kernels": "that are random kernels",
        }
        rows = {chosen: sets.loc[(name, "real")] for name, chosen in words.items() if (name, "real") in sets.index}
        listed = ", ".join(f"{row['keys']} keys {chosen} leave {_left(row)}" for chosen, row in rows.items())
        found.append(f"Of kernels of networks that a set was not chosen on, {listed}.")
    greedy = greedy_sets.dropna(subset="residual_low")
    if len(greedy):
        row, largest = greedy[greedy["within_tolerance"]].iloc[0], greedy.iloc[-1]
        left = interval(row["residual"], row["residual_low"], row["residual_high"])
        found.append(
            f"{row['keys']} greedily chosen {'key leaves' if row['keys'] == 1 else 'keys leave'} {left}; fewer are not "
            f"within the tolerance of the {largest['residual']:.2f} that {largest['keys']} leave."
        )
    return found


def find_key_shares(master_key_shares: pd.DataFrame) -> list[str]:
    """Which published filter is the best for most kernels."""
    rows = master_key_shares.query("subject == 'real' and depth == 'all' and filter != 'all'").dropna(
        subset="share_low"
    )
    return [
        f"Master key filter {row['filter']} is the best for more kernels than any other, for {percent(*row[SHARE])}."
        for _, row in rows.dropna(subset="share_low").sort_values("share").tail(1).iterrows()
    ]


def find_scale_space(scale_space_summary: pd.DataFrame) -> list[str]:
    """How near discrete scale-space models come, beside noise."""
    rows = scale_space_summary.set_index("source")
    words = {"published": "eight published master key filters", "prototypes": "prototypes"}
    if rows.empty:
        return []
    noise = rows.loc["noise"]
    return [
        f"The best discrete scale-space models of the {words[source]} have a median absolute cosine of "
        f"{row.best_cosine_median:.3f} with them (from {row.best_cosine_low:.3f} to {row.best_cosine_high:.3f}), of "
        f"Gaussian noise {noise.best_cosine_median:.3f} (from {noise.best_cosine_low:.3f} to "
        f"{noise.best_cosine_high:.3f})."
        for source, row in rows.drop(index="noise").iterrows()
    ]


def find_comparisons(correlations: pd.DataFrame) -> list[str]:
    """What goes with the share clustered; of fewer than ten networks nothing is said."""
    names = {
        "top1": "top-1 accuracy",
        "log10_params": "log10 of parameters",
        "log10_images": "log10 of training images",
    }
    words = []
    for row in correlations[correlations["n"] >= MANY].itertuples():
        where = "" if row.dataset == "all" else f" trained on {row.dataset}"
        found = [
            f"Pearson {interval(row.pearson, row.pearson_low, row.pearson_high)}",
            f"Spearman {interval(row.spearman, row.spearman_low, row.spearman_high)}",
        ]
        if np.isfinite(row.partial):
            found.append(f"within families {interval(row.partial, row.partial_low, row.partial_high)}")
        words.append(
            f"Correlation of the share clustered with the {names[row.variable]}, over {row.n} independent "
            f"networks{where}: {', '.join(found)}."
        )
    return words


def find_contrasts(contrast_kinds: pd.DataFrame) -> list[str]:
    """How far networks are apart that are listed for one difference, which may not be the only one."""
    words = []
    for row in contrast_kinds.itertuples():
        pairs = f"{row.pairs} pair{'s' if row.pairs > 1 else ''}"
        change = points(row.difference, row.low, row.high)
        if row.contrast == "seed":
            change = f"{points(row.absolute_difference)} in either direction"
        words.append(
            f"{row.contrast.capitalize()} ({pairs}): the second network's share clustered less the first's is {change} "
            f"on average; their label shares are {row.jensen_shannon:.3f} apart (Jensen-Shannon distance; by chance "
            f"{row.chance:.3f}), beyond chance in {row.beyond} of {pairs}."
        )
    return words


def find_distances(distances: pd.DataFrame) -> list[str]:
    """How far label shares of networks are apart, alike and not; where there are pairs of both."""
    known = distances.dropna(subset=["low"]).set_index("pairs_of")
    names = {"family": "of one family", "dataset": "trained on one data set", "neither": "with neither in common"}
    parts = [
        f"{interval(*known.loc[kind, ['jensen_shannon', 'low', 'high']])} between networks {name}"
        for kind, name in names.items()
        if kind in known.index
    ]
    if "neither" not in known.index or len(parts) < 2:
        return []
    return [f"The mean Jensen-Shannon distance of label shares is {', '.join(parts)}."]


def find_depth(trends: pd.DataFrame, depth: pd.DataFrame) -> list[str]:
    """Crosses by depth, then the other families whose trend has an interval without zero."""
    words = []
    shares = depth.dropna(subset=["low"])
    for row in trends.dropna(subset=["low"]).sort_values("family", key=lambda name: name != "Cross").itertuples():
        clear = row.low > 0 or row.high < 0
        if row.family == "Cross" or (clear and not row.family.endswith("-Cross")):
            verb = "grows with depth" if row.low > 0 else "falls with depth" if row.high < 0 else "has no clear trend"
            text = (
                f"The share of {'crosses' if row.family == 'Cross' else row.family} {verb}: Spearman "
                f"{interval(row.spearman, row.low, row.high)} on average over {row.models} networks"
            )
            smooth = shares[shares["family"] == row.family]
            if len(smooth) > 1:
                ends = (
                    f"{percent(end.share, end.low, end.high)} at depth {end.depth:.2f}"
                    for end in smooth.iloc[[0, -1]].itertuples()
                )
                text += f"; smoothed over all, it is {' and '.join(ends)}"
            words.append(f"{text}.")
    return words


def find_knee(knees: pd.DataFrame) -> list[str]:
    """The knee of the median network, and what noise allows; of fewer than five networks nothing is said."""
    words = []
    for row in knees[knees["model"] == "all"].dropna(subset=["knee_low"]).itertuples():
        words.append(
            "The threshold curve of the median network bends at "
            f"{interval(row.knee, row.knee_low, row.knee_high)}, where {percent(row.knee_share)} of its kernels "
            f"and {percent(row.knee_noise)} of Gaussian noise are clustered; at {row.threshold:.2f}, the nearest "
            f"to the threshold of the run, it is {percent(row.share)} against {percent(row.noise)}."
        )
        if np.isfinite(row.noise_floor):
            words.append(
                f"Up to a threshold of {row.noise_floor:.2f}, where {percent(row.floor_share)} of the median network's "
                f"kernels are clustered, Gaussian noise stays at {percent(row.floor_noise)} or less."
            )
    return words


def find_layers(layer_depths: pd.DataFrame, banding: pd.DataFrame, covariance_thirds: pd.DataFrame) -> list[str]:
    """Dead and noisy kernels, entropy and orthogonality, banding, covariance; each only with an interval."""
    words = []
    means = layer_depths[layer_depths["subject"] == "real"].dropna(subset=["low"]).set_index(["measure", "depth"])
    if {("dead", "all"), ("noisy", "all")} <= set(means.index):
        dead, noisy = means.loc[("dead", "all")], means.loc["noisy"]
        words.append(f"Of the kernels of a layer, {percent(*dead[MEAN])} are dead on average.")
        text = f"{percent(*noisy.loc['all', MEAN])} of its live kernels are no more like a template than noise is"
        fifths = noisy.drop(index="all")
        if len(fifths) > 1:
            names = dict(zip(FIFTHS, ("first", "second", "third", "fourth", "last"), strict=True))
            ends = (f"{percent(*fifths.loc[end, MEAN])} in the {names[end]} fifth" for end in fifths.index[[0, -1]])
            text += f", {' and '.join(ends)} of the depth"
        words.append(f"{text}; of Gaussian kernels {percent(noisy.loc['all', 'chance'])} are.")
    for measure, name in (("variance_entropy", "variance entropy"), ("orthogonality", "orthogonality")):
        if (measure, "all") in means.index:
            row = means.loc[(measure, "all")]
            words.append(f"The {name} of a layer is {interval(*row[MEAN])}, of Gaussian layers {row['chance']:.2f}.")
    for row in banding[banding["subject"] == "real"].dropna(subset=["low"]).itertuples():
        words.append(
            f"The log2 ratio of row to column energy is {row.last:.2f} in the last fifth of the depth and "
            f"{row.others:.2f} before, a difference of {interval(row.difference, row.low, row.high)} over "
            f"{row.models} networks."
        )
    thirds = covariance_thirds[(covariance_thirds["third"] == "all") & (covariance_thirds["subject"] == "real")]
    for row in thirds.dropna(subset=["similarity_low"]).itertuples():
        words.append(
            "The covariance of a layer and that of other networks at the same third of the depth have a cosine of "
            f"{interval(row.similarity, row.similarity_low, row.similarity_high)}, with the taps of its kernels "
            f"shuffled {interval(row.shuffled, row.shuffled_low, row.shuffled_high)}."
        )
    return words


def find_offsets(padding: pd.DataFrame) -> list[str]:
    """The hypothesis of padding, as far as the rows of one size can say."""
    tests = padding.dropna(subset=["low"]).set_index("test")
    words = []
    if "square - centre" in tests.index:
        row = tests.loc["square - centre"]
        words.append(
            f"The centre of energy of Square kernels lies {_taps(row)} taps farther from the middle than that of "
            f"Centre kernels, on average over {row['models']} networks with both."
        )
    pushes = tests[tests.index.str.startswith("push ")]
    parts = pushes.index.str.extract("push (?P<kind>[a-z]+), stride (?P<stride>.+), (?P<style>.+)").set_index(
        pushes.index
    )
    for (stride, style), part in parts.groupby(["stride", "style"]):
        said = [
            f"{_taps(pushes.loc[test])} {PUSHED[kind]} in {pushes.loc[test, 'models']} networks"
            for kind, test in zip(part["kind"], part.index, strict=True)
            if kind in PUSHED
        ]
        words.append(
            f"With {'SAME' if style == 'same' else 'symmetric'} padding and "
            f"{'unknown strides' if stride == 'unknown' else f'stride-{stride}'}, kernels are off their middle by so "
            f"many taps towards where stride-2 would push them: {', '.join(said)}."
        )
    share = tests[tests.index.str.startswith("square share")]
    if len(share) > 1:
        parts = (
            f"{percent(*row[VALUE])} with {test.split(', ')[1].replace(' ', '-')}" for test, row in share.iterrows()
        )
        words.append(f"Of Square and Centre kernels, Square are {', '.join(parts)}.")
    return words


def _interval(row: pd.Series) -> tuple[float, float, float]:
    return tuple(row[["clustered_share", "low", "high"]])


def _held_out(row: pd.Series) -> str:
    return percent(*row[["held_out_share", "held_out_low", "held_out_high"]])


def _listed(values: pd.Series) -> str:
    return ", ".join(str(value) for value in values)


def _left(row: pd.Series) -> str:
    return interval(row["mean"], row["mean_low"], row["mean_high"])


def _taps(row: pd.Series) -> str:
    """A length with its interval, in taps."""
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"


class Finding(NamedTuple):
    """A title, the function, and the names of the tables that it takes."""

    title: str
    find: Callable[..., list[str]]
    tables: tuple[str, ...]


# Of each size, in the order of the report: functions of the rows of that size.
PER_SIZE = (
    Finding("Clustered", find_shares, ("totals", "chance")),
    Finding("Fit", find_fit, ("history",)),
    Finding("Drift", find_drift, ("drift",)),
    Finding("Controls", find_controls, ("controls",)),
    Finding("Baselines", find_baselines, ("baselines", "agreement")),
    Finding("Threshold", find_knee, ("knees",)),
    Finding("Stability", find_stability, ("stability", "stability_summary")),
    Finding("Formulas", find_fits, ("fit_explained", "fit_crosses", "fit_cardinal")),
    Finding("Formulas", find_fit_labels, ("fit_labels",)),
    Finding("Keys", find_master_keys, ("key_sets", "greedy_sets")),
    Finding("Keys", find_key_shares, ("master_key_shares",)),
    Finding("Scale space", find_scale_space, ("scale_space_summary",)),
    Finding("What goes with the share", find_comparisons, ("correlations",)),
    Finding("Contrasts", find_contrasts, ("contrast_kinds",)),
    Finding("Differences", find_distances, ("distances",)),
    Finding("Depth", find_depth, ("trends", "depth")),
    Finding("Layers", find_layers, ("layer_depths", "banding", "covariance_thirds")),
    Finding("Padding", find_offsets, ("padding",)),
)
OVERALL = (Finding("Accuracy and size", find_correlation, ("correlation",)),)
