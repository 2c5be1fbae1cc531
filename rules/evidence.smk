"""Ask how sure the clusters are, and against what.

Inputs: the shards, the assignments, the encoders and their clusters, the tables of shares.
Outputs: results/evidence/KxK/kernels.parquet, the kernels that the evidence is about; results/evidence/TABLE.csv, every
table of `TABLES` and `PARTS`, the latter put together from results/evidence/KxK/TABLE.csv.
Each question is a module of kernel_atlas/evidence and a rule here. Fits ask for a GPU; the autoencoders trained here see
few enough kernels for a CPU.
"""

# The tables that a rule makes of each size, and those that one makes of all.
PARTS = {
    "compare_controls": ["controls"],
    "compare_baselines": ["baselines", "agreement"],
    "measure_stability": ["stability", "restarts", "stability_summary"],
    "fit_kernels": [
        "fits",
        "fit_explained",
        "fit_labels",
        "fit_cosines",
        "fit_scales",
        "fit_orientations",
        "fit_cardinal",
        "fit_crosses",
        "synthetic",
    ],
    "match_keys": ["master_keys", "master_key_shares", "key_sets", "greedy_sets"],
    "measure_offsets": ["offsets", "padding"],
}
TABLES = {
    "fit_scale_space": ["scale_space", "scale_space_summary"],
    "compare_networks": [
        "correlations",
        "contrasts",
        "contrast_kinds",
        "distances",
        "depth",
        "trends",
        "knees",
    ],
    "measure_layers": [
        "layer_measures",
        "entropy_normaliser",
        "layer_depths",
        "banding",
        "covariance",
        "covariance_thirds",
    ],
}
EVIDENCE = (
    expand(
        "results/evidence/{table}.csv",
        table=[*chain(*PARTS.values()), *chain(*TABLES.values())],
    )
    if config["evidence"]["wanted"]
    else []
)


localrules:
    collect_evidence,


rule pick_kernels:
    input:
        shards=files_of("results/kernels/{model}", *USES),
        assignments=files_of("results/assignments/{model}.parquet", *USES),
        inventory="results/inventory.parquet",
        library=library("pick_kernels.py"),
    output:
        kernels="results/evidence/{size}/kernels.parquet",
    log:
        "results/logs/pick_kernels/{size}.log",
    benchmark:
        "results/benchmarks/pick_kernels/{size}.tsv"
    conda:
        "../envs/atlas.yaml"
    params:
        subjects=subjects(),
        groups=stated("group"),
        kernels=config["evidence"]["kernels"],
        dense_per_layer=config["dense_per_layer"],
        seed=config["seed"],
    message:
        "Picking {wildcards.size} kernels for the evidence"
    script:
        "../workflow_scripts/pick_kernels.py"


rule compare_controls:
    input:
        kernels="results/evidence/{size}/kernels.parquet",
        encoder="results/autoencoder/{size}/encoder.safetensors",
        library=library("compare_controls.py"),
    output:
        **part(*PARTS["compare_controls"]),
        examples="results/evidence/{size}/examples.parquet",
    log:
        "results/logs/compare_controls/{size}.log",
    benchmark:
        "results/benchmarks/compare_controls/{size}.tsv"
    conda:
        "../envs/atlas.yaml"
    params:
        threshold=lambda wildcards: config["thresholds"][wildcards.size],
        minimum=config["minimum_kernels"],
        steps=config["evidence"]["steps"],
        seed=config["seed"],
    message:
        "Comparing the {wildcards.size} kernels with controls"
    script:
        "../workflow_scripts/compare_controls.py"


rule compare_baselines:
    input:
        merged="results/merged/{size}.parquet",
        encoder="results/autoencoder/{size}/encoder.safetensors",
        clusters="results/autoencoder/{size}/clusters.tsv",
        library=library("compare_baselines.py"),
    output:
        **part(*PARTS["compare_baselines"]),
    log:
        "results/logs/compare_baselines/{size}.log",
    benchmark:
        "results/benchmarks/compare_baselines/{size}.tsv"
    conda:
        "../envs/atlas.yaml"
    params:
        thresholds=config["thresholds"],
        kernels=config["evidence"]["kernels"],
        restarts=config["evidence"]["restarts"],
        steps=config["evidence"]["steps"],
        seed=config["seed"],
    message:
        "Clustering the {wildcards.size} kernels by other methods"
    script:
        "../workflow_scripts/compare_baselines.py"


rule measure_stability:
    input:
        merged="results/merged/{size}.parquet",
        encoder="results/autoencoder/{size}/encoder.safetensors",
        clusters="results/autoencoder/{size}/clusters.tsv",
        library=library("measure_stability.py"),
    output:
        **part(*PARTS["measure_stability"]),
    log:
        "results/logs/measure_stability/{size}.log",
    benchmark:
        "results/benchmarks/measure_stability/{size}.tsv"
    conda:
        "../envs/atlas.yaml"
    params:
        **config["spectrum"],
        thresholds=config["thresholds"],
        kernels=config["evidence"]["kernels"],
        restarts=config["evidence"]["restarts"],
        bootstraps=config["evidence"]["bootstraps"],
        steps=config["evidence"]["steps"],
        seed=config["seed"],
    message:
        "Clustering the {wildcards.size} kernels again from other starts and other models"
    script:
        "../workflow_scripts/measure_stability.py"


