"""Cross-fitting: what is planted in every network is found in those held out, what one network has alone is not."""

import numpy as np
import pandas as pd
import pytest

from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.core.patterns import templates
from kernel_atlas.evidence import held_out
from kernel_atlas.evidence.kernels import Units
from kernel_atlas.findings.held_out import find_held_out
from kernel_atlas.model import autoencoder
from kernel_atlas.model.assign import Labeller
from kernel_atlas.model.coder import Coder
from kernel_atlas.model.poses import PosedCoder, find_poses, learn_codebook, turn_back

UNITS = np.arange(900) % 9
PATTERNS = ("On-Centre", "Off-Centre", "First-Derivative-E", "First-Derivative-N", "First-Derivative-SW")


def labeller_of(kernels: np.ndarray) -> Labeller:
    codebook = learn_codebook(kernels, 0)
    turned = turn_back(kernels, find_poses(kernels, codebook))
    plain, posed = (autoencoder.train(some, 0, 2, 600)[0].state_dict() for some in (kernels, turned))
    return Labeller(Coder(plain), pd.DataFrame(), 0.2, posed=PosedCoder(posed | {"codebook": codebook}))


def planted(strange: bool = False) -> np.ndarray:
    """Three patterns in every network; if `strange`, one network has a kernel of its own, with a little noise."""
    random, family = np.random.default_rng(0), templates(5)
    drawn = family.taps[random.choice([family.labels.index(label) for label in PATTERNS], len(UNITS))].copy()
    if strange:
        drawn[UNITS == 3] = centre_and_normalise(random.standard_normal((1, 25)))
    return centre_and_normalise(drawn + random.normal(0, 0.04, drawn.shape))


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    kernels = planted()
    return held_out.answer("5x5", kernels, Units("networks", UNITS), labeller_of(kernels), 800, 200, 0)["held_out"]


def test_what_all_networks_have_is_found_in_those_not_seen(table):
    rows = table.set_index("method")
    assert list(rows.index) == ["patterns", "codebook", "autoencoder", "posed"]
    assert rows.loc[["patterns", "posed"], "held_out_share"].min() > 0.95
    assert rows["noise_share"].max() < 0.03 and rows["phase_share"].max() < rows["held_out_share"].min()
    assert rows.loc["posed", "held_out_share"] >= rows.loc["autoencoder", "held_out_share"]
    assert (rows["low"] <= rows["held_out_share"]).all() and (rows["held_out_share"] <= rows["high"]).all()
    assert rows.loc[["patterns", "codebook"], "in_sample_share"].isna().all()
    assert (rows["kernels"] == 800).all() and (rows["count"] == 9).all()


def test_what_one_network_has_alone_counts_in_sample_only():
    kernels = planted(strange=True)
    rows = held_out.answer("5x5", kernels, Units("networks", UNITS), labeller_of(kernels), 900, 200, 0)[
        "held_out"
    ].set_index("method")
    for method in ("autoencoder", "posed"):
        assert rows.loc[method, "in_sample_share"] - rows.loc[method, "held_out_share"] > 0.05, method


def test_few_networks_have_no_folds_and_some_no_interval():
    kernels = planted()
    labeller = labeller_of(kernels)
    assert held_out.answer("5x5", kernels, Units("layers", UNITS % 4), labeller, 800, 5, 0)["held_out"].empty
    seven = held_out.answer("5x5", kernels, Units("layers", UNITS % 7), labeller, 800, 5, 0)["held_out"]
    assert seven["low"].isna().all()
    assert find_held_out(seven)[-1] == "No intervals at 5x5: the networks or layers are too few."


def test_the_null_is_what_one_copy_in_twenty_passes(monkeypatch):
    """With a method that gives the kernels' copies known dissimilarities, and networks of one size."""
    kernels = planted()[:450]
    copies = held_out.make_control("phase", kernels, 0)
    known = {copy.tobytes(): place / 450 for place, copy in enumerate(copies)}
    judge = lambda some: np.array([known.get(each.tobytes(), 0.0499) for each in some])  # noqa: E731
    monkeypatch.setattr(held_out, "METHODS", {"patterns": lambda *given: judge})
    (row,) = held_out.answer("5x5", kernels, Units("networks", UNITS[:450]), labeller_of(kernels), 450, 5, 0)[
        "held_out"
    ].itertuples()
    assert row.phase_share == pytest.approx(0.2, abs=0.005) and row.equal_null_share == 0
    known = {copy: place + 0.01 for copy, place in known.items()}
    (row,) = held_out.answer("5x5", kernels, Units("networks", UNITS[:450]), labeller_of(kernels), 450, 5, 0)[
        "held_out"
    ].itertuples()
    assert row.equal_null_share == 1


def test_sentences(table):
    sentences = find_held_out(table)
    assert sentences[0].startswith("At equal null, a code of one number holds ")
    assert "in-sample" in sentences[1] and "random phases" in sentences[1]
    clear = table.assign(equal_null_low=0.5, equal_null_high=0.3)
    assert find_held_out(clear)[0].startswith("At equal null, a code of one number holds more unseen kernels than ")
    assert find_held_out(clear.assign(equal_null_low=0.1))[0].startswith(
        "At equal null, a code of one number holds no more"
    )
    assert find_held_out(table[table["method"] == "none"]) == []
