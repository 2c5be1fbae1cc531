"""Read the depthwise kernels of each model.

Inputs: the model sheet, and the checkpoint of a row.
Outputs: results/kernels/MODEL/LLL.parquet (a shard per layer), results/inventory.parquet (a row per layer),
results/sources.csv (a row per model: its source, or why it is unreadable), results/sizes.csv (kernels per size, and
whether they suffice for an autoencoder).
A job is a model and a shard is a layer, as jobs cost seconds and shards do not.
The job of an unreadable model succeeds and leaves the reason in place of shards, so that other models go on; the run
then ends with an error. The inventory is the only checkpoint: it determines models and sizes of later stages.
"""


rule extract_kernels:
    input:
        checkpoint=checkpoint_files,
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
        source=of_model("source"),
        convolution=of_model("convolution"),
        architecture=of_model("architecture"),
        leave_out=of_model("leave_out"),
        changed=changed,
        licence=of_model("licence"),
        permissive=must_be_permissive,
        dense_per_layer=only_dense("dense_per_layer"),
        seed=only_dense("seed"),
        folder=os.path.dirname(SHEET),
    message:
        "Reading the kernels of {wildcards.model}"
    script:
        "../workflow_scripts/extract_kernels.py"


# downloads run where Snakemake runs: compute nodes often lack network access
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
        sources=stated("source"),
        sizes=SIZES,
        minimum=config["minimum_kernels"],
    message:
        "Listing what was read"
    script:
        "../workflow_scripts/collect_inventory.py"
