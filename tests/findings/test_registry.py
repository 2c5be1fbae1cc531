"""Findings: what they say, what they leave unsaid, and that each of their numbers is a cell of a table."""

import html
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import numbers_missing, snakemake, table

from kernel_atlas.core.words import number, percent
from kernel_atlas.figures.registry import REPORT
from kernel_atlas.findings.codes import find_drift, find_fit
from kernel_atlas.findings.formulas import find_fits
from kernel_atlas.findings.limits import find_code_limit, find_formula_limit
from kernel_atlas.findings.networks import find_comparisons, find_contrasts
from kernel_atlas.findings.questions import QUESTIONS
from kernel_atlas.findings.registry import state_findings
from kernel_atlas.findings.shares import compare_shares, find_controls_of_names, find_shares, find_summary
from kernel_atlas.io.tables import columns_of


def chance(shares: dict[str, float], size: str = "5x5") -> pd.DataFrame:
    known = {"control": list(shares), "pattern_share": shares.values(), "clustered_share": shares.values()}
    return pd.DataFrame({"size": size, "threshold": 0.2} | known)


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


CONTROLS = {"Gaussian noise": 0.004, "random phases": 0.031}
NETWORKS = table("models.csv", size="5x5", use=["train"] * 3, architecture=["zoonet_5x5", "zoonet_5x5", None])
CLOSE = {"Gaussian noise": 0.004, "random phases": 0.4}


def test_the_summary_leads_with_the_strongest_control_and_the_equal_null(totals):
    assert find_summary(totals, chance(CONTROLS), NETWORKS) == [
        "62.7 % [58.1, 66.9] of the 5x5 kernels have a pattern, against 3.1 % of kernels with random phases, the "
        "strongest control.",
        "At equal null, which one in twenty kernels with random phases passes, 70.0 % [60.0, 80.0] have one (means "
        "over 9 independent networks, most small ones of kernel-atlas itself).",
        "The commonest families are On-Centre and On-Shift; single patterns On-Centre 40.0 % [31.0, 52.0] and "
        "On-Shift-E 22.7 % [20.0, 25.0].",
    ]


def test_sizes_whose_names_tell_something_come_first_then_large_ones(totals):
    sizes = {"3x3": CLOSE, "7x7": CONTROLS, "5x5": CONTROLS, "9x9": CLOSE}
    table = pd.concat([totals.assign(size=size) for size in sizes])
    controls = pd.concat([chance(shares, size) for size, shares in sizes.items()])
    assert compare_shares(table, controls)["size"].tolist() == ["7x7", "5x5", "9x9", "3x3"]
    said = find_summary(table, controls, NETWORKS)
    assert "of the 7x7 kernels" in said[0] and "3x3 kernels against 40.0 %, which tells little" in said[3]
    first, second, *_ = find_shares(table, controls)
    assert first.startswith("A few patterns name many kernels at 7x7 and 5x5: over twice as many as ")
    assert second.startswith("At 9x9 and 3x3 a name tells little")


def test_a_size_of_too_few_networks_for_an_interval_does_not_lead(totals):
    counts = {"11x11": 2, "9x9": 1, "7x7": 14, "5x5": 89}
    table = pd.concat([totals.assign(size=size, models=models) for size, models in counts.items()])
    controls = pd.concat([chance(CONTROLS, size) for size in counts])
    assert compare_shares(table, controls)["size"].tolist() == ["7x7", "5x5", "11x11", "9x9"]


def test_where_chance_has_patterns_nearly_as_often_no_names_are_told(totals):
    said = " ".join(find_summary(totals, chance(CLOSE), NETWORKS))
    assert "commonest" not in said and said.endswith("That tells little.")


@pytest.mark.parametrize(
    ("controls", "above", "telling"),
    [
        ({"a": 0.0}, True, True),
        ({"a": 0.2}, True, True),
        ({"a": 0.5}, True, False),
        ({"a": 0.1, "b": 0.6}, False, False),
    ],
)
def test_the_lower_end_of_the_interval_is_compared_with_the_strongest_control(totals, controls, above, telling):
    row = compare_shares(totals, chance(controls)).iloc[0]
    assert (row["above"], row["telling"]) == (above, telling)
    said = find_controls_of_names(totals, chance(controls))
    assert said[0].startswith("Trained kernels have patterns more often" if above else "They are not told from")


