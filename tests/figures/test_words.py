"""The words of every figure: inside the page, apart from each other, and without numbers that a table holds."""

import re

import pytest
from drawing import check_words, cluster_tables, drawn, evidence_tables, texts_of

from kernel_atlas.figures.registry import FIGURES, OVERVIEWS, REPORT, is_evidence
from kernel_atlas.figures.style import PAGE, PHONE

NAMES = [*FIGURES, *OVERVIEWS]
EVIDENCE = [name for name in NAMES if is_evidence(name)]
CASES = {
    "one": evidence_tables(clusters=1, intervals=False, sizes=("5x5",)) | cluster_tables(clusters=1, models=1),
    "many": evidence_tables(clusters=18, sizes=("7x7", "5x5", "3x3")) | cluster_tables(clusters=18, models=20),
    "none": evidence_tables() | cluster_tables(clustered=False),
}


@pytest.mark.parametrize("width", [PAGE, PHONE])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", CASES)
def test_words_stay_inside_and_apart(name, case, width):
    check_words(drawn(name, CASES[case], width=width), apart=1)


@pytest.mark.parametrize("name", EVIDENCE)
def test_empty_tables_give_a_figure_that_says_so(name):
    drawing = drawn(name, {table: rows.iloc[:0] for table, rows in evidence_tables().items()})
    assert drawing.caption.startswith("Nothing to show: ")
    assert drawing.caption in [text.get_text() for text in texts_of(drawing)] and len(drawing.data)


@pytest.mark.parametrize("name", NAMES)
def test_captions_and_alt_texts_are_short_and_leave_numbers_to_the_findings(name):
    drawing = drawn(name, CASES["many"])
    for words in (drawing.caption, drawing.alt):
        assert not re.search(r"\d\.\d+ %|\d\.\d\d+ \[|\[-?\d+\.\d", words), words
    assert drawing.alt.count(". ") < 2 and drawing.caption.count(". ") < 4, drawing.caption


def test_the_report_shows_figures_that_there_are():
    assert set(REPORT) <= {*FIGURES, *OVERVIEWS} and not {*FIGURES} & {*OVERVIEWS}
    assert sum(3 if name in FIGURES else 1 for name in REPORT) <= 16  # of three sizes
