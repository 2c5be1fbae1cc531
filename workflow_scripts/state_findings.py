"""The run: its tables -> findings in sentences."""

from pathlib import Path

import pandas as pd

from kernel_atlas.findings.registry import state_findings
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import read_csv, read_table, write_csv

with job_log(snakemake.log[0]):
    given = snakemake.input
    sizes = read_csv(given.sizes)
    sizes = sizes.loc[sizes["trained"], "size"].tolist()
    tables = {Path(path).stem: read_csv(path) for path in given.tables}
    histories = [
        read_table(path).to_pandas().assign(size=size) for size, path in zip(sizes, given.histories, strict=True)
    ]
    if histories:
        tables["history"] = pd.concat(histories)
    write_csv(state_findings(tables, sizes), snakemake.output.findings)
end_job()
