"""The atlas: what its blocks hold is what the shards and assignments hold, and a browser shows it."""

import base64
import csv
import gzip
import json
import re
import time

import numpy as np
import pandas as pd
import pytest
from browser import complaints, photograph, show
from conftest import ROOT
from numpy.testing import assert_allclose
from PIL import Image
from safetensors.numpy import save_file
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from kernel_atlas.io.extract import extract_model
from kernel_atlas.io.sources import Wanted
from kernel_atlas.io.tables import write_table
from kernel_atlas.model.assign import SCHEMA
from kernel_atlas.publish import atlas

NASTY = "</script><img src=x onerror=document.title='run'>"


def parts(page):
    """The facts and the unpacked blocks of a page."""
    text = page.read_text()
    facts = json.loads(re.search(r'id="facts-of-the-page">(.*?)</script>', text, re.DOTALL)[1])
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


def shards(project, model):
    return pd.concat(map(pd.read_parquet, sorted((project / f"results/kernels/{model}").glob("*.parquet"))))


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


def test_two_runs_write_the_same_page(tested, tmp_path):
    assert len(write_small(tmp_path / "a").read_bytes()) and (
        write_small(tmp_path / "a").read_bytes() == write_small(tmp_path / "b").read_bytes()
    )


def write_small(folder):
    """A page of one model that nobody trained an autoencoder for, with names that would like to be code."""
    folder.mkdir(exist_ok=True)
    kernels = np.random.default_rng(0).normal(size=(6, 1, 3, 5)).astype(np.float32)
    kernels[1], kernels[2, 0, 0, 0] = 0, np.nan
    save_file({f"{NASTY}.weight": kernels}, folder / "net.safetensors")
    model = folder / "results" / "net"
    extract_model("net", "file:net.safetensors", Wanted(folder), model, dense_per_layer=5, seed=1)
    write_table(SCHEMA.empty_table(), folder / "net.parquet")
    sheet = pd.DataFrame({"model": ["net"], "use": "train", "convolution": "depthwise"})
    sheet = sheet.reindex(columns=[*sheet, "family", "dataset", "top1"])
    page = folder / "atlas.html"
    template = ROOT / "kernel_atlas/publish/pages/atlas.html"
    atlas.write_atlas(page, template, NASTY, sheet, {"net": model}, {"net": folder / "net.parquet"}, {}, {})
    return page


def test_kernels_without_autoencoder_are_there_and_damaged_ones_are_dead(tmp_path):
    facts, (block,) = parts(write_small(tmp_path))
    columns = read_block(block, 6)
    labels = [facts["labels"][label]["label"] for label in columns["label"]]
    assert labels == ["not square", "dead", "dead", *["not square"] * 3]
    assert (columns["code"] == 65535).all() and facts["sizes"][0]["size"] == "3x5"


# ---- in a browser


@pytest.fixture
def page(tested, browser):
    """The atlas of the run, opened; nothing is asked of the network and nothing is wrong on the console."""
    visit(browser, tested / "results/atlas.html")
    yield tested
    assert complaints(browser) == []


def visit(browser, path, fragment="", **how):
    show(browser, path, fragment=fragment, **how)
    settle(browser)


def settle(browser):
    """Wait until what was asked for is shown."""
    marks = "return performance.getEntriesByName('shown').length"
    seen = -1
    for _ in range(100):
        now = browser.execute_script(marks)
        if now == seen and now:
            return
        seen = now
        time.sleep(0.1)
    raise AssertionError("the page does not come to rest")


def set_range(browser, name, value):
    script = "const one = document.getElementById(arguments[0]); one.value = arguments[1]; "
    browser.execute_script(script + "one.dispatchEvent(new Event('input'))", name, str(value))
    settle(browser)


def shown(browser, side="left"):
    words = browser.find_element(By.CSS_SELECTOR, f"#{side} .count").text
    return int(words.split(" of ")[0].replace(",", ""))


def address(browser):
    return browser.execute_script("return Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")


def numbers(project, model, side):
    table = pd.read_parquet(project / f"results/assignments/{model}.parquet")
    return table[table["kh"] == side]


def chosen(browser):
    terms = browser.find_elements(By.CSS_SELECTOR, "#facts dt"), browser.find_elements(By.CSS_SELECTOR, "#facts dd")
    return {name.text: text.text for name, text in zip(*terms, strict=True)}


def choose(browser, name, value, side="left"):
    Select(browser.find_element(By.CSS_SELECTOR, f"#{side} .{name}")).select_by_value(value)
    settle(browser)