rule fit_kernels:
    input:
        kernels="results/evidence/{size}/kernels.parquet",
        library=library("fit_kernels.py"),
    output:
        **part(*PARTS["fit_kernels"]),
    log:
        "results/logs/fit_kernels/{size}.log",
    benchmark:
        "results/benchmarks/fit_kernels/{size}.tsv"
    conda:
        "../envs/atlas.yaml"
    resources:
        gpu=1,
    params:
        # real kernels that each control is made from, and noise for the threshold: 40 kernels lie above it
        controls=4000,
        # kernels of each family with known parameters, and their noise, to see what fits find
        synthetic=250,
        decibels=10,
        seed=config["seed"],
    message:
        "Fitting families of patterns to the {wildcards.size} kernels"
    script:
        "../workflow_scripts/fit_kernels.py"


rule match_keys:
    input:
        kernels="results/evidence/{size}/kernels.parquet",
        spectrum="results/autoencoder/{size}/spectrum.parquet",
        clusters="results/autoencoder/{size}/clusters.tsv",
        filters=beside("resources/master_key_filters.csv"),
        library=library("match_keys.py"),
    output:
        **part(*PARTS["match_keys"]),
    log:
        "results/logs/match_keys/{size}.log",
    benchmark:
        "results/benchmarks/match_keys/{size}.tsv"
    conda:
        "../envs/atlas.yaml"
    params:
        key_tolerance=config["evidence"]["key_tolerance"],
        seed=config["seed"],
    message:
        "Matching the {wildcards.size} kernels with small sets of keys"
    script:
        "../workflow_scripts/match_keys.py"


rule measure_offsets:
    input:
        kernels="results/evidence/{size}/kernels.parquet",
        library=library("measure_offsets.py"),
    output:
        **part(*PARTS["measure_offsets"]),
    log:
        "results/logs/measure_offsets/{size}.log",
    benchmark:
        "results/benchmarks/measure_offsets/{size}.tsv"
    conda:
        "../envs/atlas.yaml"
    params:
        padding=stated("padding"),
        seed=config["seed"],
    message:
        "Measuring where the {wildcards.size} kernels have their energy"
    script:
        "../workflow_scripts/measure_offsets.py"


rule fit_scale_space:
    input:
        spectra=atlas_files("spectrum.parquet"),
        clusters=atlas_files("clusters.tsv"),
        filters=beside("resources/master_key_filters.csv"),
        library=library("fit_scale_space.py"),
    output:
        **{
            name: shown(path, "Evidence")
            for name, path in whole(*TABLES["fit_scale_space"]).items()
        },
    log:
        "results/logs/fit_scale_space.log",
    benchmark:
        "results/benchmarks/fit_scale_space.tsv"
    conda:
        "../envs/atlas.yaml"
    params:
        seed=config["seed"],
    message:
        "Fitting scale-space models to filters and prototypes"
    script:
        "../workflow_scripts/fit_scale_space.py"


rule compare_networks:
    input:
        models="results/statistics/models.csv",
        layers="results/statistics/layers.csv",
        architectures="results/statistics/architectures.csv",
        thresholds="results/statistics/thresholds.csv",
        datasets=beside("resources/datasets.tsv"),
        contrasts=find_file(config["contrasts"]),
        library=library("compare_networks.py"),
    output:
        **{
            name: shown(path, "Evidence")
            for name, path in whole(*TABLES["compare_networks"]).items()
        },
    log:
        "results/logs/compare_networks.log",
    benchmark:
        "results/benchmarks/compare_networks.tsv"
    conda:
        "../envs/atlas.yaml"
    params:
        thresholds=config["thresholds"],
        seed=config["seed"],
    message:
        "Comparing networks"
    script:
        "../workflow_scripts/compare_networks.py"


rule measure_layers:
    input:
        shards=files_of("results/kernels/{model}", *USES),
        inventory="results/inventory.parquet",
        models="results/statistics/models.csv",
        library=library("measure_layers.py"),
    output:
        **{
            name: shown(path, "Evidence")
            for name, path in whole(*TABLES["measure_layers"]).items()
        },
    log:
        "results/logs/measure_layers.log",
    benchmark:
        "results/benchmarks/measure_layers.tsv"
    conda:
        "../envs/atlas.yaml"
    params:
        subjects=subjects(),
        groups=stated("group"),
        sides=config["sizes"],
        seed=config["seed"],
    message:
        "Measuring layers"
    script:
        "../workflow_scripts/measure_layers.py"


rule collect_evidence:
    input:
        parts=of_sizes(
            *(
                f"results/evidence/{{size}}/{table}.csv"
                for table in chain(*PARTS.values())
            )
        ),
        library=library("collect_evidence.py"),
    output:
        tables=[
            shown(path, "Evidence") for path in whole(*chain(*PARTS.values())).values()
        ],
    log:
        "results/logs/collect_evidence.log",
    benchmark:
        "results/benchmarks/collect_evidence.tsv"
    conda:
        "../envs/atlas.yaml"
    message:
        "Putting the evidence of all sizes together"
    script:
        "../workflow_scripts/collect_evidence.py"
