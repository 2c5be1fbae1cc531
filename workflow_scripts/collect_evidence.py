"""All sizes: a table each -> one table."""

from pathlib import Path

import pandas as pd

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import write_csv

with job_log(snakemake.log[0]):
    if not snakemake.input.parts:
        raise AtlasError("no evidence: no size has enough kernels for an autoencoder; see minimum_kernels")
    for path in snakemake.output.tables:
        named = [part for part in snakemake.input.parts if Path(part).name == Path(path).name]
        # as text, to keep the digits of numbers
        parts = [pd.read_csv(part, dtype=str, keep_default_na=False) for part in named]
        write_csv(pd.concat(parts, ignore_index=True), path)
end_job()
