"""One experiment: its table, of the ablation also that of cosines -> summary, figure and texts."""

from kernel_atlas.figures.experiments import FIGURES
from kernel_atlas.figures.style import atlas_style
from kernel_atlas.figures.write import write_drawing
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import read_csv
from kernel_atlas.training.summaries import read_experiment, summarise

with job_log(snakemake.log[0]):
    experiment, output = snakemake.params.experiment, snakemake.output
    table = read_experiment(snakemake.input.table)
    summary = summarise(experiment, table, snakemake.params.seed)
    title, draw = FIGURES[experiment]
    with atlas_style():
        drawing = draw(table, summary, title, *map(read_csv, snakemake.input.get("cosines", [])))
    write_drawing(drawing, output.figure, output.pdf, output.summary, output.words)
end_job()
