"""One size: its kernels, as they are or in one pose -> the autoencoder, its training history, its spectrum."""

import numpy as np
import pyarrow as pa
import torch

from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.merge import training_kernels
from kernel_atlas.io.tables import write_table
from kernel_atlas.model import autoencoder
from kernel_atlas.model.coder import USUAL, Coder, build_spectrum, sample_codes
from kernel_atlas.model.poses import find_poses, learn_codebook, turn_back

with job_log(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    device = autoencoder.choose_device(snakemake.resources.get("gpu", 0))
    kernels = training_kernels(snakemake.input.merged)
    codebook = {}
    if snakemake.params.posed:
        prototypes = learn_codebook(kernels, snakemake.params.seed)
        kernels = turn_back(kernels, find_poses(kernels, prototypes))
        codebook = {"codebook": torch.from_numpy(prototypes)}
    print(f"{len(kernels)} kernels on {device}, {snakemake.threads} threads")
    model, history = autoencoder.train(
        kernels,
        seed=snakemake.params.seed,
        restarts=snakemake.params.restarts,
        steps=snakemake.params.steps,
        device=device,
    )
    write_table(pa.Table.from_pandas(history, preserve_index=False), snakemake.output.history)
    tensors, about = model.state_dict(), {"size": snakemake.wildcards.size, "seed": snakemake.params.seed}
    coder = Coder(tensors)
    about["usual"] = float(np.quantile(coder.reconstruct(kernels)[1], USUAL))
    autoencoder.save(tensors | codebook, snakemake.output.encoder, **about)
    write_table(build_spectrum(coder.decode(sample_codes()), coder.encode(kernels)), snakemake.output.spectrum)
end_job()
