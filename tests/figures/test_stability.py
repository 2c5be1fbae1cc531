"""Which clusters come back: what the figure says of each."""

from drawing import drawn, evidence_tables
from matplotlib.patches import Rectangle

from kernel_atlas.core.vocabulary import STABLE
from kernel_atlas.evidence import stability


def test_stable_clusters_are_shaded():
    for axes in drawn("stability", evidence_tables()).figure.axes:
        shaded = [round(patch.get_y() + 0.5) for patch in axes.patches if isinstance(patch, Rectangle)]
        assert shaded == [1, 2, 3, 4, 5]  # but for the first


def test_limits_are_those_of_the_evidence():
    assert STABLE == {"recurs": stability.RECURS, "jaccard": stability.JACCARD}
