"""Colours and names of all figures."""

import re

import numpy as np
from conftest import ROOT
from matplotlib.colors import to_rgb

from kernel_atlas.core.patterns import COMPASS, family_of, templates
from kernel_atlas.core.vocabulary import FAMILIES
from kernel_atlas.figures.style import COLOURS, shade_of, short


def test_each_family_has_its_own_colour_and_off_its_hatch():
    colours = [colour for colour, _ in FAMILIES.values()]
    assert len(set(colours)) == len(colours)
    assert all(bool(hatch) == name.startswith("Off") for name, (_, hatch) in list(FAMILIES.items())[:11])
    families = {family_of(label) for label in templates(7).labels}
    assert families == set(list(FAMILIES)[:11])
    assert set(FAMILIES) - families == {"Further patterns", "mixed", "other"} and family_of("mixed") == "mixed"
    assert family_of("pattern-3") == family_of("Named by hand") == "Further patterns"


def test_labels_are_shortened_without_loss():
    labels = set(templates(7).labels)
    assert len({short(label) for label in labels}) == len(labels)
    assert short("Off-Second-Derivative-NE-SW") == "Off 2nd deriv. NE\N{EN DASH}SW"
    assert short("First-Derivative-N") == "1st deriv. N"


def luminance(colour):
    """As WCAG 2.2 defines it."""
    parts = np.array(to_rgb(colour))
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)


def test_marks_are_seen_on_white_and_on_dark_pages():
    head = (ROOT / "kernel_atlas/publish/pages/head.html").read_text()
    pages = [luminance(colour) + 0.05 for colour in re.findall(r"--page: (#\w+)", head)]
    marks = {*COLOURS, *(colour for colour, _ in FAMILIES.values())}
    marks |= {shade_of(label) for label in templates(7).labels}
    for mark in marks - {"#222222"}:  # ink, which is light on a dark page
        for page in pages:
            contrast = (luminance(mark) + 0.05) / page
            assert max(contrast, 1 / contrast) >= 3, mark


def test_directions_of_a_family_have_shades_of_their_own():
    shades = [shade_of(f"First-Derivative-{direction}") for direction in COMPASS]
    assert len(set(shades)) == 8
