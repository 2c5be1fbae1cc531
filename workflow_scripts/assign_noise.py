"""The control: Gaussian noise -> code, dissimilarity, cluster and label."""

from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.model.assign import assign_noise, load_atlases

with job_log(snakemake.log[0]):
    atlases = load_atlases(snakemake.input.encoders, snakemake.input.clusters, snakemake.params.thresholds)
    assign_noise(atlases, snakemake.params.kernels, snakemake.params.seed, snakemake.output.assignments)
end_job()
