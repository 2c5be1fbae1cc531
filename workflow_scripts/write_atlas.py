"""The run: every kernel with code and label -> one page to explore them."""

from pathlib import Path

from kernel_atlas.core.patterns import read_patterns
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.sheet import read_sheet
from kernel_atlas.io.tables import read_csv, read_table
from kernel_atlas.model.assign import Assigner
from kernel_atlas.model.encoder import read_encoder
from kernel_atlas.publish.atlas import write_atlas

with job_log(snakemake.log[0]):
    given, names = snakemake.input, [Path(folder).name for folder in snakemake.input.kernels]
    write_atlas(
        snakemake.output.atlas,
        given.template,
        title=snakemake.params.title,
        sheet=read_sheet(given.sheet),
        kernels=dict(zip(names, given.kernels, strict=True)),
        assignments=dict(zip(names, given.assignments, strict=True)),
        assigner=Assigner(read_patterns(given.patterns), read_encoder(given.encoder), snakemake.params.thresholds),
        spectra={Path(spectrum).parent.name: read_table(spectrum) for spectrum in given.spectra},
        statistics={Path(table).stem: read_csv(table) for table in given.statistics},
        seed=snakemake.params.seed,
        fits=read_csv(given.fits[0]) if given.fits else None,
    )
end_job()
