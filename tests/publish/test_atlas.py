"""The atlas: what its blocks and its words say is what the tables say."""

import base64
import gzip
import json
import re

import numpy as np
import pandas as pd
import pytest
from atlas_page import STATISTICS, shards, write_small
from conftest import ROOT
from numpy.testing import assert_allclose

from kernel_atlas.core.words import percent
from kernel_atlas.io.tables import read_csv
from kernel_atlas.publish import gallery
from kernel_atlas.publish.blocks import rounded


def parts(page):
    """The facts and the unpacked blocks of a page."""
    text = page.read_text()
    facts = json.loads(re.search(r'id="facts-of-the-page">(.*?)</script>', text, re.DOTALL)[1])
    for block in (block for model in facts["models"] for block in model["blocks"]):
        block["layers"] = [dict(zip(facts["layer"], layer, strict=True)) for layer in block["layers"]]
    blocks = re.findall(r'<script type="text/plain" id="block-\d+">(.*?)</script>', text)
    return facts, [gzip.decompress(base64.b64decode(block)) for block in blocks]


def read_block(raw, kernels):
    """Its columns, as `pages/kernels.js` reads them."""
    script = (ROOT / "kernel_atlas/publish/pages/kernels.js").read_text()
    columns, place = {}, 0
    for name, kind in re.findall(r'\["(\w+)", (\w+?)Array\]', script):
        dtype = np.dtype(kind.lower())
        count = kernels if name != "taps" else (len(raw) - place) // dtype.itemsize
        columns[name] = np.frombuffer(raw, dtype, count, place)
        place += columns[name].nbytes
    assert place == len(raw)
    return columns


def test_blocks_hold_every_kernel_with_its_numbers(tested):
    facts, blocks = parts(tested / "results/atlas.html")
    labels = [one["label"] for one in facts["labels"]]
    assert [model["model"] for model in facts["models"]] == ["alpha", "beta", "chance"]
    place = 0
    for model in facts["models"]:
        kernels = shards(tested, model["model"])
        assigned = pd.read_parquet(tested / f"results/assignments/{model['model']}.parquet")
        for block in model["blocks"]:
            side = int(block["size"].split("x")[0])
            mine, numbers = kernels[kernels["kh"] == side], assigned[assigned["kh"] == side]
            columns = read_block(blocks[place], len(mine))
            place += 1
            assert [layer["layer"] for layer in block["layers"]] == mine["layer"].unique().tolist()
            assert sum(layer["kernels"] for layer in block["layers"]) == len(mine)
            taps = columns["low"][:, None] + columns["step"][:, None] * columns["taps"].reshape(len(mine), -1)
            raw = np.stack(mine["weight"])
            assert (np.abs(taps - raw) <= 0.51 * np.ptp(raw, axis=1, keepdims=True) / 255).all()
            assert columns["channel"].tolist() == mine["channel"].tolist()
            assert_allclose(columns["code"] / 65534, numbers["code"], atol=1e-5)
            assert_allclose(columns["similarity"] / 254, numbers["similarity"], atol=2.1e-3)
            assert [labels[label] for label in columns["second"]] == numbers["second"].tolist()
            assert_allclose(columns["dissimilarity"] / 65534 * 2, numbers["dissimilarity"], atol=2e-5)
            assert [labels[label] for label in columns["label"]] == numbers["label"].tolist()
            for layer, part in zip(block["layers"], numbers.groupby("layer_index"), strict=True):
                assert layer["share"] == round((part[1]["label"] != "other").mean(), 4)
    assert place == len(blocks)


def test_fits_are_those_of_the_evidence(tested):
    facts, blocks = parts(tested / "results/atlas.html")
    fits = pd.read_csv(tested / "results/evidence/fits.csv").set_index(["model", "layer_index", "channel"])
    named, place = 0, 0
    for model in facts["models"]:
        for block in model["blocks"]:
            columns = read_block(blocks[place], sum(layer["kernels"] for layer in block["layers"]))
            place += 1
            index = np.repeat(
                *zip(*((layer["layer_index"], layer["kernels"]) for layer in block["layers"]), strict=True)
            )
            for row in np.flatnonzero(columns["fit_cosine"] <= 254):
                fit = fits.loc[model["model"], index[row], columns["channel"][row]]
                assert facts["labels"][columns["fit"][row]]["label"] == fit["label"]
                assert abs(columns["fit_cosine"][row] / 254 - fit["cosine"]) < 0.003
                assert columns["explained"][row] == fit["explained"]
                named += 1
    assert named == len(fits) > 0