def test_labels_and_dissimilarity_filter_and_the_address_keeps_it(page, browser):
    Select(browser.find_element(By.ID, "size")).select_by_value("5x5")
    settle(browser)
    choose(browser, "model", "beta")
    table = numbers(page, "beta", 5)
    assert shown(browser) == len(table)
    browser.find_element(By.CSS_SELECTOR, "#labels input[value=Off-Centre]").click()
    settle(browser)
    assert shown(browser) == (table["label"] != "Off-Centre").sum()
    set_range(browser, "most", 0.1)
    left = (table["label"] != "Off-Centre") & (np.rint(table["dissimilarity"] / 2 * 65534) <= 0.05 * 65534)
    assert 0 < shown(browser) == left.sum() < (table["label"] != "Off-Centre").sum()
    told = address(browser)
    assert told == {
        "left": "beta",
        "off": "Off-Centre",
        "most": "0.1",
    }  # 5x5 has most kernels: it is what is shown first
    visit(browser, page / "results/atlas.html", browser.execute_script("return location.hash"))
    assert shown(browser) == left.sum() and address(browser) == told
    browser.find_element(By.ID, "hide").click()
    settle(browser)
    assert shown(browser) == 0
    box = browser.find_element(By.CSS_SELECTOR, "#labels input[value=Off-Centre]")
    box.send_keys(Keys.SPACE)
    settle(browser)
    assert browser.switch_to.active_element == box
    browser.find_element(By.ID, "reset").click()
    settle(browser)
    assert shown(browser) == len(table)


def test_an_address_that_is_wrong_shows_what_it_can(page, browser):
    visit(browser, page / "results/atlas.html", "#left=nope&most=abc&order=foo&size=99x99")
    words = browser.find_element(By.CSS_SELECTOR, "#left .count").text
    assert words == "no 5x5 kernels in nope: choose another model"
    visit(browser, page / "results/atlas.html", "#left=alpha&most=abc&order=foo&size=99x99")
    assert shown(browser) == len(numbers(page, "alpha", 5))


def test_a_clicked_kernel_is_the_one_of_the_tables(page, browser):
    Select(browser.find_element(By.ID, "order")).select_by_value("dissimilarity")
    settle(browser)
    choose(browser, "model", "alpha")
    size = browser.find_element(By.ID, "size").get_attribute("value")
    table = numbers(page, "alpha", int(size[0])).sort_values("dissimilarity")
    wall = browser.find_element(By.CSS_SELECTOR, "#left .wall")
    corner = -wall.size["width"] // 2 + 12, -wall.size["height"] // 2 + 12
    ActionChains(browser).move_to_element_with_offset(wall, *corner).perform()
    tip = browser.find_element(By.ID, "tip")
    best = table.iloc[0]
    assert best["label"] in tip.text and len(tip.find_elements(By.CSS_SELECTOR, ".taps td")) == int(size[0]) ** 2
    ActionChains(browser).click().perform()
    settle(browser)
    told = chosen(browser)
    assert (told["Model"], told["Label"], told["Channel"]) == ("alpha", best["label"], str(best["channel"]))
    assert abs(float(told["Code"]) - best["code"]) < 1e-3
    assert abs(float(told["Dissimilarity"]) - best["dissimilarity"]) < 1e-3
    assert "cosine" in told["Most similar pattern"]
    wall.send_keys(Keys.ARROW_RIGHT)
    settle(browser)
    second = table.iloc[1]
    assert address(browser)["kernel"] == f"alpha/{second['layer_index']}/{second['channel']}"
    link = browser.find_element(By.ID, "permalink").get_attribute("href")
    visit(browser, page / "results/atlas.html", link[link.index("#") :])
    assert chosen(browser)["Channel"] == str(second["channel"])
    canvases = browser.find_elements(By.CSS_SELECTOR, "#kernel canvas")
    assert [canvas.get_attribute("width") for canvas in canvases] == [size[0]] * 3


def test_two_models_side_by_side_share_the_filters(page, browser):
    choose(browser, "model", "alpha")
    browser.find_element(By.ID, "compare").click()
    settle(browser)
    assert address(browser)["right"] == "beta"
    choose(browser, "layer", "1", "right")
    assert shown(browser, "right") == 90
    browser.find_element(By.CSS_SELECTOR, "#labels input[value=Off-Centre]").click()
    settle(browser)
    side = int(browser.find_element(By.ID, "size").get_attribute("value")[0])
    alpha = numbers(page, "alpha", side)
    beta = numbers(page, "beta", side).query("layer_index == 1")
    assert shown(browser) == (alpha["label"] != "Off-Centre").sum()
    assert shown(browser, "right") == (beta["label"] != "Off-Centre").sum()
    browser.find_element(By.ID, "compare").click()
    settle(browser)
    assert "right" not in address(browser)


