"""The configuration and the model sheet, checked before any job runs."""

import contextlib
import copy
import csv
import difflib
import io
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import yaml

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.files import data_file
from kernel_atlas.core.kernels import size_name
from kernel_atlas.io.sources import SOURCES, STORE, is_source

SCHEMA = data_file("schemas/models.schema.yaml")
COLUMNS: dict[str, dict] = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))["columns"]
USES = tuple(COLUMNS["use"]["enum"])
# Padding that a source tells: TensorFlow pads more on the right and below with stride 2, others alike on all sides.
# "same" lists the networks whose functions in timm set pad_type or padding to "same". Other files may be either.
PADS = {
    "same": r"(timm|init):(tf_|\w+_tf_|p?nasnet|mobilenetv5|efficientnet_b[123]_pruned).*|\S+\.(tflite|h5|keras|pb)",
    "symmetric": r"(timm|init):.*",
}
USUAL_SIZES = {"3x3", "5x5", "7x7", "9x9", "11x11"}  # their thresholds may stand in a configuration without them
# As the hub names them: https://huggingface.co/docs/hub/repositories-licenses
PERMISSIVE = {"apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "isc", "cc-by-4.0", "cc0-1.0", "unlicense"}


# JSON takes 3.0 for an integer, and no bound refuses the .nan of YAML.
_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {
            "integer": lambda _, value: type(value) is int,
            "number": lambda _, value: type(value) in (int, float) and math.isfinite(value),
        }
    ),
)


def check_config(config: dict, schema: str | Path) -> dict:
    """The configuration with the schema's defaults filled in, and with numbers where `--config` gives text.

    Raises
    ------
    AtlasError
        A key is unknown, or a value has the wrong type or is out of range; the line names its path.
    """
    rules = yaml.safe_load(Path(schema).read_text(encoding="utf-8"))
    filled = _fill(config, rules)
    fault = jsonschema.exceptions.best_match(_Validator(rules).iter_errors(filled))
    if fault is not None:
        where = ".".join(str(part) for part in fault.absolute_path) or "top level"
        advice = ""
        if fault.validator == "additionalProperties":
            known = list(fault.schema.get("properties", {}))
            unknown = [key for key in fault.instance if key not in known]
            near = difflib.get_close_matches(str(unknown[0]), known, 1) if unknown else []
            advice = f"; did you mean {near[0]}?" if near else f"; the keys are {', '.join(known)}" if known else ""
        raise AtlasError(f"configuration: {where}: {fault.message}{advice or _meaning(fault.schema)}")
    _check_sizes(filled)
    return filled


def _fill(value: Any, rule: dict) -> Any:
    """The value with defaults, and numbers for text where the rule asks for them, as inside of values of --config."""
    if isinstance(value, str) and rule.get("type") in ("integer", "number", "boolean"):
        with contextlib.suppress(ValueError):
            return json.loads(value.lower())
    if isinstance(value, list):
        return [_fill(each, rule.get("items", {})) for each in value]
    if not isinstance(value, dict):
        return value
    named = rule.get("properties", {})
    others = rule.get("additionalProperties")
    others = others if isinstance(others, dict) else {}
    missing = {key: rule["default"] for key, rule in named.items() if "default" in rule and key not in value}
    return {key: _fill(each, named.get(key, others)) for key, each in (value | copy.deepcopy(missing)).items()}


def _check_sizes(config: dict) -> None:
    """Refuse a size without a threshold, and values for sizes that are neither asked for nor usual."""
    sizes = [size_name(side) for side in config["sizes"]]
    for size in sizes:
        if size not in config["thresholds"]:
            raise AtlasError(f"configuration: thresholds: none for size {size}; add {size}: 0.3")
    for key in ("thresholds", "clusters"):
        for size in set(config[key]) - set(sizes) - USUAL_SIZES:
            raise AtlasError(f"configuration: {key}: {size} is none of the sizes; add it to sizes")


def _meaning(schema: dict) -> str:
    return f" ({schema['description']})" if "description" in schema else ""


