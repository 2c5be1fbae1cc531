"""All models: the tables of shares -> what goes with the share clustered and with depth, where thresholds bend."""

from kernel_atlas.evidence.networks import compare
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import read_csv, write_csv

with job_log(snakemake.log[0]):
    given = snakemake.input
    tables = compare(
        models=read_csv(given.models),
        layers=read_csv(given.layers),
        architectures=read_csv(given.architectures),
        thresholds=read_csv(given.thresholds),
        datasets=read_csv(given.datasets),
        contrasts=read_csv(given.contrasts),
        default_thresholds=snakemake.params.thresholds,
        seed=snakemake.params.seed,
    )
    for name, table in tables.items():
        write_csv(table, snakemake.output[name])
end_job()
