"""The smallest rehearsal of config/timm.yaml: every planted failure, and a few networks whose kernels are known."""

import re
import sys

import pandas as pd
import pytest
from conftest import ROOT

sys.path.append(str(ROOT / "benchmarks"))

import rehearsal
from rehearsal_hub import read_faults, write_headers

SHORT = ["training={restarts: 1, steps: 60}", "evidence={wanted: false}", "noise_kernels=500"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder of a run of the networks with faults and two others, up to the tables of shares; and what it took."""
    folder, sheet = tmp_path_factory.mktemp("rehearsal"), rehearsal.choose_tags(0)
    (folder / "config").mkdir()
    sheet.to_csv(folder / "config/timm.tsv", sep="\t", index=False)
    write_headers(folder / "headers", sheet["model"])
    with rehearsal.serve(folder / "headers") as (endpoint, _):
        took = rehearsal.snakemake(folder, endpoint, "run", "--config", *SHORT, "--", "results/statistics/models.csv")
    return folder, took


def test_every_planted_failure_is_named_once_and_nothing_else_is_lost(run):
    folder, took = run
    assert rehearsal.judge_failures(folder) == []
    faults, said = read_faults(), (folder / "run.log").read_text()
    lost = faults[faults["lost"] == "yes"]
    errors = re.findall(r"^error: model (\S+): (.+)$", said, re.M)
    assert sorted(model for model, _ in errors) == sorted(lost["tag"])
    assert all(lost.set_index("tag").at[model, "says"] in reason for model, reason in errors)
    assert took["status"] != 0 and f"error: {len(lost)} of" in said


def test_planted_shares_are_found_within_a_point(run):
    off = rehearsal.deviations(rehearsal.compare(run[0]))
    assert len(off) >= 5
    assert off.max() <= 1


def test_licences_are_those_of_the_sheet(run):
    sources = pd.read_csv(run[0] / "results/sources.csv", index_col="model")
    sheet = rehearsal.choose_tags(0).set_index("model")["licence"]
    read = sources[sources["failure"].isna()]
    assert (read["licence"].fillna("") == sheet[read.index]).all()
