"""One size: the picked kernels -> the best cosine of each to continuous families of patterns."""

import torch
from kernel_atlas.evidence.fits import tables_of

from kernel_atlas.autoencoder import choose_device
from kernel_atlas.errors import job_log
from kernel_atlas.tables import read_table, write_csv

with job_log(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    tables = tables_of(
        snakemake.wildcards.size,
        read_table(snakemake.input.kernels),
        kernels_per_control=snakemake.params.noise_kernels,
        seed=snakemake.params.seed,
        device=choose_device(snakemake.resources.get("gpu", 0)),
    )
    for name, table in tables.items():
        write_csv(table, snakemake.output[name])
