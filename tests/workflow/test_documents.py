"""What the documents say of the code holds."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import ROOT
from PIL import Image

import kernel_atlas
from kernel_atlas.core.patterns import read_patterns
from kernel_atlas.core.words import percent
from kernel_atlas.figures import registry

DOCUMENTS = [
    path
    for folder in (".", "docs", "docs/notebooks", "config", "resources", "resources/*")
    for path in ROOT.glob(f"{folder}/*.md")
]
GIVEN = {"N": "1", "SHEET": "config/timm.tsv", "FILE": "config/full.yaml", "CONFIG": "config/full.yaml"}
TABLES = yaml.safe_load((ROOT / "schemas/tables.yaml").read_text())
CONFIGURATION = yaml.safe_load((ROOT / "schemas/config.schema.yaml").read_text())["properties"]


@pytest.fixture(scope="module")
def rules() -> set[str]:
    """Every rule, and every target."""
    command = [sys.executable, "-m", "snakemake", "--list"]
    return set(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())


def quoted(document: Path) -> list[str]:
    """The pieces of code of a document: blocks line by line, and words in code font."""
    text = document.read_text().replace("\\\n", " ")
    blocks = re.findall(r"^```.*?\n(.*?)^```", text, re.M | re.S)
    words = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    indented = re.findall(r"^    (\S.*)", text, re.M)
    return [line.strip() for block in blocks for line in block.splitlines()] + words + indented


def reachable(edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Every pair of which the second comes after the first on some way."""
    while True:
        longer = edges | {(a, d) for a, b in edges for c, d in edges if b == c}
        if longer == edges:
            return edges
        edges = longer


def test_the_pictures_of_the_architecture_are_the_rule_graph(tested):
    text = (ROOT / "docs/architecture.md").read_text()
    boxes, rules = (
        set(re.findall(r"^ +(\w+)(?:\[.*?\])? --> (\w+)", picture, re.M))
        for picture in re.findall(r"```mermaid\n(.*?)```", text, re.S)
    )
    command = [sys.executable, "-m", "snakemake", "all", "release", "--rulegraph"]
    graph = subprocess.run(command, cwd=tested, capture_output=True, text=True, check=True).stdout
    names = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)"', graph, re.M))
    edges = {(names[a], names[b]) for a, b in re.findall(r"^\s*(\d+) -> (\d+)", graph, re.M)}
    assert reachable(rules) == reachable(edges)
    table = re.search(r"\| box \| rules \|\n\|---\|---\|\n(.*?)\n\n", text, re.S)[1]
    box_of = {
        rule: row.split("|")[1].strip() for row in table.splitlines() for rule in re.findall(r"\w+", row.split("|")[2])
    }
    assert set(box_of) == {name for name in names.values() if name not in ("all", "release")}
    between = {(box_of.get(a), box_of.get(b)) for a, b in reachable(edges)}
    assert reachable(boxes) == {(a, b) for a, b in between if a and b and a != b}
    assert len(set(box_of.values())) <= 10


def test_every_module_has_its_place():
    text = (ROOT / "docs/architecture.md").read_text()
    drawn = {*registry.FIGURES, *registry.OVERVIEWS}  # "a module a figure"
    for module in (ROOT / "kernel_atlas").rglob("[a-z]*.py"):
        if module.parent.name != "figures" or module.stem not in drawn:
            assert f"`{module.stem}`" in text, module.stem


def test_links_lead_somewhere():
    for document in DOCUMENTS:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
            assert (document.parent / link).exists() and "_generated" not in link, f"{document.name}: {link}"


def test_files_that_are_named_exist():
    for document in DOCUMENTS:
        for name in re.findall(
            r"`((?:kernel_atlas|rules|workflow_scripts|tests|schemas|profiles|config)/[\w./]+\.\w+)`",
            document.read_text(),
        ):
            assert (ROOT / name).exists(), f"{document.name}: {name}"


def commands(program: str) -> list[tuple[str, list[str]]]:
    """What the documents say to type: the document, and the arguments of a program."""
    found = []
    for document in DOCUMENTS:
        for line in quoted(document):
            line = re.sub(r"\s+#.*|\s*\.\.\.\s*", "", line).lstrip("!")
            for command in re.split(r";|&&", line):
                words = shlex.split(command.strip()) if command.strip().startswith(program) else []
                if words[: len(program.split())] == program.split():
                    found.append((document.name, words[len(program.split()) :]))
    assert found, program
    return found


