"""All models: accuracies with kernels replaced, and moved to a cosine -> one table of each."""

import pandas as pd

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import read_csv, write_csv

with job_log(snakemake.log[0]):
    given, output = snakemake.input, snakemake.output
    if not given.models:
        raise AtlasError("ablation: no network of the zoo in the sheet; name models under ablation: models")
    table, cosines = (pd.concat(map(read_csv, paths), ignore_index=True) for paths in (given.models, given.cosines))
    write_csv(table.astype({"layer_index": "Int64"}), output.table, float_format="%.6g")
    write_csv(cosines, output.cosines, float_format="%.6g")
end_job()
