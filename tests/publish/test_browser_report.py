"""The report in a real browser, from disk: no request, tables that sort, wide and narrow, light, dark and on paper."""

import base64

import pandas as pd
import pytest
from browser import complaints, photograph, show
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

MODELS = "#table-models"


@pytest.fixture(scope="module")
def page(tested):
    return tested / "results/report.html"


def unfold(browser) -> None:
    browser.execute_script("for (const part of document.querySelectorAll('details')) part.open = true")


def shares(browser) -> list[float]:
    """The shares of networks, from the top of their table."""
    place = (
        "[...document.querySelectorAll('#table-models th')].findIndex(head => head.dataset.name === 'pattern_share')"
    )
    return browser.execute_script(
        f"const place = {place}; return [...document.querySelectorAll('#table-models tbody tr')]"
        ".map(row => Number(row.children[place].dataset.order))"
    )


def sorted_as(browser, values: list[float]) -> bool:
    """Whether the table comes to be in this order, which takes it a moment."""
    return WebDriverWait(browser, 10).until(lambda browser: shares(browser) == pytest.approx(values, rel=1e-5))


def downloaded(browser, name: str) -> pd.DataFrame:
    return pd.read_csv(browser.downloads / name)


def test_nothing_is_asked_of_a_network_and_nothing_complained_of(browser, page):
    for dark in (False, True):
        show(browser, page, dark=dark)
        assert complaints(browser) == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 768, 1920])
def test_the_page_is_as_wide_as_the_window(browser, page, width, dark):
    show(browser, page, width=width, dark=dark)
    photograph(browser, f"report_{width}_{'dark' if dark else 'light'}")
    unfold(browser)
    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    small = browser.execute_script(
        "return [...document.querySelectorAll('body :not(svg *)')].filter(one => one.checkVisibility()"
        " && [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim())"
        " && parseFloat(getComputedStyle(one).fontSize) < 11).map(one => one.outerHTML.slice(0, 99))"
    )
    assert small == []


def test_a_table_is_sorted_by_its_numbers_with_the_mouse_and_with_the_keyboard(browser, page):
    show(browser, page)
    unfold(browser)
    rising = sorted(pd.read_csv(page.parent / "statistics/models.csv")["pattern_share"])
    head = f"{MODELS} th[data-name='pattern_share']"
    mark = browser.find_element(By.CSS_SELECTOR, f"{head} .dt-column-order")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", mark)
    mark.click()
    assert sorted_as(browser, rising)
    assert browser.find_element(By.CSS_SELECTOR, head).get_attribute("aria-sort") == "ascending"
    browser.execute_script("arguments[0].focus()", mark)
    assert browser.switch_to.active_element == mark
    mark.send_keys(Keys.ENTER)
    assert sorted_as(browser, rising[::-1])
    assert browser.find_element(By.CSS_SELECTOR, head).get_attribute("aria-sort") == "descending"


def test_a_download_has_the_numbers_of_the_results(browser, page):
    show(browser, page)
    unfold(browser)
    for table in ("models", "clusters"):
        button = browser.find_element(By.XPATH, f"//button[@aria-controls='table-{table}']")
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
        button.click()
        WebDriverWait(browser, 20).until(
            lambda _, table=table: (browser.downloads / f"kernel-atlas-{table}.csv").exists()
        )
    names = ["model", "size", "pattern_share", "pattern_low", "pattern_high", "kernels"]
    found = downloaded(browser, "kernel-atlas-models.csv")[names].sort_values(["model", "size"], ignore_index=True)
    models = pd.read_csv(page.parent / "statistics/models.csv")[names].sort_values(["model", "size"], ignore_index=True)
    pd.testing.assert_frame_equal(found, models, check_dtype=False)
    clusters = pd.read_csv(page.parent / "autoencoder/5x5/clusters.tsv", sep="\t")
    found = downloaded(browser, "kernel-atlas-clusters.csv").query("size == '5x5'").reset_index(drop=True)
    columns = ["cluster", "code_low", "code_high", "label", "purity", "kernels"]
    pd.testing.assert_frame_equal(found[columns], clusters[columns], check_dtype=False)


def test_without_scripts_the_tables_are_whole(browser, page):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        show(browser, page)
        assert len(shares(browser)) == len(pd.read_csv(page.parent / "statistics/models.csv"))
        assert not browser.find_elements(By.CSS_SELECTOR, "button")
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_the_skip_link_leads_past_the_contents_and_every_control_can_be_reached(browser, page):
    show(browser, page)
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    skip = browser.switch_to.active_element
    assert skip.get_attribute("class") == "skip" and skip.rect["x"] >= 0
    skip.send_keys(Keys.ENTER)
    assert browser.execute_script("return location.hash") == "#content"
    names = browser.execute_script(
        "return [...document.querySelectorAll('button, input, summary, a, [role=button], [role=region], [role=group]')]"
        ".filter(one => one.tabIndex < 0 || !(one.ariaLabel || one.textContent.trim() || one.labels?.length))"
        ".map(one => one.outerHTML.slice(0, 99))"
    )
    assert names == []


def test_a_link_to_a_folded_figure_opens_it(browser, page):
    show(browser, page, fragment="#controls")
    assert browser.find_element(By.ID, "controls").is_displayed()


def test_paper_shows_what_is_folded_and_all_rows(browser, page):
    show(browser, page)
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert browser.execute_script("return document.querySelectorAll('main details:not([open])').length") == 0
    browser.execute_script("dispatchEvent(new Event('afterprint'))")
    assert browser.execute_script("return document.querySelectorAll('main details:not([open])').length") > 0
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    hidden = browser.execute_script(
        "return [...document.querySelectorAll('.table')].filter(one => one.scrollHeight > one.clientHeight + 2).length"
    )
    assert hidden == 0
    paper = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"])
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert paper.startswith(b"%PDF") and paper.count(b"/Type /Page\n") > 10  # folded, it would be three
