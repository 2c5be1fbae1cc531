"""The questions of the report, in its order, with the figures and the tables that answer them; plain data."""

from typing import NamedTuple

from kernel_atlas.findings.parts import Grid


class Question(NamedTuple):
    """The question as the page asks it, the figures of `figures.registry` and the tables that it shows."""

    asked: str
    figures: tuple[str, ...] = ()
    grids: tuple[Grid, ...] = ()


LABELS = Grid(
    "totals",
    "Kernels of each label and, below the labels, by their marks; means over independent networks.",
    {
        "size": "size",
        "label": "label",
        "share": "share share_low share_high %",
        "kernels": "kernels",
        "networks": "models",
    },
)
CHANCE = Grid(
    "chance",
    "What should have no pattern: noise, trained kernels with random phases, untrained networks.",
    {"size": "size", "control": "control", "with a pattern": "pattern_share %", "kernels": "kernels"},
)
CONTROLS = Grid(
    "controls",
    "Kernels and controls that autoencoders cluster.",
    {
        "size": "size",
        "kernels": "control",
        "autoencoder": "encoder",
        "clustered": "clustered_share low high %",
        "count": "kernels",
    },
)
HELD_OUT = Grid(
    "held_out",
    "Kernels of networks or layers that a method did not see.",
    {
        "size": "size",
        "method": "method",
        "within the threshold": "held_out_share low high %",
        "random phases": "phase_share %",
        "at equal null": "equal_null_share equal_null_low equal_null_high %",
    },
)
BASELINES = Grid(
    "baselines",
    "Methods fitted on one half of the networks or layers, judged on the other.",
    {
        "size": "size",
        "method": "method",
        "k": "k",
        "held out": "held_out_share held_out_low held_out_high %",
        "Gaussian noise": "noise_share %",
    },
    "held_out_share.notna()",
)
CLUSTERS = Grid(
    "clusters",
    "Clusters of the autoencoder: stretch of the code, label of most members with their share, training kernels.",
    {
        "size": "size",
        "cluster": "cluster",
        "from": "code_low",
        "to": "code_high",
        "label": "label",
        "purity": "purity %",
        "next label": "runner_up",
        "kernels": "kernels",
    },
)
KNEES = Grid(
    "knees",
    "Clustered at the threshold of the run and where the curve of the median network bends, beside Gaussian noise.",
    {
        "size": "size",
        "threshold": "threshold",
        "clustered": "share %",
        "noise": "noise %",
        "knee": "knee knee_low knee_high",
        "clustered there": "knee_share %",
        "noise there": "knee_noise %",
    },
    "model == 'all'",
)
FITS = Grid(
    "fit_explained",
    "Kernels that a formula fits better than all but one in a hundred Gaussian-noise kernels.",
    {
        "size": "size",
        "kernels": "subject",
        "formula": "family",
        "explained": "explained_share explained_low explained_high %",
        "count": "kernels",
    },
)
KEYS = Grid(
    "key_sets",
    "Mean relative residual after the best key of a set, chosen on other networks.",
    {"size": "size", "set": "set", "keys": "keys", "kernels": "subject", "residual": "mean mean_low mean_high"},
)
MODELS = Grid(
    "models",
    "Networks: live kernels with a pattern, with 95 % intervals over layers, from five on.",
    {
        "model": "model",
        "size": "size",
        "use": "use",
        "data set": "dataset",
        "top-1": "top1",
        "parameters": "params",
        "with a pattern": "pattern_share pattern_low pattern_high %",
        "random phases": "phase_share %",
        "kernels": "kernels",
    },
)
CORRELATION = Grid(
    "correlation",
    "Correlations of the share with a pattern, over independent networks, ten or more.",
    {
        "size": "size",
        "data set": "dataset",
        "against": "variable",
        "n": "n",
        "Pearson": "pearson pearson_low pearson_high",
        "Spearman": "spearman spearman_low spearman_high",
    },
)
CONTRASTS = Grid(
    "contrast_kinds",
    "Pairs of networks that are listed for one difference: second less first, and the distance of their label shares.",
    {
        "size": "size",
        "pairs": "contrast",
        "count": "pairs",
        "difference": "difference low high points",
        "distance": "jensen_shannon",
        "limit by chance": "limit",
        "beyond it": "beyond",
    },
)
LAYERS = Grid(
    "layer_depths",
    "Measures of layers, means over layers.",
    {
        "size": "size",
        "kernels": "subject",
        "measure": "measure",
        "mean": "mean low high",
        "noise": "chance",
    },
    "depth == 'all'",
)
PADDING = Grid(
    "padding",
    "What would hold if squares were centres that padding has displaced, in taps or shares.",
    {"size": "size", "test": "test", "networks": "models", "value": "value low high", "expected": "expected"},
)

QUESTIONS = {
    "patterns": Question("Which patterns do the kernels have?", ("gallery",), (LABELS,)),
    "controls": Question("How sure is that, and against what?", ("controls",), (CHANCE, CONTROLS)),
    "codes": Question(
        "What does one number say of a kernel?",
        ("held_out", "stability", "spectrum_posed", "spectrum"),
        (HELD_OUT, BASELINES, CLUSTERS, KNEES),
    ),
    "formulas": Question("Does a formula, or a key, say more?", (), (FITS, KEYS)),
    "networks": Question("Do networks differ?", ("shares_models",), (MODELS, CORRELATION, CONTRASTS)),
    "depth": Question("Where in a network are the patterns?", ("networks_depth",), (LAYERS, PADDING)),
}
