"""What the user writes: the configuration and the model sheet, checked before any job runs."""

import copy
import difflib
import math
import re
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import yaml

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.licences import is_permissive

REQUIRED = ["model", "source"]
USES = ("train", "assign", "control")
CONVOLUTIONS = ("depthwise", "dense")
PADDINGS = ("symmetric", "same")
DEFAULTS = {"use": "train", "convolution": "depthwise"}  # of a dense one, use is control
SOURCES = {  # pattern of a source: how it is written
    r"file:\S.*": "file:PATH",
    r"timm:\w+\.[\w.-]+": "timm:NAME.TAG",
    r"hf:[\w.-]+/[\w.-]+(@[^:\s]+)?:\S+": "hf:OWNER/REPO[@REVISION]:FILE",
    r"init:\S.*": "init:TIMM_NAME[:SEED]",
}
OPTIONAL = ["family", "architecture", "dataset", "top1", "params", "group", "licence", "padding"]
# Sources that pad as TensorFlow does (more on the right and below with stride 2), and that pad alike on all sides. Of
# timm's, those whose functions set pad_type or padding to "same"; other files may be of either kind.
PADS = {
    "same": r"(timm|init):(tf_|\w+_tf_|p?nasnet|mobilenetv5|efficientnet_b[123]_pruned).*|\S+\.(tflite|h5|keras|pb)",
    "symmetric": r"(timm|init):.*",
}
HIGHEST = {"top1": 100, "params": 1e15}  # the columns that are numbers
MODEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
# `noise` is the control of the threshold table; the rest are devices on Windows, where a folder cannot have their names
RESERVED = re.compile(r"noise|(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


# JSON has 3.0 for an integer, and YAML has .nan for a number, which no bound refuses.
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
    """The configuration with the schema's defaults filled in.

    Raises
    ------
    AtlasError
        An unknown key, a value of the wrong type or out of range, named with its path.
    """
    rules = yaml.safe_load(Path(schema).read_text(encoding="utf-8"))
    filled = _fill(copy.deepcopy(config), rules)
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
    return filled


def _fill(values: dict, rules: dict) -> dict:
    for key, rule in rules.get("properties", {}).items():
        if key not in values and "default" in rule:
            values[key] = copy.deepcopy(rule["default"])
        if isinstance(values.get(key), dict):
            _fill(values[key], rule)
        if rule.get("type") == "boolean" and values.get(key) in ("true", "false"):
            values[key] = values[key] == "true"  # YAML knows it; Snakemake's --config knows only True
    return values


def _meaning(schema: dict) -> str:
    return f" ({schema['description']})" if "description" in schema else ""


def _check_columns(path: str | Path, names: list[str]) -> None:
    """Refuse a header that misses a column, has one twice, or has almost a known one, whose values would not count."""
    for column in REQUIRED:
        if column not in names:
            raise AtlasError(
                f"{path}: row 1: column {column} is missing; separate columns by tabs and name them in row 1"
            )
    known = [*REQUIRED, *DEFAULTS, *OPTIONAL]
    for name in names:
        near = difflib.get_close_matches(name.lower(), known, 1, cutoff=0.8)
        if name and names.count(name) > 1:
            raise AtlasError(f"{path}: row 1: column {name} appears twice; keep one")
        if near and name not in known:
            raise AtlasError(f"{path}: row 1: column {name} is unknown; did you mean {near[0]}?")


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
        None), padding (derived from the source where it is not given, None where unknown) and top1, params (numbers or
        NaN). Other columns of the file are the user's own and are left out.

    Raises
    ------
    AtlasError
        Naming file, row (the line of the file), column and the mend.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError as error:
        raise AtlasError(f"{path}: no such model sheet; name one with --config models=SHEET") from error
    except UnicodeDecodeError as error:
        raise AtlasError(f"{path}: not UTF-8 (byte {error.start}); save the sheet as UTF-8 text") from error
    except OSError as error:
        raise AtlasError(f"{path}: {error.strerror}; name a tab-separated file with --config models=SHEET") from error
    rows = {number: [cell.strip() for cell in line.split("\t")] for number, line in enumerate(lines, start=1)}
    names = rows.pop(1, [""])
    rows = {number: cells for number, cells in rows.items() if any(cells)}
    _check_columns(path, names)
    for number, cells in rows.items():
        if any(cells[len(names) :]):
            raise AtlasError(
                f"{path}: row {number}: {len(cells)} cells for {len(names)} columns; take the last ones out"
            )
    cells = [(row + [""] * len(names))[: len(names)] for row in rows.values()]
    table = pd.DataFrame(cells, columns=names, index=list(rows), dtype=object)
    if table.empty:
        raise AtlasError(f"{path}: no models; add a row with {' and '.join(REQUIRED)}")
    for column in (*DEFAULTS, *OPTIONAL):
        if column not in table:
            table[column] = ""
    table["convolution"] = table["convolution"].replace("", "depthwise")
    # a dense convolution never trains, nor counts, unless the sheet says so
    table["use"] = table["use"].mask(table["use"] == "", np.where(table["convolution"] == "dense", "control", "train"))

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
    known = table["source"].str.fullmatch("|".join(SOURCES))
    check(known, "source", f"is not a source; write {', '.join(SOURCES.values())}")
    check(~table["source"].str.startswith("file:~"), "source", "has a ~, which is not read; write the folder")
    check(table["use"].isin(USES), "use", f"is not one of {', '.join(USES)}")
    check(table["convolution"].isin(CONVOLUTIONS), "convolution", f"is not one of {', '.join(CONVOLUTIONS)}")
    check(table["padding"].isin(["", *PADDINGS]), "padding", f"is not one of {', '.join(PADDINGS)}, or nothing")
    for style, pattern in PADS.items():
        table["padding"] = table["padding"].mask(
            (table["padding"] == "") & table["source"].str.fullmatch(pattern), style
        )
    for column in HIGHEST:
        numbers = pd.to_numeric(table[column].replace("", "nan"), errors="coerce")
        good = (numbers > 0) & (numbers <= HIGHEST[column]) | (table[column] == "")
        check(good, column, f"is not a number above 0 and up to {HIGHEST[column]:g}; write one, or nothing")
        table[column] = numbers
    texts = [column for column in OPTIONAL if column not in HIGHEST]
    table[texts] = table[texts].astype(object).where(table[texts] != "", None)
    if not (table["use"] == "train").any():
        raise AtlasError(f"{path}: no row has use = train; at least one model must train the autoencoders")
    return table[REQUIRED + list(DEFAULTS) + OPTIONAL].reset_index(drop=True)


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
        Of several data sets, the largest: what is fine-tuned on is often part of what was trained on before.
    """
    if not isinstance(dataset, str):
        return np.nan
    return max((row.images for row in datasets.itertuples() if re.search(row.pattern, dataset)), default=np.nan)
