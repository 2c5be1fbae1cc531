"""One net of the embedded zoo: images -> weights; with 0 epochs, the untrained net."""

from pathlib import Path

import torch

from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.model.autoencoder import choose_device
from kernel_atlas.training.zoo import init_net, train_net

with job_log(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    params, output = snakemake.params, Path(snakemake.output.weights)
    net = Path(params.images), params.dataset, int(params.kernel), int(params.seed)
    if params.epochs:
        train_net(*net, int(params.epochs), output, choose_device(snakemake.resources.get("gpu", 0)))
    else:
        init_net(*net, output)
end_job()
