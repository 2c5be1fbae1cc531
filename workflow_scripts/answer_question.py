"""One question: its inputs -> the tables from `answer` of its module in kernel_atlas/evidence."""

import importlib
import sys

from kernel_atlas.evidence.kernels import read_filters, training_units
from kernel_atlas.io.job import end_job, job_log
from kernel_atlas.io.merge import training_kernels
from kernel_atlas.io.tables import read_csv, read_table, write_csv, write_table
from kernel_atlas.model.clusters import read_clusters
from kernel_atlas.model.encoder import read_encoder

READERS = {  # inputs other than CSV files
    "filters": read_filters,
    "inventory": lambda path: read_table(path).to_pandas(),
    "picked": read_table,
    "posed": read_clusters,
    "shards": list,  # paths; all shards exceed memory, so that the question opens one at a time
    "spectrum": read_table,
}


def read(name, path, size):
    """The arguments of `answer` that an input stands for."""
    if name == "encoder":
        labellers = read_encoder(path)
        return {"labeller": labellers[int(size.split("x")[0])]} if size else {"labellers": labellers}
    if name == "merged":
        return {"kernels": training_kernels(path), "units": training_units(path)}
    return {name: READERS.get(name, read_csv)(path)}


with job_log(snakemake.log[0]):
    size, given = snakemake.wildcards.get("size"), dict(snakemake.params.items())
    module = importlib.import_module(f"kernel_atlas.evidence.{given.pop('question')}")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(snakemake.threads)
    if size:
        given["size"] = size
    if "gpu" in snakemake.resources.keys():
        given["gpu"] = snakemake.resources.gpu
    for name, path in snakemake.input.items():
        if name != "library":
            given |= read(name, path, size)
    tables = module.answer(**given)
    for name, path in snakemake.output.items():
        write = write_table if path.endswith(".parquet") else write_csv
        write(tables[name], path)
end_job()
