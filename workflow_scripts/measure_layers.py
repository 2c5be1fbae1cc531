"""All models: their shards -> measures of each layer, and how alike the layers of different networks are."""

from kernel_atlas.evidence.layers import analyse_layers
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import read_csv, read_table, write_csv
from kernel_atlas.stats.shares import one_per_group

with job_log(snakemake.log[0]):
    given, params = snakemake.input, snakemake.params
    by_size = read_csv(given.models).groupby("size")
    tables = analyse_layers(
        given.shards,
        read_table(given.inventory).to_pandas(),
        params.subjects,
        independent={size: set(one_per_group(part)["model"]) for size, part in by_size},
        groups=params.groups,
        sides=params.sides,
        seed=params.seed,
    )
    for name, table in tables.items():
        write_csv(table, snakemake.output[name])
end_job()
