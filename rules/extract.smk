"""Read the depthwise kernels of each model.

Inputs: the model sheet, and the checkpoint that a row names.
Outputs: results/kernels/MODEL/LLL.parquet (a shard per layer) and results/inventory.parquet (a row per layer).
One job is one model, one shard is one layer: jobs cost seconds, shards do not.
"""


rule extract_kernels:
    input:
        checkpoint=checkpoint_file,
        library=library("extract_kernels.py"),
    output:
        shards=directory("results/kernels/{model}"),
    log:
        "results/logs/extract_kernels/{model}.log",
    benchmark:
        "results/benchmarks/extract_kernels/{model}.tsv"
    conda:
        "../envs/atlas.yaml"
    params:
        source=lambda wildcards: MODELS.at[wildcards.model, "source"],
        convolution=lambda wildcards: MODELS.at[wildcards.model, "convolution"],
        licence=lambda wildcards: MODELS.at[wildcards.model, "licence"],
        dense_per_layer=config["dense_per_layer"],
        seed=config["seed"],
        folder=os.path.dirname(SHEET),
    message:
        "Reading the kernels of {wildcards.model}"
    script:
        "../workflow_scripts/extract_kernels.py"


rule collect_inventory:
    input:
        shards=expand("results/kernels/{model}", model=sorted(MODELS.index)),
        library=library("collect_inventory.py"),
    output:
        inventory="results/inventory.parquet",
    log:
        "results/logs/collect_inventory.log",
    benchmark:
        "results/benchmarks/collect_inventory.tsv"
    conda:
        "../envs/atlas.yaml"
    message:
        "Listing every depthwise layer"
    script:
        "../workflow_scripts/collect_inventory.py"
