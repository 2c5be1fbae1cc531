"""Shared by all stages: the checked configuration and sheet, and input functions."""

import ast
import functools
import os
import re
import sys
import time
from itertools import chain
from pathlib import Path

import pandas as pd
import yaml

# this project's folder, also if another workflow imports it as a module
BASE = os.path.dirname(workflow.current_basedir.get_path_or_uri(False))
sys.path.insert(0, BASE)
# scripts import kernel_atlas from here, installed or not; no backend of a notebook draws
os.environ.update(PYTHONPATH=BASE, MPLBACKEND="Agg")

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.patterns import read_patterns
from kernel_atlas.evidence.kernels import subject_of
from kernel_atlas.figures import registry
from kernel_atlas.findings import questions
from kernel_atlas.io.formats.signatures import opened_files
from kernel_atlas.io.packages import files_to_watch
from kernel_atlas.io.results import begin_run, end_run
from kernel_atlas.io.sheet import USES, check_config, permissive_only, read_sheet
from kernel_atlas.io.shards import forget_failure, reason_of, shards_of
from kernel_atlas.io.tables import DESCRIPTIONS, check_schema, read_csv
from kernel_atlas.model.clusters import read_clusters
from kernel_atlas.publish.report import versions
from kernel_atlas.stats.independence import related

STARTED = time.time()
# every table of results, as schemas/tables.yaml describes it
TABLES = yaml.load(DESCRIPTIONS.read_bytes(), yaml.CSafeLoader)


wildcard_constraints:
    model=r"[A-Za-z0-9_.-]+",
    size=r"[0-9]+x[0-9]+",
    net=r"[A-Za-z0-9_.-]+",


def memory(megabytes):
    """Memory in proportion to the attempt, so that a retry gets more."""
    return lambda wildcards, attempt: megabytes * attempt


def beside(path):
    """Path of a project file relative to the working directory, so that moving both reruns nothing."""
    return os.path.relpath(os.path.join(BASE, path))


def find_file(path):
    """Path of a configured file: in the working directory if it exists there, else beside the Snakefile."""
    ours = beside(path)
    return ours if os.path.exists(ours) and not os.path.exists(path) else path


@functools.cache
def imports_of(path):
    """Modules of this project that a file imports; kept, as 46 rules ask for the same files."""
    nodes = ast.walk(ast.parse(Path(path).read_text("utf-8")))
    # of `from package import name`, the only form in this project
    nodes = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    names = {f"{node.module}.{each.name}" for node in nodes for each in node.names}
    names |= {node.module for node in nodes}
    paths = (os.path.join(BASE, *name.split(".")) + ".py" for name in names)
    return set(filter(os.path.exists, paths))


def library(script, *modules):
    """The given modules and the transitive imports, in kernel_atlas, of these and of a script.

    As inputs they rerun the rules that use an edited module; Snakemake itself tracks scripts only.
    """
    found = {os.path.join(BASE, "kernel_atlas", module) for module in modules}
    waiting = [os.path.join(BASE, "workflow_scripts", script), *found]
    while waiting:
        new = imports_of(waiting.pop()) - found
        found |= new
        waiting += new
    return sorted(os.path.relpath(path) for path in found)


def figure_library(wildcards):
    """Modules of one figure, so that an edit redraws no other figure."""
    return library("draw_figure.py", f"figures/{wildcards.figure}.py")


def files_of(pattern, *uses):
    """One file of each readable model with one of these uses; known after extraction."""

    def files(wildcards):
        sources = read_csv(checkpoints.collect_inventory.get().output.sources)
        read = set(sources.loc[sources["failure"].isna(), "model"])
        models = [model for model in models_of(*uses) if model in read]
        return expand(pattern, model=models, allow_missing=True)

    return files


def trained_sizes():
    """Sizes with enough kernels for an autoencoder; known after extraction."""
    counts = read_csv(checkpoints.collect_inventory.get().output.sizes)
    return counts.loc[counts["trained"], "size"].tolist()


def models_of(*uses):
    """Models of the sheet with one of these uses, sorted so that the order of the sheet has no effect."""
    return sorted(MODELS.index[MODELS["use"].isin(uses)])


def files_read(model):
    """Local files of a model; none if they are missing, so that it fails its own model only."""
    scheme, _, path = MODELS.at[model, "source"].partition(":")
    if scheme == "package":
        return [os.path.relpath(file) for file in files_to_watch(*path.split(":", 1))]
    path = Path(os.path.dirname(SHEET), path)
    files = opened_files(path) if scheme == "file" else []
    return [str(file) for file in files if file.exists()]


def checkpoint_files(wildcards):
    """Local files of a model that Snakemake can track: a brace in a path means a wildcard to it."""
    return [file for file in files_read(wildcards.model) if not re.search("[{}]", file)]


def changed(wildcards):
    """Times of change of the other files, so that a change reads them again."""
    files = files_read(wildcards.model)
    return [os.stat(file).st_mtime_ns for file in files if re.search("[{}]", file)]


