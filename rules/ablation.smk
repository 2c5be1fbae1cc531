"""Measure accuracy with kernels replaced: `snakemake ablation --cores N --config images=FOLDER`, not part of the main job.

Inputs: shards, assignments and checkpoint of a model, results/encoder.safetensors, the reference patterns, the published
master keys, images (for the zoo from the configured folder, else from `ablation: images`).
Outputs: results/ablation/models/MODEL.csv and cosines/MODEL.csv; in results/ablation/ ablation.csv and cosines.csv of all
models, summary.csv of means over networks, and the figure drop.svg and .pdf with its texts in .json.
While a model is measured, results/ablation/trials/MODEL/ keeps its answers: an interrupted run goes on from there.
For the report, copy ablation.csv and cosines.csv to resources/experiments/ablation.csv and ablation_cosines.csv, and state
their origin in experiments.tsv.
"""


rule ablate_model:
    input:
        shards="results/kernels/{model}",
        assignments="results/assignments/{model}.parquet",
        encoder=labeller,
        patterns=PATTERNS,
        filters=beside("resources/master_key_filters.csv"),
        checkpoint=checkpoint_files,
        library=library("ablate_model.py"),
    output:
        table="results/ablation/models/{model}.csv",
        cosines="results/ablation/cosines/{model}.csv",
    log:
        "results/logs/ablate_model/{model}.log",
    benchmark:
        "results/benchmarks/ablate_model/{model}.tsv"
    conda:
        "../envs/atlas.yaml"
    resources:
        mem_mb=memory(8192),
        runtime=720,
        gpu=1,
    params:
        source=of_model("source"),
        architecture=of_model("architecture"),
        top1=of_model("top1"),
        recipe=of_model("recipe"),
        trials="results/ablation/trials/{model}",
        folder=os.path.dirname(SHEET),
        images=config["images"],
        options=ablation_options,
        seed=config["seed"],
    message:
        "Replacing kernels of {wildcards.model}"
    script:
        "../workflow_scripts/ablate_model.py"


rule collect_ablation:
    input:
        models=ablated("results/ablation/models/{model}.csv"),
        cosines=ablated("results/ablation/cosines/{model}.csv"),
        library=library("collect_ablation.py"),
    output:
        table="results/ablation/ablation.csv",
        cosines="results/ablation/cosines.csv",
    log:
        "results/logs/collect_ablation.log",
    benchmark:
        "results/benchmarks/collect_ablation.tsv"
    conda:
        "../envs/atlas.yaml"
    message:
        "Collecting the accuracies with kernels replaced"
    script:
        "../workflow_scripts/collect_ablation.py"


use rule draw_experiment as draw_ablation with:
    input:
        table="results/ablation/ablation.csv",
        cosines=["results/ablation/cosines.csv"],
        style=beside("kernel_atlas/figures/atlas.mplstyle"),
        library=library("draw_experiment.py"),
    output:
        data="results/ablation/summary.csv",
        figure=experiment_figure("results/ablation/drop.svg", "ablation"),
        phone="results/ablation/drop.phone.svg",
        pdf="results/ablation/drop.pdf",
        words="results/ablation/drop.json",
    log:
        "results/logs/draw_ablation.log",
    benchmark:
        "results/benchmarks/draw_ablation.tsv"
    params:
        experiment="ablation",
        seed=config["seed"],


rule ablation:
    input:
        "results/ablation/drop.svg",
