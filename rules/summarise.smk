"""Count labels per layer and per model, and compare models.

Inputs: every assignment, the noise control, the inventory, the model sheet.
Outputs: results/statistics/*.csv.
"""


rule summarise_assignments:
    input:
        assignments=files_of("results/assignments/{model}.parquet", *USES),
        noise="results/controls/noise.parquet",
        inventory="results/inventory.parquet",
        sheet=SHEET,
        library=library("summarise_assignments.py"),
    output:
        models="results/statistics/models.csv",
        labels="results/statistics/labels.csv",
        totals="results/statistics/totals.csv",
        chance="results/statistics/chance.csv",
        analysed="results/statistics/analysed.csv",
        layers="results/statistics/layers.csv",
        architectures="results/statistics/architectures.csv",
        thresholds="results/statistics/thresholds.csv",
        correlation="results/statistics/correlation.csv",
        drift="results/statistics/drift.csv",
    log:
        "results/logs/summarise_assignments.log",
    benchmark:
        "results/benchmarks/summarise_assignments.tsv"
    conda:
        "../envs/atlas.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=60,
    params:
        seed=config["seed"],
        sides=config["sizes"],
        thresholds=config["thresholds"],
    message:
        "Summing up the assignments"
    script:
        "../workflow_scripts/summarise_assignments.py"
