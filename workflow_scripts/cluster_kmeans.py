"""One size: its kernels -> the centres of k-means, named like clusters."""

from kernel_atlas.errors import job_log
from kernel_atlas.kmeans import cluster_kmeans
from kernel_atlas.merge import training_kernels
from kernel_atlas.tables import write_table

with job_log(snakemake.log[0]):
    kernels = training_kernels(snakemake.input.merged)
    centres = cluster_kmeans(kernels, snakemake.params.clusters, snakemake.params.threshold, snakemake.params.seed)
    write_table(centres, snakemake.output.centres)
