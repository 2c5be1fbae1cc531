"""All sizes: autoencoders, clusters, spectra -> the labeller, one file."""

from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.model.encoder import write_encoder

with job_log(snakemake.log[0]):
    given = snakemake.input
    tables = given.clusters, given.spectra
    write_encoder(given.encoders, given.posed, *tables, snakemake.params.thresholds, snakemake.output.encoder)
end_job()
