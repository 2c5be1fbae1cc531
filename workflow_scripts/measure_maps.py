"""One model: its kernels and images -> what the maps of the kernels are like."""

from pathlib import Path

import torch

from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import write_csv
from kernel_atlas.model.autoencoder import choose_device
from kernel_atlas.training.maps import measure_model
from kernel_atlas.training.networks import load_images, load_network

with job_log(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    given, params, options = snakemake.input, snakemake.params, snakemake.params.options
    network = load_network(params.source, Path(params.folder), params.architecture)
    images = load_images(network, Path(params.images), options["images"], options["test_images"], 0, params.seed)
    device = choose_device(snakemake.resources.get("gpu", 0))
    files = given.shards, given.assignments
    table = measure_model(network.net, *files, images.test, options["draws"], params.seed, device)
    table["model"] = snakemake.wildcards.model
    write_csv(table, snakemake.output.table, float_format="%.5g")
end_job()
