"""Assign a label, a code and a cluster to every kernel.

Inputs: shards of a model, the reference patterns, results/encoder.safetensors.
Outputs: results/assignments/MODEL.parquet; results/controls/noise.parquet of Gaussian noise; results/samples/KxK.parquet,
a sample with taps and labels for the figures.
"""


rule assign_kernels:
    input:
        shards="results/kernels/{model}",
        encoder=labeller,
        patterns=PATTERNS,
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
        encoder=labeller,
        patterns=PATTERNS,
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
        sides=config["sizes"],
        thresholds=config["thresholds"],
        kernels=config["noise_kernels"],
        seed=config["seed"],
    message:
        "Assigning Gaussian noise, the control"
    script:
        "../workflow_scripts/assign_noise.py"


rule sample_kernels:
    input:
        merged="results/merged/{size}.parquet",
        assignments=files_of("results/assignments/{model}.parquet", "train"),
        library=library("sample_kernels.py"),
    output:
        sample="results/samples/{size}.parquet",
    log:
        "results/logs/sample_kernels/{size}.log",
    benchmark:
        "results/benchmarks/sample_kernels/{size}.tsv"
    conda:
        "../envs/atlas.yaml"
    resources:
        mem_mb=memory(4096),
    params:
        kernels=10000,
        seed=config["seed"],
    message:
        "Drawing {wildcards.size} kernels for the figures"
    script:
        "../workflow_scripts/sample_kernels.py"
