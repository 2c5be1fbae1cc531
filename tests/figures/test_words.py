"""The words of every figure: inside the page, apart from each other, and without numbers that a table holds."""

import re

import pytest
from drawing import FEW, MANY, check_words, cluster_tables, drawn, evidence_tables, network_tables, texts_of

from kernel_atlas.figures.registry import EVIDENCE, FIGURES

CLUSTERS = {"one": {"clusters": 1, "models": 1}, "many": {"clusters": 18}, "none": {"clustered": False}}
TESTED = {"many": MANY, "few": FEW}
NETWORKS = {"many": {}, "few": {"models": 5, "intervals": False}}
OF_NETWORKS = [name for name in EVIDENCE if name.startswith("networks_") or name in ("layers", "padding", "keys")]
OF_KERNELS = [name for name in EVIDENCE if name not in OF_NETWORKS]


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("case", CLUSTERS)
def test_words_of_clusters_stay_inside(name, case):
    laid_out_by_hand = name in ("spectrum", "members", "kmeans")  # at places that depend on the data
    check_words(drawn(name, cluster_tables(**CLUSTERS[case])), apart=0.5 if laid_out_by_hand else None)


@pytest.mark.parametrize("name", OF_KERNELS)
@pytest.mark.parametrize("case", TESTED)
def test_words_of_the_evidence_stay_inside_and_apart(name, case):
    drawing = drawn(name, evidence_tables(**TESTED[case]))
    assert set(drawing.data["size"]) == {"5x5"}
    check_words(drawing, apart=1)


@pytest.mark.parametrize("name", OF_NETWORKS)
@pytest.mark.parametrize("case", NETWORKS)
def test_words_of_networks_stay_inside_and_apart(name, case):
    check_words(drawn(name, network_tables(**NETWORKS[case]), "7x7", 0.3), apart=1)


@pytest.mark.parametrize("name", EVIDENCE)
def test_empty_tables_give_a_figure_that_says_so(name):
    size, tables = ("7x7", network_tables(models=3)) if name in OF_NETWORKS else ("5x5", evidence_tables())
    drawing = drawn(name, {table: rows.iloc[:0] for table, rows in tables.items()}, size)
    assert drawing.caption.startswith(f"Nothing to show of the {size} kernels: ")
    assert drawing.caption in [text.get_text() for text in texts_of(drawing)] and len(drawing.data)


@pytest.mark.parametrize("name", OF_KERNELS)
def test_a_table_of_detail_may_be_empty(name):
    tables = evidence_tables()
    needed = ("fit_explained", "clusters", "spectrum")
    empty = {table: tables[table].iloc[:0] for table in list(EVIDENCE[name])[1:] if table not in needed}
    assert drawn(name, tables | empty).caption.endswith(".")


@pytest.mark.parametrize("name", [*FIGURES, *EVIDENCE])
def test_captions_and_alt_texts_leave_numbers_to_the_findings(name):
    size, tables = ("7x7", network_tables()) if name in OF_NETWORKS else ("5x5", evidence_tables())
    drawing = drawn(name, tables if name in EVIDENCE else cluster_tables(), size)
    for words in (drawing.caption, drawing.alt):
        assert not re.search(r"\d\.\d+ %|\d\.\d\d+ \[|\[-?\d+\.\d", words), words
    assert drawing.alt.count(". ") < 2, drawing.alt  # one or two sentences
