"""A network of an experiment: its kernels on the way -> an animation of the first layer."""

from kernel_atlas.figures.animation import animate_kernels
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.model.encoder import read_encoder
from kernel_atlas.training.dynamics import label_layer

with job_log(snakemake.log[0]):
    labellers = read_encoder(snakemake.input.encoder)
    animate_kernels(label_layer(snakemake.input.kernels, labellers, 0), snakemake.output.animation)
end_job()
