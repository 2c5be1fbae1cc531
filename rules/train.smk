"""Train an autoencoder with a code of one number for each size, and draw its spectrum.

Inputs: results/merged/KxK.parquet.
Outputs: results/autoencoder/KxK/encoder.safetensors, history.parquet and spectrum.parquet; the same in posed/, of the
autoencoder of kernels turned to one pose.
Trains on a GPU if one is free; --resources gpu=0 forces the CPU.
"""


rule train_autoencoder:
    input:
        merged="results/merged/{size}.parquet",
        library=library("train_autoencoder.py"),
    output:
        encoder="results/autoencoder/{size}/encoder.safetensors",
        history="results/autoencoder/{size}/history.parquet",
        spectrum="results/autoencoder/{size}/spectrum.parquet",
    log:
        "results/logs/train_autoencoder/{size}.log",
    benchmark:
        "results/benchmarks/train_autoencoder/{size}.tsv"
    conda:
        "../envs/atlas.yaml"
    # one thread, as sizes train in parallel; profiles/slurm sets more
    threads: 1
    resources:
        mem_mb=memory(8192),
        runtime=240,
        gpu=1,
    params:
        **config["training"],
        posed=False,
        seed=config["seed"],
    message:
        "Training the autoencoder of the {wildcards.size} kernels"
    script:
        "../workflow_scripts/train_autoencoder.py"


use rule train_autoencoder as train_posed with:
    output:
        encoder="results/autoencoder/{size}/posed/encoder.safetensors",
        history="results/autoencoder/{size}/posed/history.parquet",
        spectrum="results/autoencoder/{size}/posed/spectrum.parquet",
    log:
        "results/logs/train_posed/{size}.log",
    benchmark:
        "results/benchmarks/train_posed/{size}.tsv"
    params:
        restarts=1,  # its share does not depend on the start
        steps=config["training"]["steps"],
        posed=True,
        seed=config["seed"],
    message:
        "Training the autoencoder of the {wildcards.size} kernels in one pose"
