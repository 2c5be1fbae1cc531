"""All models: the shards -> the inventory."""

from kernel_atlas.errors import job_log
from kernel_atlas.extract import read_inventory
from kernel_atlas.kernels import write_table

with job_log(snakemake.log[0]):
    write_table(read_inventory(snakemake.input.shards), snakemake.output.inventory)
