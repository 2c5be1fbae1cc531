"""What all stages share: the checked configuration and sheet, and the functions that name inputs."""

import ast
import os
import re
import sys
from itertools import chain

import pandas as pd
import yaml

# of this project, also where another workflow imports it as a module
BASE = os.path.dirname(workflow.current_basedir.get_path_or_uri(False))
sys.path.insert(0, BASE)
# Scripts import kernel_atlas from here, installed or not.
os.environ.update(PYTHONPATH=BASE)

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.evidence.kernels import subject_of
from kernel_atlas.figures import registry
from kernel_atlas.io.sheet import USES, check_config, permissive_only, read_sheet
from kernel_atlas.io.shards import forget_failure, reason_of, shards_of
from kernel_atlas.io.tables import DESCRIPTIONS, check_schema, read_csv
from kernel_atlas.model.clusters import read_clusters

TABLES = yaml.load(
    DESCRIPTIONS.read_bytes(), yaml.CSafeLoader
)  # as schemas/tables.yaml describes them


wildcard_constraints:
    model=r"[A-Za-z0-9_.-]+",
    size=r"[0-9]+x[0-9]+",
    net=r"[A-Za-z0-9_.-]+",


def memory(megabytes):
    """So much memory, and as much more with each attempt: what was too little is not tried again."""
    return lambda wildcards, attempt: megabytes * attempt


def beside(path):
    """A file of this project as seen from the working directory, so that moving both reruns nothing."""
    return os.path.relpath(os.path.join(BASE, path))


def find_file(path):
    """A file that the configuration names: in the working directory if it is there, else beside the Snakefile."""
    return (
        path
        if os.path.exists(path) or not os.path.exists(beside(path))
        else beside(path)
    )


def library(script, *modules):
    """The modules of kernel_atlas that a script imports, directly or not, and these beside what they import.

    As named inputs they make an edited module rerun the rules that use it, which Snakemake does not see by itself.
    """
    found = {os.path.join(BASE, "kernel_atlas", module) for module in modules}
    waiting = [os.path.join(BASE, "workflow_scripts", script), *found]
    while waiting:
        with open(waiting.pop(), encoding="utf-8") as file:
            imports = [
                node
                for node in ast.walk(ast.parse(file.read()))
                if isinstance(node, ast.ImportFrom)
            ]
        for node in imports:
            package = node.module or ""
            names = [node.module] + [f"{package}.{alias.name}" for alias in node.names]
            for name in names if package.split(".")[0] == "kernel_atlas" else []:
                path = os.path.join(BASE, *name.split(".")) + ".py"
                if os.path.exists(path) and path not in found:
                    found.add(path)
                    waiting.append(path)
    return sorted(os.path.relpath(path) for path in found)


def figure_library(wildcards):
    """The modules that draw one figure: an edit of one figure's module draws no other again."""
    return library("draw_figure.py", f"figures/{wildcards.figure}.py")


def models_read(*uses):
    """Those of `models_of` whose kernels could be read; known once every model was tried."""
    sources = read_csv(checkpoints.collect_inventory.get().output.sources)
    read = set(sources.loc[sources["failure"].isna(), "model"])
    return [model for model in models_of(*uses) if model in read]


def files_of(pattern, *uses):
    """One file of each model that has one of these uses and could be read."""
    return lambda wildcards: expand(
        pattern, model=models_read(*uses), allow_missing=True
    )


def trained_sizes():
    """The sizes with enough kernels for an autoencoder; known once the kernels are counted."""
    counts = read_csv(checkpoints.collect_inventory.get().output.sizes)
    return counts.loc[counts["trained"], "size"].tolist()


def models_of(*uses):
    """The models of the sheet with one of these uses, sorted: the order of the sheet changes nothing."""
    return sorted(MODELS.index[MODELS["use"].isin(uses)])


def checkpoint_file(wildcards):
    """The local file of a model. One that is missing is not an input: it must fail its own model, not the whole run."""
    scheme, _, path = MODELS.at[wildcards.model, "source"].partition(":")
    path = os.path.join(os.path.dirname(SHEET), path)
    return [path] if scheme == "file" and os.path.exists(path) else []


