"""All models: their assignments -> the tables of shares."""

from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.sheet import read_sheet
from kernel_atlas.io.tables import read_csv, read_table, write_csv
from kernel_atlas.stats import shares
from kernel_atlas.stats.correlation import correlate
from kernel_atlas.stats.places import place_shares

with job_log(snakemake.log[0]):
    given, params = snakemake.input, snakemake.params
    sheet, inventory = read_sheet(given.sheet), read_table(given.inventory).to_pandas()
    thresholds = params.thresholds
    counts = shares.count_assignments(given.assignments, thresholds)
    noise = shares.count_assignments([given.noise], thresholds)
    models, labels = shares.summarise_models(counts, sheet, params.seed), shares.summarise_labels(counts, params.seed)
    tables = {
        "models": models,
        "labels": labels,
        "totals": shares.summarise_totals(counts, models),
        "chance": shares.summarise_chance(noise, models, thresholds),
        "places": place_shares(models[models["use"] != "control"], read_csv(given.reference)),
        "analysed": shares.count_analysed(sheet, inventory, params.sides),
        "layers": shares.summarise_layers(counts, inventory),
        "architectures": shares.compare_architectures(labels),
        "thresholds": shares.summarise_thresholds(counts, noise),
        "correlation": correlate(models, read_csv(given.datasets), params.seed),
        "drift": shares.measure_drift(given.assignments, sheet, params.seed),
    }
    for name, table in tables.items():
        write_csv(table, snakemake.output[name])
end_job()
