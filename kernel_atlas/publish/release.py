"""Write the data of a run for others: a folder in the layout of a data set on the Hugging Face hub.

A release holds only kernels of models whose licence permits passing them on. The card names the other models.
"""

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import size_name
from kernel_atlas.io.extract import shard_schema
from kernel_atlas.io.merge import ROWS
from kernel_atlas.io.results import versions
from kernel_atlas.io.shards import shards_of
from kernel_atlas.io.sheet import why_not_passed_on
from kernel_atlas.io.sources import without_secrets
from kernel_atlas.io.tables import REPEATED, in_order, read_table, stamped, whole_folder, write_csv
from kernel_atlas.model import assign
from kernel_atlas.model.encoder import read_encoder

# The columns of shards (taps of any number, as a model has layers of several sizes), then those of assignments.
_ASSIGNED = [assign.SCHEMA.field(name) for name in assign.ASSIGNED]
SCHEMA = pa.schema([*shard_schema(1).remove_metadata(), *_ASSIGNED, pa.field("use", pa.string())])
SCHEMA = SCHEMA.set(SCHEMA.get_field_index("weight"), pa.field("weight", pa.list_(pa.float32())))
_COUNTS = {10**3: "1K", 10**4: "10K", 10**5: "100K", 10**6: "1M", 10**7: "10M", 10**8: "100M", 10**9: "1B"}  # the hub's


def choose_models(sources: pd.DataFrame) -> pd.DataFrame:
    """Add the column `left_out` to sources.csv: the reason why a model is not released, or None.

    Released are models whose kernels may be passed on (`sheet.why_not_passed_on`).
    """
    reasons = [
        "could not be read" if row.failure else why_not_passed_on(row.licence, row.source)
        for row in sources.astype(object).where(sources.notna(), None).itertuples()
    ]
    return sources.assign(left_out=pd.Series(reasons, sources.index, object))


def join_kernels(shards: str | Path, assignments: str | Path, use: str) -> pa.Table:
    """Join every kernel of a model with its assignment, in the order of the shards.

    Parameters
    ----------
    shards : path
        Folder of a model's shards.
    assignments : path
        Its table of assignments.
    use : str
        The model's use in the sheet: a `control` must not be counted with the networks.

    Returns
    -------
    pyarrow.Table
        As release/data/*.parquet of schemas/tables.yaml. Kernels that are not square have null in the columns of
        assignments.

    Raises
    ------
    AtlasError
        The assignments belong to other kernels.
    """
    assigned = read_table(assignments)
    layers, channels = (assigned[name].to_numpy() for name in ("layer_index", "channel"))
    # shard by shard; a layer whose kernels are not square has no rows in the assignments
    parts = []
    for shard in shards_of(shards):
        with shard.open() as file:
            table = file.read()
        index = table["layer_index"][0].as_py()
        low, high = np.searchsorted(layers, [index, index + 1])  # the assignments are in the order of layers
        columns = {name: table[name] for name in table.column_names}
        columns["weight"] = table["weight"].cast(pa.list_(pa.float32()))
        if low == high:
            columns |= {field.name: pa.nulls(len(table), field.type) for field in _ASSIGNED}
        elif np.array_equal(channels[low:high], table["channel"].to_numpy()):
            columns |= {field.name: assigned[field.name].slice(low, high - low) for field in _ASSIGNED}
        else:
            raise AtlasError(f"{assignments}: not of the kernels in {shard.path}; remove it and run again")
        parts.append(pa.table(columns | {"use": [use] * len(table)}).cast(SCHEMA))
    return pa.concat_tables(parts)


