"""The run: shares of its networks that train -> the tables that other networks are placed among; and its encoder."""

import shutil

from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.sheet import read_sheet
from kernel_atlas.io.tables import columns_of, read_csv, whole, write_csv

with job_log(snakemake.log[0]):
    given, written = snakemake.input, snakemake.output
    models, sheet = read_csv(given.models), read_sheet(given.sheet).set_index("model")
    models = models[(models["use"] == "train") & (models["convolution"] == "depthwise")]
    models["origin"] = models["model"].map(sheet["origin"].fillna(sheet["source"]))
    write_csv(models[columns_of("networks.csv")], written.networks, float_format="%.4f")
    write_csv(read_csv(given.totals)[columns_of("shares.csv")], written.shares, float_format="%.4f")
    with whole(written.encoder) as partial:
        shutil.copyfile(given.encoder, partial)
end_job()
