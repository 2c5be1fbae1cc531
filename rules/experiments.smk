"""Train networks that differ in one thing: `snakemake experiment_data --cores N --config images=FOLDER`, and
experiment_dense, experiment_dynamics and experiment_init; not part of the main job.

Inputs: config/experiments.tsv (the conditions), the Parquet image sets in the folder that the configuration names, the
encoder that names kernels, the published master keys.
Outputs: results/experiments/runs/CONDITION_sSEED/, a network with its kernels and its accuracy on the way.
"""

CONDITIONS = pd.read_csv(
    beside("config/experiments.tsv"),
    sep="\t",
    index_col="condition",
    true_values=["yes"],
    false_values=["no"],
)
SEEDS = config["experiments"]["seeds"][: 1 if config["smoke"] else None]


rule train_experiment_net:
    input:
        encoder=find_file(config["experiments"]["encoder"]),
        filters=beside("resources/master_key_filters.csv"),
        library=library("train_experiment_net.py"),
    output:
        weights="results/experiments/runs/{condition}_s{seed}/net.safetensors",
        kernels="results/experiments/runs/{condition}_s{seed}/kernels.parquet",
        curve="results/experiments/runs/{condition}_s{seed}/curve.csv",
    log:
        "results/logs/train_experiment_net/{condition}_s{seed}.log",
    benchmark:
        "results/benchmarks/train_experiment_net/{condition}_s{seed}.tsv"
    wildcard_constraints:
        condition="|".join(CONDITIONS.index),
        seed="[0-9]+",
    conda:
        "../envs/atlas.yaml"
    resources:
        mem_mb=memory(8000),
        runtime=720,
        gpu=1,
    params:
        images=config["images"],
        condition=lambda wildcards: CONDITIONS.drop(columns="experiments")
        .loc[wildcards.condition]
        .to_dict(),
        seed=lambda wildcards: int(wildcards.seed),
        smoke=config["smoke"],
    message:
        "Training {wildcards.condition} from seed {wildcards.seed}"
    script:
        "../workflow_scripts/train_experiment_net.py"
