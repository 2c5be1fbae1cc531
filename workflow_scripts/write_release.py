"""The run -> a data set for publication."""

from pathlib import Path

import yaml

from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.sheet import read_sheet
from kernel_atlas.io.tables import read_csv
from kernel_atlas.publish.release import write_release
from kernel_atlas.publish.report import describe_parameters

with job_log(snakemake.log[0]):
    given = snakemake.input
    rules, tables = (yaml.safe_load(Path(path).read_text(encoding="utf-8")) for path in (given.schema, given.tables))
    write_release(
        snakemake.output.release,
        title=snakemake.params.title,
        sources=read_csv(given.sources),
        sheet=read_sheet(given.sheet),
        kernels=given.kernels,
        assignments=given.assignments,
        encoder=given.encoder,
        patterns=given.patterns,
        columns=tables["release/data/*.parquet"]["columns"],
        parameters=describe_parameters(snakemake.params.parameters, rules),
        citation=given.citation,
        card=given.card,
        example=given.example,
    )
end_job()
