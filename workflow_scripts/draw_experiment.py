"""One experiment: its table, of the ablation also that of cosines -> summary, figure and texts."""

from functools import partial

from kernel_atlas.figures.experiments import FIGURES
from kernel_atlas.figures.write import write_figure
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import read_csv
from kernel_atlas.training.summaries import read_experiment, summarise

with job_log(snakemake.log[0]):
    experiment = snakemake.params.experiment
    table = read_experiment(snakemake.input.table)
    summary = summarise(experiment, table, snakemake.params.seed)
    title, draw = FIGURES[experiment]
    cosines = map(read_csv, snakemake.input.get("cosines", []))
    write_figure(partial(draw, table, summary, title, *cosines), **snakemake.output)
end_job()