def test_a_click_on_the_map_shows_the_layer(page, browser):
    box = browser.find_element(By.CSS_SELECTOR, "#map canvas")
    ActionChains(browser).move_to_element_with_offset(box, 0, -box.size["height"] // 2 + 14).click().perform()
    settle(browser)
    model, layer = address(browser)["left"].split("/")
    assert model == "alpha" and shown(browser) == 90  # the uppermost row is the first model
    assert (
        Select(browser.find_element(By.CSS_SELECTOR, "#left .layer")).first_selected_option.get_attribute("value")
        == layer
    )


def test_search_finds_models(page, browser):
    choose(browser, "model", "")
    browser.find_element(By.ID, "search").send_keys("ET")
    settle(browser)
    options = [option.text for option in Select(browser.find_element(By.CSS_SELECTOR, "#left .model")).options]
    assert options[1:] == ["beta"] and "1 of" in browser.find_element(By.ID, "found").text


def test_the_code_draws_what_the_decoder_does(page, browser):
    clusters = pd.read_csv(page / "results/autoencoder/5x5/clusters.tsv", sep="\t")
    visit(browser, page / "results/atlas.html", "#size=5x5")
    for row in clusters.itertuples():
        set_range(browser, "code", round((row.code_low + row.code_high) / 2 / 0.005) * 0.005)
        assert row.label in browser.find_element(By.ID, "decoded-words").text


def downloaded(browser, ending):
    path = WebDriverWait(browser, 10).until(lambda _: next(iter(browser.downloads.glob(f"*.{ending}")), None))
    WebDriverWait(browser, 10).until(lambda _: path.stat().st_size > 0)
    return path


def test_a_selection_is_kept_as_csv_and_png(page, browser):
    visit(browser, page / "results/atlas.html", "#size=5x5&left=alpha&off=other")
    for kind in ("csv", "png"):
        browser.find_element(By.CSS_SELECTOR, f"#left .{kind}").click()
    with downloaded(browser, "csv").open() as file:
        rows = pd.DataFrame(list(csv.DictReader(file)))
    table = numbers(page, "alpha", 5).query("label != 'other'").sort_values("code")
    assert len(rows) == len(table) == shown(browser)
    assert sorted(
        zip(rows["layer_index"].astype(int), rows["channel"].astype(int), rows["label"], strict=True)
    ) == sorted(zip(table["layer_index"], table["channel"], table["label"], strict=True))
    raw = shards(page, "alpha").query("kh == 5").set_index(["layer_index", "channel"])["weight"]
    for row in rows.head(5).itertuples():
        taps = raw[int(row.layer_index), int(row.channel)]
        assert_allclose(np.array(row.taps_8bit.split(), float), taps, atol=0.01 * np.ptp(taps))
    with Image.open(downloaded(browser, "png")) as image:
        assert min(image.size) > 200


@pytest.mark.parametrize("width", [320, 1920])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_and_can_be_read(tested, browser, width, dark):
    visit(browser, tested / "results/atlas.html", width=width, dark=dark)
    photograph(browser, f"atlas_{width}_{'dark' if dark else 'light'}")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    for element in browser.find_elements(By.CSS_SELECTOR, "h1, p, legend, label, a, button, select, figcaption"):
        if element.is_displayed():
            assert contrast(browser, element) >= 4.5, element.text
    unnamed = "return [...document.querySelectorAll('input, select, button')].filter((one) => "
    assert browser.execute_script(unnamed + "!one.labels?.length && !one.textContent.trim()).length") == 0
    assert complaints(browser) == []


def contrast(browser, element):
    """WCAG 2: the ratio of the luminances of an element's text and of what lies behind it."""
    script = """let one = arguments[0], behind = "rgba(0, 0, 0, 0)";
    const ink = getComputedStyle(one).color;
    for (; one && behind === "rgba(0, 0, 0, 0)"; one = one.parentElement)
      behind = getComputedStyle(one).backgroundColor;
    return [ink, behind]"""
    light = []
    for colour in browser.execute_script(script, element):
        parts = np.array(re.findall(r"[\d.]+", colour)[:3], float) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        light.append(linear @ [0.2126, 0.7152, 0.0722] + 0.05)
    return max(light) / min(light)


def test_names_are_never_code(browser, tmp_path):
    visit(browser, write_small(tmp_path), "#kernel=net/0/3")
    assert browser.title.startswith(NASTY) and not browser.find_elements(By.CSS_SELECTOR, "img")
    assert NASTY in chosen(browser)["Layer"] and chosen(browser)["Code"] == "\N{EN DASH}"
    assert complaints(browser) == []
