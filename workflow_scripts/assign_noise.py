"""Gaussian noise, the control -> what kernels are assigned."""

from kernel_atlas.core.patterns import read_patterns
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.model.assign import Assigner, assign_noise
from kernel_atlas.model.encoder import read_encoder

with job_log(snakemake.log[0]):
    given, params = snakemake.input, snakemake.params
    assigner = Assigner(read_patterns(given.patterns), read_encoder(given.encoder), params.thresholds)
    assign_noise(assigner, params.sides, params.kernels, params.seed, snakemake.output.assignments)
end_job()
