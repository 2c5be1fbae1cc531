"""What a results folder holds: one run, and nothing of models or sizes that are not in it."""

import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

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
SIZE = re.compile(r"(?:^|_)(\d+x\d+)(?:\.\w+)?$")


def read_run(results: Path) -> dict[str, Any]:
    """What run.yaml says; empty where there is none."""
    path = results / "run.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}


def begin_run(
    results: Path, sheet: str, models: Collection[str], config: Mapping[str, Any], versions: Mapping[str, str]
) -> str:
    """Write run.yaml and take away what was made of models of another run; a line that says so, if there was any.

    run.yaml holds the path of the sheet, models, configuration and versions of what is in the folder from now on.
    """
    before = read_run(results).get("sheet", "another sheet")
    gone = drop_models(results, set(models))
    results.mkdir(exist_ok=True)
    run = {"sheet": sheet, "models": sorted(models), "configuration": dict(config), "versions": dict(versions)}
    with whole(results / "run.yaml") as partial:
        partial.write_text(yaml.safe_dump(run, sort_keys=False, allow_unicode=True), encoding="utf-8")
    if not gone:
        return ""
    few = ", ".join(gone[:5]) + (" ..." if len(gone) > 5 else "")
    return (
        f"results/ held a run of {before} and becomes one of {sheet}: what was made of {len(gone)} models that are not "
        f"in it is deleted, their kernels are in results/unused ({few})"
    )


def drop_models(results: Path, models: Collection[str]) -> list[str]:
    """Delete what was made of models that are not among `models`; the sorted names of these models.

    Whoever reads all files of a folder so reads one run. Kernels, which may have taken hours to fetch, are moved to
    unused/kernels. A release is deleted with the first model.
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
