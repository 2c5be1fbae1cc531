"""Choose the reference patterns again: `snakemake patterns --cores N --config models=SHEET`, not part of the main job.

Inputs: shards of the models with use = train.
Outputs: results/patterns/patterns.tsv, a table as resources/patterns/v1.tsv; comparison.csv with the reference and with
choices that did not see the networks; margins.csv. Copy the table to resources/patterns/, or name it in the configuration.
"""


rule choose_patterns:
    input:
        shards=files_of("results/kernels/{model}", "train"),
        reference=beside("resources/patterns/v1.tsv"),
        library=library("choose_patterns.py"),
    output:
        patterns="results/patterns/patterns.tsv",
        comparison="results/patterns/comparison.csv",
        margins="results/patterns/margins.csv",
    log:
        "results/logs/choose_patterns.log",
    benchmark:
        "results/benchmarks/choose_patterns.tsv"
    conda:
        "../envs/atlas.yaml"
    resources:
        mem_mb=memory(8192),
    params:
        units=units(),
        thresholds=config["thresholds"],
        seed=config["seed"],
    message:
        "Choosing patterns"
    script:
        "../workflow_scripts/choose_patterns.py"


rule patterns:
    input:
        "results/patterns/patterns.tsv",
