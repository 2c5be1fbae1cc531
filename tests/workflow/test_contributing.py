"""A figure, a finding and a pattern are added by touching only what CONTRIBUTING.md says."""

import os
import re
import subprocess
import sys

from conftest import ROOT, planned

FIGURE = '''"""A toy figure."""

from kernel_atlas.figures.write import Drawing


def draw(size, threshold, models):
    raise NotImplementedError
'''
FINDING = """

def find_toys(totals):
    return [f"{len(totals)} rows."]
"""
FORMULA = """

def toy(u, v):
    return u * v


FORMULAS["toy"] = toy
"""
PATTERN = "Toy\tToy\ttoy\t1\t\t\t3\t51\n"


def places(kind: str) -> list[str]:
    """The files that CONTRIBUTING names for an addition."""
    row = re.search(rf"^\| {kind} \|(.*)\|$", (ROOT / "CONTRIBUTING.md").read_text(), re.M)[1]
    return re.findall(r"`((?:kernel_atlas|resources)/[\w/.]+)`", row)


def append(path, text):
    path.write_text(path.read_text() + text)


def test_additions_touch_the_places_that_are_named(project):
    folder, registry = places("a figure")
    (project / folder / "toy.py").write_text(FIGURE)
    append(project / registry, 'FIGURES["toy"] = _statistics("models")\n')
    folder, registry = places("a finding")
    append(project / folder / "shares.py", FINDING)
    append(
        project / registry,
        "from kernel_atlas.findings.shares import find_toys  # noqa: E402\n"
        'FINDINGS = (*FINDINGS, Finding("Toys", find_toys, ("totals",)))\n',
    )
    table, formulas, _ = places("a pattern")
    append(project / table, PATTERN)
    append(project / formulas, FORMULA)
    said = (
        "import pandas as pd\n"
        "from kernel_atlas.core.patterns import templates\n"
        "from kernel_atlas.findings.registry import state_findings\n"
        "assert 'Toy' in templates(5).labels\n"
        "found = state_findings({'totals': pd.DataFrame({'size': ['5x5']})}, ['5x5'])\n"
        "assert found['sentence'].tolist() == ['1 rows.']\n"
    )
    environment = os.environ | {"PYTHONPATH": str(project)}
    subprocess.run([sys.executable, "-c", said], check=True, cwd=project, env=environment)
    jobs, _ = planned(project, "results/figures/toy_5x5.svg")
    assert jobs["draw_figure"] == 1
