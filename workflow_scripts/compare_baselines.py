"""One size: its kernels and its autoencoder -> what other methods make of the same kernels."""

import torch

from kernel_atlas.evidence.baselines import tables_of
from kernel_atlas.evidence.kernels import training_units
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.merge import training_kernels
from kernel_atlas.io.tables import write_csv
from kernel_atlas.model.assign import load_labellers

with job_log(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    given, params = snakemake.input, snakemake.params
    (atlas,) = load_labellers([given.encoder], [given.clusters], params.thresholds).values()
    tables = tables_of(
        snakemake.wildcards.size,
        training_kernels(given.merged),
        training_units(given.merged),
        atlas,
        count=params.kernels,
        restarts=params.restarts,
        steps=params.steps,
        seed=params.seed,
    )
    for name, table in tables.items():
        write_csv(table, snakemake.output[name])
end_job()
