"""All models: maps of kernels -> one table of layers."""

from pathlib import Path

import pandas as pd

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import read_csv, write_csv
from kernel_atlas.training.map_summaries import sum_up_layers

with job_log(snakemake.log[0]):
    if not snakemake.input.models:
        raise AtlasError("maps: no network of the zoo in the sheet; name models under ablation: models")
    units = snakemake.params.units
    tables = [sum_up_layers(read_csv(path), units[Path(path).stem]) for path in snakemake.input.models]
    write_csv(pd.concat(tables, ignore_index=True), snakemake.output.table, float_format="%.4g")
end_job()
