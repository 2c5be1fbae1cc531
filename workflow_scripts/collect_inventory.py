"""All models: the shards -> the inventory of layers, what became of each source, how many kernels each size has."""

from pathlib import Path

from pyarrow import csv

from kernel_atlas.errors import job_log
from kernel_atlas.extract import read_inventory, read_sources
from kernel_atlas.kernels import write_table
from kernel_atlas.merge import count_kernels

with job_log(snakemake.log[0]):
    shards = [Path(model) for model in snakemake.input.shards]
    write_table(read_inventory(shards), snakemake.output.inventory)
    csv.write_csv(read_sources(shards), snakemake.output.sources)
    train = [model for model in shards if model.name in snakemake.params.train]
    sides = [int(size.split("x")[0]) for size in snakemake.params.sizes]
    count_kernels(train, sides, snakemake.params.minimum).to_csv(snakemake.output.sizes, index=False)
