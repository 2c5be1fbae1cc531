"""Findings of the experiments, and the table that holds the numbers of each."""

import pandas as pd

from kernel_atlas.core.vocabulary import MEASURES
from kernel_atlas.core.words import joined
from kernel_atlas.findings.ablation import find_ablation
from kernel_atlas.findings.maps import find_maps
from kernel_atlas.findings.parts import Grid

FROZEN = 0.9999  # cosine to its first taps of a kernel that only got a constant
STRICTEST = "beyond"  # of `MEASURES`: its control has the same spectra


def find_shares(summary: pd.DataFrame) -> list[str]:
    """Kernels beyond their spectrum under each condition, against those of other conditions and before training."""
    part = summary[(summary["layer"] == "all") & (summary["measure"] == STRICTEST)]
    said = []
    compared = part[part["difference_low"].notna() & (part["cosine_to_first"] < FROZEN)]
    for against, rows in compared.groupby("against", sort=False):
        less, more = rows["agree"] & (rows["difference_high"] < 0), rows["agree"] & (rows["difference_low"] > 0)
        words = f"kernels are {MEASURES[STRICTEST]}:"
        told = {f"fewer {words}": less, f"more {words}": more, "not told apart:": ~less & ~more}
        listed = [f"{words} {joined(list(rows.loc[which, 'title']))}" for words, which in told.items() if which.any()]
        said.append(f"Against {against}, {'; '.join(listed)}.")
    alike = part[~(part["gain_low"] > 0) & part["gain_low"].notna() & (part["cosine_to_first"] < FROZEN)]
    if len(alike):
        said.append(f"No more than before training: {joined(list(alike['title']))}.")
    return said


def find_accuracy(summary: pd.DataFrame) -> list[str]:
    """Conditions whose networks are all more or all less accurate than those of another one."""
    said = []
    rows = summary.drop_duplicates("condition").dropna(subset="top1_difference")
    for against, part in rows.groupby("against", sort=False):
        less, more = part["top1_highest"] < 0, part["top1_lowest"] > 0
        told = {"higher:": more, "lower:": less, "not told apart:": ~less & ~more}
        listed = [
            f"{words} {joined([f'{row.title} ({row.top1_difference:z.1f})' for row in part[which].itertuples()])}"
            for words, which in told.items()
            if which.any()
        ]
        said.append(f"Top-1, in points against {against} with the same seed, is {'; '.join(listed)}.")
    return said


def find_parameters(summary: pd.DataFrame) -> list[str]:
    return [
        "Dense stages are as wide as keeps the parameters and operations of each, so that they have fewer channels."
    ]


def find_pull(summary: pd.DataFrame) -> list[str]:
    return [
        "Weight decay is applied once more to the residual after projection on the nearest prototype; the control "
        "projects on prototypes with scrambled phases."
    ]


def find_appearance(summary: pd.DataFrame) -> list[str]:
    """When kernels of the first condition come beyond their spectrum, layer by layer."""
    first = summary[(summary["condition"] == summary["condition"].iloc[0]) & (summary["layer"] != "all")]
    rows = first[(first["measure"] == STRICTEST) & first["half_until"].notna()]
    listed = [f"{row.half_after:.0f} and {row.half_until:.0f} (layer {row.layer})" for row in rows.itertuples()]
    if not listed:
        return []
    return [f"The share {MEASURES[STRICTEST]} passes half of its last value between steps {joined(listed)}."]


def find_verdict(table: pd.DataFrame) -> list[str]:
    """What config/verdict.tsv decides, by the rule that was written before the first run."""
    said = [
        _verdict(table[table["question"] == question], words)
        for question, words in (("frozen", "With a skip connection"), ("no_skip", "Without a skip connection"))
        if question in set(table["question"])
    ]
    start = table[table["question"] == "start"]
    if len(start):
        held = [
            f"{_bare(row.condition)} beat {_bare(row.control)} by {row.difference:z.1f} [{row.low:z.1f}, "
            f"{row.high:z.1f}]"
            for row in start[start["holds"]].itertuples()
        ]
        rest = "" if start["holds"].all() else "; no other pair holds" if held else "no pair holds"
        said.append(f"As a start that is trained further, in points: {joined(held) if held else ''}{rest}.")
    said += [
        f"Learned kernels are worth, in points, {row.difference:z.1f} [{row.low:z.1f}, "
        f"{row.high:z.1f}] more than frozen white noise: about as much is there that patterns could be worth."
        for row in table[table["question"] == "room"].itertuples()
    ]
    said.append(
        "One small architecture and one data set with a short schedule: nothing is shown about large networks or long "
        "training."
    )
    return said


def _bare(title: str) -> str:
    """A title without the question before its colon."""
    return title.partition(": ")[2] or title


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
        "networks a condition)."
    )


RUNS = Grid(
    "summary",
    "Kernels of each condition at the end and untrained, and top-1 on test images.",
    {
        "condition": "title",
        "kernels": "measure",
        "share": "share low high %",
        "untrained": "untrained %",
        "against": "against",
        "difference of shares": "difference difference_low difference_high points",
        "top-1": "top1",
        "difference of top-1": "top1_difference top1_lowest top1_highest",
        "cosine to start": "cosine_to_first",
    },
    f"layer == 'all' and measure in {list(MEASURES)}",
)
VERDICT = Grid(
    "verdict",
    "Pairs of conditions, judged by the rule written before the first run: top-1 and its difference.",
    {
        "question": "question",
        "condition": "condition",
        "control": "control",
        "top-1": "top1",
        "of the control": "control_top1",
        "difference": "difference low high",
        "holds": "holds",
    },
)
ABLATION = Grid(
    "ablation",
    "Change of top-1 in points with all kernels of a size replaced, and beyond controls at the same cosine.",
    {
        "size": "size",
        "replaced by": "replacement",
        "networks": "networks",
        "cosine": "cosine",
        "change": "difference difference_low difference_high",
        "beyond random directions": "beyond_random beyond_random_low beyond_random_high",
        "beyond scrambled phases": "beyond_scrambled beyond_scrambled_low beyond_scrambled_high",
    },
    "label == 'all'",
)
MAPS = Grid(
    "maps",
    "Output maps by label, and their difference from kernels of the same spectrum with random phases.",
    {
        "size": "size",
        "label": "label",
        "measure": "measure",
        "networks": "units",
        "value": "value value_low value_high",
        "beyond random phases": "phase_difference phase_difference_low phase_difference_high",
    },
    "measure in ['absolute_relative_mean', 'skewness', 'unit_variance_ratio']",
)
EXPERIMENTS = {  # the functions that state each, and its table
    "data": ((find_shares, find_accuracy), RUNS),
    "dense": ((find_shares, find_accuracy, find_parameters), RUNS),
    "dynamics": ((find_appearance, find_shares, find_accuracy), RUNS),
    "init": ((find_accuracy, find_shares), RUNS),
    "pull": ((find_accuracy, find_pull, find_shares), RUNS),
    "covariance": ((find_accuracy, find_shares), RUNS),
    "decay": ((find_accuracy, find_shares), RUNS),
    "verdict": ((find_verdict,), VERDICT),
    "ablation": ((find_ablation,), ABLATION),
    "maps": ((find_maps,), MAPS),
}


def state(experiment: str, summary: pd.DataFrame) -> list[str]:
    """The sentences of an experiment; their numbers are cells of its summary."""
    finds, _ = EXPERIMENTS[experiment]
    return [sentence for find in finds for sentence in find(summary)]
