"""One size: its spectrum -> named stretches of the code."""

from kernel_atlas.clusters import read_clusters
from kernel_atlas.errors import job_log
from kernel_atlas.kernels import taps_array
from kernel_atlas.spectrum import find_clusters
from kernel_atlas.tables import read_table, write_csv

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
