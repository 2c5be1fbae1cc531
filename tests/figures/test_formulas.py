"""Figures of fitted formulas."""

import numpy as np
from drawing import drawn, evidence_tables

from kernel_atlas.core.vocabulary import FITTED
from kernel_atlas.evidence.families import FAMILIES


def test_angles_are_those_next_to_the_truth():
    found = evidence_tables()["synthetic"]
    found["angle"] = (found["angle"] + 90) % 90
    found.loc[found["true_family"] == "cross", "angle"] += 90  # the same cross
    data = drawn("formulas_synthetic", {"synthetic": found}).data
    crosses = data[data["true_family"] == "cross"]
    np.testing.assert_allclose(crosses["angle"], crosses["true_angle"] + 0.01)


def test_families_are_those_of_the_evidence():
    assert FITTED.keys() == FAMILIES.keys()
