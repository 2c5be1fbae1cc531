"""Retrain the embedded zoo: `snakemake zoo --cores N --config images=FOLDER`, not part of the main job.

Inputs: config/zoo.tsv (the nets), the Parquet image sets in the configured folder.
Outputs: results/zoo/NET.safetensors, results/zoo/NET_init.safetensors and the sheet results/zoo/zoo.tsv. Copy them to
resources/zoo/ for use by the default run.
"""

NETS = pd.read_csv(beside("config/zoo.tsv"), sep="\t", index_col="model")
UNTRAINED = [f"{net}_init" for net in NETS.index[NETS["keep_init"] == "yes"]]


rule train_zoo_net:
    input:
        library=library("train_zoo_net.py"),
    output:
        weights="results/zoo/{net}.safetensors",
    log:
        "results/logs/train_zoo_net/{net}.log",
    benchmark:
        "results/benchmarks/train_zoo_net/{net}.tsv"
    wildcard_constraints:
        net="|".join([*NETS.index, *UNTRAINED]),
    conda:
        "../envs/atlas.yaml"
    resources:
        mem_mb=memory(8192),
        runtime=720,
        gpu=lambda wildcards: 0 if wildcards.net in UNTRAINED else 1,
    params:
        images=config["images"],
        dataset=of_net("dataset"),
        kernel=of_net("kernel"),
        seed=of_net("seed"),
        epochs=lambda wildcards: (
            0
            if wildcards.net in UNTRAINED
            else config["zoo_epochs"] or NETS.at[wildcards.net, "epochs"]
        ),
    message:
        "Training {wildcards.net}"
    script:
        "../workflow_scripts/train_zoo_net.py"


rule zoo:
    input:
        weights=expand("results/zoo/{net}.safetensors", net=[*NETS.index, *UNTRAINED]),
        library=library("zoo.py"),
    output:
        sheet="results/zoo/zoo.tsv",
    log:
        "results/logs/zoo.log",
    benchmark:
        "results/benchmarks/zoo.tsv"
    conda:
        "../envs/atlas.yaml"
    message:
        "Listing the networks of the zoo"
    script:
        "../workflow_scripts/zoo.py"
