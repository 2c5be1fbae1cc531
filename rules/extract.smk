"""Read the depthwise kernels of each model.

Inputs: the model sheet, and the checkpoint that a row names.
Outputs: results/kernels/MODEL/LLL.parquet (a shard per layer), results/inventory.parquet (a row per layer),
results/sources.csv (a row per model: what was read, or why not) and results/sizes.csv (which sizes have enough kernels
for an autoencoder).
One job is one model, one shard is one layer: jobs cost seconds, shards do not.
A model that cannot be read does not stop the others: its job ends well and leaves the reason in place of shards. The
inventory is the one checkpoint: later stages ask it for models and sizes. A run that left a model out ends with an error.
"""


rule extract_kernels:
    input:
        checkpoint=checkpoint_file,
        known=known_to_timm,
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
        permissive=must_be_permissive,
        dense_per_layer=only_dense("dense_per_layer"),
        seed=only_dense("seed"),
        folder=os.path.dirname(SHEET),
    message:
        "Reading the kernels of {wildcards.model}"
    script:
        "../workflow_scripts/extract_kernels.py"


# What needs the network runs where Snakemake runs: compute nodes often have none.
localrules:
    fetch_kernels,
    fetch,


use rule extract_kernels as fetch_kernels with:
    wildcard_constraints:
        model="|".join(re.escape(model) for model in MODELS.index if on_hub(model))
        or "-",


ruleorder: fetch_kernels > extract_kernels


rule fetch:
    input:
        expand("results/kernels/{model}", model=filter(on_hub, sorted(MODELS.index))),


checkpoint collect_inventory:
    input:
        shards=expand("results/kernels/{model}", model=sorted(MODELS.index)),
        library=library("collect_inventory.py"),
    output:
        inventory="results/inventory.parquet",
        sources=shown("results/sources.csv"),
        sizes=shown("results/sizes.csv"),
    log:
        "results/logs/collect_inventory.log",
    benchmark:
        "results/benchmarks/collect_inventory.tsv"
    conda:
        "../envs/atlas.yaml"
    params:
        train=models_of("train"),
        sizes=SIZES,
        minimum=config["minimum_kernels"],
    message:
        "Listing what was read"
    script:
        "../workflow_scripts/collect_inventory.py"
