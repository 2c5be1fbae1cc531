"""Measure the output maps of kernels on test images: `snakemake maps --cores N --config images=FOLDER`, not part of the
main job.

Inputs: shards, assignments and checkpoint of each network that the ablation takes, and its test images.
Outputs: results/maps/models/MODEL.csv, a row a kernel; in results/maps/ maps.csv, a row for each layer and family of
labels, summary.csv of means over networks, and the figure maps.svg and .pdf with its texts in .json.
For the report, copy maps.csv to resources/experiments and state its origin in experiments.tsv there.
"""


rule measure_maps:
    input:
        shards="results/kernels/{model}",
        assignments="results/assignments/{model}.parquet",
        checkpoint=checkpoint_files,
        library=library("measure_maps.py"),
    output:
        table="results/maps/models/{model}.csv",
    log:
        "results/logs/measure_maps/{model}.log",
    benchmark:
        "results/benchmarks/measure_maps/{model}.tsv"
    conda:
        "../envs/atlas.yaml"
    resources:
        mem_mb=memory(8192),
        runtime=240,
        gpu=1,
    params:
        source=of_model("source"),
        architecture=of_model("architecture"),
        folder=os.path.dirname(SHEET),
        images=config["images"],
        options=map_options,
        seed=config["seed"],
    message:
        "Measuring the maps of {wildcards.model}"
    script:
        "../workflow_scripts/measure_maps.py"


rule collect_maps:
    input:
        models=ablated("results/maps/models/{model}.csv"),
        library=library("collect_maps.py"),
    output:
        table="results/maps/maps.csv",
    log:
        "results/logs/collect_maps.log",
    benchmark:
        "results/benchmarks/collect_maps.tsv"
    conda:
        "../envs/atlas.yaml"
    params:
        units=units(),
    message:
        "Summing up the maps of all networks"
    script:
        "../workflow_scripts/collect_maps.py"


use rule draw_experiment as draw_maps with:
    input:
        table="results/maps/maps.csv",
        style=beside("kernel_atlas/figures/atlas.mplstyle"),
        library=library("draw_experiment.py"),
    output:
        data="results/maps/summary.csv",
        figure=experiment_figure("results/maps/maps.svg", "maps"),
        phone="results/maps/maps.phone.svg",
        pdf="results/maps/maps.pdf",
        words="results/maps/maps.json",
    log:
        "results/logs/draw_maps.log",
    benchmark:
        "results/benchmarks/draw_maps.tsv"
    params:
        experiment="maps",
        seed=config["seed"],


rule maps:
    input:
        "results/maps/maps.svg",
