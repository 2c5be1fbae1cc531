"""The rooms of the library: imports go one way, words and pictures need no torch, nothing grows too long."""

import ast
import subprocess
import sys

import pytest
from conftest import ROOT

ORDER = ("core", "io", "stats", "model", "evidence", "training", "findings", "figures", "publish")
MODULES = sorted((ROOT / "kernel_atlas").glob("*/**/*.py"))  # __main__ and the package itself are the roof
NAMES = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in MODULES}


@pytest.mark.parametrize("path", MODULES, ids=NAMES.get)
def test_imports_go_one_way(path):
    allowed = ORDER[: ORDER.index(NAMES[path].split(".")[1]) + 1]
    for node in ast.walk(ast.parse(path.read_text())):
        module = getattr(node, "module", None) if isinstance(node, ast.ImportFrom) else None
        if module and module.startswith("kernel_atlas."):
            assert module.split(".")[1] in allowed, f"line {node.lineno}: {module}"


def test_api_stands_on_the_model():
    names = [
        node.module
        for node in ast.walk(ast.parse((ROOT / "kernel_atlas/api.py").read_text()))
        if isinstance(node, ast.ImportFrom)
    ]
    assert {name.split(".")[1] for name in names if name.startswith("kernel_atlas.")} <= {*ORDER[:4], "views"}


def test_findings_and_figures_need_no_torch():
    modules = [name for name in NAMES.values() if name.split(".")[1] in ("findings", "figures")]
    code = f"import sys, {', '.join(modules)}\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("path", MODULES, ids=NAMES.get)
def test_modules_and_functions_are_short(path):
    text = path.read_text()
    assert path.name != "__init__.py" or not text, "each job imports it"
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 100, node.name
