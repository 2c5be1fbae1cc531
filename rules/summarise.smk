"""Count labels per layer and per model, and compare models.

Inputs: all assignments, the noise control, inventory, model sheet, sizes of data sets, shares of reference networks.
Outputs: results/statistics/*.csv.
"""


rule summarise_assignments:
    input:
        assignments=files_of("results/assignments/{model}.parquet", *USES),
        noise="results/controls/noise.parquet",
        inventory="results/inventory.parquet",
        sheet=SHEET,
        datasets=beside("resources/datasets.tsv"),
        reference=beside("resources/reference/networks.csv"),
        library=library("summarise_assignments.py"),
    output:
        models=shown("results/statistics/models.csv"),
        labels=shown("results/statistics/labels.csv"),
        totals=shown("results/statistics/totals.csv"),
        chance=shown("results/statistics/chance.csv"),
        places=shown("results/statistics/places.csv"),
        analysed=shown("results/statistics/analysed.csv"),
        layers=shown("results/statistics/layers.csv"),
        architectures=shown("results/statistics/architectures.csv"),
        thresholds=shown("results/statistics/thresholds.csv"),
        correlation=shown("results/statistics/correlation.csv"),
        drift=shown("results/statistics/drift.csv"),
    log:
        "results/logs/summarise_assignments.log",
    benchmark:
        "results/benchmarks/summarise_assignments.tsv"
    conda:
        "../envs/atlas.yaml"
    resources:
        mem_mb=memory(4096),
    params:
        seed=config["seed"],
        thresholds=config["thresholds"],
        sides=config["sizes"],
    message:
        "Summing up the assignments"
    script:
        "../workflow_scripts/summarise_assignments.py"
