"""The models that train: their shards -> how many kernels there are of each size."""

from kernel_atlas.errors import job_log
from kernel_atlas.merge import count_kernels

with job_log(snakemake.log[0]):
    sides = [int(size.split("x")[0]) for size in snakemake.params.sizes]
    counts = count_kernels(snakemake.input.shards, sides, snakemake.params.minimum)
    counts.to_csv(snakemake.output.sizes, index=False)
