"""One size: a sample of its kernels with taps and labels, for the figures."""

from kernel_atlas.assignments import sample_assigned
from kernel_atlas.errors import job_log

with job_log(snakemake.log[0]):
    sample_assigned(
        snakemake.input.merged,
        snakemake.input.assignments,
        snakemake.params.kernels,
        snakemake.params.seed,
        snakemake.output.sample,
    )
