"""Put the kernels of the models that train together, a file per size.

Inputs: the shards of the models with use = train.
Outputs: results/merged/sizes.csv (which sizes have enough kernels for an autoencoder) and results/merged/KxK.parquet.
The count is the run's one checkpoint: later stages ask it for the sizes.
"""


checkpoint count_kernels:
    input:
        shards=expand("results/kernels/{model}", model=models_of("train")),
        library=library("count_kernels.py"),
    output:
        sizes="results/merged/sizes.csv",
    log:
        "results/logs/count_kernels.log",
    benchmark:
        "results/benchmarks/count_kernels.tsv"
    conda:
        "../envs/atlas.yaml"
    params:
        sizes=SIZES,
        minimum=config["minimum_kernels"],
    message:
        "Counting the kernels of each size"
    script:
        "../workflow_scripts/count_kernels.py"


rule merge_kernels:
    input:
        shards=expand("results/kernels/{model}", model=models_of("train")),
        library=library("merge_kernels.py"),
    output:
        merged="results/merged/{size}.parquet",
    log:
        "results/logs/merge_kernels/{size}.log",
    benchmark:
        "results/benchmarks/merge_kernels/{size}.tsv"
    conda:
        "../envs/atlas.yaml"
    message:
        "Merging the {wildcards.size} kernels"
    script:
        "../workflow_scripts/merge_kernels.py"
