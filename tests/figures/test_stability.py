"""Which clusters come back: what the figure says of each."""

from drawing import drawn, evidence_tables, texts_of

from kernel_atlas.core.vocabulary import STABLE
from kernel_atlas.evidence import stability


def test_each_cluster_is_said_to_be_stable_or_not():
    words = [text.get_text() for text in texts_of(drawn("stability", evidence_tables()))]
    assert (words.count("yes"), words.count("no")) == (5, 1)


def test_limits_are_those_of_the_evidence():
    assert STABLE == {"recurs": stability.RECURS, "jaccard": stability.JACCARD}
