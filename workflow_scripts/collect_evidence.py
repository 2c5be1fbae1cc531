"""All sizes: the tables of each -> one of all."""

from pathlib import Path

import pandas as pd

from kernel_atlas.errors import job_log
from kernel_atlas.tables import write_csv

with job_log(snakemake.log[0]):
    for path in snakemake.output.tables:
        parts = [pd.read_csv(part) for part in snakemake.input.parts if Path(part).name == Path(path).name]
        write_csv(pd.concat(parts, ignore_index=True), path)
