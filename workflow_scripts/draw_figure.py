"""One figure of one size: its tables -> the drawing, its data and its words."""

import pandas as pd

from kernel_atlas import draw
from kernel_atlas.canvas import write_drawing
from kernel_atlas.errors import job_log
from kernel_atlas.tables import read_table


def read(path):
    if path.endswith(".parquet"):
        return read_table(path).to_pandas()
    return pd.read_csv(path, sep="\t" if path.endswith(".tsv") else ",")


with job_log(snakemake.log[0]):
    tables = {name: read(path) for name, path in snakemake.input.items() if name not in ("library", "style")}
    drawing = draw.draw(snakemake.wildcards.figure, snakemake.wildcards.size, snakemake.params.threshold, tables)
    written = snakemake.output
    write_drawing(drawing, written.figure, written.pdf, written.data, written.words)
