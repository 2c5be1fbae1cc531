"""All sizes: autoencoders, clusters, spectra -> the labeller, one file."""

from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.model.encoder import write_encoder

with job_log(snakemake.log[0]):
    given = snakemake.input
    write_encoder(given.encoders, given.clusters, given.spectra, snakemake.params.thresholds, snakemake.output.encoder)
end_job()
