"""Findings of the experiments."""

import pandas as pd

from kernel_atlas.core.vocabulary import FAMILIES, FORMULAS, MEASURES
from kernel_atlas.core.words import joined, percent, points
from kernel_atlas.findings.ablation import find_ablation
from kernel_atlas.findings.maps import find_maps

FROZEN = 0.9999  # cosine to its first taps of a kernel that only got a constant


def find_shares(summary: pd.DataFrame) -> list[str]:
    """Kernels of each condition, against those before training and those of other conditions."""
    whole = summary[summary["layer"] == "all"]
    said = []
    for measure, words in MEASURES.items():
        part = whole[whole["measure"] == measure]
        listed = "; ".join(
            f"{row.title} {percent(row.share, row.low, row.high)} (untrained {percent(row.untrained)})"
            for row in part.itertuples()
        )
        sentences = [f"Kernels {words}: {listed}."]
        alike = part[~(part["gain_low"] > 0) & part["gain_low"].notna() & (part["cosine_to_first"] < FROZEN)]
        if len(alike):
            sentences.append(f"Not shown to be more than before training: {joined(list(alike['title']))}.")
        for against, rows in _compared(part).groupby("against", sort=False):
            apart = _is_apart(rows)
            if apart.any():
                sentences.append(f"In all networks unlike {against}: {_differences(rows[apart], 'title')}.")
            if not apart.all():
                sentences.append(f"Not told from {against}: {joined(list(rows.loc[~apart, 'title']))}.")
        said.append(" ".join(sentences))
    return said


def find_labels(summary: pd.DataFrame) -> list[str]:
    """Patterns that are rarer or commoner than under the other condition."""
    patterns = [*FORMULAS, *(family for family in FAMILIES if family != "other")]
    part = _compared(summary[(summary["layer"] == "all") & summary["measure"].isin(patterns)])
    part = part.assign(pattern=part["measure"].map(_pattern))
    return [
        f"{title[0].upper()}{title[1:]}, patterns in all networks unlike {against}: {_differences(rows, 'pattern')}."
        for (title, against), rows in part[_is_apart(part)].groupby(["title", "against"], sort=False)
    ]


def find_accuracy(summary: pd.DataFrame) -> list[str]:
    """Accuracy of each condition, and against another one."""
    part = summary.drop_duplicates("condition")
    listed = "; ".join(f"{row.title} {row.top1:.1f} ({row.train_top1:.1f})" for row in part.itertuples())
    said = [f"Top-1 on test images (on training images), in percent, means over networks: {listed}."]
    for against, rows in part[part["top1_difference"].notna()].groupby("against", sort=False):
        listed = "; ".join(
            f"{row.title} {row.top1_difference:z.1f} ({row.top1_lowest:z.1f} to {row.top1_highest:z.1f})"
            for row in rows.itertuples()
        )
        said.append(f"Top-1 beyond {against} with the same seed, in points (of the networks): {listed}.")
    return said


def find_parameters(summary: pd.DataFrame) -> list[str]:
    part = summary.drop_duplicates("condition")
    listed = "; ".join(f"{row.title} {row.params:,.0f}" for row in part.itertuples())
    return [
        "Dense stages are as wide as keeps the parameters and operations of each, so that they have fewer channels. "
        f"Parameters of the networks: {listed}."
    ]


def find_pull(summary: pd.DataFrame) -> list[str]:
    return [
        "After each step, weight decay is applied once more to the residual after projection on the nearest "
        "prototype. The control projects on prototypes with scrambled phases. Kernels are more like prototypes by "
        "construction; the question is the effect on accuracy."
    ]


def find_appearance(summary: pd.DataFrame) -> list[str]:
    """When the patterns of the first condition come, layer by layer."""
    first = summary[summary["condition"] == summary["condition"].iloc[0]]
    patterns = {name: _pattern(name) for name in [*FORMULAS, *FAMILIES] if name != "other"}
    said = []
    for measure, words in {**MEASURES, **patterns}.items():
        rows = first[(first["measure"] == measure) & (first["layer"] != "all") & first["half_until"].notna()]
        listed = joined(
            [
                f"{row.half_after:.0f} and {row.half_until:.0f} (layer {row.layer}; {percent(row.share)} at the end)"
                for row in rows.itertuples()
            ]
        )
        if len(rows):
            said.append(f"The share {words} passes half of its last value between steps {listed}.")
    return said


