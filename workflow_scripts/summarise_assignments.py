"""All models: their assignments -> the tables of shares."""

import pandas as pd

from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.sheet import read_sheet
from kernel_atlas.io.tables import read_table, write_csv
from kernel_atlas.stats import shares as statistics

with job_log(snakemake.log[0]):
    seed, output = snakemake.params.seed, snakemake.output
    sheet, inventory = read_sheet(snakemake.input.sheet), read_table(snakemake.input.inventory).to_pandas()
    counts, below = statistics.count_assignments(snakemake.input.assignments)
    noise_counts, noise = statistics.count_assignments([snakemake.input.noise])
    models = statistics.summarise_models(counts, sheet, seed)
    labels = statistics.summarise_labels(counts, seed)
    write_csv(models, output.models)
    write_csv(labels, output.labels)
    write_csv(statistics.summarise_totals(counts, models, seed), output.totals)
    write_csv(statistics.summarise_chance(noise_counts, models, snakemake.params.thresholds), output.chance)
    write_csv(statistics.count_analysed(sheet, inventory, snakemake.params.sides), output.analysed)
    write_csv(statistics.summarise_layers(counts, inventory), output.layers)
    write_csv(statistics.compare_architectures(labels), output.architectures)
    write_csv(statistics.summarise_thresholds(pd.concat([below, noise])), output.thresholds)
    write_csv(statistics.correlate(models), output.correlation)
    write_csv(statistics.measure_drift(snakemake.input.assignments, sheet, seed), output.drift)
end_job()
