"""The networks that train -> a table of patterns, and how it compares with the reference."""

from kernel_atlas.evidence.patterns import choose_from
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import write_csv

with job_log(snakemake.log[0]):
    params = snakemake.params
    for name, table in choose_from(snakemake.input.shards, params.units, params.thresholds, params.seed).items():
        write_csv(table, snakemake.output[name])
end_job()
