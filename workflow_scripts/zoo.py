"""The nets of the embedded zoo: their files -> a model sheet."""

from pathlib import Path

from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import write_csv
from kernel_atlas.training.zoo import list_nets

with job_log(snakemake.log[0]):
    write_csv(list_nets([Path(path) for path in snakemake.input.weights]), snakemake.output.sheet)
end_job()
