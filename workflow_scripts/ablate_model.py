"""One model: its kernels, what they are replaced by, and images -> accuracies."""

import contextlib
import shutil
from pathlib import Path

import torch

from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import write_csv
from kernel_atlas.model.autoencoder import choose_device
from kernel_atlas.training.ablation import ablate, find_kernels, set_up
from kernel_atlas.training.networks import load_images, load_network
from kernel_atlas.training.replacements import make_tools
from kernel_atlas.training.summaries import compare_top1, tell_apart

with job_log(snakemake.log[0]) as terminal:
    torch.set_num_threads(snakemake.threads)
    given, params, options = snakemake.input, snakemake.params, snakemake.params.options
    tools = make_tools(given.encoder, given.patterns, given.filters)
    network = load_network(params.source, Path(params.folder), params.architecture)
    convolutions, kernels, taps = find_kernels(given.shards, given.assignments, network.net)
    numbers = options["test_images"], options["train_images"]
    images = load_images(network, Path(params.images), options["images"], *numbers, params.seed)
    device, draws = choose_device(snakemake.resources.get("gpu", 0)), options["draws"]
    bench, batches = set_up(network.net, convolutions, images, options["part_images"], draws, device)
    trials = Path(params.trials)
    table, cosines = ablate(bench, kernels, taps, tools, draws, batches, params.seed, trials)
    for one in (table, cosines):
        one.insert(0, "model", snakemake.wildcards.model)
        one.insert(1, "recipe", params.recipe)
    table = compare_top1(table, params.top1)
    said = tell_apart(table)
    if said:
        print(said)
        print(said, file=terminal)
    write_csv(cosines, snakemake.output.cosines, float_format="%.6g")
    write_csv(table, snakemake.output.table, float_format="%.6g")
    shutil.rmtree(trials)
    with contextlib.suppress(OSError):  # those of other models are there
        trials.parent.rmdir()
end_job()