def test_snakemake_takes_the_commands(rules):
    from snakemake.cli import get_argument_parser

    parser = get_argument_parser()
    for document, words in commands("snakemake"):
        given, unknown = parser.parse_known_args([GIVEN.get(word, word) for word in words])
        assert not unknown, f"{document}: {words}"
        for target in given.targets or []:
            assert target in rules or target.startswith("results/"), f"{document}: {target}"
        for setting in (given.config or {}) if isinstance(given.config, list) else []:
            assert setting.partition("=")[0] in CONFIGURATION, f"{document}: {setting}"
        for file in given.configfile or []:
            assert Path(ROOT / file).exists(), f"{document}: {file}"
        profile = given.workflow_profile
        assert profile is None or yaml.safe_load((ROOT / profile / "config.yaml").read_text()), document


def test_the_command_line_takes_the_commands():
    from kernel_atlas import __main__ as line

    parser = line._parser()
    for program in ("kernel-atlas", "python -m kernel_atlas"):
        for document, words in commands(program):
            if len(words) > 1:  # not the name alone
                assert parser.parse_args(words), document


def test_make_has_the_targets():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    for document, words in commands("make"):
        assert set(words) <= targets, f"{document}: {words}"


def test_names_in_code_font_are_known(rules):
    """Columns, tables, settings, targets, modules and public names; a name is known by its underscore."""
    known = rules | set(kernel_atlas.__all__) | set(registry.FIGURES) | {"NAME"}
    for name, table in TABLES.items():
        known |= {*table["columns"], Path(name).stem, *name.replace(".", "/").split("/")}
    for name, setting in CONFIGURATION.items():
        known |= {name, *setting.get("properties", {})}
    known |= set(yaml.safe_load((ROOT / "schemas/models.schema.yaml").read_text())["columns"])
    for sheet in (ROOT / "config").glob("*.tsv"):
        table = pd.read_csv(sheet, sep="\t", dtype=str)
        known |= {*table, *table.iloc[:, 0]}
    known |= {path.stem for path in ROOT.rglob("kernel_atlas/**/*.py")}
    known |= {
        path.stem for folder in ("workflow_scripts", "resources", "config") for path in (ROOT / folder).rglob("*")
    }
    for document in (ROOT / "docs").glob("*.md"):
        for name in re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+)+)`", document.read_text()):
            assert name in known, f"{document.name}: {name}"


def test_public_names_exist():
    for document in DOCUMENTS:
        for name in re.findall(r"\bkernel_atlas\.(\w+)", document.read_text()):
            inside = (ROOT / "kernel_atlas" / name).exists() or (ROOT / "kernel_atlas" / f"{name}.py").exists()
            assert inside or hasattr(kernel_atlas, name), f"{document.name}: {name}"


def test_labels_are_patterns():
    known = {*read_patterns()["name"], *read_patterns()["family"]}
    for document in (ROOT / "docs").glob("*.md"):
        for label in re.findall(r"`((?:On|Off|First)-[\w-]+)`", document.read_text()):
            assert label in known, f"{document.name}: {label}"


def test_what_is_found_is_a_row_of_a_table():
    """Numbers beside the paper's claims are those of the row that is named."""
    shares = pd.read_csv(ROOT / "resources/reference/shares.csv").set_index(["size", "label"])
    rows = re.findall(
        r"^\|[^|]*\|([^|]*)\|[^|]*shares\.csv\), (\w+), `([^`]+)` \|$", (ROOT / "docs/paper.md").read_text(), re.M
    )
    assert len(rows) >= 10
    for words, size, label in rows:
        row = shares.loc[(size, label)]
        assert percent(row["share"], row["share_low"], row["share_high"]) in words, (words, size, label)


def test_pictures_are_not_older_than_what_they_show(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import pictures

    assert {path.stem for path in (ROOT / "docs").glob("*.png")} == set(pictures.LOOKS)
    for name in pictures.LOOKS:
        with Image.open(ROOT / f"docs/{name}.png") as picture:
            assert picture.text["Source"] == pictures.digest(name), f"{name}: run `snakemake pictures`"


def test_the_readme_is_one_screen():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 60
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    assert len(prose.split()) <= 400
    assert max(map(len, prose.splitlines())) <= 120
