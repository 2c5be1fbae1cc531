"""One experiment: kernels and accuracies of its networks during training -> one table."""

import pandas as pd
import torch
from safetensors import safe_open

from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import write_csv
from kernel_atlas.model.encoder import read_encoder
from kernel_atlas.training.dynamics import measure_run, noise_level

with job_log(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    given, runs = snakemake.input, snakemake.params.runs
    atlases = read_encoder(given.encoder)
    levels = {side: noise_level(side, snakemake.params.seed) for side in sorted({run["kernel"] for run in runs})}
    tables = []
    for run, weights, kernels, curve in zip(runs, given.weights, given.kernels, given.curves, strict=True):
        table = measure_run(kernels, curve, atlases, levels[run["kernel"]], snakemake.params.seed)
        with safe_open(weights, "np") as file:
            told = file.metadata()
        about = {name: run[name] for name in ("condition", "title", "against", "seed")}
        about |= {"params": int(told["params"]), "device": told["device"]}
        tables.append(table.assign(**about)[[*about, *table.columns]])
    write_csv(pd.concat(tables, ignore_index=True), snakemake.output.table, float_format="%.5g")
end_job()
