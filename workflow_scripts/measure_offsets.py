"""One size: the picked kernels -> where their energy lies, by label, stride and padding."""

from kernel_atlas.evidence.padding import measure_offsets
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import read_table, write_csv

with job_log(snakemake.log[0]):
    tables = measure_offsets(read_table(snakemake.input.kernels), snakemake.params.padding, snakemake.params.seed)
    for name, table in tables.items():
        write_csv(table, snakemake.output[name])
end_job()
