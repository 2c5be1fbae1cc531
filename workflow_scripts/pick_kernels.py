"""One size: shards and assignments of all models -> the sample for the evidence."""

from kernel_atlas.evidence.kernels import pick_kernels
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import read_table, write_table

with job_log(snakemake.log[0]):
    given, params = snakemake.input, snakemake.params
    kernels = pick_kernels(
        given.shards,
        given.assignments,
        read_table(given.inventory).to_pandas(),
        params.subjects,
        params.units,
        side=int(snakemake.wildcards.size.split("x")[0]),
        count=params.kernels,
        dense_per_layer=params.dense_per_layer,
        seed=params.seed,
    )
    write_table(kernels, snakemake.output.kernels)
end_job()
