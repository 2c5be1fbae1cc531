"""Give every kernel its code, dissimilarity, cluster and label.

Inputs: the shards of a model, the encoders and the clusters of all sizes.
Outputs: results/assignments/MODEL.parquet, and results/controls/noise.parquet for Gaussian noise.
"""


def atlas_files(name):
    """One file of each trained size."""
    return lambda wildcards: expand(
        f"results/autoencoder/{{size}}/{name}", size=trained_sizes()
    )


rule assign_kernels:
    input:
        shards="results/kernels/{model}",
        encoders=atlas_files("encoder.safetensors"),
        clusters=atlas_files("clusters.tsv"),
        library=library("assign_kernels.py"),
    output:
        assignments="results/assignments/{model}.parquet",
    log:
        "results/logs/assign_kernels/{model}.log",
    benchmark:
        "results/benchmarks/assign_kernels/{model}.tsv"
    conda:
        "../envs/atlas.yaml"
    params:
        thresholds=config["thresholds"],
    message:
        "Assigning the kernels of {wildcards.model}"
    script:
        "../workflow_scripts/assign_kernels.py"


rule assign_noise:
    input:
        encoders=atlas_files("encoder.safetensors"),
        clusters=atlas_files("clusters.tsv"),
        library=library("assign_noise.py"),
    output:
        assignments="results/controls/noise.parquet",
    log:
        "results/logs/assign_noise.log",
    benchmark:
        "results/benchmarks/assign_noise.tsv"
    conda:
        "../envs/atlas.yaml"
    params:
        thresholds=config["thresholds"],
        kernels=config["noise_kernels"],
        seed=config["seed"],
    message:
        "Assigning Gaussian noise, the control"
    script:
        "../workflow_scripts/assign_noise.py"
