"""One size: the picked kernels -> how well the published master keys and other small sets of keys match them."""

from kernel_atlas.evidence.keys import read_filters, tables_of
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import read_table, write_csv
from kernel_atlas.model.clusters import read_clusters

with job_log(snakemake.log[0]):
    given, size = snakemake.input, snakemake.wildcards.size
    tables = tables_of(
        size,
        read_table(given.kernels),
        read_table(given.spectrum),
        read_clusters(given.clusters),
        filters=read_filters(given.filters) if size == "7x7" else None,
        tolerance=snakemake.params.key_tolerance,
        seed=snakemake.params.seed,
    )
    for name, table in tables.items():
        write_csv(table, snakemake.output[name])
end_job()
