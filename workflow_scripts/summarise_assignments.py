"""All models: their assignments -> the tables of shares."""

import pandas as pd

from kernel_atlas import statistics
from kernel_atlas.errors import job_log
from kernel_atlas.sheet import read_sheet

with job_log(snakemake.log[0]):
    seed, output = snakemake.params.seed, snakemake.output
    sheet, inventory = read_sheet(snakemake.input.sheet), pd.read_parquet(snakemake.input.inventory)
    counts, below = statistics.count_assignments(snakemake.input.assignments)
    _, noise = statistics.count_assignments([snakemake.input.noise])
    models = statistics.summarise_models(counts, sheet, seed)
    labels = statistics.summarise_labels(counts, seed)
    models.to_csv(output.models, index=False)
    labels.to_csv(output.labels, index=False)
    statistics.summarise_totals(counts, models, seed).to_csv(output.totals, index=False)
    statistics.summarise_layers(counts, inventory).to_csv(output.layers, index=False)
    statistics.compare_architectures(labels).to_csv(output.architectures, index=False)
    statistics.summarise_thresholds(pd.concat([below, noise])).to_csv(output.thresholds, index=False)
    statistics.correlate(models).to_csv(output.correlation, index=False)
    statistics.measure_drift(snakemake.input.assignments, sheet, seed).to_csv(output.drift, index=False)
