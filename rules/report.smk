"""Write the report.

Inputs: the figures of every trained size, the tables, the model sheet, the configuration and its schema.
Outputs: results/report.html, one page that needs nothing beside it.
"""


localrules:
    write_report,


rule write_report:
    input:
        figures=figure_files("svg"),
        words=figure_files("json"),
        clusters=atlas_files("clusters.tsv"),
        histories=atlas_files("history.parquet"),
        sizes="results/sizes.csv",
        inventory="results/inventory.parquet",
        sources="results/sources.csv",
        models="results/statistics/models.csv",
        totals="results/statistics/totals.csv",
        correlation="results/statistics/correlation.csv",
        drift="results/statistics/drift.csv",
        noise="results/controls/noise.parquet",
        sheet=SHEET,
        schema=beside("schemas/config.schema.yaml"),
        template=beside("kernel_atlas/report.html"),
        library=library("write_report.py"),
    output:
        report="results/report.html",
    log:
        "results/logs/write_report.log",
    benchmark:
        "results/benchmarks/write_report.tsv"
    conda:
        "../envs/atlas.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=30,
    params:
        title=config["title"],
        # all that decides the results: a page that lists every parameter must be written again when one changes
        parameters={
            name: value
            for name, value in config.items()
            if name not in ("title", "models", "images", "zoo_epochs")
        },
    message:
        "Writing the report"
    script:
        "../workflow_scripts/write_report.py"
