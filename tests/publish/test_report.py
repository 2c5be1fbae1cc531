"""The report: every number from the tables, every text escaped, nothing from outside the page."""

import os
import re
import xml.etree.ElementTree as ET
import zipfile
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, snakemake, table

from kernel_atlas.findings.parts import Grid
from kernel_atlas.publish.grids import describe_grid
from kernel_atlas.publish.page import read_script, write_page
from kernel_atlas.publish.report import collect_facts, describe_parameters, read_figure
from kernel_atlas.stats.shares import count_analysed

NASTY = '<script>alert("x")</script> & co'
SVG = """<?xml version="1.0" encoding="utf-8"?>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="648pt" height="200pt"
 viewBox="0 0 648 200"><defs>
<style type="text/css">*{stroke-linejoin: round}</style></defs>
<metadata><a href="https://example.org"/></metadata><g id="figure_1"><g id="matplotlib.axis_1">
<rect width="10" height="20"/><text id="kept">5 %</text></g></g></svg>
"""
RULES = yaml.safe_load((ROOT / "schemas/config.schema.yaml").read_text())
PARAMETERS = {
    "sizes": [5, 7],
    "minimum_kernels": 500,
    "thresholds": {"5x5": 0.2, "7x7": 0.3},
    "seed": 4321,
    "training": {"restarts": 3, "steps": 77},
    "clusters": {"5x5": "/home/me/by_hand.tsv"},
    "kmeans_sizes": [],
}
CORRELATION = ["size", "dataset", "variable", "n", "pearson", "pearson_low", "pearson_high"]
CORRELATION += ["spearman", "spearman_low", "spearman_high"]
FINDINGS = [
    ("summary", "62.7 % [58.1, 66.9] of the kernels have a pattern."),
    ("patterns", "A few patterns name many kernels."),
    ("networks", f"r = 0.61 {NASTY}"),
    ("Toys", "A finding of no known question."),
]
WORDS = 3500  # at most in the page of a run, outside tables and figures
FIGURES = 16  # at most, outside the experiments


@pytest.fixture
def models():
    rows = [
        ("good", "5x5", 1025, 25, 0.627, 0.6, 0.65, "train", NASTY, 81.3, 270000.0),
        ("chance", "5x5", 200, 0, 0.031, np.nan, np.nan, "control", None, np.nan, np.nan),
    ]
    names = ["model", "size", "kernels", "dead", "pattern_share", "pattern_low", "pattern_high", "use", "dataset"]
    return table("models.csv", **pd.DataFrame(rows, columns=[*names, "top1", "params"]).to_dict("list"))