def test_findings_say_what_the_data_cannot():
    labels = ("On-Centre", "with a pattern", "above the equal null", "beyond spectrum")
    rows = [("5x5", label, 1, 10, 1.0, np.nan, np.nan) for label in labels]
    one, noise = pd.DataFrame(rows, columns=columns_of("totals.csv")), chance({"noise": 0.01})
    said = find_summary(one, noise, NETWORKS[:1])
    assert said[0].startswith("100.0 % of the 5x5 kernels")
    assert said[1].endswith("1 independent network, all small ones of kernel-atlas itself, too few for an interval).")
    assert find_summary(one.iloc[:0], noise, NETWORKS) == ["No kernel has a pattern."]
    assert find_comparisons(table("correlation.csv")) == []
    row = {"size": ["5x5"], "variable": ["top1"], "dataset": ["x"], "n": [10], "families": [2]}
    row |= {"pearson": [0.1], "pearson_low": [0.05], "pearson_high": [0.4]}
    few = table("correlation.csv", **row)
    assert find_comparisons(few) == [
        "Pearson's correlation of the share with top-1 accuracy: 0.10 [0.05, 0.40] over 10 independent 5x5 networks "
        "trained on x."
    ]
    assert find_comparisons(few.assign(n=9)) == []


def test_failures_are_called_by_the_names_that_the_paper_gives_them(totals):
    beyond = {"beyond": [0.5, 0.1], "beyond_low": [0.4, 0.05], "beyond_high": [0.6, 0.15]}
    drift = table("drift.csv", model=["far", "near"], advice=["retrain", "covered"], **beyond)
    (said,) = find_drift(drift)
    assert said.startswith(
        "High reconstruction loss in networks that the autoencoder did not see: far 50.0 % [40.0, 60.0]"
    )
    assert find_drift(drift.iloc[1:]) == []
    history = pd.DataFrame({"size": ["5x5"], "chosen": [True], "loss": [0.1], "held_out_loss": [0.3]})
    assert find_fit(history, chance(CONTROLS))[1].startswith("High reconstruction loss at 5x5: ")
    assert len(find_fit(history.assign(held_out_loss=0.19), chance(CONTROLS))) == 1
    kinds = {"size": ["5x5"] * 2, "contrast": ["seed", "images"], "pairs": [3, 2], "beyond": [1, 2]}
    said = find_contrasts(table("contrast_kinds.csv", **kinds))
    assert said[0].startswith("Inconsistent proportions across similar networks") and "1 of 3 pairs" in said[0]
    assert said[1] == "Label shares differ more than by chance between: 2 of 2 pairs of kind images at 5x5."
    assert find_contrasts(table("contrast_kinds.csv", **kinds | {"beyond": [0, 0]})) == []


@pytest.mark.parametrize(("share", "few"), [(0.3, True), (0.8, False)])
def test_what_one_number_or_a_formula_does_not_say(share, few):
    held_out = table("held_out.csv", size=["5x5"], method="autoencoder", held_out_share=share, units="layers")
    stability = table("stability_summary.csv", size=["5x5"], method="autoencoder", kind="all", clusters=9.0, stable=0.0)
    (said,) = find_code_limit(held_out, stability)
    assert said.startswith("One number does not say what most kernels are: ") == few
    assert f"clusters {share:.1%}".replace("%", " %") in said and "and none of its 9 clusters come back" in said
    assert find_code_limit(held_out.iloc[:0], stability) == []
    explained = {"subject": ["real", "gaussian", "phase"], "family": "all", "explained_share": [0.9, 0.1, 0.4]}
    (said,) = find_formula_limit(table("fit_explained.csv", **explained).assign(size="5x5"))
    assert said.endswith("fit 90.0 % of the 5x5 kernels, and 40.0 % of the strongest control (random phases).")


