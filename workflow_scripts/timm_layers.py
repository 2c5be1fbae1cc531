"""The installed timm -> the depthwise layers of its pretrained networks."""

import timm

from kernel_atlas.architectures import list_layers
from kernel_atlas.errors import job_log
from kernel_atlas.tables import write_csv, write_table

with job_log(snakemake.log[0]):
    layers, left_out = list_layers(timm.list_pretrained())
    write_table(layers, snakemake.output.layers)
    write_csv(left_out.to_pandas(), snakemake.output.left_out)