@pytest.fixture
def page(tmp_path, models):
    (tmp_path / "gallery_5x5.svg").write_text(SVG)
    (tmp_path / "gallery_5x5.phone.svg").write_text(SVG.replace("kept", "narrow"))
    (tmp_path / "gallery_5x5.json").write_text(
        '{"title": "Gallery", "caption": "See 17 < 18.", "alt": "A \\"b\\" <c>"}'
    )
    failure = f"model lost: file:lost.pth: no such file {NASTY}"
    sources = [
        ("good", f"file:/home/me/{NASTY}.pth", "2024-06-01", None, f"MIT {NASTY}", 3, 3, f"2 layers {NASTY}", None),
        ("chance", "hf:a/b:c", "2021-02-03", "0123456789abcdef", None, 1, 0, None, None),
        ("lost", "file:lost.pth", None, None, None, 0, 0, None, failure),
    ]
    told = ["model", "source", "date", "revision", "licence", "layers", "folded", "not_read", "failure"]
    vendor = ROOT / "kernel_atlas/publish/pages/vendor"
    scripts = [vendor / "dataTables.min.js", vendor / "dataTables.buttons.min.js"]
    sheet = pd.DataFrame(
        {
            "model": ["good", "chance", "lost"],
            "use": ["train", "control", "train"],
            "convolution": "depthwise",
            "architecture": ["zoonet_5x5", None, None],
            "family": [None, "f", "f"],
            "dataset": [NASTY, None, None],
            "top1": [81.3, np.nan, np.nan],
            "params": [270000, np.nan, np.nan],
            "group": None,
            "recipe": None,
        }
    )
    inventory = pd.DataFrame({"model": ["good", "good", "good", "chance"], "kh": [5, 7, 1, 5], "kw": [5, 7, 9, 5]})
    inventory["channels"] = [1025, 41, 66, 9999]
    inventory["convolution"] = ["depthwise"] * 3 + ["dense"]
    columns = ["cluster", "code_low", "code_high", "label", "purity", "runner_up", "kernels"]
    found = (0, 0.0, 0.25, "On-Centre", 0.987, "Off-Centre", 600)
    clusters = pd.DataFrame([found, (1, 0.25, 1.0, NASTY, np.nan, np.nan, 400)], columns=columns)
    correlation = [("5x5", NASTY, "top1", 12, 0.61, 0.2, 0.85, 0.55, 0.1, 0.8)]
    totals = {"size": "5x5", "label": ["with a pattern", "On-Centre"], "models": 1, "share": [0.627, 0.5]}
    chance = {"size": "5x5", "control": ["random phases"], "pattern_share": 0.05}
    tables = {"models": models, "correlation": pd.DataFrame(correlation, columns=CORRELATION)}
    tables |= {"clusters": clusters.assign(size="5x5"), "totals": table("totals.csv", **totals)}
    spectrum = pd.DataFrame({"decoded": list(np.eye(25))})
    sample = pd.DataFrame(
        {"label": ["other", "On-Centre"], "similarity": [0.99, 0.9], "weight": list(np.eye(25)[11:13])}
    )
    sizes = [("5x5", 1025, 25, 3, 1, True), ("7x7", 41, 1, 2, 1, False)]
    facts = collect_facts(
        title=f"Labeller {NASTY}",
        sheet=sheet,
        parameters=PARAMETERS,
        rules=RULES,
        sources=pd.DataFrame(sources, columns=told),
        sizes=pd.DataFrame(sizes, columns=["size", "kernels", "dead", "layers", "models", "trained"]),
        tables=tables | {"chance": table("chance.csv", **chance)},
        figures=[read_figure(*(tmp_path / f"gallery_5x5.{ending}" for ending in ("svg", "phone.svg", "json")))],
        findings=pd.DataFrame(FINDINGS, columns=["question", "sentence"]),
        experiments=[],  # tests/training/test_conditions.py looks at theirs
        analysed=count_analysed(sheet.iloc[:2], inventory, [5, 7]),
        examples={"5x5": (sample, spectrum)},
        scripts=[read_script(script, vendor / "dataTables.LICENSE.txt") for script in scripts],
    )
    write_page(tmp_path / "report.html", ROOT / "kernel_atlas/publish/pages/report.html", **facts)
    return (tmp_path / "report.html").read_text()


def test_models_that_could_not_be_read_are_named_and_counted_nowhere(page):
    text = text_of(page)
    assert "Left out, as they could not be read: 1. model lost: file:lost.pth: no such file" in text
    assert "Models: 2 (to train the autoencoders: 1," in text


def text_of(page: str) -> str:
    """What a reader sees, with single spaces."""
    words = []
    parser = HTMLParser()
    parser.handle_data = words.append
    parser.feed(page)
    return re.sub(r"\s+", " ", " ".join(words))


def test_numbers_are_those_of_the_tables(page):
    text = text_of(page)
    for number_ in (
        "62.7 % [58.1, 66.9] of the kernels have a pattern",
        "1,132 depthwise kernels of 1 small network that kernel-atlas trained itself, with 1 control network.",
        "left out: 40 live kernels, 500 needed",
        "not asked for: 66 (layers: 1)",
        "62.7 % [60.0, 65.0]",
        "3.1 %",
        "r = 0.61",
        "0.61 [0.20, 0.85]",
        "0.55 [0.10, 0.80]",
        "81.3",
        "270,000",
        "Seed 4321",
        "training.steps 77",
        "See 17 < 18.",
        "Sources of 2021-02-03 to 2024-06-01",
        "Layers that look depthwise and were not read: good: 2 layers",
        "In good, a BatchNorm is multiplied into kernels.",
        "hf:a/b:c 2021-02-03 0123456789ab not stated 1",
        "Toys A finding of no known question.",
    ):
        assert number_ in text, number_


def test_texts_of_users_are_escaped(page):
    assert page.count("<script>") == page.count("</script>") == 3  # DataTables, its buttons, and how they are used
    assert page.count("&lt;script&gt;") >= 6  # title, data set, source, licence, label, correlation
    assert text_of(page).count('alert("x")') >= 5


def test_nothing_comes_from_outside_the_page(page, tmp_path):
    beside = set(re.findall(r'(?:src|href)="(?!#|data:)([^"]*)', page))
    assert beside == {"atlas.html"}
    assert not re.findall(r"url\((?!#|data:)|@import", re.sub("<script>.*?</script>", "", page, flags=re.S))
    assert "default-src 'none'" in page  # and no browser would fetch any
    assert str(tmp_path) not in page and "/home/" not in page and "by_hand.tsv" in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)


