"""Networks among those of the reference."""

import numpy as np
import pandas as pd

from kernel_atlas.findings.networks import find_places
from kernel_atlas.stats.places import place_shares

REFERENCE = pd.DataFrame({"size": ["5x5"] * 9 + ["7x7"] * 7, "pattern_share": [*np.arange(1, 10) / 10, *[0.5] * 7]})
SHARES = pd.DataFrame(
    {"model": ["low", "mid", "high", "dead"], "size": "5x5", "pattern_share": [0.1, 0.5, 0.95, np.nan]}
)


def test_quartiles_and_the_share_of_networks_below():
    table = place_shares(pd.concat([SHARES, SHARES.assign(size="7x7")]), REFERENCE)
    assert set(table["size"]) == {"5x5"}, "seven networks are too few"
    assert table["model"].tolist() == ["low", "mid", "high"] and (table["networks"] == 9).all()
    assert table[["low", "median", "high"]].iloc[0].round(6).tolist() == [0.3, 0.5, 0.7]
    assert table["above"].round(3).tolist() == [0, 0.444, 1]


def test_the_sentence_names_those_outside_the_middle_half():
    (sentence,) = find_places(place_shares(SHARES, REFERENCE))
    assert sentence.endswith("of other people: 5x5: below low, above high.")
    (sentence,) = find_places(place_shares(SHARES[1:2], REFERENCE))
    assert sentence.endswith("5x5: none.")
    assert find_places(place_shares(SHARES.assign(size="9x9"), REFERENCE)) == []
