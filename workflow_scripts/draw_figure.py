"""One figure: its tables -> the drawing, its data and texts."""

import importlib
from functools import partial

from kernel_atlas.figures.write import write_figure
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import read_csv, read_table


def read(path):
    return read_table(path).to_pandas() if path.endswith(".parquet") else read_csv(path)


with job_log(snakemake.log[0]):
    tables = {name: read(path) for name, path in snakemake.input.items() if name not in ("library", "style")}
    figure = importlib.import_module(f"kernel_atlas.figures.{snakemake.wildcards.figure}")
    write_figure(partial(figure.draw, **snakemake.params.drawn, **tables), **snakemake.output)
end_job()
