"""Files of installed distributions: what is found, what is told of them, and what is refused."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
from conftest import ROOT, SMALL, copy_project, make_net, snakemake

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.packages import files_to_watch, find_packaged, licence_of_distribution
from kernel_atlas.io.sources import Wanted, read_layers

KERNELS = np.random.default_rng(0).standard_normal((6, 1, 5, 5), np.float32)


def install(site: Path, fields: str = "", version: str = "1.2.0", files: tuple[str, ...] = ()) -> None:
    """A distribution `toy-nets` as pip leaves it, whose module must not be imported."""
    package, record = site / "toy_nets", site / f"toy_nets-{version}.dist-info"
    for folder in (package / "weights", record):
        folder.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("raise SystemExit('code was run')\n")
    safetensors.numpy.save_file({"dw.weight": KERNELS}, package / "weights/small.bin")
    (record / "METADATA").write_text(f"Metadata-Version: 2.4\nName: toy-nets\nVersion: {version}\n{fields}\n")
    listed = ["toy_nets/__init__.py", "toy_nets/weights/small.bin", f"{record.name}/METADATA", "../../bin/toy", *files]
    (record / "RECORD").write_text("".join(f"{name},,\n" for name in listed))


@pytest.fixture
def site(tmp_path, monkeypatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path / "site")
    install(tmp_path / "site", "License-Expression: Apache-2.0")
    return tmp_path / "site"


@pytest.mark.parametrize("name", ["toy-nets", "toy_nets", "Toy.Nets"])
def test_a_file_of_a_distribution_is_read_without_its_code(site, name):
    checkpoint = read_layers(f"package:{name}:toy_nets/weights/small.bin", Wanted(Path()))
    (layer,) = checkpoint.layers
    assert (layer.weight == KERNELS).all() and "toy_nets" not in sys.modules
    assert checkpoint.metadata["revision"] == "toy-nets 1.2.0" and checkpoint.metadata["licence"] == "Apache-2.0"
    assert "date" not in checkpoint.metadata  # would be the day of the installation


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no-such-nets:a.pth", "no-such-nets is not installed; `pip install no-such-nets` in the environment"),
        ("toy-nets:small.bin", "toy-nets 1.2.0 has no file 'small.bin'; did you mean toy_nets/weights/small.bin"),
        ("toy-nets:toy_nets/weights/smal.pth", "did you mean toy_nets/weights/small.bin"),
        ("toy-nets:zzz", "has no file 'zzz'; `pip show --files toy-nets` lists its files"),
        ("toy-nets:../../bin/toy", "has no file '../../bin/toy'"),
        ("toy-nets:toy_nets/weights/../weights/small.bin", "did you mean toy_nets/weights/small.bin"),
        ("toy-nets:gone.bin", "cannot read .*gone.bin: No such file"),
        ("toy-nets:toy_nets/__init__.py", "unknown format"),
        ("toy-nets", "not of the form package:DISTRIBUTION:PATH"),
    ],
)
def test_what_is_missing_is_one_line(site, source, message):
    install(site, files=("gone.bin",))
    (site.parent / "bin").mkdir()
    (site.parent / "bin/toy").write_bytes(b"not a part of the packages")
    with pytest.raises(AtlasError, match=message) as fault:
        list(read_layers(f"package:{source}", Wanted(Path())).layers)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ("License-Expression: MIT OR Apache-2.0", "MIT OR Apache-2.0"),
        ("License: MIT License", "MIT"),
        ("License: Apache License, Version 2.0", "Apache-2.0"),
        ("License: Apache 2.0", "Apache-2.0"),
        ("License: Apache-1.1", "Apache-1.1"),
        ("License: CC-BY-NC-4.0", "CC-BY-NC-4.0"),
        ("License: UNKNOWN", None),
        ("License: UNKNOWN\nClassifier: License :: OSI Approved :: Apache Software License", "Apache-2.0"),
        ("Classifier: License :: OSI Approved\nClassifier: License :: OSI Approved :: BSD License", "BSD"),
        ("License: Copyright (c) 2020, permission is hereby granted, free of charge, to any person", None),
        ("", None),
    ],
)
def test_licences_are_named_as_spdx_does(site, fields, licence):
    from importlib.metadata import distribution

    install(site, fields)
    assert licence_of_distribution(distribution("toy-nets")) == licence
    assert find_packaged("toy-nets", "toy_nets/weights/small.bin")[1].get("licence") == licence


def test_a_new_version_is_another_input(site):
    before = files_to_watch("toy-nets", "toy_nets/weights/small.bin")
    assert before[0] == site / "toy_nets/weights/small.bin" and len(before) == 2
    (site / "toy_nets-1.2.0.dist-info").rename(site / "old")
    install(site, version="1.3.0")
    after = files_to_watch("toy-nets", "toy_nets/weights/small.bin")
    assert after[0] == before[0] and after[1] != before[1]
    assert files_to_watch("toy-nets", "other") == files_to_watch("none", "other") == []


def test_a_run_reads_an_upgraded_distribution_again(tmp_path):
    """Also where the new file is older than what was made of the old one, as a cache of wheels gives it."""
    import os

    project, site = copy_project(tmp_path / "project"), tmp_path / "site"
    install(site, "License: MIT License")
    weights = site / "toy_nets/weights/small.bin"
    make_net(weights, 0)
    environment = os.environ | {"PYTHONPATH": str(site)}
    (project / "config.yaml").write_text(SMALL)
    make_net(project / "run{1}.bin", 2)  # a brace is a wildcard to Snakemake
    rows = ["model\tsource", "toy\tpackage:toy-nets:toy_nets/weights/small.bin", "brace\tfile:run{1}.bin"]
    rows.append("gone\tpackage:gone-nets:a.pth")
    (project / "sheet.tsv").write_text("\n".join(rows) + "\n")
    run = snakemake(project, "results/sources.csv", environment=environment, check=False).stdout
    assert "error: model gone: package:gone-nets:a.pth: the distribution gone-nets is not installed" in run
    table = pd.read_csv(project / "results/sources.csv").set_index("model")
    assert table.loc["toy", ["revision", "licence", "layers"]].tolist() == ["toy-nets 1.2.0", "MIT", 4]
    assert "pip install gone-nets" in table.loc["gone", "failure"]
    (project / "sheet.tsv").write_text("\n".join(rows[:3]) + "\n")
    snakemake(project, "results/sources.csv", environment=environment)
    assert "Nothing to be done" in snakemake(project, "results/sources.csv", environment=environment).stdout
    for old in (site / "toy_nets-1.2.0.dist-info").iterdir():
        old.unlink()
    (site / "toy_nets-1.2.0.dist-info").rmdir()
    install(site, version="1.3.0")
    make_net(weights, 1)
    os.utime(weights, (1e9, 1e9))
    before = pd.read_csv(project / "results/sources.csv").set_index("model")["digest"]
    make_net(project / "run{1}.bin", 3)
    snakemake(project, "results/sources.csv", environment=environment)
    table = pd.read_csv(project / "results/sources.csv").set_index("model")
    assert table.loc["toy", "revision"] == "toy-nets 1.3.0" and (table["digest"] != before).all()


def test_the_documents_know_the_source():
    for name in ("docs/sheet.md", "schemas/models.schema.yaml"):
        assert "package:DISTRIBUTION:PATH" in (ROOT / name).read_text()
