"""What a results folder holds: one run, and nothing of models or sizes that are not in it."""

import re
import shutil
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.job import disk_line
from kernel_atlas.io.tables import read_csv, whole

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
    "evidence/*x*",
    "figures/*_*x*.*",
)
SIZE = re.compile(r"(?:^|_)(\d+x\d+)(?:\.\w+)*$")


def read_run(results: Path) -> dict[str, Any]:
    """What run.yaml says; empty where there is none."""
    path = results / "run.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}


def begin_run(
    results: Path, sheet: str, models: Collection[str], config: Mapping[str, Any], versions: Mapping[str, str]
) -> None:
    """Write run.yaml, take away what was made of models of another run, and print a line that says so.

    run.yaml holds the path of the sheet, models, configuration and versions of what is in the folder from now on. It is
    written only where it changes: a run with a full disk so still tells which job has no room.

    Raises
    ------
    AtlasError
        If the folder cannot be written.
    """
    run = {"sheet": sheet, "models": sorted(models), "configuration": dict(config), "versions": dict(versions)}
    said = yaml.safe_dump(run, sort_keys=False, allow_unicode=True)
    path = results / "run.yaml"
    try:
        before = read_run(results)
        gone = drop_models(results, set(models))
        if yaml.safe_load(said) != before:
            results.mkdir(exist_ok=True)
            with whole(path) as partial:
                partial.write_text(said, encoding="utf-8")
    except OSError as error:
        raise AtlasError(disk_line(error, path)) from error
    if gone:
        few = ", ".join(gone[:5]) + (" ..." if len(gone) > 5 else "")
        print(
            f"results/ held a run of {before.get('sheet', 'another sheet')} and becomes one of {sheet}: what was made "
            f"of {len(gone)} models that are not in it is deleted, their kernels are in results/unused ({few})",
            file=sys.stderr,
        )


def end_run(results: Path, started: float) -> None:
    """Delete what has no size any more; print the headline and where the pages are that were written since `started`.

    `started` is in seconds of `time.time`.
    """
    drop_sizes(results)
    pages = [results / "report.html", results / "atlas.html"]
    written = [page for page in pages if page.exists() and page.stat().st_mtime > started]
    if written:
        said = read_csv(results / "findings.csv")
        for sentence in said.loc[said["question"] == "summary", "sentence"]:
            print(sentence)
    for page in written:
        print(f"{page.stem}: {page.absolute()}")


def drop_models(results: Path, models: Collection[str]) -> list[str]:
    """Delete what was made of models that are not among `models`; the sorted names of these models.

    Whoever reads all files of a folder so reads one run. Kernels, which may have taken hours to fetch, are moved to
    unused/kernels. A release, and what publishes it, is deleted with the first model.
    """
    gone = {path.name for path in results.glob(KERNELS) if path.name not in models and path.name[0] != "."}
    for model in gone:
        unused = results / "unused/kernels" / model
        unused.parent.mkdir(parents=True, exist_ok=True)
        _delete(unused)
        (results / "kernels" / model).rename(unused)
    for pattern in OF_MODELS:
        for path in results.glob(pattern):
            model = path.name.removesuffix(Path(pattern).suffix)
            if model not in models:
                gone.add(model)
                _delete(path)
    if gone:
        _delete(results / "release")
        _delete(results / "release_hub")
    return sorted(gone)


def drop_sizes(results: Path) -> None:
    """Delete what was made of autoencoders of sizes that have none by sizes.csv."""
    if not (results / "sizes.csv").exists():
        return
    counts = read_csv(results / "sizes.csv")
    sizes = set(counts.loc[counts["trained"], "size"])
    for pattern in OF_SIZES:
        for path in results.glob(pattern):
            named = SIZE.search(path.name)
            if named and named[1] not in sizes:
                _delete(path)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
