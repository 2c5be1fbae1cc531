"""All models: accuracies with kernels replaced -> one table."""

import pandas as pd

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import read_csv, write_csv

with job_log(snakemake.log[0]):
    if not snakemake.input.models:
        raise AtlasError("ablation: no network of the zoo in the sheet; name models under ablation: models")
    table = pd.concat([read_csv(path) for path in snakemake.input.models], ignore_index=True)
    write_csv(table.astype({"layer_index": "Int64"}), snakemake.output.table, float_format="%.6g")
end_job()