def test_a_finding_without_its_tables_is_not_stated(totals):
    assert state_findings({"totals": totals}, ["5x5"]).empty


def cells(project: Path, name: str) -> np.ndarray:
    """All numbers of a table of results."""
    paths = [
        path for folder in ("statistics", "evidence") for path in (project / f"results/{folder}").glob(f"{name}.csv")
    ]
    if name == "history":
        table = pd.concat(map(pd.read_parquet, project.glob("results/autoencoder/*/history.parquet")))
    else:
        (path,) = paths
        table = pd.read_csv(path)
    found = table.apply(pd.to_numeric, errors="coerce").to_numpy(float).ravel()
    return found[np.isfinite(found)]


def numbers_not_in_tables(project: Path) -> list[tuple[str, str]]:
    """Numbers of sentences that are no cell of the tables that the sentence names, to the digits written."""
    missing = []
    for row in pd.read_csv(project / "results/findings.csv").fillna("").itertuples():
        there = np.concatenate([cells(project, name) for name in row.tables.split()])
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
    report = re.sub(r"\s+", " ", html.unescape((tested / "results/report.html").read_text()))
    for sentence in pd.read_csv(tested / "results/findings.csv")["sentence"]:
        assert sentence in report, sentence


def test_every_shown_figure_has_one_question():
    assert sorted(name for question in QUESTIONS.values() for name in question.figures) == sorted(REPORT)


def test_every_shown_column_is_one_of_its_table():
    for grid in [grid for question in QUESTIONS.values() for grid in question.grids]:
        columns = {"size", *columns_of("clusters.tsv" if grid.table == "clusters" else f"{grid.table}.csv")}
        for column in grid.columns.values():
            assert columns.issuperset(column.removesuffix(" %").removesuffix(" points").split()), (grid.table, column)


def test_evidence_is_done_once(tested):
    assert "Nothing to be done" in snakemake(tested).stdout


def test_numbers_read_well():
    assert percent(0.627, 0.581, 0.669) == "62.7 % [58.1, 66.9]"
    assert percent(0.05) == "5.0 %"
    assert percent(np.nan) == number(np.nan) == "\N{EN DASH}"
    assert number(6012.0) == "6,012"


def test_sizes_without_an_autoencoder_have_what_labels_say(totals):
    other = totals[totals["label"] != "clustered"].assign(size="9x9")
    controls = pd.concat([chance(CONTROLS), chance(CONTROLS, "9x9")])
    drift = table("drift.csv", size=["5x5", "9x9"], model=["a", "b"], advice="retrain", beyond=0.5)
    found = state_findings(
        {"totals": pd.concat([totals, other]), "chance": controls, "models": NETWORKS, "drift": drift}, ["5x5"]
    )
    assert "of the 9x9 kernels" in found["sentence"][0]
    (said,) = found.loc[found["question"] == "networks", "sentence"]
    assert "a 50.0 %" in said and "b 50.0 %" not in said


@pytest.mark.parametrize(("at_bounds", "told"), [(0.3, True), (0.87, False)])
def test_parameters_at_their_bounds_are_not_told(at_bounds, told):
    explained = {"subject": ["real", "phase"], "family": "all", "explained_share": [0.9, 0.4], "threshold": 0.8}
    crosses = {"weight": ["free", "0"], "kernels": 20, "at_bounds": at_bounds}
    crosses |= {f"sigma_{name}": 0.5 for name in ("median", "q10", "q90")}
    tables = ("fit_explained", explained), ("fit_crosses", crosses), ("fit_cardinal", {})
    said = find_fits(*(table(f"{name}.csv", **columns).assign(size="5x5") for name, columns in tables))
    assert said[0].endswith(
        "more kernels than the strongest control at 5x5 (90.0 % against 40.0 % with random phases)."
    )
    assert ("width (sigma, in taps)" in said[1]) == told and ("no parameters can be told" in said[1]) != told
