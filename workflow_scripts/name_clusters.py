"""One size: its spectrum -> named stretches of the code."""

import pyarrow.parquet as pq

from kernel_atlas.clusters import read_clusters
from kernel_atlas.errors import job_log
from kernel_atlas.kernels import taps_array
from kernel_atlas.spectrum import find_clusters

with job_log(snakemake.log[0]):
    if snakemake.input.by_hand:
        clusters = read_clusters(snakemake.input.by_hand[0])
    else:
        spectrum = pq.read_table(snakemake.input.spectrum)
        clusters = find_clusters(
            taps_array(spectrum["decoded"]),
            spectrum["kernels"].to_numpy(),
            boundary=snakemake.params.boundary,
            smallest=snakemake.params.smallest_cluster,
        )
    clusters.to_csv(snakemake.output.clusters, sep="\t", index=False)
