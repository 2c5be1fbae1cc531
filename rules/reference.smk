"""Tables and encoder of reference networks: `snakemake reference --cores N --config models=SHEET`, not part of the main job.

Inputs: shares and encoder of the run.
Outputs: results/reference/networks.csv, shares.csv and encoder.safetensors, to be copied to resources/reference/ and
resources/. They hold no weights of the networks.
"""


rule write_reference:
    input:
        models="results/statistics/models.csv",
        totals="results/statistics/totals.csv",
        encoder=labeller,
        sheet=SHEET,
        library=library("write_reference.py"),
    output:
        networks="results/reference/networks.csv",
        shares="results/reference/shares.csv",
        encoder="results/reference/encoder.safetensors",
    log:
        "results/logs/write_reference.log",
    benchmark:
        "results/benchmarks/write_reference.tsv"
    conda:
        "../envs/atlas.yaml"
    message:
        "Writing the tables of reference networks"
    script:
        "../workflow_scripts/write_reference.py"


rule reference:
    input:
        "results/reference/networks.csv",
