"""The whole run: every kernel with its code and label -> one page to explore them."""

from pathlib import Path

from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.sheet import read_sheet
from kernel_atlas.io.tables import read_csv, read_table
from kernel_atlas.model.clusters import read_clusters
from kernel_atlas.publish.atlas import Size, write_atlas

with job_log(snakemake.log[0]):
    given, names = snakemake.input, [Path(folder).name for folder in snakemake.input.kernels]
    sizes = {}
    for spectrum, clusters in zip(given.spectra, given.clusters, strict=True):
        size = Path(spectrum).parent.name
        sizes[size] = Size(read_table(spectrum), read_clusters(clusters), snakemake.params.thresholds[size])
    write_atlas(
        snakemake.output.atlas,
        given.template,
        title=snakemake.params.title,
        sheet=read_sheet(given.sheet),
        kernels=dict(zip(names, given.kernels, strict=True)),
        assignments=dict(zip(names, given.assignments, strict=True)),
        sizes=sizes,
        fits=read_csv(given.fits[0]) if given.fits else None,
    )
end_job()
