"""One size: its kernels -> the autoencoder, its training history, its spectrum."""

import pyarrow as pa
import torch

from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.merge import training_kernels
from kernel_atlas.io.tables import write_table
from kernel_atlas.model import autoencoder
from kernel_atlas.model.coder import Coder, build_spectrum, sample_codes

with job_log(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    device = autoencoder.choose_device(snakemake.resources.get("gpu", 0))
    kernels = training_kernels(snakemake.input.merged)
    print(f"{len(kernels)} kernels on {device}, {snakemake.threads} threads")
    model, history = autoencoder.train(
        kernels,
        seed=snakemake.params.seed,
        restarts=snakemake.params.restarts,
        steps=snakemake.params.steps,
        device=device,
    )
    write_table(pa.Table.from_pandas(history, preserve_index=False), snakemake.output.history)
    autoencoder.save(model, snakemake.output.encoder, size=snakemake.wildcards.size, seed=snakemake.params.seed)
    coder = Coder(model.state_dict())
    write_table(build_spectrum(coder.decode(sample_codes()), coder.encode(kernels)), snakemake.output.spectrum)
end_job()