def on_hub(model):
    """Whether the kernels of a model come over the network."""
    return MODELS.at[model, "source"].startswith(("timm:", "hf:"))


def known_to_timm(wildcards):
    """The table that tells a network of timm from what its checkpoint holds besides."""
    source = MODELS.at[wildcards.model, "source"]
    return (
        [beside("resources/timm_layers.parquet")] if source.startswith("timm:") else []
    )


def only_dense(key):
    """A value of the configuration, for the models it matters to."""
    return lambda wildcards: (
        config[key] if MODELS.at[wildcards.model, "convolution"] == "dense" else 0
    )


def must_be_permissive(wildcards):
    """Whether the licence of a model, which the sheet does not state, decides if it may take part."""
    source, licence = MODELS.loc[wildcards.model, ["source", "licence"]]
    return (
        config["licences"] == "permissive"
        and not licence
        and not source.startswith("init:")
    )


def clusters_by_hand(wildcards):
    """The file that replaces the clusters found, if the configuration names one."""
    path = config["clusters"].get(wildcards.size)
    return [find_file(path)] if path else []


def of_sizes(*patterns):
    """One file of each trained size, for each pattern."""
    return lambda wildcards: expand(patterns, size=trained_sizes())


def atlas_files(name):
    """One file of the autoencoder of each trained size."""
    return of_sizes(f"results/autoencoder/{{size}}/{name}")


def answers(question):
    """The tables that answer a question of the evidence, by name; where they are made of each size, with `{size}`."""
    paths = [
        name for name, table in TABLES.items() if table.get("question") == question
    ]
    named = {os.path.splitext(os.path.basename(path))[0]: path for path in paths}
    made = {
        name: re.sub(r"\*\*|\*x\*", "{size}", f"results/{path}")
        for name, path in named.items()
    }
    return {
        name: path if "{size}" in path else shown(path, "Evidence")
        for name, path in made.items()
    }


def whole(*tables):
    """Tables of evidence of all sizes, by name."""
    return {table: f"results/evidence/{table}.csv" for table in tables}


def subjects():
    """What each model is to the evidence: real, untrained or dense."""
    return {
        model: subject_of(*MODELS.loc[model, ["use", "convolution"]])
        for model in sorted(MODELS.index)
    }


def stated(column):
    """Model -> what the sheet states in a column, of the models for which it does."""
    return MODELS[column].dropna().sort_index().to_dict()


def shown(path, category="Tables"):
    """A table about all models that Snakemake's own report shows."""
    name = os.path.splitext(os.path.basename(path))[0]
    return report(
        path,
        caption="captions/table.rst",
        category=category,
        labels={"table": name, "model": "all", "size": "all"},
    )


def experiment_figure(path, experiment="{experiment}"):
    """The figure of an experiment that Snakemake's own report shows."""
    return report(
        path,
        caption="captions/experiment.rst",
        category="Experiments",
        labels={"figure": experiment, "model": "all", "size": "all"},
    )


def figure_category(wildcards):
    """Where Snakemake's own report shows a figure."""
    return "Evidence" if wildcards.figure in registry.EVIDENCE else "Figures"


def tables_drawn(wildcards):
    """The tables of one figure, by the names its function gives them."""
    return {
        name: (
            beside(path)
            if path.startswith("resources/")
            else path.format(size=wildcards.size)
        )
        for name, path in FIGURES[wildcards.figure].items()
    }


def figures_of(size):
    """The figures that a size has: k-means only where the configuration asks for it."""
    asked = int(size.split("x")[0]) in config["kmeans_sizes"]
    return [figure for figure in FIGURES if figure != "kmeans" or asked]


def figure_files(extension):
    """A file of every figure of every trained size, in the order of the page."""
    return lambda wildcards: [
        f"results/figures/{figure}_{size}.{extension}"
        for size in trained_sizes()
        for figure in figures_of(size)
    ]


