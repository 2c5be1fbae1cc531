"""All models: shards -> the inventory of layers, the state of each source, the number of kernels per size."""

from pathlib import Path

from kernel_atlas.io.extract import read_inventory, read_sources
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.merge import count_kernels
from kernel_atlas.io.tables import write_csv, write_table

with job_log(snakemake.log[0]):
    shards = [Path(model) for model in snakemake.input.shards]
    write_table(read_inventory(shards), snakemake.output.inventory)
    write_csv(read_sources(shards, snakemake.params.sources).to_pandas(), snakemake.output.sources)
    train = [model for model in shards if model.name in snakemake.params.train]
    sides = [int(size.split("x")[0]) for size in snakemake.params.sizes]
    write_csv(count_kernels(train, sides, snakemake.params.minimum), snakemake.output.sizes)
end_job()
