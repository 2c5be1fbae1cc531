"""One model: its shards -> code, dissimilarity, cluster and label of every kernel."""

from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.model.assign import assign_model
from kernel_atlas.model.encoder import read_encoder

with job_log(snakemake.log[0]):
    labellers = read_encoder(snakemake.input.encoder)
    assign_model(snakemake.input.shards, labellers, snakemake.output.assignments)
end_job()
