"""The table of an experiment -> its summary, its figure and its words."""

from matplotlib import style

from kernel_atlas.canvas import STYLE, write_drawing
from kernel_atlas.draw_experiments import EXPERIMENTS
from kernel_atlas.errors import job_log
from kernel_atlas.tables import read_csv

with job_log(snakemake.log[0]):
    experiment, output = EXPERIMENTS[snakemake.params.experiment], snakemake.output
    table = read_csv(snakemake.input.table)
    summary = experiment.summarise(table, snakemake.params.seed)
    with style.context(STYLE):
        drawing = experiment.draw(table, summary, experiment.title)
    write_drawing(drawing, output.figure, output.pdf, output.summary, output.words)
