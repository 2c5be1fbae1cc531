"""All models: the tables of shares -> what goes with the share clustered and with depth, where thresholds bend."""

import pandas as pd

from kernel_atlas.errors import job_log
from kernel_atlas.evidence.comparisons import compare
from kernel_atlas.tables import write_csv

with job_log(snakemake.log[0]):
    given = snakemake.input
    tables = compare(
        models=pd.read_csv(given.models, dtype={"model": str}),
        layers=pd.read_csv(given.layers, dtype={"model": str}),
        architectures=pd.read_csv(given.architectures, dtype={"model_a": str, "model_b": str}),
        thresholds=pd.read_csv(given.thresholds, dtype={"model": str}),
        datasets=pd.read_csv(given.datasets, sep="\t"),
        contrasts=pd.read_csv(given.contrasts, sep="\t"),
        default_thresholds=snakemake.params.thresholds,
        seed=snakemake.params.seed,
    )
    for name, table in tables.items():
        write_csv(table, snakemake.output[name])