def on_hub(model):
    """Whether a model's source needs the network."""
    return MODELS.at[model, "source"].startswith(("timm:", "hf:"))


def known_to_timm(wildcards):
    """The table of timm's depthwise layers, an input where timm may know the architecture."""
    source = MODELS.at[wildcards.model, "source"]
    architecture = MODELS.at[wildcards.model, "architecture"]
    asked = source.startswith("timm:") or (
        architecture and source.startswith(("file:", "hf:", "package:"))
    )
    return [beside("resources/timm_layers.parquet")] if asked else []


def only_dense(key):
    """A value of the configuration for regular convolutions, 0 for other models."""
    return lambda wildcards: (
        config[key] if MODELS.at[wildcards.model, "convolution"] == "dense" else 0
    )


def must_be_permissive(wildcards):
    """Whether extraction must check a licence: a permissive one is required and the sheet states none."""
    return (
        config["licences"] == "permissive"
        and not MODELS.at[wildcards.model, "licence"]
        and not MODELS.at[wildcards.model, "source"].startswith("init:")
    )


def clusters_by_hand(wildcards):
    """The configured file that replaces the found clusters, if any."""
    path = config["clusters"].get(wildcards.size)
    return [find_file(path)] if path else []


def of_sizes(*patterns):
    """One file of each trained size, for each pattern."""
    return lambda wildcards: expand(patterns, size=trained_sizes())


def labeller(wildcards):
    """The labeller of the run. Planned before its sizes are known, the rules that take it would run again."""
    trained_sizes()
    return "results/encoder.safetensors"


def answers(question):
    """Tables of a question of the evidence, by name; paths of tables per size have `{size}`."""
    found = {}
    for described, table in TABLES.items():
        if table.get("question") == question:
            path = re.sub(r"\*\*|\*x\*", "{size}", f"results/{described}")
            shows = "{size}" not in path
            found[Path(path).stem] = shown(path, "Evidence") if shows else path
    return found


def whole(*tables):
    """Tables of evidence of all sizes, by name."""
    return {table: f"results/evidence/{table}.csv" for table in tables}


def subjects():
    """Model -> real, untrained or dense, for the evidence."""
    return {
        model: subject_of(*MODELS.loc[model, ["use", "convolution"]])
        for model in sorted(MODELS.index)
    }


def units():
    """Model -> what it is a part of, for the evidence: related networks count as one."""
    return related(MODELS).sort_index().to_dict()


def stated(column):
    """Model -> value of a column of the sheet, without empty cells."""
    return MODELS[column].dropna().sort_index().to_dict()


def shown(path, category="Tables", kind="table", name=None):
    """A table about all models in Snakemake's own report, or the figure of an experiment."""
    return report(
        path,
        caption=f"captions/{'table' if kind == 'table' else 'experiment'}.rst",
        category=category,
        labels={kind: name or Path(path).stem, "model": "all", "size": "all"},
    )


def experiment_figure(path, experiment="{experiment}"):
    """The figure of an experiment in Snakemake's own report."""
    return shown(path, "Experiments", "figure", experiment)


def figure_category(wildcards):
    """Category of a figure in Snakemake's own report."""
    return "Evidence" if registry.is_evidence(wildcards.figure) else "Figures"


def tables_drawn(wildcards):
    """Tables of one figure, by the parameter names of its function."""
    tables = (registry.FIGURES | registry.OVERVIEWS)[wildcards.figure]
    return {
        name: path.format_map(dict(wildcards.items())) for name, path in tables.items()
    }


def figure_files(ending, names=(*registry.FIGURES, *registry.OVERVIEWS)):
    """A file of each figure in this order, the largest size first; k-means and evidence only as configured."""
    asked = [f"{side}x{side}" for side in config["kmeans_sizes"]]
    wanted = [
        name
        for name in names
        if config["evidence"]["wanted"] or not registry.is_evidence(name)
    ]
    return lambda wildcards: [
        f"results/figures/{name}{size}.{ending}"
        for name in wanted
        for size in (
            [
                f"_{size}"
                for size in trained_sizes()[::-1]
                if name != "kmeans" or size in asked
            ]
            if name in registry.FIGURES
            else [""]
        )
    ]


def of_model(column):
    """Cell of the sheet for the model of a job, None if empty."""
    return lambda wildcards: MODELS.at[wildcards.model, column]


def of_zoo():
    """Whether each model is a network of the zoo, which brings its images."""
    return MODELS["architecture"].fillna("").str.startswith("zoonet_")


def ablated(pattern):
    """A file of each model of the ablation.

    By default the training models of the zoo and, with images for others, the smallest of these with a top-1.
    """
    training = MODELS[MODELS["use"] == "train"]
    zoo = of_zoo()[training.index]
    known = training[["top1", "architecture"]].notna().all(axis=1)
    others = training[known & ~zoo]
    smallest = others.sort_index().sort_values("params", kind="stable").index[:1]
    chosen = [*training.index[zoo], *(smallest if config["ablation"]["images"] else [])]
    return expand(pattern, model=config["ablation"]["models"] or sorted(chosen))


