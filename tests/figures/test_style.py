"""Colours and names of all figures."""

from kernel_atlas.core.patterns import family_of, templates
from kernel_atlas.core.vocabulary import FAMILIES
from kernel_atlas.figures.style import short


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
