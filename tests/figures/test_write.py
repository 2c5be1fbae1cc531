"""How figures are written: small, valid, and of equal bytes each time."""

import base64
import io
import json
import re
import xml.etree.ElementTree as ET
from functools import partial

import numpy as np
import pandas as pd
import pytest
from drawing import cluster_tables, drawn, evidence_tables
from PIL import Image

from kernel_atlas.figures.registry import FIGURES, OVERVIEWS, is_evidence
from kernel_atlas.figures.style import GROUND, INK, SOFT, page_width
from kernel_atlas.figures.write import lighten, write_figure
from kernel_atlas.publish.page import for_page

ENDINGS = {"figure": "svg", "phone": "phone.svg", "pdf": "pdf", "data": "csv", "words": "json"}


def draw(name):
    tables = evidence_tables() if is_evidence(name) else cluster_tables()
    return drawn(name, tables, width=page_width())


@pytest.mark.parametrize("name", [*FIGURES, *OVERVIEWS])
def test_files_are_small_valid_and_repeat(name, tmp_path):
    for run in "ab":
        (tmp_path / run).mkdir()
        write_figure(partial(draw, name), **{key: tmp_path / run / f"{name}.{end}" for key, end in ENDINGS.items()})
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
    for ending, points in (("svg", 576), ("phone.svg", 244.8)):
        svg = (tmp_path / f"a/{name}.{ending}").read_text()
        root = ET.fromstring(svg)
        assert root.tag.endswith("svg") and len(svg) < 500_000 and root.get("width") == f"{points:g}pt"
        assert len(list(root.iter("{http://www.w3.org/2000/svg}text"))) > 5  # text stays text
    pdf = (tmp_path / f"a/{name}.pdf").read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf and b"Date" not in pdf  # TrueType, embedded
    words = json.loads((tmp_path / f"a/{name}.json").read_text())
    assert len(pd.read_csv(tmp_path / f"a/{name}.csv")) and words.keys() == {"title", "caption", "alt"}


def test_on_a_page_inks_and_ground_are_those_of_the_page():
    path = f'<path style="fill: {INK}; stroke: {SOFT}"/>'
    svg = f'<?xml?><svg width="1pt" viewBox="0 0 1 1"><g id="axes_1">{path}</g></svg>'
    shown = for_page(svg)
    assert shown.startswith('<svg viewBox="0 0 1 1"><g>')
    assert f"fill: var(--ink, {INK}); stroke: var(--soft, {SOFT})" in shown
    assert GROUND != INK != SOFT


def test_a_lighter_drawing_shows_the_same():
    def encoded(pixels):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "png")
        return base64.b64encode(file.getvalue()).decode()

    random = np.random.default_rng(0)
    colours = random.integers(0, 256, (200, 4), np.uint8)
    few, many = colours[random.integers(0, 200, (40, 50))], random.integers(0, 256, (40, 50, 4), np.uint8)
    svg = '<path d="M 0.004 -1.23456 L 12.0000001 3.5"/><text x="0.123456" transform="rotate(-0 1 2)">0.123456</text>'
    lighter = lighten(
        svg + "".join(f'<image xlink:href="data:image/png;base64,\n{encoded(image)}"/>' for image in (few, many)),
        "kernels.svg",
    )
    assert '<path d="M 0 -1.23 L 12 3.5"/><text x="0.12">0.123456</text>' in lighter
    for old, new in zip((few, many), re.findall('base64,([^"]+)"', lighter), strict=True):
        image = Image.open(io.BytesIO(base64.b64decode(new)))
        assert (np.asarray(image.convert("RGBA")) == old).all() and (image.mode == "P") == (old is few)


def test_ids_do_not_depend_on_the_last_digits_of_a_layout():
    """Hashes of a clip's place differ from process to process, as the layout's solver orders by addresses."""

    def drawn(clip, marker, name="kernels.svg"):
        return lighten(
            f'<g id="axes_1"><path id="{marker}"/><use xlink:href="#{marker}" clip-path="url(#{clip})"/></g>'
            f'<clipPath id="{clip}"/><use xlink:href="#DejaVuSans-41"/>',
            name,
        )

    first, again = drawn("pc3e7103960", "m0123456789"), drawn("p14ebcf49ba", "mabcdef0123")
    assert first == again != drawn("pc3e7103960", "m0123456789", "kernels.phone.svg")
    assert re.search(r'<path id="(i[0-9a-f]{6}-0)"/><use xlink:href="#\1" clip-path="url\(#(i[0-9a-f]{6}-1)\)"', first)
    assert 'id="axes_1"' in first and '"#DejaVuSans-41"' in first
