"""One network of an experiment: images -> weights, with kernels and accuracy during training."""

from pathlib import Path

import torch

from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.model.autoencoder import choose_device
from kernel_atlas.training.conditions import Condition, train_run

with job_log(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    given, params, output = snakemake.input, snakemake.params, snakemake.output
    train_run(
        Path(params.images),
        Condition(**params.condition),
        int(params.seed),
        Path(given.units[0]) if given.units else None,
        tuple(map(Path, (output.weights, output.kernels, output.curve, output.answers))),
        choose_device(snakemake.resources.get("gpu", 0)),
        params.smoke,
    )
end_job()
