"""Merge the kernels of training models, a file per size.

Inputs: shards of the readable models with use = train.
Outputs: results/merged/KxK.parquet.
"""


rule merge_kernels:
    input:
        shards=files_of("results/kernels/{model}", "train"),
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
