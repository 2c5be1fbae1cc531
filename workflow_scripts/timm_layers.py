"""The installed timm -> the depthwise layers of its pretrained networks."""

import timm

from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import write_csv, write_table
from kernel_atlas.io.timm_layers import list_layers

with job_log(snakemake.log[0]):
    layers, left_out = list_layers(timm.list_pretrained())
    write_table(layers, snakemake.output.layers)
    write_csv(left_out.to_pandas(), snakemake.output.left_out)
end_job()
