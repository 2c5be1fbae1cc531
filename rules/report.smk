"""State the findings and write the report.

Inputs: figures of every trained size, tables, the model sheet, the configuration and its schema.
Outputs: results/findings.csv, sentences with numbers from cells of tables; results/report.html, a self-contained page.
"""


localrules:
    state_findings,
    write_report,


rule state_findings:
    input:
        tables=[
            *expand(
                "results/statistics/{table}.csv",
                table=["totals", "chance", "places", "drift", "correlation"],
            ),
            *EVIDENCE,
        ],
        histories=of_sizes("results/autoencoder/{size}/history.parquet"),
        sizes="results/sizes.csv",
        library=library("state_findings.py"),
    output:
        findings=shown("results/findings.csv", "Findings"),
    log:
        "results/logs/state_findings.log",
    benchmark:
        "results/benchmarks/state_findings.tsv"
    conda:
        "../envs/atlas.yaml"
    message:
        "Stating the findings"
    script:
        "../workflow_scripts/state_findings.py"


rule write_report:
    input:
        figures=figure_files("svg"),
        words=figure_files("json"),
        experiments=kept("svg"),
        experiment_words=kept("json"),
        experiment_summaries=kept("csv"),
        made=beside("resources/experiments/experiments.tsv"),
        animation=beside("resources/experiments/dynamics.gif"),
        clusters=of_sizes("results/autoencoder/{size}/clusters.tsv"),
        sizes="results/sizes.csv",
        sources="results/sources.csv",
        models="results/statistics/models.csv",
        correlation="results/statistics/correlation.csv",
        analysed="results/statistics/analysed.csv",
        findings="results/findings.csv",
        sheet=SHEET,
        schema=beside("schemas/config.schema.yaml"),
        template=beside("kernel_atlas/publish/pages/report.html"),
        head=beside("kernel_atlas/publish/pages/head.html"),
        scripts=[
            beside(f"kernel_atlas/publish/pages/vendor/{name}.min.js")
            for name in ("dataTables", "dataTables.buttons")
        ],
        licence=beside("kernel_atlas/publish/pages/vendor/dataTables.LICENSE.txt"),
        library=library("write_report.py"),
    output:
        report=report(
            "results/report.html",
            caption="captions/page.rst",
            category="Findings",
            labels={"page": "report", "model": "all", "size": "all"},
        ),
    log:
        "results/logs/write_report.log",
    benchmark:
        "results/benchmarks/write_report.tsv"
    conda:
        "../envs/atlas.yaml"
    params:
        title=config["title"],
        evidence=list(registry.EVIDENCE),
        # all parameters: the page lists them
        parameters={
            name: value
            for name, value in config.items()
            if name not in ("title", "models", "images", "zoo_epochs")
        },
    message:
        "Writing the report"
    script:
        "../workflow_scripts/write_report.py"
