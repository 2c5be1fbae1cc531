"""What the user writes: the configuration and the model sheet, checked before any job runs."""

import copy
import difflib
import re
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import yaml

from kernel_atlas.errors import AtlasError

REQUIRED = ["model", "source"]
USES = ("train", "assign", "control")
CONVOLUTIONS = ("depthwise", "dense")
DEFAULTS = {"use": "train", "convolution": "depthwise"}
OPTIONAL = ["family", "architecture", "dataset", "top1", "params", "group", "licence"]
NUMBERS = ["top1", "params"]
MODEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
# `noise` is the control of the threshold table; the rest are devices on Windows, where a folder cannot have their names
RESERVED = re.compile(r"noise|(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def check_config(config: dict, schema: str | Path) -> dict:
    """The configuration with the schema's defaults filled in.

    Raises
    ------
    AtlasError
        An unknown key, a value of the wrong type or out of range, named with its path.
    """
    rules = yaml.safe_load(Path(schema).read_text(encoding="utf-8"))
    filled = _fill(copy.deepcopy(config), rules)
    fault = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(rules).iter_errors(filled))
    if fault is not None:
        where = ".".join(str(part) for part in fault.absolute_path) or "top level"
        advice = ""
        if fault.validator == "additionalProperties":
            known = list(fault.schema.get("properties", {}))
            unknown = [key for key in fault.instance if key not in known]
            near = difflib.get_close_matches(str(unknown[0]), known, 1) if unknown else []
            advice = f"; did you mean {near[0]}?" if near else f"; the keys are {', '.join(known)}" if known else ""
        raise AtlasError(f"configuration: {where}: {fault.message}{advice or _meaning(fault.schema)}")
    return filled


def _fill(values: dict, rules: dict) -> dict:
    for key, rule in rules.get("properties", {}).items():
        if key not in values and "default" in rule:
            values[key] = copy.deepcopy(rule["default"])
        if isinstance(values.get(key), dict):
            _fill(values[key], rule)
    return values


def _meaning(schema: dict) -> str:
    return f" ({schema['description']})" if "description" in schema else ""


def read_sheet(path: str | Path) -> pd.DataFrame:
    """Read and check a model sheet.

    Parameters
    ----------
    path : path
        Tab-separated, UTF-8 (with or without a byte order mark, LF or CRLF), one row per model.

    Returns
    -------
    DataFrame
        model, source, use, convolution (defaults filled in), family, architecture, dataset, group, licence (text or
        None) and top1, params (numbers or NaN). Other columns of the file are the user's own and are left out.

    Raises
    ------
    AtlasError
        Naming file, row (the line of the file), column and the mend.
    """
    try:
        table = pd.read_csv(
            path, sep="\t", dtype=str, keep_default_na=False, encoding="utf-8-sig", skip_blank_lines=False, quoting=3
        )
    except FileNotFoundError as error:
        raise AtlasError(f"{path}: no such model sheet; name one with --config models=SHEET") from error
    except UnicodeDecodeError as error:
        raise AtlasError(f"{path}: not UTF-8 (byte {error.start}); save the sheet as UTF-8 text") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, OSError) as error:
        raise AtlasError(
            f"{path}: not a tab-separated table: {str(error).strip()}; one header row, tabs between columns"
        ) from error
    table = table.apply(lambda column: column.str.strip() if column.dtype != "int64" else column).fillna("")
    table.index += 2  # lines of the file
    table = table[(table != "").any(axis=1)]
    for column in REQUIRED:
        if column not in table:
            raise AtlasError(
                f"{path}: row 1: column {column} is missing; separate columns by tabs and name them in row 1"
            )
    if table.empty:
        raise AtlasError(f"{path}: no models; add a row with {' and '.join(REQUIRED)}")
    for column, default in DEFAULTS.items():
        table[column] = table[column].replace("", default) if column in table else default

    def check(good: pd.Series, column: str, mend: str) -> None:
        if not good.all():
            row = good.idxmin()
            raise AtlasError(f"{path}: row {row}: column {column}: {table.at[row, column]!r} {mend}")

    model = table["model"]
    check(
        model.str.fullmatch(MODEL), "model", "is not an id; use letters, digits, '_', '.' and '-', not '.' or '-' first"
    )
    check(~model.str.fullmatch(RESERVED), "model", "is reserved; choose another id")
    check(
        ~model.str.lower().duplicated(), "model", "appears twice (case does not count); give each row an id of its own"
    )
    check(table["source"] != "", "source", "is empty; write file:PATH or another source")
    check(table["use"].isin(USES), "use", f"is not one of {', '.join(USES)}")
    check(table["convolution"].isin(CONVOLUTIONS), "convolution", f"is not one of {', '.join(CONVOLUTIONS)}")
    for column in OPTIONAL:
        if column not in table:
            table[column] = ""
    for column in NUMBERS:
        numbers = pd.to_numeric(table[column].replace("", "nan"), errors="coerce")
        check(
            numbers.notna() & np.isfinite(numbers) | (table[column] == ""),
            column,
            "is not a number; write 81.3, or nothing",
        )
        table[column] = numbers
    texts = [column for column in OPTIONAL if column not in NUMBERS]
    table[texts] = table[texts].astype(object).where(table[texts] != "", None)
    if not (table["use"] == "train").any():
        raise AtlasError(f"{path}: no row has use = train; at least one model must train the autoencoders")
    return table[REQUIRED + list(DEFAULTS) + OPTIONAL].reset_index(drop=True)


def one_per_group(sheet: pd.DataFrame) -> pd.DataFrame:
    """The rows of the sheet that count as independent networks: no controls, the first of each `group`."""
    models = sheet[sheet["use"] != "control"]
    return models[~models.duplicated("group") | models["group"].isna()]
