"""The run: figures and tables -> one page."""

from pathlib import Path

import pandas as pd
import yaml

from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.sheet import read_sheet
from kernel_atlas.io.tables import read_csv, read_table
from kernel_atlas.model.clusters import read_clusters
from kernel_atlas.publish.page import read_script, write_page
from kernel_atlas.publish.report import collect_facts, describe_experiments, read_figure

with job_log(snakemake.log[0]):
    given = snakemake.input
    sizes = read_csv(given.sizes)
    trained = sizes.loc[sizes["trained"], "size"].tolist()
    tables = {Path(path).stem: read_csv(path) for path in given.tables}
    if trained:
        clusters = [read_clusters(path).assign(size=size) for size, path in zip(trained, given.clusters, strict=True)]
        tables["clusters"] = pd.concat(clusters)
    parts = [map(read_table, paths) for paths in (given.samples, given.spectra)]
    examples = {
        size: (sample.to_pandas(), spectrum.to_pandas()) for size, sample, spectrum in zip(trained, *parts, strict=True)
    }
    made = read_csv(given.made).set_index("experiment")
    kept = list(map(read_figure, given.experiments, given.experiment_phones, given.experiment_words))
    summaries = list(map(read_csv, given.experiment_summaries))
    facts = collect_facts(
        title=snakemake.params.title,
        sheet=read_sheet(given.sheet),
        parameters=snakemake.params.parameters,
        rules=yaml.safe_load(Path(given.schema).read_text(encoding="utf-8")),
        sources=read_csv(given.sources),
        sizes=sizes,
        tables=tables,
        figures=list(map(read_figure, given.figures, given.phones, given.words)),
        findings=read_csv(given.findings),
        experiments=describe_experiments(made, kept, summaries, {"dynamics": given.animation}),
        analysed=read_csv(given.analysed),
        examples=examples,
        scripts=[read_script(script, given.licence) for script in given.scripts],
    )
    write_page(snakemake.output.report, given.template, **facts)
end_job()
