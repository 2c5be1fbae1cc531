"""Accuracies of all models with kernels replaced -> one table, means over models, a figure."""

import pandas as pd
from matplotlib import style

from kernel_atlas.canvas import STYLE, write_drawing
from kernel_atlas.draw_ablation import draw_ablation, summarise_ablation
from kernel_atlas.errors import AtlasError, job_log
from kernel_atlas.tables import write_csv

with job_log(snakemake.log[0]):
    output = snakemake.output
    if not snakemake.input.models:
        raise AtlasError("ablation: no network of the zoo in the sheet; name models under ablation: models")
    table = pd.concat([pd.read_csv(path) for path in snakemake.input.models], ignore_index=True)
    summary = summarise_ablation(table, snakemake.params.seed)
    write_csv(table.astype({"layer_index": "Int64"}), output.table, float_format="%.6g")
    write_csv(summary, output.summary, float_format="%.6g")
    with style.context(STYLE):
        drawing = draw_ablation(table, summary)
    write_drawing(drawing, output.figure, output.pdf, output.data, output.words)
