"""One size: its kernels and its encoder -> shares clustered of real kernels and of controls."""

import torch
from safetensors.numpy import load_file

from kernel_atlas.evidence.controls import compare_controls
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import read_table, write_csv, write_table
from kernel_atlas.model.coder import Coder

with job_log(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params = snakemake.params
    controls, examples = compare_controls(
        snakemake.wildcards.size,
        read_table(snakemake.input.kernels),
        Coder(load_file(snakemake.input.encoder)),
        threshold=params.threshold,
        minimum=params.minimum,
        steps=params.steps,
        seed=params.seed,
    )
    write_csv(controls, snakemake.output.controls)
    write_table(examples, snakemake.output.examples)
end_job()
