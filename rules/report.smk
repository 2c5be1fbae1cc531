"""State the findings and write the report.

Inputs: figures, tables, the model sheet, the configuration and its schema.
Outputs: results/findings.csv, sentences with numbers from cells of tables; results/report.html, a self-contained page.
"""

STATISTICS = expand(
    "results/statistics/{table}.csv",
    table=["totals", "chance", "places", "drift", "correlation", "models"],
)
SHOWN = {
    grid.table for question in questions.QUESTIONS.values() for grid in question.grids
}
# tables that the report shows as such
REPORTED = [
    path
    for path in [*STATISTICS, *EVIDENCE]
    if os.path.basename(path).removesuffix(".csv") in SHOWN
]


localrules:
    state_findings,
    write_report,


rule state_findings:
    input:
        tables=[*STATISTICS, *EVIDENCE],
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
        figures=figure_files("svg", registry.REPORT),
        phones=figure_files("phone.svg", registry.REPORT),
        words=figure_files("json", registry.REPORT),
        experiments=kept("svg"),
        experiment_phones=kept("phone.svg"),
        experiment_words=kept("json"),
        experiment_summaries=kept("csv"),
        made=beside("resources/experiments/experiments.tsv"),
        animation=beside("resources/experiments/dynamics.gif"),
        tables=REPORTED,
        clusters=of_sizes("results/autoencoder/{size}/clusters.tsv"),
        spectra=of_sizes("results/autoencoder/{size}/spectrum.parquet"),
        samples=of_sizes("results/samples/{size}.parquet"),
        sizes="results/sizes.csv",
        sources="results/sources.csv",
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
