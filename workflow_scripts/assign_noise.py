"""The control: Gaussian noise -> code, dissimilarity, cluster and label."""

from kernel_atlas.assignments import assign_noise, load_atlases
from kernel_atlas.errors import job_log

with job_log(snakemake.log[0]):
    atlases = load_atlases(snakemake.input.encoders, snakemake.input.clusters, snakemake.params.thresholds)
    assign_noise(atlases, snakemake.params.kernels, snakemake.params.seed, snakemake.output.assignments)
