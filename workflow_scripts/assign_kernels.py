"""One model: its shards -> code, dissimilarity, cluster and label of every kernel."""

from kernel_atlas.assignments import assign_model, load_atlases
from kernel_atlas.errors import job_log

with job_log(snakemake.log[0]):
    atlases = load_atlases(snakemake.input.encoders, snakemake.input.clusters, snakemake.params.thresholds)
    assign_model(snakemake.input.shards, atlases, snakemake.output.assignments)
