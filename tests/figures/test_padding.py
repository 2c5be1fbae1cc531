"""Offsets by padding."""

from drawing import drawn, network_tables

SIZE = "7x7"


def test_offsets_are_of_labels_not_of_families_whose_directions_cancel():
    labels = set(drawn("padding", network_tables(), SIZE, 0.3).data["label"])
    assert {"First-Derivative-NE", "On-Second-Derivative-NW-SE", "pattern-12", "On-Square", "all"} <= labels
    assert not {"First-Derivative", "On-Second-Derivative", "Further patterns"} & labels