def read_sheet(path: str | Path) -> pd.DataFrame:
    """Read a model sheet and check it by schemas/models.schema.yaml.

    Parameters
    ----------
    path : path
        Tab-separated, as Excel, R and pandas write it: UTF-8 or UTF-16, with or without a byte order mark and quotes,
        any line ends, comments after #. One row per model.

    Returns
    -------
    DataFrame
        The columns of the schema: text or None, with defaults filled in; top1 and params are numbers or NaN. Padding
        is derived from the source where the sheet gives none. Other columns of the file are left out.

    Raises
    ------
    AtlasError
        Naming file, row (the line of the file), column and the mend.
    """
    table = _read_cells(path)
    for column, rules in COLUMNS.items():
        _check_column(path, table, column, rules)
    numbers = [column for column, rules in COLUMNS.items() if "maximum" in rules]
    table[numbers] = table[numbers].replace("", "nan").apply(pd.to_numeric, errors="coerce")
    for style, pattern in PADS.items():
        derived = (table["padding"] == "") & table["source"].str.fullmatch(pattern)
        table["padding"] = table["padding"].mask(derived, style)
    texts = [column for column in COLUMNS if column not in numbers]
    table[texts] = table[texts].astype(object).where(table[texts] != "", None)
    if not (table["use"] == "train").any():
        raise AtlasError(f"{path}: no row has use = train; at least one model must train the autoencoders")
    return table[list(COLUMNS)].reset_index(drop=True)


def _read_cells(path: str | Path) -> pd.DataFrame:
    """The cells of a sheet as text, by line of the file, with missing columns and defaults filled in."""
    rows = dict(_rows(path, _text(path)))
    names = [_column_name(name) for name in next(iter(rows.values()), [])]
    first = next(iter(rows), 1)
    rows.pop(first, None)
    _check_names(path, first, names)
    rows = {number: cells for number, cells in rows.items() if any(cells)}
    if rows and all(len(cells) == len(names) + 1 for cells in rows.values()):  # R names rows, and no column for it
        rows = {number: cells[1:] for number, cells in rows.items()}
    for number, cells in rows.items():
        if any(cells[len(names) :]):
            raise AtlasError(
                f"{path}: row {number}: {len(cells)} cells for {len(names)} columns; take the last ones out"
            )
    cells = [(row + [""] * len(names))[: len(names)] for row in rows.values()]
    table = pd.DataFrame(cells, columns=names, index=list(rows), dtype=object)
    if table.empty:
        raise AtlasError(f"{path}: no models; add a row with model and source")
    for column in COLUMNS:
        if column not in table:
            table[column] = ""
    # A dense convolution neither trains nor counts, unless the sheet says so.
    dense = (table["convolution"] == "dense") & (table["use"] == "")
    table["use"] = table["use"].mask(dense, "control")
    return table.replace({column: {"": rules["default"]} for column, rules in COLUMNS.items() if "default" in rules})


def _text(path: str | Path) -> str:
    """The text of a sheet, in UTF-8 or, as Excel writes "Unicode Text", in UTF-16 with a byte order mark."""
    try:
        content = Path(path).read_bytes()
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8")
    except FileNotFoundError as error:
        raise AtlasError(f"{path}: no such model sheet; name one with --config models=SHEET") from error
    except UnicodeDecodeError as error:
        raise AtlasError(f"{path}: not UTF-8 (byte {error.start}); save the sheet as UTF-8 text") from error
    except OSError as error:
        raise AtlasError(f"{path}: {error.strerror}; name a tab-separated file with --config models=SHEET") from error
    if "\0" in text:
        raise AtlasError(f"{path}: not text, as it holds zero bytes; save the sheet as tab-separated UTF-8 text")
    return re.sub(r"\r\n?", "\n", text.lstrip("\ufeff"))


