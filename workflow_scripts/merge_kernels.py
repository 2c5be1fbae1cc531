"""One size: shards of the training models -> one file."""

from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.merge import merge_kernels

with job_log(snakemake.log[0]):
    side = int(snakemake.wildcards.size.split("x")[0])
    count = merge_kernels(snakemake.input.shards, side, snakemake.output.merged)
    print(f"{count} kernels")
end_job()
