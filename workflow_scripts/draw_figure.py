"""One figure of one size: its tables -> the drawing, its data and its words."""

from kernel_atlas import draw
from kernel_atlas.canvas import write_drawing
from kernel_atlas.errors import job_log
from kernel_atlas.tables import read_csv, read_table


def read(path):
    return read_table(path).to_pandas() if path.endswith(".parquet") else read_csv(path)


with job_log(snakemake.log[0]):
    tables = {name: read(path) for name, path in snakemake.input.items() if name not in ("library", "style")}
    drawing = draw.draw(snakemake.wildcards.figure, snakemake.wildcards.size, snakemake.params.threshold, tables)
    written = snakemake.output
    write_drawing(drawing, written.figure, written.pdf, written.data, written.words)
