"""One figure of one size: its tables -> the drawing, its data and texts."""

import importlib

from kernel_atlas.figures.style import atlas_style
from kernel_atlas.figures.write import write_drawing
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import read_csv, read_table


def read(path):
    return read_table(path).to_pandas() if path.endswith(".parquet") else read_csv(path)


with job_log(snakemake.log[0]):
    tables = {name: read(path) for name, path in snakemake.input.items() if name not in ("library", "style")}
    figure = importlib.import_module(f"kernel_atlas.figures.{snakemake.wildcards.figure}")
    with atlas_style():
        drawing = figure.draw(snakemake.wildcards.size, snakemake.params.threshold, **tables)
    written = snakemake.output
    write_drawing(drawing, written.figure, written.pdf, written.data, written.words)
end_job()
