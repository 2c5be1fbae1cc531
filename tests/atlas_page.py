"""Pages of the atlas for its tests, and how to use one in a browser."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
from browser import show
from conftest import ROOT, table
from safetensors.numpy import save_file
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from kernel_atlas.core.patterns import read_patterns
from kernel_atlas.io.extract import extract_model
from kernel_atlas.io.sheet import read_sheet
from kernel_atlas.io.sources import Wanted
from kernel_atlas.io.tables import read_csv, read_table, write_table
from kernel_atlas.model.assign import SCHEMA, Assigner
from kernel_atlas.model.encoder import read_encoder
from kernel_atlas.publish import atlas

NASTY = "</script><img src=x onerror=document.title='run'>"
STATISTICS = ("models", "totals", "labels", "layers", "chance")


def shards(project: Path, model: str) -> pd.DataFrame:
    return pd.concat(map(pd.read_parquet, sorted((project / f"results/kernels/{model}").glob("*.parquet"))))


def write_small(folder: Path) -> Path:
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
    atlas.write_atlas(
        page,
        ROOT / "kernel_atlas/publish/pages/atlas.html",
        NASTY,
        sheet,
        {"net": model},
        {"net": folder / "net.parquet"},
        Assigner(read_patterns(), {}),
        {},
        {name: table(f"{name}.csv") for name in STATISTICS},
    )
    return page


def write_large(project: Path, folder: Path) -> Path:
    """The page of a run again, with its kernels beside it."""
    results, sheet = project / "results", read_sheet(project / "sheet.tsv")
    page = folder / "large.html"
    atlas.write_atlas(
        page,
        ROOT / "kernel_atlas/publish/pages/atlas.html",
        "A large run",
        sheet,
        {model: results / f"kernels/{model}" for model in sheet["model"]},
        {model: results / f"assignments/{model}.parquet" for model in sheet["model"]},
        Assigner(read_patterns(), read_encoder(results / "encoder.safetensors")),
        {size: read_table(results / f"autoencoder/{size}/spectrum.parquet") for size in ("3x3", "5x5")},
        {name: read_csv(results / f"statistics/{name}.csv") for name in STATISTICS},
        fits=read_csv(results / "evidence/fits.csv"),
        inside=0,
    )
    return page


def visit(browser, path: Path, fragment: str = "", **how) -> None:
    show(browser, path, fragment=fragment, **how)
    settle(browser)


def settle(browser) -> None:
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


def click(browser, css: str) -> None:
    browser.find_element(By.CSS_SELECTOR, css).click()
    settle(browser)


def follow(browser, text: str, within: str = "body") -> None:
    """Click a link by its text."""
    browser.find_element(By.CSS_SELECTOR, within).find_element(By.LINK_TEXT, text).click()
    settle(browser)


def click_at(browser, element, right: float, down: float) -> None:
    """Click so many CSS pixels from the upper left corner of an element."""
    corner = right - element.size["width"] // 2, down - element.size["height"] // 2
    ActionChains(browser).move_to_element_with_offset(element, *map(int, corner)).click().perform()
    settle(browser)


def choose(browser, name: str, value: str, side: str = "left") -> None:
    """Choose a network or a layer of a wall."""
    Select(browser.find_element(By.CSS_SELECTOR, f"#{side} .{name}")).select_by_value(value)
    settle(browser)


def set_range(browser, name: str, value: float) -> None:
    script = "const one = document.getElementById(arguments[0]); one.value = arguments[1]; "
    browser.execute_script(script + "one.dispatchEvent(new Event('input'))", name, str(value))
    settle(browser)


def shown(browser, side: str = "left") -> int:
    """Kernels in a wall, as the page says."""
    words = browser.find_element(By.CSS_SELECTOR, f"#{side} .count").text
    return int(words.split(" of ")[0].replace(",", ""))


def address(browser) -> dict[str, str]:
    return browser.execute_script("return Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")


def chosen(browser) -> dict[str, str]:
    """What is told of the chosen kernel."""
    terms = browser.find_elements(By.CSS_SELECTOR, "#facts dt"), browser.find_elements(By.CSS_SELECTOR, "#facts dd")
    told = {name.text: text.text for name, text in zip(*terms, strict=True)}
    return told | {name: browser.find_element(By.ID, name).text for name in ("label", "reason")}