def write_release(
    output: str | Path,
    *,
    title: str,
    sources: pd.DataFrame,
    sheet: pd.DataFrame,
    kernels: Sequence[str | Path],
    assignments: Sequence[str | Path],
    encoder: str | Path,
    patterns: str | Path,
    columns: Mapping[str, str],
    parameters: Iterable[tuple[str, Any, str]],
    citation: str | Path,
    card: str | Path,
    example: str | Path,
) -> None:
    """Write the folder; a failure leaves none.

    Parameters
    ----------
    output : path
        The folder, for data/MODEL.parquet of each released model, patterns.tsv, clusters.csv, encoder.safetensors,
        load_encoder.py and the card, README.md.
    title : str
    sources, sheet : DataFrame
        sources.csv, and the sheet from `read_sheet`.
    kernels, assignments : sequence of path
        Folder of shards, named after the model, and table of assignments of each model read, in the same order.
    encoder, patterns : path
        results/encoder.safetensors, and the table of patterns.
    columns : mapping
        Column of the data -> its meaning, from schemas/tables.yaml.
    parameters : iterable of tuple
        From `describe_parameters`.
    citation : path
        CITATION.cff.
    card : path
        Template of README.md.
    example : path
        load_encoder.py.

    Raises
    ------
    AtlasError
        No model may be released; or `join_kernels` finds a fault.
    """
    # which models, and why not the others
    models = choose_models(sources).merge(sheet[["model", "use", "convolution", "dataset"]], on="model")
    models = models.sort_values("model").astype(object).where(lambda frame: frame.notna(), None)
    released, left_out = models[models["left_out"].isna()], models[models["left_out"].notna()]
    if released.empty:
        raise AtlasError(
            f"{output}: no model may be released, as none has a permissive licence (see results/sources.csv); "
            "state licences in the sheet, as far as you know them"
        )
    # the data, the labeller and the card
    labellers = {size_name(side): labeller for side, labeller in read_encoder(encoder).items()}
    tables = {Path(shards).name: (shards, table) for shards, table in zip(kernels, assignments, strict=True)}
    counts = []
    with whole_folder(output) as folder:
        (folder / "data").mkdir()
        for row in released.itertuples():
            joined = join_kernels(*tables[row.model], row.use)
            told = {name: getattr(row, name) for name in ("revision", "licence", "use") if getattr(row, name)}
            joined = joined.replace_schema_metadata(stamped({"source": _source(row.source), **told}))
            _write_kernels(joined, folder / f"data/{row.model}.parquet")
            counts.append(len(joined))
        stretches = pd.concat(labeller.clusters.assign(size=size) for size, labeller in labellers.items())
        write_csv(in_order(stretches, "release/clusters.csv"), folder / "clusters.csv")
        shutil.copyfile(patterns, folder / "patterns.tsv")
        shutil.copyfile(encoder, folder / "encoder.safetensors")
        shutil.copyfile(example, folder / "load_encoder.py")
        _write_card(
            folder / "README.md",
            card,
            title=title,
            models=released.assign(kernels=counts, source=released["source"].map(_source)).to_dict("records"),
            left_out=left_out.to_dict("records"),
            sizes=[
                {"size": size, "threshold": known.threshold, "clusters": len(known.clusters)}
                | {"kernels": known.clusters["kernels"].sum()}
                for size, known in labellers.items()
            ],
            columns=[{"name": field.name, "type": field.type, "meaning": columns[field.name]} for field in SCHEMA],
            parameters=list(parameters),
            versions=versions(),
            citation=yaml.safe_load(Path(citation).read_text(encoding="utf-8")),
        )


def _write_kernels(table: pa.Table, path: Path) -> None:
    """Write a file of the data. Dictionaries shrink repeated columns, but make taps half as large again."""
    pq.write_table(
        table, path, row_group_size=ROWS, compression="zstd", use_dictionary=REPEATED, write_page_checksum=True
    )


def _source(source: str) -> str:
    """A source as others can use it: a file without its folder on this machine, an address without a signature."""
    scheme, _, place = source.partition(":")
    return f"file:{Path(place).name}" if scheme == "file" else without_secrets(source)


def _write_card(path: Path, template: str | Path, **facts: Any) -> None:
    """Write README.md: the header that the hub reads, then the template, filled in."""
    models, total = facts["models"], sum(model["kernels"] for model in facts["models"])
    licences = pd.Series([model["licence"] for model in models if model["licence"]], dtype=object).str.lower()
    names = licences.value_counts().sort_index()
    files = {"networks": [], "controls": []}
    for model in models:
        files["controls" if model["use"] == "control" else "networks"].append(f"data/{model['model']}.parquet")
    splits = [{"split": split, "path": paths} for split, paths in files.items() if paths]
    licence = {"license": names.index[0] if len(names) == 1 else "other"}
    if len(names) > 1:
        listed = ", ".join(f"{name} ({count})" for name, count in names.items())
        licence |= {"license_name": "one-per-model", "license_details": f"{listed}; numbers of models"}
    low = max((count for count in _COUNTS if count <= total), default=0)
    high = next((word for count, word in _COUNTS.items() if count > total), None)
    header = {
        "pretty_name": facts["title"],
        **licence,
        "size_categories": [f"n<{high}" if not low else f"{_COUNTS[low]}<n<{high}" if high else "n>1B"],
        "tags": ["convolution", "depthwise", "kernels", "weights", "interpretability", "kernel-atlas"],
        "configs": [{"config_name": "default", "data_files": splits}],
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(template).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = _cell
    page = environment.get_template(Path(template).name).render(
        facts, total=total, licences=names.to_dict(), files=files
    )
    head = yaml.safe_dump(header, sort_keys=False, allow_unicode=True, width=1000)
    path.write_text(f"---\n{head}---\n\n{page}", encoding="utf-8")


def _cell(value: object) -> str:
    """Any text, escaped for a cell of a Markdown table."""
    return re.sub(r"([\\|<>`*_\[\]])", r"\\\1", " ".join(str("" if value is None else value).split()))