def find_caveat(summary: pd.DataFrame) -> list[str]:
    """Limits of these findings."""
    whole = summary[summary["layer"] == "all"]
    listed = "; ".join(
        f"{row.title} {row.cosine_to_first:z.2f}" for row in whole.drop_duplicates("condition").itertuples()
    )
    return [
        f"Median cosine of the kernels to what they started from: {listed}. The recipe lets kernels decay fast: noise "
        "goes early, and so does what kernels that are not frozen start from.",
        "Clusters are those of one autoencoder; what formulas fit does not depend on it.",
        f"Intervals are over {whole['units'].max()} layers of {whole['networks'].max()} small networks with short "
        "training, and cover less than they say; of so many differences, some come by chance.",
    ]


def find_verdict(table: pd.DataFrame) -> list[str]:
    """What config/verdict.tsv decides, by the rule that was written before the first run."""
    said = [
        _verdict(table[table["question"] == question], words)
        for question, words in (("frozen", "With a skip connection"), ("no_skip", "Without a skip connection"))
        if question in set(table["question"])
    ]
    said += [
        f"Top-1 of {words} in percent, and points beyond the control: {_pairs(table[table['question'] == question])}."
        for question, words in QUESTIONS.items()
        if question in set(table["question"])
    ]
    said += [
        f"Learned kernels ({row.condition}) are worth, in points, {row.difference:z.1f} [{row.low:z.1f}, "
        f"{row.high:z.1f}] more than frozen white noise (top-1 {row.top1:.1f} and {row.control_top1:.1f}, "
        f"n = {row.seeds}): about as much is there that patterns could be worth."
        for row in table[table["question"] == "room"].itertuples()
    ]
    said.append(
        "One small architecture and one data set with a short schedule: nothing is shown about large networks or long "
        "training."
    )
    return said


def _verdict(part: pd.DataFrame, where: str) -> str:
    first = part.iloc[0]
    if part["holds"].all():
        verdict = "patterns are causal for the accuracy of these networks: frozen, they beat every control"
    elif not part["holds"].any():
        verdict = "the covariance is enough: no frozen patterns beat a control of the same spectra or covariance"
    else:
        verdict = "whether patterns matter beyond their covariance is open: frozen, they beat some controls"
    return (
        f"{where}, {verdict} by more than seeds differ (in points: {first['seed_range']:.1f}; {first['seeds']} "
        f"networks a condition, {first['images']:,} test images; learned kernels reach {first['usual_top1']:.1f})."
    )


QUESTIONS = {
    "frozen": "frozen kernels with a skip connection",
    "no_skip": "frozen kernels without one",
    "start": "kernels that are trained from there",
}


def _pairs(part: pd.DataFrame) -> str:
    return "; ".join(
        f"{row.condition.partition(': ')[2]} {row.top1:.1f} against {row.control.partition(': ')[2]} "
        f"{row.control_top1:.1f}: {row.difference:z.1f} [{row.low:z.1f}, {row.high:z.1f}]"
        + ("" if row.holds else ", does not hold")
        for row in part.itertuples()
    )


def _compared(part: pd.DataFrame) -> pd.DataFrame:
    """Rows that are held against others; kernels that stayed as they were are what they were made."""
    return part[part["difference_low"].notna() & (part["cosine_to_first"] < FROZEN)]


def _is_apart(rows: pd.DataFrame) -> pd.Series:
    return rows["agree"] & ((rows["difference_low"] > 0) | (rows["difference_high"] < 0))


def _differences(rows: pd.DataFrame, name: str) -> str:
    return "; ".join(
        f"{row[name]} {points(row['difference'], row['difference_low'], row['difference_high'])}"
        for _, row in rows.iterrows()
    )


def _pattern(measure: str) -> str:
    return f"fitted by a {FORMULAS[measure][0]}" if measure in FORMULAS else f"labelled {measure}"


FINDINGS = {
    "data": (find_shares, find_labels, find_accuracy, find_caveat),
    "dense": (find_shares, find_labels, find_accuracy, find_parameters, find_caveat),
    "dynamics": (find_appearance, find_shares, find_labels, find_accuracy, find_caveat),
    "init": (find_accuracy, find_shares, find_labels, find_caveat),
    "pull": (find_accuracy, find_pull, find_shares, find_labels, find_caveat),
    "covariance": (find_accuracy, find_shares, find_caveat),
    "decay": (find_accuracy, find_shares, find_labels, find_caveat),
    "verdict": (find_verdict,),
    "ablation": (find_ablation,),
    "maps": (find_maps,),
}


def state(experiment: str, summary: pd.DataFrame) -> list[str]:
    """The sentences of an experiment; their numbers are cells of its summary."""
    return [sentence for find in FINDINGS[experiment] for sentence in find(summary)]
