"""The installed timm -> the depthwise layers of its pretrained networks."""

import timm

from kernel_atlas.architectures import list_layers
from kernel_atlas.errors import job_log
from kernel_atlas.kernels import write_table

with job_log(snakemake.log[0]):
    layers, left_out = list_layers(timm.list_pretrained())
    write_table(layers, snakemake.output.layers)
    left_out.to_pandas().to_csv(snakemake.output.left_out, sep="\t", index=False)
