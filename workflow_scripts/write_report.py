"""The run: figures and tables -> one page."""

from pathlib import Path

import yaml

from kernel_atlas.findings.experiments import state
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.sheet import read_sheet
from kernel_atlas.io.tables import read_csv
from kernel_atlas.model.clusters import read_clusters
from kernel_atlas.publish.page import read_script, write_page
from kernel_atlas.publish.report import collect_facts, describe_experiments, read_figure

with job_log(snakemake.log[0]):
    given = snakemake.input
    sizes = read_csv(given.sizes)
    figures = {size: [] for size in sizes.loc[sizes["trained"], "size"]}
    for svg, words in zip(given.figures, given.words, strict=True):
        figures[Path(svg).stem.rpartition("_")[2]].append(read_figure(svg, words))
    made = read_csv(given.made).set_index("experiment")
    kept = list(map(read_figure, given.experiments, given.experiment_words))
    said = [state(name, read_csv(table)) for name, table in zip(made.index, given.experiment_summaries, strict=True)]
    facts = collect_facts(
        title=snakemake.params.title,
        sheet=read_sheet(given.sheet),
        parameters=snakemake.params.parameters,
        rules=yaml.safe_load(Path(given.schema).read_text(encoding="utf-8")),
        sources=read_csv(given.sources),
        sizes=sizes,
        clusters=dict(zip(figures, map(read_clusters, given.clusters), strict=True)),
        figures=figures,
        evidence=snakemake.params.evidence,
        models=read_csv(given.models),
        correlation=read_csv(given.correlation),
        analysed=read_csv(given.analysed),
        findings=read_csv(given.findings),
        experiments=describe_experiments(made, kept, said, {"dynamics": given.animation}),
        scripts=[read_script(script, given.licence) for script in given.scripts],
    )
    write_page(snakemake.output.report, given.template, **facts)
end_job()
