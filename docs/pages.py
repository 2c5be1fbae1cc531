"""Pages of the site that are written at build: from the code, the schemas and documents that lie elsewhere."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pictures
import yaml
from sphinx.application import Sphinx

import kernel_atlas
from kernel_atlas.core.patterns import read_patterns
from kernel_atlas.core.vocabulary import FAMILIES
from kernel_atlas.figures.style import atlas_style

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
GENERATED = DOCS / "_generated"
COPIED = {  # documents of the repository -> pages
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "SECURITY.md": "security",
    "config/README.md": "sheets",
    "resources/encoder.md": "encoder",
    "resources/experiments/README.md": "experiments",
    "resources/master_key_filters.md": "master_keys",
    "resources/patterns/README.md": "choice",
    "resources/reference/README.md": "networks",
    "resources/zoo/README.md": "zoo",
}
WRITTEN = {  # what pages are written from -> these
    "kernel_atlas/api.py": "python",
    "resources/patterns/v1.tsv": "patterns",
    "schemas/config.schema.yaml": "configuration",
    "schemas/models.schema.yaml": "sheet",
    "schemas/tables.yaml": "tables",
}
PAGES = COPIED | WRITTEN


def write_pages() -> None:
    """Write the folder `_generated`."""
    GENERATED.mkdir(exist_ok=True)
    for source, page in COPIED.items():
        text = (ROOT / source).read_text()
        _write(page, relink(text, ROOT / source, GENERATED))
    _write("tables", "".join(_tables(yaml.safe_load((ROOT / "schemas/tables.yaml").read_text()))))
    _write("configuration", "".join(_settings(yaml.safe_load((ROOT / "schemas/config.schema.yaml").read_text()))))
    _write("sheet", "".join(_sheet(yaml.safe_load((ROOT / "schemas/models.schema.yaml").read_text()))))
    _write("python", "".join(_public()))
    _write("patterns", "".join(_patterns()))
    with atlas_style(pictures.WIDTH, **{"svg.hashsalt": "docs"}):
        pictures.draw_gallery(GENERATED)
        pictures.draw_glossary(GENERATED)


def _write(page: str, text: str) -> None:
    """Write a page, unless it is there as it would be: Sphinx reads again what is new."""
    path = GENERATED / f"{page}.md"
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


# Links


def relink(text: str, source: Path, folder: Path) -> str:
    """Lead the links of a document to the pages of the site, or to the files of the repository.

    Parameters
    ----------
    text : str
    source : path
        The document; its links are relative to it.
    folder : path
        Where the page is, below docs/.
    """

    def lead(link: re.Match) -> str:
        target, anchor = link[1], link[2] or ""
        there = (source.parent / target).resolve()
        if there.is_dir():
            there /= "README.md"
        name = there.relative_to(ROOT).as_posix()
        if name in PAGES:
            there = GENERATED / f"{PAGES[name]}.md"
        elif name == "README.md":
            there = DOCS / "index.md"
        elif there.suffix == ".md" and not there.is_relative_to(DOCS):
            raise ValueError(f"{source}: {target} is no page of the site; add it to COPIED")
        return f"]({os.path.relpath(there, folder)}{anchor})"

    return re.sub(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)", lead, text)


def relink_page(_app: Sphinx, page: str, text: list[str]) -> None:
    """Do so on a page of docs/ while it is read, and show the pictures that are named there and drawn at build."""
    if not page.startswith("_generated"):
        text[0] = re.sub(r"<!-- picture (\w+): (.+?) -->", r"![\2](_generated/glossary_\1.svg)", text[0])
        source = DOCS / f"{page}.md"
        text[0] = relink(text[0], source, source.parent)


# Docstrings


def _public() -> Iterator[str]:
    yield (
        "# Python\n\nThe public names. What is not here may change without notice; "
        "[the way of a kernel](../architecture.md) describes it for those who change the code.\n\n"
    )
    for name in kernel_atlas.__all__:
        kind = "class" if isinstance(getattr(kernel_atlas, name), type) else "function"
        members = "   :members:\n" if kind == "class" else ""
        yield f"```{{eval-rst}}\n.. auto{kind}:: kernel_atlas.{name}\n{members}```\n\n"


# Schemas


def _tables(tables: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "# Table columns\n\nEvery table below `results/`, from `schemas/tables.yaml`. Shares are of the kernels that "
        "are not dead; intervals are 95 %. A size is written `7x7`.\n"
    )
    for name, table in tables.items():
        yield f"\n## `{name}`\n\n{table['description']}\n"
        if "question" in table:
            yield f"\nAnswers the question `{table['question']}` ([evidence](../evidence.md)).\n"
        yield "\n| column | |\n|---|---|\n"
        for column, words in table["columns"].items():
            yield f"| `{column}` | {_cell(words)} |\n"


def _settings(schema: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "# Settings\n\nThe keys of `config.yaml`, of a file after `--configfile` and of `--config`, from "
        "`schemas/config.schema.yaml`. An unknown key is an error.\n\n| setting | default | |\n|---|---|---|\n"
    )
    for name, one in schema["properties"].items():
        if "properties" not in one:
            yield _setting(name, one)
    for name, one in schema["properties"].items():
        if "properties" in one:
            yield f"\n## `{name}`\n\n{one['description']}\n\n| setting | default | |\n|---|---|---|\n"
            for key, inner in one["properties"].items():
                yield _setting(f"{name}: {{{key}}}", inner)


def _setting(name: str, setting: Mapping[str, Any]) -> str:
    allowed = f" One of {', '.join(f'`{one}`' for one in setting['enum'])}." if "enum" in setting else ""
    default = yaml.safe_dump(setting["default"], default_flow_style=True).removesuffix("\n...\n").strip()
    return f"| `{name}` | `{default}` | {_cell(setting['description'])}{allowed} |\n"


def _sheet(schema: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "# Columns of a model sheet\n\nA tab-separated table in UTF-8 with a row per model, from "
        "`schemas/models.schema.yaml`. Other columns are yours. [Networks](../sheet.md) shows an example.\n\n"
        "| column | values | |\n|---|---|---|\n"
    )
    for name, column in schema["columns"].items():
        values = ", ".join(f"`{one}`" for one in column.get("enum", ()))
        needed = "needed" if column.get("required") else values
        yield f"| `{name}` | {needed} | {_cell(column['description'])} |\n"


def _cell(words: str) -> str:
    return " ".join(str(words).split()).replace("|", "\\|")


# Patterns


def _patterns() -> Iterator[str]:
    yield (
        "# Gallery of patterns\n\nThe reference patterns that name kernels, drawn by `kernel_atlas/core/patterns.py` "
        "from `resources/patterns/v1.tsv` at this build. Red taps are above the kernel's mean, blue ones below; each "
        "picture is scaled to its own largest tap. Directions are points of the compass and name the bright side.\n"
        "[How they were chosen](choice.md) says why these, and what they cover.\n"
    )
    table = read_patterns()
    for family in FAMILIES:
        rows = table[table["family"] == family]
        if len(rows):
            formulas = ", ".join(f"`{formula}`" for formula in sorted(set(rows["formula"])))
            yield (
                f"\n## {family}\n\n{len(rows)} rows of the table, by {formulas} of `kernel_atlas.core.patterns`.\n\n"
            )
            yield f"![Patterns of {family} at sides of 3, 5, 7 and 9 taps]({family}.svg)\n"
