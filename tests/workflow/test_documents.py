"""What the documents say of the code holds."""

import re
import subprocess
import sys

import yaml
from conftest import ROOT

from kernel_atlas.figures import registry

DOCUMENTS = [
    path
    for folder in (".", "docs", "config", "resources/zoo", "resources/experiments")
    for path in (ROOT / folder).glob("*.md")
]


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
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_files_that_are_named_exist():
    for document in DOCUMENTS:
        for name in re.findall(
            r"`((?:kernel_atlas|rules|workflow_scripts|tests|schemas|profiles|config)/[\w./]+\.\w+)`",
            document.read_text(),
        ):
            assert (ROOT / name).exists(), f"{document.name}: {name}"


def test_the_readme_quotes_commands_that_exist():
    text = (ROOT / "README.md").read_text()
    for configuration in re.findall(r"--configfile (\S+?)`", text):
        assert (ROOT / configuration).exists()
    for profile in re.findall(r"--workflow-profile (\S+?)`", text):
        assert yaml.safe_load((ROOT / profile / "config.yaml").read_text())
