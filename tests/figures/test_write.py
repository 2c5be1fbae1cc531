"""How figures are written: small, valid, and of equal bytes each time."""

import base64
import io
import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from drawing import SIZE, cluster_tables, drawn, evidence_tables
from PIL import Image

from kernel_atlas.figures import registry
from kernel_atlas.figures.write import lighten, write_drawing

OF_KERNELS = ["controls", "baselines", "stability", "formulas", "formulas_scales", "formulas_labels"]
OF_KERNELS += ["formulas_synthetic"]


@pytest.mark.parametrize("name", registry.FIGURES)
def test_files_are_small_valid_and_repeat(name, tmp_path):
    tables = cluster_tables()
    for run in "ab":
        folder = tmp_path / run
        folder.mkdir()
        write_drawing(drawn(name, tables), *(folder / f"{name}_{SIZE}.{end}" for end in ("svg", "pdf", "csv", "json")))
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
    svg = (tmp_path / f"a/{name}_{SIZE}.svg").read_text()
    root = ET.fromstring(svg)
    assert root.tag.endswith("svg") and len(svg) < 1_000_000
    assert len(list(root.iter("{http://www.w3.org/2000/svg}text"))) > 5  # text stays text
    pdf = (tmp_path / f"a/{name}_{SIZE}.pdf").read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf and b"Date" not in pdf  # TrueType, embedded
    data, words = (
        pd.read_csv(tmp_path / f"a/{name}_{SIZE}.csv"),
        json.loads((tmp_path / f"a/{name}_{SIZE}.json").read_text()),
    )
    assert len(data) and words.keys() == {"title", "caption", "alt"}


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
        svg + "".join(f'<image xlink:href="data:image/png;base64,\n{encoded(image)}"/>' for image in (few, many))
    )
    assert '<path d="M 0 -1.23 L 12 3.5"/><text x="0.12">0.123456</text>' in lighter
    for old, new in zip((few, many), re.findall('base64,([^"]+)"', lighter), strict=True):
        image = Image.open(io.BytesIO(base64.b64decode(new)))
        assert (np.asarray(image.convert("RGBA")) == old).all() and (image.mode == "P") == (old is few)


@pytest.mark.parametrize("name", OF_KERNELS)
def test_figures_of_the_evidence_repeat(name, tmp_path):
    tables = evidence_tables()
    for run in "ab":
        (tmp_path / run).mkdir()
        write_drawing(drawn(name, tables), *(tmp_path / run / f"{name}.{end}" for end in ("svg", "pdf", "csv", "json")))
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert (tmp_path / f"a/{name}.svg").stat().st_size < 1_000_000
