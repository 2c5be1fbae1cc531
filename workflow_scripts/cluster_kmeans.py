"""One size: its kernels -> named centres of k-means."""

from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.merge import training_kernels
from kernel_atlas.io.tables import write_table
from kernel_atlas.model.naming import cluster_kmeans

with job_log(snakemake.log[0]):
    kernels = training_kernels(snakemake.input.merged)
    centres = cluster_kmeans(kernels, snakemake.params.clusters, snakemake.params.threshold, snakemake.params.seed)
    write_table(centres, snakemake.output.centres)
end_job()
