"""A real browser for the tests of the pages: Debian's Chromium, headless, that sees no network."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

# Hosts are not found: what a page would fetch fails, and is seen in the log.
QUIET = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
]


@contextmanager
def open_browser(downloads: Path, hosts: Sequence[str] = ()) -> Iterator[webdriver.Chrome]:
    """A browser that keeps what it downloads in a folder, and finds no other hosts than these."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("Chromium is not installed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    found = "".join(f", EXCLUDE {host}" for host in hosts)
    for argument in (*QUIET, f"--host-resolver-rules=MAP * ~NOTFOUND{found}"):
        options.add_argument(argument)
    several = {"profile.default_content_setting_values.automatic_downloads": 1}  # of one page, without asking
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads), **several})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def show(driver: webdriver.Chrome, page: Path, *, width: int = 1200, dark: bool = False, fragment: str = "") -> None:
    """Open a page from disk at a width in CSS pixels, light or dark."""
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    driver.get("about:blank")  # or else another fragment of the same page loads nothing
    driver.get(page.resolve().as_uri() + fragment)


def photograph(driver: webdriver.Chrome, name: str) -> None:
    """Keep what is seen under results/screenshots/, for people to look at."""
    folder = Path(__file__).parents[1] / "results/screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    driver.save_screenshot(str(folder / f"{name}.png"))


def events(driver: webdriver.Chrome) -> list[dict]:
    """What the browser's network did since last asked."""
    return [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]


def complaints(driver: webdriver.Chrome) -> list[str]:
    """Messages of the console, and addresses that are neither the page's own file nor data in it, since last asked."""
    said = [entry["message"] for entry in driver.get_log("browser")]
    asked = [one["params"]["request"]["url"] for one in events(driver) if one["method"] == "Network.requestWillBeSent"]
    return said + [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))]
