"""Figures as a page shows them: text that can be read, wide and on a phone, marks that are seen in light and dark."""

import re
from functools import partial

import pytest
from browser import open_browser, show
from drawing import cluster_tables, drawn, evidence_tables

from kernel_atlas.figures.registry import REPORT, is_evidence
from kernel_atlas.figures.style import page_width
from kernel_atlas.figures.write import write_figure
from kernel_atlas.publish.page import for_page

# Colours and sizes of what is drawn, but for what is see-through; a colour as red, green, blue.
LOOK = """
const seen = [...document.querySelectorAll('svg')].flatMap((svg) => [...svg.querySelectorAll('text, path, use')]
  .filter((one) => !one.closest('defs')).map((one) => {
    const style = getComputedStyle(one), scale = svg.clientWidth / svg.viewBox.baseVal.width;
    const faint = Math.min(style.opacity, style.fillOpacity, style.strokeOpacity) < 1;
    return { text: one.tagName === 'text', size: parseFloat(style.fontSize) * scale,
      colours: faint ? [] : [style.fill, style.stroke] };
  }));
return [seen, getComputedStyle(document.body).backgroundColor];
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A page of the report's figures for each ending."""
    folder = tmp_path_factory.mktemp("figures")
    head = (
        "<style>:root { --ink: #1f2328; --soft: #59636e; --page: #fff } @media (prefers-color-scheme: dark) { :root {"
    )
    head += "--ink: #e6e8eb; --soft: #a4adb8; --page: #15181c } } body { margin: 0; background: var(--page) }"
    head += "svg { width: 100%; height: auto; display: block }</style><meta name=viewport content='width=device-width'>"
    bodies = {"svg": "", "phone.svg": ""}
    for name in REPORT:
        tables = evidence_tables() if is_evidence(name) else cluster_tables()
        names = {"figure": "svg", "phone": "phone.svg", "pdf": "pdf", "data": "csv", "words": "json"}
        paths = {key: folder / f"{name}.{ending}" for key, ending in names.items()}
        write_figure(partial(lambda *one: drawn(*one, width=page_width()), name, tables), **paths)
        for ending in bodies:
            bodies[ending] += for_page((folder / f"{name}.{ending}").read_text())
    for ending, body in bodies.items():
        (folder / f"{ending}.html").write_text(f"<!DOCTYPE html><meta charset=utf-8>{head}{body}")
    return folder


def luminance(colour):
    """As WCAG 2.2 defines it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("ending", "width"), [("svg", 800), ("phone.svg", 340)])
def test_text_has_eleven_pixels_and_marks_are_seen(pages, ending, width, dark):
    with open_browser(pages) as browser:
        show(browser, pages / f"{ending}.html", width=width, dark=dark)
        seen, page = browser.execute_script(LOOK)
        assert browser.execute_script("return document.documentElement.scrollWidth") == width
    ground = luminance(page) + 0.05
    assert len(seen) > 500
    for one in seen:
        assert not one["text"] or one["size"] >= 11, one
        for colour in {colour for colour in one["colours"] if colour.startswith("rgb(")} - {page}:
            contrast = (luminance(colour) + 0.05) / ground
            assert max(contrast, 1 / contrast) >= 3, (colour, one)
