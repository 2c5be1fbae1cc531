"""The figures, in the order of the report, and the tables that each is drawn from; plain data, which rules read too.

A figure is a module of this folder with a function `draw(size, threshold, **tables)`; its tables come by these names.
"""

SPECTRUM = "results/autoencoder/{size}/spectrum.parquet"
CLUSTERS = "results/autoencoder/{size}/clusters.tsv"
POSED = "results/autoencoder/{{size}}/posed/{}"
SAMPLE = "results/samples/{size}.parquet"
NOISE = "results/controls/noise.parquet"
FILTERS = "resources/master_key_filters.csv"


def _statistics(*tables: str) -> dict[str, str]:
    return {table: f"results/statistics/{table}.csv" for table in tables}


def _part(*tables: str) -> dict[str, str]:
    """Tables of evidence of one size."""
    return {table: f"results/evidence/{{size}}/{table}.csv" for table in tables}


def _whole(*tables: str) -> dict[str, str]:
    """Tables of evidence of all sizes."""
    return {table: f"results/evidence/{table}.csv" for table in tables}


FIGURES = {
    "gallery": {"sample": SAMPLE},
    "shares_models": _statistics("models", "labels", "chance"),
    "shares_layers": _statistics("models", "layers"),
    "spectrum_posed": {
        "spectrum": POSED.format("spectrum.parquet"),
        "clusters": POSED.format("clusters.tsv"),
        "sample": SAMPLE,
    },
    "spectrum": {"spectrum": SPECTRUM, "clusters": CLUSTERS, "sample": SAMPLE},
    "codes": {"clusters": CLUSTERS, "sample": SAMPLE, "noise": NOISE},
    "projection": {"sample": SAMPLE},
    "tap_sums": {"sample": SAMPLE},
    "thresholds": _statistics("models", "thresholds"),
    "kmeans": {"centres": "results/kmeans/{size}.parquet"},
}
EVIDENCE = {
    "controls": {**_part("controls"), "examples": "results/evidence/{size}/examples.parquet"},
    "baselines": _part("baselines", "agreement"),
    "stability": {**_part("stability", "restarts"), "clusters": CLUSTERS, "spectrum": SPECTRUM},
    "formulas": _part("fit_cosines", "fit_explained"),
    "formulas_scales": _part("fit_scales", "fit_orientations", "fit_cardinal"),
    "formulas_labels": _part("fit_labels", "fit_crosses"),
    "formulas_synthetic": _part("synthetic"),
    "keys": {**_part("key_sets", "greedy_sets", "master_key_shares"), "filters": FILTERS},
    "padding": _part("offsets", "padding"),
    "layers": _whole("layer_depths", "banding"),
    "networks_depth": _whole("depth", "trends"),
    "networks_accuracy": {**_statistics("models", "correlation"), "datasets": "resources/datasets.tsv"},
    "networks_contrasts": _whole("contrasts", "contrast_kinds"),
    "networks_similarity": _statistics("models", "architectures"),
}
