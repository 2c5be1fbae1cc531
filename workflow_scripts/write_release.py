"""The whole run -> a data set for others."""

from pathlib import Path

import yaml

from kernel_atlas.errors import job_log
from kernel_atlas.release import write_release
from kernel_atlas.report import describe_parameters
from kernel_atlas.sheet import read_sheet
from kernel_atlas.tables import read_csv

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
        encoders=given.encoders,
        clusters=given.clusters,
        thresholds=snakemake.params.thresholds,
        columns=tables["release/data/*.parquet"]["columns"],
        parameters=describe_parameters(snakemake.params.parameters, rules),
        citation=given.citation,
        card=given.card,
        example=given.example,
    )
