"""The data of a run for others: a folder in the layout of a data set on the Hugging Face hub.

To release is to pass on: only kernels that everybody may pass on are in it, the card names the other models.
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
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.extract import shard_schema
from kernel_atlas.io.merge import ROWS
from kernel_atlas.io.shards import shards_of
from kernel_atlas.io.sheet import is_permissive
from kernel_atlas.io.tables import read_table, stamped, whole_folder, write_csv
from kernel_atlas.model.assign import SCHEMA as ASSIGNED
from kernel_atlas.model.clusters import read_clusters
from kernel_atlas.model.encoder import write_encoder
from kernel_atlas.publish.report import versions

# The columns of a shard, with taps of any number, since a model has layers of several sizes; and those of assignments.
_NEW = ASSIGNED.names[5:]
SCHEMA = pa.schema(
    [
        field if field.name != "weight" else pa.field("weight", pa.list_(pa.float32()))
        for field in shard_schema(1).remove_metadata()
    ]
    + [ASSIGNED.field(name) for name in _NEW]
    + [pa.field("use", pa.string())]
)
_COUNTS = {10**3: "1K", 10**4: "10K", 10**5: "100K", 10**6: "1M", 10**7: "10M", 10**8: "100M", 10**9: "1B"}  # the hub's


def choose_models(sources: pd.DataFrame) -> pd.DataFrame:
    """The rows of sources.csv with a column `left_out`: why a model is not released, None where it is.

    Released are the models whose licence is permissive, and the untrained networks of `init:`, whose weights are drawn
    here.
    """
    reasons = []
    for row in sources.astype(object).where(sources.notna(), None).itertuples():
        if row.failure:
            reasons.append("could not be read")
        elif is_permissive(row.licence) or row.source.startswith("init:"):
            reasons.append(None)
        else:
            reasons.append(f"licence {row.licence or 'not stated'}")
    return sources.assign(left_out=pd.Series(reasons, sources.index, object))


def join_kernels(shards: str | Path, assignments: str | Path, use: str) -> pa.Table:
    """Every kernel of a model with what it was assigned, in the order of the shards.

    Parameters
    ----------
    shards : path
        Folder of a model's shards.
    assignments : path
        Its table of assignments.
    use : str
        Of the sheet: a `control` must not be counted with the networks.

    Returns
    -------
    pyarrow.Table
        With the columns `SCHEMA`. code, dissimilarity, cluster, label and tap_sum are null where the size has no
        autoencoder; code and dissimilarity also of dead kernels, where the assignments have NaN.

    Raises
    ------
    AtlasError
        The assignments are of other kernels.
    """
    assigned = read_table(assignments)
    layers, channels = (assigned[name].to_numpy() for name in ("layer_index", "channel"))
    parts = []
    for shard in shards_of(shards):
        with shard.open() as file:
            table = file.read()
        index = table["layer_index"][0].as_py()
        low, high = np.searchsorted(layers, [index, index + 1])  # the assignments are in the order of layers
        columns = {name: table[name] for name in table.column_names}
        columns["weight"] = table["weight"].cast(pa.list_(pa.float32()))
        if low == high:
            columns |= {name: pa.nulls(len(table), ASSIGNED.field(name).type) for name in _NEW}
        elif np.array_equal(channels[low:high], table["channel"].to_numpy()):
            columns |= {name: assigned[name].slice(low, high - low) for name in _NEW}
        else:
            raise AtlasError(f"{assignments}: not of the kernels in {shard.path}; remove it and run again")
        parts.append(pa.table(columns | {"use": [use] * len(table)}).cast(SCHEMA))
    joined = pa.concat_tables(parts)
    for name in ("code", "dissimilarity"):  # one NaN would make every mean NaN
        values = pc.if_else(pc.is_nan(joined[name]), None, joined[name])
        joined = joined.set_column(joined.column_names.index(name), SCHEMA.field(name), values)
    return joined


def write_release(
    output: str | Path,
    *,
    title: str,
    sources: pd.DataFrame,
    sheet: pd.DataFrame,
    kernels: Sequence[str | Path],
    assignments: Sequence[str | Path],
    encoders: Sequence[str | Path],
    clusters: Sequence[str | Path],
    thresholds: Mapping[str, float],
    columns: Mapping[str, str],
    parameters: Iterable[tuple[str, Any, str]],
    citation: str | Path,
    card: str | Path,
    example: str | Path,
) -> None:
    """Write the folder, whole or not at all.

    Parameters
    ----------
    output : path
        Gets data/MODEL.parquet of each model released, clusters.csv, encoder.safetensors, load_encoder.py and the card,
        README.md.
    title : str
    sources, sheet : DataFrame
        sources.csv, and the sheet from `read_sheet`.
    kernels, assignments : sequence of path
        Folder of shards and table of assignments of the models that could be read, in the same order; named after them.
    encoders, clusters : sequence of path
        One of each per size, in the same order.
    thresholds : mapping
        Size (`7x7`) -> dissimilarity.
    columns : mapping
        Column of the data -> what it means, from schemas/tables.yaml.
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
    models = choose_models(sources).merge(sheet[["model", "use", "convolution", "dataset"]], on="model")
    models = models.sort_values("model").astype(object).where(lambda frame: frame.notna(), None)
    released, left_out = models[models["left_out"].isna()], models[models["left_out"].notna()]
    if released.empty:
        raise AtlasError(
            f"{output}: no model may be released, as none has a permissive licence (see results/sources.csv); "
            "state licences in the sheet, as far as you know them"
        )
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
        named = {size: read_clusters(path) for size, path in zip(_sizes(clusters), clusters, strict=True)}
        stretches = [table.assign(size=size) for size, table in named.items()]
        write_csv(pd.concat(stretches)[["size", *stretches[0].columns[:-1]]], folder / "clusters.csv")
        write_encoder(encoders, clusters, thresholds, folder / "encoder.safetensors")
        shutil.copyfile(example, folder / "load_encoder.py")
        _write_card(
            folder / "README.md",
            card,
            title=title,
            models=released.assign(kernels=counts, source=released["source"].map(_source)).to_dict("records"),
            left_out=left_out.to_dict("records"),
            sizes=[
                {"size": size, "threshold": thresholds[size], "clusters": len(table), "kernels": table["kernels"].sum()}
                for size, table in named.items()
            ],
            columns=[{"name": field.name, "type": field.type, "meaning": columns[field.name]} for field in SCHEMA],
            parameters=list(parameters),
            versions=versions(),
            citation=yaml.safe_load(Path(citation).read_text(encoding="utf-8")),
        )


def _write_kernels(table: pa.Table, path: Path) -> None:
    """A file of the data. Dictionaries pay for what repeats; of taps they make the file half as large again."""
    repeated = ["model", "layer_index", "layer", "kh", "kw", "cluster", "label", "use"]
    pq.write_table(
        table, path, row_group_size=ROWS, compression="zstd", use_dictionary=repeated, write_page_checksum=True
    )


def _sizes(clusters: Iterable[str | Path]) -> list[str]:
    """The sizes of results/autoencoder/KxK/clusters.tsv."""
    return [Path(path).parent.name for path in clusters]


def _source(source: str) -> str:
    """A source as others can use it: of a file only its name, since where it lay on this machine says nothing."""
    scheme, _, place = source.partition(":")
    return f"file:{Path(place).name}" if scheme == "file" else source


def _write_card(path: Path, template: str | Path, **facts: Any) -> None:
    """README.md: the header that the hub reads, then the template, filled in."""
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
    """A text in a cell of a Markdown table, whoever wrote it."""
    return re.sub(r"([\\|<>`*_\[\]])", r"\\\1", " ".join(str("" if value is None else value).split()))
