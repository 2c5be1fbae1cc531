"""Gaussian noise, the control -> code, dissimilarity, cluster and label."""

from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.model.assign import assign_noise
from kernel_atlas.model.encoder import read_encoder

with job_log(snakemake.log[0]):
    labellers = read_encoder(snakemake.input.encoder)
    assign_noise(labellers, snakemake.params.kernels, snakemake.params.seed, snakemake.output.assignments)
end_job()
