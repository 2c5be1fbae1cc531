"""Pairs of conditions judged from the answers of single images."""

import numpy as np
import pandas as pd
import pytest

from kernel_atlas.findings.experiments import state
from kernel_atlas.stats.resampling import crossed_interval
from kernel_atlas.training.verdict import judge

PAIRS = pd.DataFrame(
    [("frozen", "good", "plain", "learned"), ("frozen", "same", "plain", "learned")],
    columns=["question", "condition", "control", "usual"],
)
TITLES = {"good": "frozen: good", "plain": "frozen: plain", "same": "frozen: same", "learned": "learned"}


def answers(top1: dict[str, tuple[float, ...]], images: int = 1000) -> dict:
    """Networks that get the first images right, and so differ in the last of them only."""
    return {
        (name, seed): np.arange(images) < share * images
        for name, shares in top1.items()
        for seed, share in enumerate(shares)
    }


def test_known_differences_and_what_holds():
    shares = {
        "good": (0.70, 0.71, 0.69),
        "plain": (0.60, 0.61, 0.59),
        "same": (0.60, 0.59, 0.61),
        "learned": (0.80, 0.78, 0.79),
    }
    table = judge(PAIRS, TITLES, answers(shares)).set_index("condition")
    good, same = table.loc["frozen: good"], table.loc["frozen: same"]
    assert good["difference"] == pytest.approx(10) and same["difference"] == pytest.approx(0)
    assert (
        [good["lowest"], good["highest"]] == pytest.approx([10, 10]) and good["seeds"] == 3 and good["images"] == 1000
    )
    assert good["usual_top1"] == pytest.approx(79) and good["seed_range"] == pytest.approx(2)
    assert good["holds"] and not same["holds"] and same["low"] < 0 < same["high"]


def test_where_seeds_agree_the_interval_is_that_of_images():
    """100 of 1,000 images are right in the one network only, of every seed."""
    shares = {"good": (0.7,) * 3, "plain": (0.6,) * 3, "same": (0.6,) * 3, "learned": (0.8,) * 3}
    good = judge(PAIRS, TITLES, answers(shares)).iloc[0]
    half = 4.3027 * 100 * np.sqrt(0.1 * 0.9 / 999)  # Student's t, two degrees of freedom
    assert [good["low"], good["high"]] == pytest.approx([10 - half, 10 + half], rel=1e-3)


def test_a_difference_smaller_than_seeds_differ_does_not_hold():
    shares = {"good": (0.605, 0.606, 0.604), "plain": (0.60,) * 3, "same": (0.60,) * 3, "learned": (0.80, 0.78, 0.79)}
    good = judge(PAIRS, TITLES, answers(shares, 1_000_000)).iloc[0]
    assert good["low"] > 0 and good["difference"] < good["seed_range"] and not good["holds"]


def test_the_interval_covers_the_mean_of_crossed_effects():
    """Rows and columns each add an effect of their own; 95 % of intervals hold the mean, or a little more."""
    random, held = np.random.default_rng(0), 0
    for _ in range(400):
        table = random.normal(0, 1, (3, 1)) + random.normal(0, 5, (1, 200)) + random.normal(0, 5, (3, 200))
        low, high = crossed_interval(table)
        held += low < 0 < high
    assert 0.93 < held / 400 <= 1


def test_a_pair_has_the_seeds_that_both_have():
    shares = {"good": (0.7, 0.8, 0.9), "plain": (0.6, 0.6), "same": (0.6,) * 3, "learned": (0.8,) * 3}
    good = judge(PAIRS, TITLES, answers(shares)).iloc[0]
    assert good["seeds"] == 2 and good["difference"] == pytest.approx(15) and good["usual_top1"] == pytest.approx(80)


def test_one_seed_has_no_interval_and_nothing_holds():
    table = judge(PAIRS, TITLES, answers({name: (0.5,) for name in TITLES}))
    assert table[["low", "high"]].isna().all(axis=None) and not table["holds"].any()


@pytest.mark.parametrize(
    ("holds", "verdict"),
    [
        ((True, True), "patterns are causal"),
        ((False, False), "the covariance is enough"),
        ((True, False), "is open: frozen, they beat some controls"),
    ],
)
def test_the_verdict_follows_the_rule(holds, verdict):
    shares = {"good": (0.7,) * 3, "plain": (0.6,) * 3, "same": (0.6,) * 3, "learned": (0.8,) * 3}
    table = judge(PAIRS, TITLES, answers(shares)).assign(holds=holds)
    assert verdict in state("verdict", table)[0]


def test_a_start_that_holds_is_said_with_its_number():
    shares = {"good": (0.7,) * 3, "plain": (0.6,) * 3, "same": (0.6,) * 3, "learned": (0.8,) * 3}
    start = PAIRS.assign(question="start")
    table = judge(pd.concat([PAIRS, start]), TITLES, answers(shares))
    said = next(sentence for sentence in state("verdict", table) if "trained further" in sentence)
    assert "good beat plain by 10.0 [" in said and "; no other pair holds" in said
