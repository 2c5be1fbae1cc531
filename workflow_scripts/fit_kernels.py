"""One size: the picked kernels -> the best cosine of each to continuous families of patterns."""

import torch

from kernel_atlas.evidence.formulas import synthetic_truth, tables_of
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import read_table, write_csv
from kernel_atlas.model.autoencoder import choose_device

with job_log(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    size, params = snakemake.wildcards.size, snakemake.params
    device = choose_device(snakemake.resources.get("gpu", 0))
    tables = tables_of(size, read_table(snakemake.input.kernels), params.controls, params.seed, device)
    side = int(size.split("x")[0])
    tables["synthetic"] = synthetic_truth(side, params.synthetic, params.decibels, params.seed, device)
    for name, table in tables.items():
        write_csv(table, snakemake.output[name])
end_job()
