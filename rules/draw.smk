"""Draw the figures of each size, each with its data beside it.

Inputs: the spectrum, the clusters, a sample of labelled kernels, the tables of shares.
Outputs: results/figures/FIGURE_KxK.svg for pages, with its words as text, and .pdf for print, both with their fonts; the data drawn as
.csv, and title, caption and alternative text as .json. How all look is in kernel_atlas/atlas.mplstyle.
A new figure is a function in kernel_atlas/draw.py (of the evidence: draw_evidence.py, draw_fits.py or
draw_comparisons.py) and, here, the tables it is drawn from.
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
    "codes": {
        "clusters": CLUSTERS,
        "sample": SAMPLE,
        "noise": "results/controls/noise.parquet",
    },
    "projection": {"sample": SAMPLE},
    "tap_sums": {"clusters": CLUSTERS, "sample": SAMPLE},
    "thresholds": {
        "models": MODEL_SHARES,
        "thresholds": "results/statistics/thresholds.csv",
    },
    "kmeans": {"centres": "results/kmeans/{size}.parquet"},
}


EVIDENCE_FIGURES = {
    "controls": {
        **part("controls"),
        "examples": "results/evidence/{size}/examples.parquet",
    },
    "baselines": part("baselines", "agreement"),
    "stability": {
        **part("stability", "restarts"),
        "clusters": CLUSTERS,
        "spectrum": SPECTRUM,
    },
    "fits": part("fit_cosines", "fit_explained"),
    "fit_scales": part("fit_scales", "fit_orientations", "fit_cardinal"),
    "fit_labels": part("fit_labels", "fit_crosses"),
    "synthetic": part("synthetic"),
    "keys": {
        **part("key_sets", "greedy_sets", "master_key_shares"),
        "filters": beside("resources/master_key_filters.csv"),
    },
    "offsets": part("offsets", "padding"),
    "layer_measures": whole("layer_depths", "banding"),
    "depth": whole("depth", "trends"),
    "accuracy": {
        "models": MODEL_SHARES,
        **whole("correlations"),
        "datasets": beside("resources/datasets.tsv"),
    },
    "contrasts": whole("contrasts", "contrast_kinds"),
    "similarity": {
        "models": MODEL_SHARES,
        "architectures": "results/statistics/architectures.csv",
    },
}
if config["evidence"]["wanted"]:
    FIGURES |= EVIDENCE_FIGURES
    FIGURES["thresholds"] |= whole("knees")


# Seconds each, and many: not worth a job of a cluster.
localrules:
    draw_figure,


rule draw_figure:
    input:
        unpack(tables_drawn),
        style=beside("kernel_atlas/atlas.mplstyle"),
        library=library("draw_figure.py"),
    output:
        figure=report(
            "results/figures/{figure}_{size}.svg",
            caption="captions/figure.rst",
            category=figure_category,
            subcategory="{size}",
            labels={"figure": "{figure}", "model": "all", "size": "{size}"},
        ),
        pdf="results/figures/{figure}_{size}.pdf",
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
    resources:
        mem_mb=memory(2000),
        runtime=30,
    params:
        threshold=lambda wildcards: config["thresholds"][wildcards.size],
    message:
        "Drawing {wildcards.figure} of the {wildcards.size} kernels"
    script:
        "../workflow_scripts/draw_figure.py"