# of networks not of the zoo, where the configuration does not say: a photograph takes a hundred times as long
PHOTOGRAPHS = {"test_images": 500, "part_images": 64, "train_images": 0}


def ablation_options(wildcards):
    """The configuration of the ablation without the list of models, so that a new one reruns no other."""
    options = dict(config["ablation"])
    del options["models"]
    if not of_zoo()[wildcards.model]:
        unsaid = PHOTOGRAPHS.keys() - STATED_ABLATION
        options |= {name: PHOTOGRAPHS[name] for name in unsaid}
    return options


def map_options(wildcards):
    """What maps of kernels take of the configuration of the ablation: images and draws."""
    options = ablation_options(wildcards)
    return {name: options[name] for name in ("images", "test_images", "draws")}


def kept(ending):
    """A file of the figure of each experiment with kept results."""
    return [f"results/figures/experiment_{each}.{ending}" for each in KEPT.index]


def runs_of(experiment):
    """Runs of an experiment with their seeds, from the table of conditions."""
    asked = CONDITIONS["experiments"].str.split().map(lambda names: experiment in names)
    about = CONDITIONS.loc[asked, ["title", "against", "kernel"]].reset_index()
    return [row | {"seed": seed} for row in about.to_dict("records") for seed in SEEDS]


def run_files(name):
    """A file of each run of the experiment in the wildcard, or else of the judged one."""
    return lambda wildcards: [
        f"{RUNS}/runs/{run['condition']}_s{run['seed']}/{name}"
        for run in runs_of(wildcards.get("experiment", JUDGED))
    ]


def unit_file(wildcards):
    """The file of the kernels that initialise a condition or pull its kernels, if any."""
    condition = CONDITIONS.loc[wildcards.condition]
    seeds, seed = config["experiments"]["seeds"], int(wildcards.seed)
    # as often as possible a network trained anyway
    others = [*seeds[seeds.index(seed) + 1 :], *seeds, seed + 1]
    other = next(each for each in others if each != seed)
    files = {
        "prototypes": ENCODER,
        "master_keys": beside("resources/master_key_filters.csv"),
        "patterns": PATTERNS,
        "trained": f"{RUNS}/runs/{condition['against']}_s{other}/net.safetensors",
    }
    named = condition[["start", "towards"]]
    return [files[name] for name in named if name in files]


def of_net(column):
    """A column of config/zoo.tsv for the net of a job, trained or not."""
    return lambda wildcards: NETS.at[wildcards.net.removesuffix("_init"), column]


def start_run():
    """Keep what this run is, and take away what was made of models of another one."""
    try:
        begin_run(Path("results"), SHEET, MODELS.index, config, versions())
    except AtlasError as error:
        raise SystemExit(f"error: {error}")


def forget_failures(say=False):
    """Name the unreadable models and delete their results, so that the next run tries them again."""
    folders = [Path(f"results/kernels/{model}") for model in sorted(MODELS.index)]
    failed = [folder.name for folder in folders if forget_failure(folder)]
    few = ", ".join(failed[:20]) + (" ..." if len(failed) > 20 else "")
    if say and failed:
        raise SystemExit(
            f"error: {len(failed)} of {len(MODELS)} models could not be read and are left out: {few}; "
            "the reasons are above and in results/logs/extract_kernels; mend them or take them out of "
            f"{SHEET}, and run again"
        )


try:
    if not os.access(".", os.W_OK):
        raise AtlasError(
            f"{os.getcwd()}: not writable; choose another folder with --directory"
        )
    STATED_ABLATION = dict(config.get("ablation") or {})
    config = check_config(config, os.path.join(BASE, "schemas/config.schema.yaml"))
    SHEET = find_file(config["models"])
    MODELS = read_sheet(SHEET)
    if config["licences"] == "permissive":
        MODELS = permissive_only(MODELS)
    MODELS = MODELS.set_index("model", drop=False)
    PATTERNS = find_file(config["patterns"])
    read_patterns(PATTERNS)
    SIZES = [f"{side}x{side}" for side in config["sizes"]]
    for path in config["clusters"].values():
        read_clusters(find_file(path))
    for model in config["ablation"]["models"]:
        if model not in MODELS.index:
            raise AtlasError(
                f"configuration: ablation: models: {model} is not in {SHEET}; add it there"
            )
    check_schema("results/inventory.parquet")
    # Snakemake does not check the content of folders; the main process does, once for all jobs
    for model in MODELS.index if workflow.is_main_process else []:
        folder = f"results/kernels/{model}"
        if os.path.exists(folder) and reason_of(folder) is None:
            shards_of(folder)
except AtlasError as error:
    raise SystemExit(f"error: {error}")  # one line with the remedy, no traceback
