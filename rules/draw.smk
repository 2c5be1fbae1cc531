"""Draw the figures of each size, each with its data beside it.

Inputs: the spectrum, the clusters, a sample of labelled kernels, the tables of shares.
Outputs: results/figures/FIGURE_KxK.svg, the data drawn as .csv, and title, caption and alternative text as .json.
A new figure is a function in kernel_atlas/draw.py and, here, the tables it is drawn from.
"""

SPECTRUM = "results/autoencoder/{size}/spectrum.parquet"
CLUSTERS = "results/autoencoder/{size}/clusters.tsv"
SAMPLE = "results/samples/{size}.parquet"
MODEL_SHARES = "results/statistics/models.csv"

FIGURES = {
    "spectrum": {"spectrum": SPECTRUM, "clusters": CLUSTERS},
    "members": {"spectrum": SPECTRUM, "clusters": CLUSTERS, "sample": SAMPLE},
    "models": {
        "models": MODEL_SHARES,
        "labels": "results/statistics/labels.csv",
        "noise": "results/controls/noise.parquet",
    },
    "layers": {"models": MODEL_SHARES, "layers": "results/statistics/layers.csv"},
    "projection": {"sample": SAMPLE},
    "tap_sums": {"clusters": CLUSTERS, "sample": SAMPLE},
    "thresholds": {
        "models": MODEL_SHARES,
        "thresholds": "results/statistics/thresholds.csv",
    },
    "kmeans": {"centres": "results/kmeans/{size}.parquet"},
}


def tables_drawn(wildcards):
    """The tables of one figure, by the names its function gives them."""
    return {
        name: path.format(size=wildcards.size)
        for name, path in FIGURES[wildcards.figure].items()
    }


def figures_of(size):
    """The figures that a size has: k-means only where the configuration asks for it."""
    asked = int(size.split("x")[0]) in config["kmeans_sizes"]
    return [figure for figure in FIGURES if figure != "kmeans" or asked]


rule draw_figure:
    input:
        unpack(tables_drawn),
        library=library("draw_figure.py"),
    output:
        figure="results/figures/{figure}_{size}.svg",
        data="results/figures/{figure}_{size}.csv",
        words="results/figures/{figure}_{size}.json",
    log:
        "results/logs/draw_figure/{figure}_{size}.log",
    benchmark:
        "results/benchmarks/draw_figure/{figure}_{size}.tsv"
    wildcard_constraints:
        figure=r"[a-z_]+",
    conda:
        "../envs/atlas.yaml"
    params:
        threshold=lambda wildcards: config["thresholds"][wildcards.size],
    message:
        "Drawing {wildcards.figure} of the {wildcards.size} kernels"
    script:
        "../workflow_scripts/draw_figure.py"
