"""A page of the run, or the tables of reference networks -> a picture of the documents."""

import sys
from pathlib import Path

from kernel_atlas.io.job import end_job, job_log

with job_log(snakemake.log[0]):
    sys.path.insert(0, str(Path(snakemake.input.drawn_by).parent))
    from pictures import draw_kept

    draw_kept(snakemake.wildcards.picture, snakemake.input.page, snakemake.output.picture)
end_job()
