"""All models: their assignments -> the tables of shares."""

import pandas as pd

from kernel_atlas.core.kernels import size_name
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.sheet import read_sheet
from kernel_atlas.io.tables import read_csv, read_table, write_csv
from kernel_atlas.model.encoder import read_encoder
from kernel_atlas.stats import shares
from kernel_atlas.stats.correlation import correlate

with job_log(snakemake.log[0]):
    given, params = snakemake.input, snakemake.params
    sheet, inventory = read_sheet(given.sheet), read_table(given.inventory).to_pandas()
    thresholds = {size_name(side): labeller.threshold for side, labeller in read_encoder(given.encoder).items()}
    counts, below = shares.count_assignments(given.assignments)
    noise_counts, noise = shares.count_assignments([given.noise])
    models, labels = shares.summarise_models(counts, sheet, params.seed), shares.summarise_labels(counts, params.seed)
    tables = {
        "models": models,
        "labels": labels,
        "totals": shares.summarise_totals(counts, models, params.seed),
        "chance": shares.summarise_chance(noise_counts, models, thresholds),
        "analysed": shares.count_analysed(sheet, inventory, params.sides),
        "layers": shares.summarise_layers(counts, inventory),
        "architectures": shares.compare_architectures(labels),
        "thresholds": shares.summarise_thresholds(pd.concat([below, noise])),
        "correlation": correlate(models, read_csv(given.datasets), params.seed),
        "drift": shares.measure_drift(given.assignments, sheet, params.seed),
    }
    for name, table in tables.items():
        write_csv(table, snakemake.output[name])
end_job()
