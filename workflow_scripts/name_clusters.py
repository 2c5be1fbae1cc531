"""One size: its spectrum -> named stretches of the code."""

from kernel_atlas.core.kernels import taps_array
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import read_table, write_csv
from kernel_atlas.model.clusters import read_clusters
from kernel_atlas.model.naming import find_clusters

with job_log(snakemake.log[0]):
    if snakemake.input.by_hand:
        clusters = read_clusters(snakemake.input.by_hand[0])
    else:
        spectrum = read_table(snakemake.input.spectrum)
        clusters = find_clusters(
            taps_array(spectrum["decoded"]),
            spectrum["kernels"].to_numpy(),
            boundary=snakemake.params.boundary,
            smallest=snakemake.params.smallest_cluster,
        )
    write_csv(clusters, snakemake.output.clusters)
end_job()
