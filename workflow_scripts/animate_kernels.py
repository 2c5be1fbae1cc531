"""A network of an experiment: its kernels on the way -> an animation of the first layer."""

from kernel_atlas.animation import animate_kernels
from kernel_atlas.encoders import read_encoder
from kernel_atlas.errors import job_log

with job_log(snakemake.log[0]):
    animate_kernels(snakemake.input.kernels, read_encoder(snakemake.input.encoder), 0, snakemake.output.animation)
