"""One size: its kernels -> a sample with taps and labels, for the figures."""

from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.model.assign import sample_assigned

with job_log(snakemake.log[0]):
    sample_assigned(
        snakemake.input.merged,
        snakemake.input.assignments,
        snakemake.params.kernels,
        snakemake.params.seed,
        snakemake.output.sample,
    )
end_job()
