"""Turn the code axis into named clusters.

Inputs: results/autoencoder/KxK/spectrum.parquet; results/merged/KxK.parquet for k-means.
Outputs: results/autoencoder/KxK/clusters.tsv, found, or checked and copied from a configured file; the same in posed/;
results/encoder.safetensors, the labeller of the run, for all later stages, `label` and `kernel_atlas.assign`;
results/kmeans/KxK.parquet, centres of k-means, named by the same method.
"""


rule name_clusters:
    input:
        spectrum="results/autoencoder/{size}/spectrum.parquet",
        encoder="results/autoencoder/{size}/encoder.safetensors",
        merged="results/merged/{size}.parquet",
        patterns=PATTERNS,
        by_hand=clusters_by_hand,
        library=library("name_clusters.py"),
    output:
        clusters=report(
            "results/autoencoder/{size}/clusters.tsv",
            caption="captions/table.rst",
            category="Tables",
            labels={"table": "clusters", "model": "all", "size": "{size}"},
        ),
    log:
        "results/logs/name_clusters/{size}.log",
    benchmark:
        "results/benchmarks/name_clusters/{size}.tsv"
    conda:
        "../envs/atlas.yaml"
    params:
        **config["spectrum"],
        posed=False,
        threshold=lambda wildcards: config["thresholds"][wildcards.size],
    message:
        "Naming the clusters of the {wildcards.size} kernels"
    script:
        "../workflow_scripts/name_clusters.py"


use rule name_clusters as name_posed with:
    input:
        spectrum="results/autoencoder/{size}/posed/spectrum.parquet",
        encoder="results/autoencoder/{size}/posed/encoder.safetensors",
        merged="results/merged/{size}.parquet",
        patterns=PATTERNS,
        by_hand=[],
        library=library("name_clusters.py"),
    output:
        clusters="results/autoencoder/{size}/posed/clusters.tsv",
    log:
        "results/logs/name_posed/{size}.log",
    benchmark:
        "results/benchmarks/name_posed/{size}.tsv"
    params:
        **config["spectrum"],
        posed=True,
        threshold=lambda wildcards: config["thresholds"][wildcards.size],
    message:
        "Naming the clusters of the {wildcards.size} kernels in one pose"


rule write_encoder:
    input:
        encoders=of_sizes("results/autoencoder/{size}/encoder.safetensors"),
        posed=of_sizes("results/autoencoder/{size}/posed/encoder.safetensors"),
        clusters=of_sizes("results/autoencoder/{size}/clusters.tsv"),
        spectra=of_sizes("results/autoencoder/{size}/spectrum.parquet"),
        library=library("write_encoder.py"),
    output:
        encoder="results/encoder.safetensors",
    log:
        "results/logs/write_encoder.log",
    benchmark:
        "results/benchmarks/write_encoder.tsv"
    conda:
        "../envs/atlas.yaml"
    params:
        thresholds=config["thresholds"],
    message:
        "Writing the encoder of all sizes"
    script:
        "../workflow_scripts/write_encoder.py"


rule cluster_kmeans:
    input:
        merged="results/merged/{size}.parquet",
        library=library("cluster_kmeans.py"),
    output:
        centres="results/kmeans/{size}.parquet",
    log:
        "results/logs/cluster_kmeans/{size}.log",
    benchmark:
        "results/benchmarks/cluster_kmeans/{size}.tsv"
    conda:
        "../envs/atlas.yaml"
    resources:
        mem_mb=memory(8192),
    params:
        clusters=config["kmeans_clusters"],
        threshold=lambda wildcards: config["thresholds"][wildcards.size],
        seed=config["seed"],
    message:
        "Clustering the {wildcards.size} kernels by k-means"
    script:
        "../workflow_scripts/cluster_kmeans.py"