def _rows(path: str | Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Line and cells of each row; quotes are those of Excel and R, comments and Excel's line `sep=` are passed over."""
    lines, start = csv.reader(io.StringIO(text), delimiter="\t", strict=True), 1
    while True:
        try:
            cells = next(lines, None)
        except csv.Error as error:
            raise AtlasError(f"{path}: row {start}: {error}; close each quote, or write none") from error
        if cells is None:
            return
        # Pasted text brings spaces without width, and strip() takes those that do not break.
        cells = [cell.replace("\u200b", "").replace("\n", " ").strip() for cell in cells]
        if any(cells) and not cells[0].startswith("#") and not (start == 1 and cells[0].startswith("sep=")):
            yield start, cells
        start = lines.line_num + 1


def _column_name(name: str) -> str:
    """A column of the schema in its own case of letters; other names as they are."""
    return name.lower() if name.lower() in COLUMNS else name


def _check_names(path: str | Path, row: int, names: list[str]) -> None:
    """Reject a header with a missing, duplicate or misspelt column."""
    for column, rules in COLUMNS.items():
        if rules.get("required") and column not in names:
            raise AtlasError(
                f"{path}: row {row}: column {column} is missing; separate columns by tabs and name them in row {row}"
            )
    for name in names:
        near = difflib.get_close_matches(name.lower(), COLUMNS, 1, cutoff=0.8)
        if name and names.count(name) > 1:
            raise AtlasError(f"{path}: row {row}: column {name} appears twice; keep one")
        if near and name not in COLUMNS:
            raise AtlasError(f"{path}: row {row}: column {name} is unknown; did you mean {near[0]}?")


def _check_column(path: str | Path, table: pd.DataFrame, column: str, rules: dict) -> None:
    """Check the cells of a column by its rules in the schema; the first wrong one is named."""
    cells = table[column]
    checks = [(cells.str.fullmatch(pattern), mend) for pattern, mend in rules.get("patterns", {}).items()]
    if column == "source":
        written = ", ".join(dict.fromkeys(kind.written for kind in (*SOURCES.values(), STORE)))
        checks.insert(0, (cells.map(is_source).astype(bool), f"is not a source; write {written}"))
    if "unique" in rules:
        checks.append((~cells.str.lower().duplicated(), rules["unique"]))
    if "enum" in rules:
        optional = "" if "default" in rules else ", or nothing"
        checks.append((cells.isin(["", *rules["enum"]]), f"is not one of {', '.join(rules['enum'])}{optional}"))
    if "maximum" in rules:
        numbers, highest = pd.to_numeric(cells, errors="coerce"), rules["maximum"]
        good = (numbers > 0) & (numbers <= highest) | (cells == "")
        checks.append((good, f"is not a number above 0 and up to {highest:g}; write one, or nothing"))
    for good, mend in checks:
        if not good.all():
            row, others = good.idxmin(), int((~good).sum()) - 1
            more = f" ({others} more row{'s' * (others > 1)} like it)" if others else ""
            raise AtlasError(f"{path}: row {row}: column {column}: {cells[row]!r} {mend}{more}")


def is_permissive(licence: str | None) -> bool:
    """Whether a licence is one of `PERMISSIVE`, in any case of letters; False where it is not stated."""
    return (licence or "").lower() in PERMISSIVE


def why_not_passed_on(licence: str | None, source: str) -> str | None:
    """Why kernels of a source may not be passed on; None if they may.

    They may with a permissive licence; and those of untrained networks (`init:`), whose weights are drawn here.
    """
    if is_permissive(licence) or source.startswith("init:"):
        return None
    return f"licence {licence or 'not stated'}"


def permissive_only(sheet: pd.DataFrame) -> pd.DataFrame:
    """A sheet without the models whose stated licence is not permissive; unstated ones stay, for extraction to ask.

    Raises
    ------
    AtlasError
        No model that trains is left.
    """
    kept = sheet[sheet["licence"].isna() | sheet["licence"].map(is_permissive)]
    if not (kept["use"] == "train").any():
        raise AtlasError("configuration: licences: no model that trains has a permissive one; add a model to the sheet")
    return kept


def subjects_of(sheet: pd.DataFrame) -> dict[str, str]:
    """Model -> `real`, `untrained` or `dense`, what the evidence takes it for, by its use and convolution.

    Regular convolutions that train the autoencoder are real: it is about their kernels.
    """
    subjects = pd.Series("real", sheet["model"].sort_values())
    of_model = sheet.set_index("model")
    subjects[of_model.index[of_model["use"] == "control"]] = "untrained"
    subjects[of_model.index[(of_model["use"] != "train") & (of_model["convolution"] == "dense")]] = "dense"
    return subjects.to_dict()


def images_of(dataset: str | None, datasets: pd.DataFrame) -> float:
    """Training images of a data set by its name, NaN where unknown.

    Parameters
    ----------
    dataset : str or None
        As in a sheet, such as `ImageNet-22k then ImageNet-1k` or `flowers (full fine-tune from ImageNet)`.
    datasets : DataFrame
        pattern (regular expression, found anywhere in the name), images.

    Returns
    -------
    float
        Of several data sets, the largest: fine-tuning often reuses a part of the first data set.
    """
    if not isinstance(dataset, str):
        return np.nan
    return max((row.images for row in datasets.itertuples() if re.search(row.pattern, dataset)), default=np.nan)