def of_model(column):
    """A cell of the sheet for the model of a job, None where it is empty."""
    return lambda wildcards: MODELS.at[wildcards.model, column]


def ablated(pattern):
    """A file of each model whose kernels are to be replaced: by default those of the zoo that train."""
    zoo = MODELS["architecture"].fillna("").str.startswith("zoonet_")
    chosen = config["ablation"]["models"] or models_of("train")
    return expand(
        pattern,
        model=[m for m in chosen if config["ablation"]["models"] or zoo[m]],
    )


def kept(ending):
    """A file of the figure of each experiment whose results are kept."""
    return [f"results/figures/experiment_{each}.{ending}" for each in KEPT.index]


def runs_of(experiment):
    """The runs of an experiment, each with its seed: rows of the table of conditions."""
    chosen = [
        row for row in CONDITIONS.itertuples() if experiment in row.experiments.split()
    ]
    return [
        {
            "condition": row.Index,
            "title": row.title,
            "against": row.against,
            "kernel": row.kernel,
            "seed": seed,
        }
        for row in chosen
        for seed in SEEDS
    ]


def run_files(name):
    """A file of each run of an experiment."""
    return lambda wildcards: [
        f"{RUNS}/runs/{run['condition']}_s{run['seed']}/{name}"
        for run in runs_of(wildcards.experiment)
    ]


def unit_file(wildcards):
    """The file with the kernels that a condition starts from or is pulled towards, if these are in a file."""
    files = {
        "prototypes": ENCODER,
        "scrambled_prototypes": ENCODER,
        "master_keys": beside("resources/master_key_filters.csv"),
    }
    named = CONDITIONS.loc[wildcards.condition, ["start", "towards"]]
    return [files[name] for name in named if name in files]


def of_net(column):
    """A column of config/zoo.tsv for the net of a job, trained or not."""
    return lambda wildcards: NETS.at[wildcards.net.removesuffix("_init"), column]


def forget_failures(say=False):
    """Leave nothing of the models that could not be read, so that the next run tries them again; and name them."""
    failed = [
        model
        for model in sorted(MODELS.index)
        if forget_failure(f"results/kernels/{model}")
    ]
    if say and failed:
        raise SystemExit(
            f"error: {len(failed)} of {len(MODELS)} models could not be read and are left out: {', '.join(failed)}; "
            "the reasons are above and in results/logs/extract_kernels; mend them or take them out of "
            f"{SHEET}, and run again"
        )


try:
    if not os.access(".", os.W_OK):
        raise AtlasError(
            f"{os.getcwd()}: not writable; choose another folder with --directory"
        )
    config = check_config(config, os.path.join(BASE, "schemas/config.schema.yaml"))
    SHEET = find_file(config["models"])
    MODELS = read_sheet(SHEET)
    if config["licences"] == "permissive":
        MODELS = permissive_only(MODELS)
    MODELS = MODELS.set_index("model", drop=False)
    SIZES = [f"{side}x{side}" for side in config["sizes"]]
    for size in SIZES:
        if size not in config["thresholds"]:
            raise AtlasError(
                f"configuration: thresholds: none for size {size}; add {size}: 0.3"
            )
    for key in ("thresholds", "clusters"):
        for size in (
            set(config[key]) - set(SIZES) - {"3x3", "5x5", "7x7", "9x9", "11x11"}
        ):
            raise AtlasError(
                f"configuration: {key}: {size} is none of the sizes; add it to sizes"
            )
    for path in config["clusters"].values():
        read_clusters(find_file(path))
    for model in config["ablation"]["models"]:
        if model not in MODELS.index:
            raise AtlasError(
                f"configuration: ablation: models: {model} is not in {SHEET}; add it there"
            )
    check_schema("results/inventory.parquet")
    # Snakemake does not look into folders. Its jobs on a cluster need not look again.
    for model in MODELS.index if workflow.is_main_process else []:
        folder = f"results/kernels/{model}"
        if os.path.exists(folder) and reason_of(folder) is None:
            shards_of(folder)
except AtlasError as error:
    raise SystemExit(f"error: {error}")  # the one line that says what to mend
