"""Findings: what they say, what they leave unsaid, and that each of their numbers is a cell of a table."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import numbers_missing, snakemake, table
from drawing import SIZE, evidence_tables

from kernel_atlas.core.words import number, percent
from kernel_atlas.findings.formulas import find_fits
from kernel_atlas.findings.networks import find_comparisons
from kernel_atlas.findings.registry import state_findings
from kernel_atlas.findings.shares import find_clusters, find_drift, find_shares
from kernel_atlas.io.tables import columns_of


def chance(shares: dict[str, float]) -> pd.DataFrame:
    known = {"control": list(shares), "pattern_share": shares.values(), "clustered_share": shares.values()}
    return pd.DataFrame({"size": "5x5", "threshold": 0.2} | known)


@pytest.fixture
def totals():
    rows = [
        ("5x5", "On-Centre", 9, 400, 0.4, 0.31, 0.52),
        ("5x5", "On-Shift-E", 9, 227, 0.227, 0.2, 0.25),
        ("5x5", "other", 9, 373, 0.373, 0.331, 0.419),
        ("5x5", "with a pattern", 9, 627, 0.627, 0.581, 0.669),
        ("5x5", "above the equal null", 9, 700, 0.7, 0.6, 0.8),
        ("5x5", "beyond spectrum", 9, 650, 0.65, 0.6, 0.7),
        ("5x5", "clustered", 9, 500, 0.5, 0.4, 0.6),
        ("5x5", "dead", 9, 25, 0.0244, 0.01, 0.04),
    ]
    return pd.DataFrame(rows, columns=columns_of("totals.csv"))


def test_shares_come_with_intervals_and_controls(totals):
    controls = chance({"Gaussian noise": 0.004, "random phases": 0.031})
    assert find_shares(totals, controls) == [
        "62.7 % [58.1, 66.9] of the kernels have a pattern (dissimilarity below 0.2; mean over 9 independent "
        "networks); at the threshold that one in twenty passes with random phases, 70.0 % of the kernels have one.",
        "Controls: Gaussian noise 0.4 %, random phases 3.1 %. The lower end of the interval is more than twice "
        "the highest of them. 65.0 % of the kernels are beyond their spectrum, one in twenty would be by chance.",
        "Most common: On-Centre 40.0 % [31.0, 52.0], On-Shift-E 22.7 % [20.0, 25.0].",
        "Left out as dead: 25 kernels, 2.4 % of all.",
    ]
    assert find_clusters(totals, controls) == [
        "The autoencoder clusters 50.0 % [40.0, 60.0] of the kernels, Gaussian noise 0.4 %. It was trained on these "
        "networks: the share is in-sample."
    ]
    assert find_clusters(totals[totals["label"] != "clustered"], controls) == []


def test_where_chance_has_patterns_nearly_as_often_the_null_leads_and_no_names_are_told(totals):
    found = find_shares(totals, chance({"Gaussian noise": 0.1, "random phases": 0.4}))
    assert found[0] == (
        "At the threshold that one in twenty passes with random phases, 70.0 % of the kernels have a pattern "
        "(mean over 9 independent networks). At the usual threshold 0.2 it is 62.7 % [58.1, 66.9], which tells little "
        "at this size."
    )
    assert not any("Most common" in sentence for sentence in found)


@pytest.mark.parametrize(
    ("controls", "verdict"),
    [
        ({"a": 0.0}, "above"),
        ({"a": 0.2}, "more than twice"),
        ({"a": 0.5}, "above"),
        ({"a": 0.1, "b": 0.6}, "not above"),
    ],
)
def test_the_verdict_compares_the_lower_end_with_the_highest_control(totals, controls, verdict):
    assert f"The lower end of the interval is {verdict} the highest" in find_shares(totals, chance(controls))[1]


def test_findings_say_what_the_data_cannot():
    labels = ("On-Centre", "with a pattern", "above the equal null", "beyond spectrum")
    rows = [("5x5", label, 1, 10, 1.0, np.nan, np.nan) for label in labels]
    one, noise = pd.DataFrame(rows, columns=columns_of("totals.csv")), chance({"noise": 0.01})
    found = find_shares(one, noise)
    assert found[0].startswith("100.0 % of the kernels") and "mean over 1 independent network)" in found[0]
    assert "The share is more than twice" in found[1] and "1 network is too few" in found[2]
    assert find_shares(one.iloc[:0], noise) == ["No independent network has live kernels of this size."]
    assert find_comparisons(table("correlation.csv")) == []
    row = {"size": ["5x5"], "variable": ["top1"], "dataset": ["x"], "n": [10], "families": [2]}
    row |= {"pearson": [0.1], "pearson_low": [0.05], "pearson_high": [0.4]}
    row |= {"spearman": [0.1], "spearman_low": [-0.2], "spearman_high": [0.4]}
    few = table("correlation.csv", **row)
    assert find_comparisons(few) == [
        "Correlation between the share with a pattern and top-1 accuracy, over 10 independent networks trained on x: "
        "Pearson 0.10 [0.05, 0.40], Spearman 0.10 [-0.20, 0.40]."
    ]
    assert find_comparisons(few.assign(n=9)) == []


def test_drift_names_the_networks_that_are_not_covered():
    beyond = {"beyond": [0.5, 0.1], "beyond_low": [0.4, 0.05], "beyond_high": [0.6, 0.15]}
    drift = table("drift.csv", model=["far", "near"], advice=["retrain", "covered"], **beyond)
    assert "exceed: far 50.0 % [40.0, 60.0]. They have other patterns or none" in find_drift(drift)[0]
    assert find_drift(drift.iloc[1:]) == []


def test_a_finding_without_its_tables_is_not_stated(totals):
    assert state_findings({"totals": totals}, ["5x5"]).empty


def cells(project: Path, name: str, size: str) -> np.ndarray:
    """All numbers of a table of results, of the rows of a size where it has sizes."""
    paths = [
        path for folder in ("statistics", "evidence") for path in (project / f"results/{folder}").glob(f"{name}.csv")
    ]
    if name == "history":
        table = pd.read_parquet(project / f"results/autoencoder/{size}/history.parquet")
    else:
        (path,) = paths
        table = pd.read_csv(path)
    if size and "size" in table:
        table = table[table["size"] == size]
    found = table.apply(pd.to_numeric, errors="coerce").to_numpy(float).ravel()
    return found[np.isfinite(found)]


def numbers_not_in_tables(project: Path) -> list[tuple[str, str]]:
    """Numbers of sentences that are no cell of the tables that the sentence names, to the digits written."""
    missing = []
    for row in pd.read_csv(project / "results/findings.csv").fillna("").itertuples():
        there = np.concatenate([cells(project, name, row.size) for name in row.tables.split()])
        missing += [(text, row.sentence) for text in numbers_missing(row.sentence, there)]
    return missing


def test_every_number_of_a_sentence_is_a_cell_of_the_tables_it_names(tested):
    assert len(pd.read_csv(tested / "results/findings.csv")) >= 10
    assert numbers_not_in_tables(tested) == []


def test_a_wrong_number_would_be_noticed(tested, tmp_path):
    findings = tested / "results/findings.csv"
    before = findings.read_text()
    share = re.search(r"\d+\.\d %", before)[0]
    try:
        findings.write_text(before.replace(share, f"{float(share[:-2]) + 0.1:.1f} %", 1))
        assert numbers_not_in_tables(tested)
    finally:
        findings.write_text(before)


def test_the_report_has_every_sentence(tested):
    report = re.sub(r"\s+", " ", (tested / "results/report.html").read_text()).replace("&#39;", "'")
    for sentence in pd.read_csv(tested / "results/findings.csv")["sentence"]:
        assert sentence in report, sentence


def test_evidence_is_done_once(tested):
    assert "Nothing to be done" in snakemake(tested).stdout


def test_numbers_read_well():
    assert percent(0.627, 0.581, 0.669) == "62.7 % [58.1, 66.9]"
    assert percent(0.05) == "5.0 %"
    assert percent(np.nan) == number(np.nan) == "\N{EN DASH}"
    assert number(6012.0) == "6,012"


def test_sizes_without_an_autoencoder_have_what_labels_say(totals):
    other = totals[totals["label"] != "clustered"].assign(size="9x9")
    controls = pd.concat([chance({"Gaussian noise": 0.01}), chance({"Gaussian noise": 0.01}).assign(size="9x9")])
    found = state_findings({"totals": pd.concat([totals, other]), "chance": controls}, ["5x5"])
    assert found["size"].drop_duplicates().tolist() == ["5x5", "9x9"]
    assert set(found.loc[found["size"] == "9x9", "finding"]) == {"Patterns"}


@pytest.mark.parametrize(("at_bounds", "told"), [(0.3, True), (0.87, False)])
def test_parameters_at_their_bounds_are_not_told(at_bounds, told):
    tables = {name: part[part["size"] == SIZE] for name, part in evidence_tables().items() if "size" in part}
    crosses = tables["fit_crosses"].assign(at_bounds=at_bounds)
    said = " ".join(find_fits(tables["fit_explained"], crosses, tables["fit_cardinal"]))
    assert ("width (sigma, in taps)" in said) == told and ("no parameters can be told" in said) != told
