"""What a results folder holds: one run, and nothing of models or sizes that are not in it."""

import importlib.metadata
import platform
import re
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from kernel_atlas import __version__
from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.job import disk_line
from kernel_atlas.io.places import Folder, Storage
from kernel_atlas.io.shards import REASON, reason_of, shards_of
from kernel_atlas.io.tables import check_schema, read_csv, whole

PACKAGES = ["snakemake", "torch", "numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "matplotlib"]
KERNELS = "kernels/*"
# Where else files or folders are named after a model, and where after a size.
OF_MODELS = (
    "assignments/*.parquet",
    "ablation/models/*.csv",
    "ablation/cosines/*.csv",
    "ablation/trials/*",
    "maps/models/*.csv",
)
OF_SIZES = (
    "autoencoder/*",
    "merged/*.parquet",
    "samples/*.parquet",
    "kmeans/*.parquet",
    "evidence/*",
    "figures/*.svg",
    "figures/*.pdf",
    "figures/*.csv",
    "figures/*.json",
)
SIZE = re.compile(r"(?:^|_)(\d+x\d+)(?:\.phone)?$")


def versions() -> dict[str, str]:
    """Versions of this project, of Python and of the packages that computed the results."""
    found = {"kernel-atlas": __version__, "Python": platform.python_version()}
    return found | {package: importlib.metadata.version(package) for package in PACKAGES}


def begin_run(results: Folder | Storage, sheet: str, models: Collection[str], config: Mapping[str, Any]) -> None:
    """Write run.yaml, take away what was made of models of another run, and print a line that says so.

    run.yaml holds the path of the sheet, models, configuration and versions of what is in the folder from now on. It is
    written only where it changes: a run with a full disk so still tells which job has no room.

    Raises
    ------
    AtlasError
        If the folder cannot be written.
    """
    run = {"sheet": sheet, "models": sorted(models), "configuration": dict(config), "versions": versions()}
    said = yaml.safe_dump(run, sort_keys=False, allow_unicode=True)
    path = results.local("run.yaml")
    try:
        before = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
        gone = drop_models(results, set(models), set(before.get("models", ())))
        if yaml.safe_load(said) != before:
            path.parent.mkdir(exist_ok=True)
            with whole(path) as partial:
                partial.write_text(said, encoding="utf-8")
            results.store("run.yaml")
    except OSError as error:
        raise AtlasError(disk_line(error, path)) from error
    if gone:
        few = ", ".join(gone[:5]) + (" ..." if len(gone) > 5 else "")
        print(
            f"results/ held a run of {before.get('sheet', 'another sheet')} and becomes one of {sheet}: what was made "
            f"of {len(gone)} models that are not in it is deleted, their kernels are in results/unused ({few})",
            file=sys.stderr,
        )


def end_run(results: Folder | Storage, started: float, figures: Collection[str]) -> None:
    """Delete what has no size any more; print the headline and where the pages are that were written since `started`.

    `started` is in seconds of `time.time`; `figures` are the names of those of one size.
    """
    drop_sizes(results, figures)
    pages = ["report.html", "atlas.html"]
    written = [page for page in pages if results.exists(page) and results.written(page) > started]
    if written:
        said = read_csv(results.local("findings.csv"))
        for sentence in said.loc[said["question"] == "summary", "sentence"]:
            print(sentence)
    for page in written:
        print(f"{page.removesuffix('.html')}: {results.tell(page)}")


def drop_models(results: Folder | Storage, models: Collection[str], known: Collection[str]) -> list[str]:
    """Delete what was made of models that are not among `models`; the sorted names of these models.

    Whoever reads all files of a folder so reads one run. Kernels, which may have taken hours to fetch, are moved to
    unused/kernels. A release, and what publishes it, is deleted with the first model. `known` are models of the run
    before.
    """
    left, gone = set(known) - set(models), set()
    for model, name in results.found(KERNELS, left):
        if model not in models and model[0] != ".":
            gone.add(model)
            results.move(name, f"unused/{name}")
    for pattern in OF_MODELS:
        for model, name in results.found(pattern, left):
            if model not in models:
                gone.add(model)
                results.delete(name)
    if gone:
        results.delete("release")
        results.delete("release_hub")
    return sorted(gone)


def drop_sizes(results: Folder | Storage, figures: Collection[str]) -> None:
    """Delete what was made of autoencoders of sizes that have none by sizes.csv."""
    if not results.exists("sizes.csv"):
        return
    counts = read_csv(results.local("sizes.csv"))
    trained = set(counts.loc[counts["trained"], "size"])
    sizes = set(counts["size"]) - trained
    drawn = [f"{figure}_{size}{end}" for figure in figures for size in sizes for end in ("", ".phone")]
    for pattern in OF_SIZES:
        for star, name in results.found(pattern, drawn if "figures" in pattern else sizes):
            named = SIZE.search(star)
            if named and named[1] not in trained:
                results.delete(name)


def check_results(results: Folder | Storage, models: Collection[str]) -> None:
    """Refuse results of another version of the schema, and a model's folder that misses shards.

    What is in storage is checked by the jobs that fetch it.

    Raises
    ------
    AtlasError
        As `check_schema` and `shards_of`.
    """
    if isinstance(results, Storage):
        return
    check_schema(results.local("inventory.parquet"))
    for model in models:
        folder = results.local(f"kernels/{model}")
        if folder.exists() and reason_of(folder) is None:
            shards_of(folder)


def forget_failures(results: Folder | Storage, models: Collection[str], sheet: str) -> list[str]:
    """Delete the folders of models that could not be read, for the next run to try them again; a line that says so."""
    failed = [model for model in sorted(models) if results.exists(f"kernels/{model}/{REASON}")]
    for model in failed:
        results.delete(f"kernels/{model}")
    if not failed:
        return []
    few = ", ".join(failed[:20]) + (" ..." if len(failed) > 20 else "")
    return [
        f"error: {len(failed)} of {len(models)} models could not be read and are left out: {few}; the "
        f"reasons are above and in results/logs/extract_kernels; mend them or take them out of {sheet}, and run again"
    ]


def errors_of(results: Folder | Storage, logs: Iterable[str]) -> list[str]:
    """The lines of errors in the logs of the jobs that failed in a run, each once; `logs` are Snakemake's own."""
    said = "".join(Path(log).read_text(encoding="utf-8", errors="replace") for log in logs)
    if "Terminating processes on user request" in said:
        return ["error: stopped by hand; what was finished is kept: run again to go on"]
    failed = "\n".join(re.findall(r" log: (.+) \(check log file", said))
    copies = [results.local(name) for name in dict.fromkeys(re.findall(r"\bresults/(logs/[\w./-]+)", failed))]
    texts = [copy.read_text(encoding="utf-8", errors="replace") for copy in copies if copy.exists()]
    return [*dict.fromkeys(line for text in texts for line in re.findall(r"^error: .*", text, re.M))]
