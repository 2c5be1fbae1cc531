"""One model: its shards -> code, dissimilarity, cluster and label of every kernel."""

from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.model.assign import assign_model, load_atlases

with job_log(snakemake.log[0]):
    atlases = load_atlases(snakemake.input.encoders, snakemake.input.clusters, snakemake.params.thresholds)
    assign_model(snakemake.input.shards, atlases, snakemake.output.assignments)
end_job()
