"""Answers of the networks of an experiment, and the pairs that decide it -> each pair judged."""

import pandas as pd

from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import read_table, write_csv
from kernel_atlas.training.verdict import judge

with job_log(snakemake.log[0]):
    given, runs = snakemake.input, snakemake.params.runs
    answers = {
        (run["condition"], run["seed"]): read_table(path)["right"].to_numpy()
        for run, path in zip(runs, given.answers, strict=True)
    }
    titles = {run["condition"]: run["title"] for run in runs}
    table = judge(pd.read_csv(given.pairs, sep="\t"), titles, answers)
    write_csv(table, snakemake.output.table, float_format="%.5g")
end_job()
