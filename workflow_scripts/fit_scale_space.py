"""All sizes: the published filters and the prototypes of clusters -> discrete scale-space models of them."""

from pathlib import Path

from kernel_atlas.evidence.keys import read_filters
from kernel_atlas.evidence.scale_space import scale_space_table, summarise_scale_space
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.tables import read_table, write_csv
from kernel_atlas.model.clusters import find_prototypes, read_clusters

with job_log(snakemake.log[0]):
    prototypes = {
        Path(spectrum).parent.name: find_prototypes(read_table(spectrum), read_clusters(clusters))
        for spectrum, clusters in zip(snakemake.input.spectra, snakemake.input.clusters, strict=True)
    }
    table = scale_space_table(prototypes, read_filters(snakemake.input.filters))
    write_csv(table, snakemake.output.scale_space)
    write_csv(summarise_scale_space(table, snakemake.params.seed), snakemake.output.scale_space_summary)
end_job()
