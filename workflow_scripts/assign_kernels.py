"""One model: its shards -> label, code, cluster and more of every kernel."""

from kernel_atlas.core.patterns import read_patterns
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.model.assign import Assigner, assign_model
from kernel_atlas.model.encoder import read_encoder

with job_log(snakemake.log[0]):
    given = snakemake.input
    assigner = Assigner(read_patterns(given.patterns), read_encoder(given.encoder), snakemake.params.thresholds)
    assign_model(given.shards, assigner, snakemake.output.assignments)
end_job()