def test_figures_speak_to_those_who_cannot_see(page):
    labels = re.findall(r'<svg role="img" aria-label="([^"]*)"', page)
    assert labels == ["A &#34;b&#34; &lt;c&gt;"] and page.count("<svg") == 1  # that for phones is packed
    svg = ET.fromstring(re.search(r"<svg.*?</svg>", page, re.S)[0])
    assert "width" not in svg.attrib and svg.attrib["viewBox"] == "0 0 648 200"
    assert svg.find(".//{*}rect").attrib == {"width": "10", "height": "20"}
    assert svg.find(".//{*}text").attrib["id"] == "kept"


def test_snakemakes_own_report_shows_the_results_without_a_network(project):
    nowhere = os.environ | dict.fromkeys(["HTTP_PROXY", "HTTPS_PROXY"], "http://127.0.0.1:9")
    snakemake(project, "--report", "report.zip", environment=nowhere)
    with zipfile.ZipFile(project / "report.zip") as bundle:
        held = {name.rpartition("/")[2] for name in bundle.namelist()}
        shown = bundle.read("report/report.html").decode()
    figures = {path.name for path in (project / "results/figures").glob("*.svg") if ".phone" not in path.name}
    assert held >= figures | {"report.html", "findings.csv", "models.csv", "clusters.tsv"}
    assert '"labels": {"figure": "spectrum", "model": "all", "size": "5x5"}' in shown
    assert '"labels": {"table": "models", "model": "all", "size": "all"}' in shown
    assert "5x5 kernels: spectrum." in shown


def test_numbers_are_sorted_and_downloaded_as_the_tables_have_them(page):
    for value in ("0.627", "0.6", "0.65", "1025", "0.61", "0.85", "0.987", "270000"):
        assert f'data-order="{value}"' in page, value
    assert ">81.3</td>" in page
    assert "nan" not in re.findall('data-order="([^"]*)"', page)


def test_contrast_is_enough_in_light_and_dark(page):
    """WCAG 2.2 AA, 4.5 to 1, of every ink on every ground that the page puts it on."""

    def luminance(colour):
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    schemes = [dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", rule)) for rule in re.findall(r":root \{(.*?)\}", page)]
    for scheme in schemes[:2]:  # the third is for paper
        for ink in ("ink", "soft", "link"):
            for ground in ("page", "band"):
                low, high = sorted(luminance(scheme[name]) for name in (ink, ground))
                assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, ground, scheme)


def test_a_cell_is_words_to_read_and_a_number_to_sort_by():
    columns = {"size": "size", "share": "share low high %", "k": "k", "holds": "holds", "control": "control"}
    rows = {"size": ["11x11", "all"], "share": [0.5, np.nan], "low": [0.25, np.nan], "high": [0.75, np.nan]}
    rows |= {"k": [1234, 0.5], "holds": [True, False], "control": ["phase", "unknown"]}
    found = describe_grid(Grid("t", "c", columns, "k > 0"), pd.DataFrame(rows), "-again")
    assert found["id"] == "t-again" and [head[3] for head in found["heads"]] == [False] * 2 + [True] * 2 + [False] * 3
    first, second = found["rows"]
    assert first[:4] == (("11x11", 11), ("50.0 % [25.0, 75.0]", "0.5"), ("", "0.25"), ("", "0.75"))
    assert first[4:] == (("1,234", "1234"), ("yes", True), ("random phases", "phase"))
    assert second[:4] == (("all", "all"), ("\N{EN DASH}", ""), ("", ""), ("", ""))
    assert second[4:] == (("0.5", "0.5"), ("no", False), ("unknown", "unknown"))


def test_the_picture_of_the_largest_telling_size_is_on_the_first_screen(page):
    assert page.index('<figure id="gallery-5x5"') < page.index('id="terms"') < page.index("<details class=")
    assert page.count('<img class="tap" src="data:image/png;base64,') == 5 + 2 + 6  # kernels of six words


def test_the_page_of_a_run_is_short(tested):
    page = (tested / "results/report.html").read_text()
    assert len(page) < 2e6
    assert page[: page.index('id="experiments"')].count("<figure") <= FIGURES
    for part in ("script", "style", "table", "figure"):
        page = re.sub(rf"<{part}\b.*?</{part}>", "", page, flags=re.DOTALL)
    assert len(text_of(page).split()) <= WORDS


def test_no_finding_opens_with_nothing(tested):
    for sentence in pd.read_csv(tested / "results/findings.csv")["sentence"]:
        assert not sentence.startswith("0.0 %"), sentence


def test_every_parameter_has_its_meaning():
    rows = describe_parameters(PARAMETERS, RULES)
    assert [name for name, _, _ in rows].count("training.restarts") == 1
    assert all(meaning for _, _, meaning in rows)
    assert {name: value for name, value, _ in rows}["thresholds"] == "5x5: 0.2, 7x7: 0.3"
