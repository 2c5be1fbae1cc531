"""One model: its checkpoint -> a shard per depthwise layer."""

from pathlib import Path

from kernel_atlas.io.extract import extract_model
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.sources import Wanted

with job_log(snakemake.log[0], model=snakemake.output.shards) as terminal:
    not_read = extract_model(
        snakemake.wildcards.model,
        snakemake.params.source,
        Wanted(
            Path(snakemake.params.folder),
            snakemake.params.convolution,
            snakemake.params.architecture,
            tuple((snakemake.params.leave_out or "").split()),
        ),
        Path(snakemake.output.shards),
        dense_per_layer=snakemake.params.dense_per_layer,
        seed=snakemake.params.seed,
        licence=snakemake.params.licence,
        permissive=snakemake.params.permissive,
    )
    if not_read:
        print(not_read)
        print(not_read, file=terminal)
end_job()