def test_two_runs_write_the_same_page(tmp_path):
    assert write_small(tmp_path / "a").read_bytes() == write_small(tmp_path / "b").read_bytes()


def test_kernels_without_autoencoder_are_there_and_damaged_ones_are_dead(tmp_path):
    facts, (block,) = parts(write_small(tmp_path))
    columns = read_block(block, 6)
    labels = [facts["labels"][label]["label"] for label in columns["label"]]
    assert labels == ["not square", "dead", "dead", *["not square"] * 3]
    assert (columns["code"] == 65535).all() and facts["sizes"][0]["size"] == "3x5"


def test_the_template_of_a_kernel_has_its_label_and_the_greatest_cosine(tested):
    facts, blocks = parts(tested / "results/atlas.html")
    templates = {size["size"]: size["templates"] for size in facts["sizes"]}
    place = 0
    for model in facts["models"]:
        for block in model["blocks"]:
            columns = read_block(blocks[place], sum(layer["kernels"] for layer in block["layers"]))
            place += 1
            for label, second, template in zip(columns["label"], columns["second"], columns["template"], strict=True):
                name = facts["labels"][label]["label"]
                named = facts["labels"][second]["label"] if name == "other" else name
                assert templates[block["size"]][template]["label"] == named


def test_taps_survive_rounding_whatever_their_size():
    random = np.random.default_rng(0)
    raw = random.normal(size=(200, 9)) * 10.0 ** random.uniform(-9, 9, (200, 1))
    raw = np.vstack([raw, raw + 100 * raw.max(axis=1, keepdims=True), np.full((1, 9), 0.123), np.zeros((1, 9))]).astype(
        np.float32
    )
    taps, low, step = rounded(raw)
    assert (np.abs(low[:, None] + step[:, None] * taps - raw) <= 0.51 * np.ptp(raw, axis=1, keepdims=True) / 255).all()


def test_shares_of_the_gallery_are_cells_of_the_tables(tested):
    text = (tested / "results/atlas.html").read_text()
    for size in ("3x3", "5x5"):
        section = re.search(rf'<section data-view="patterns" data-size="{size}".*?</section>', text, re.DOTALL)[0]
        totals = read_csv(tested / "results/statistics/totals.csv").query("size == @size").set_index("label")
        shown = dict(re.findall(r"<b>(.*?)</b><br>(.*?)</span>", section))
        assert shown == {
            label: percent(*totals.loc[label, ["share", "share_low", "share_high"]])
            for label in totals.index.drop(["dead", *gallery.SUMMARIES], errors="ignore")
        }
        assert percent(totals.loc[gallery.PATTERNED, "share"]) in section  # and its controls
        chance = (
            read_csv(tested / "results/statistics/chance.csv").query("size == @size").dropna(subset="pattern_share")
        )
        assert all(f"{row.control} {percent(row.pattern_share)}" in section for row in chance.itertuples())


def test_members_are_spread_over_networks_and_typical_ones_come_first():
    kernels = pd.DataFrame(
        {"label": "On-Centre", "model": np.repeat(list("abcd"), 30), "similarity": np.arange(120) / 120}
    )
    chosen = gallery.choose_members(kernels)
    assert len(chosen) == gallery.MEMBERS and chosen["similarity"].is_monotonic_decreasing
    assert chosen["model"].value_counts().tolist() == [5, 5, 5, 5]
    assert len(gallery.choose_members(kernels.head(3))) == 3


def test_kinds_of_a_network_are_sums_of_its_labels(tested):
    statistics = {name: read_csv(tested / f"results/statistics/{name}.csv") for name in STATISTICS}
    shares = gallery.describe_networks(statistics, 0)["alpha", "5x5"]
    labels = statistics["labels"].query("model == 'alpha' and size == '5x5' and label != 'dead'").set_index("label")
    first = labels.index.str.startswith("First-Derivative")
    assert_allclose(shares["First-Derivative"][0], labels.loc[first, "share"].sum())
    assert_allclose(sum(shares[kind][0] for kind in gallery.KINDS), 1)
    assert_allclose(shares[gallery.PATTERNED][0], 1 - shares["other"][0])


@pytest.mark.parametrize(
    ("networks", "size"),
    [
        ({"3x3": 9, "5x5": 4, "7x7": 3, "9x9": 1}, "7x7"),  # 9x9 is one network's choice
        ({"3x3": 2, "5x5": 2, "7x7": 1}, "5x5"),
        ({"3x3": 0, "5x5": 0}, "5x5"),
        ({}, ""),
    ],
)
def test_it_opens_with_the_largest_size_that_says_something(networks, size):
    assert gallery.most_informative({name: {"networks": count} for name, count in networks.items()}) == size
