"""The networks that train -> a table of patterns, and how it compares with the reference."""

from pathlib import Path

from kernel_atlas.evidence.patterns import choose_from
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import write_csv

with job_log(snakemake.log[0]):
    params = snakemake.params
    folders = {Path(path).name: path for path in snakemake.input.shards}
    for name, table in choose_from(folders, params.units, params.thresholds, params.seed).items():
        write_csv(table, snakemake.output[name])
end_job()
