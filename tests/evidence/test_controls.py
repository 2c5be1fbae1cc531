"""The kernels that the evidence is about, the controls made from them, and whether structure is imposed."""

import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose
from safetensors.numpy import load_file, save_file

from kernel_atlas.core.kernels import centre_and_normalise, taps_array, taps_column
from kernel_atlas.core.patterns import templates
from kernel_atlas.evidence.controls import EXAMPLES, MADE, answer, make_control
from kernel_atlas.evidence.kernels import pick_kernels, unit_kernels
from kernel_atlas.io.extract import extract_model
from kernel_atlas.io.sources import Wanted
from kernel_atlas.io.tables import read_table
from kernel_atlas.model import autoencoder
from kernel_atlas.model.assign import Labeller
from kernel_atlas.model.coder import Coder

RANDOM = np.random.default_rng(1)


def patterns(count: int, side: int = 5) -> np.ndarray:
    """Kernels of two patterns with a little noise: more take a thousand steps to be found from every start."""
    family = templates(side)
    names = ("On-Centre", "First-Derivative-E")
    rows = RANDOM.choice([family.labels.index(name) for name in names], count)
    return family.taps[rows] + RANDOM.normal(0, 0.02, (count, side * side)).astype(np.float32)


def pick(project, **more) -> pa.Table:
    results = project / "results"
    models = ["alpha", "beta", "chance"]
    given = {
        "subjects": {"alpha": "real", "beta": "real", "chance": "untrained"},
        "units": {},
        "side": 5,
        "count": 1000,
        "dense_per_layer": 1000,
        "seed": 0,
    } | more
    return pick_kernels(
        [results / f"kernels/{model}" for model in models],
        [results / f"assignments/{model}.parquet" for model in models],
        read_table(results / "inventory.parquet").to_pandas(),
        **given,
    )


def test_picked_kernels_are_the_checkpoints_with_their_assignments(finished):
    picked = pick(finished).to_pandas()
    assert picked.groupby("model").size().to_dict() == {"alpha": 180, "beta": 180, "chance": 200}
    weights = load_file(finished / "nets/alpha.safetensors")
    assigned = pd.read_parquet(finished / "results/assignments/alpha.parquet").set_index(["layer_index", "channel"])
    for row in picked[picked["model"] == "alpha"].iloc[::20].itertuples():
        taps = weights[f"blocks.{row.layer_index}.dw.weight"][row.channel].ravel()
        assert (row.weight == taps).all()
        assert row.label == assigned.loc[(row.layer_index, row.channel), "label"]
        assert row.depth == row.layer_index / 3


def test_picked_kernels_are_at_most_so_many_of_a_subject_and_repeat(finished):
    picked = pick(finished, count=50)
    assert pd.Series(picked["subject"].to_pylist()).value_counts().to_dict() == {"real": 50, "untrained": 50}
    assert picked.equals(pick(finished, count=50)) and not picked.equals(pick(finished, count=50, seed=1))


def test_of_models_that_share_weights_one_is_picked(finished):
    picked = pick(finished, units={"alpha": "same", "beta": "same"}).to_pandas()
    assert set(picked["model"]) == {"alpha", "chance"}


def test_dead_kernels_are_left_out(project, tmp_path):
    live = len(pick(project))
    taps = load_file(project / "nets/chance.safetensors")["dw.weight"]
    taps[:7] = 0
    save_file({"dw.weight": taps}, tmp_path / "chance.safetensors")
    shutil.rmtree(project / "results/kernels/chance")
    folder = project / "results/kernels/chance"
    extract_model("chance", "file:chance.safetensors", Wanted(tmp_path), folder, dense_per_layer=0, seed=0)
    assert len(pick(project)) == live - 7


@pytest.mark.parametrize("side", [3, 6, 7])
def test_controls_keep_what_they_say_and_no_more(side):
    kernels = centre_and_normalise(RANDOM.normal(size=(300, side * side)) + patterns(300, side))
    made = {name: make_control(name, kernels, 0) for name in MADE}
    for control in made.values():
        assert control.shape == kernels.shape and control.dtype == np.float32
        assert_allclose(np.linalg.norm(control, axis=1), 1, rtol=1e-5)
        assert_allclose(control.mean(axis=1), 0, atol=1e-6)
        assert np.abs((control * kernels).sum(axis=1)).mean() < 0.5
    assert_allclose(np.sort(made["shuffled"], axis=1), np.sort(kernels, axis=1), atol=1e-6)

    def spectra(taps):
        return np.abs(np.fft.fft2(taps.reshape(-1, side, side)))

    # bins of zero frequency and of Nyquist are real: a random phase can only flip their sign
    assert_allclose(spectra(made["phase"]), spectra(kernels), atol=1e-5)
    assert (make_control("phase", kernels, 0) == made["phase"]).all()
    assert (make_control("phase", kernels, 1) != made["phase"]).any()


def test_an_autoencoder_that_imposes_nothing_leaves_controls_alone(tmp_path):
    real = patterns(800)
    model, _ = autoencoder.train(centre_and_normalise(real), 0, 1, 400, report=lambda line: None)
    noise = RANDOM.normal(size=(400, 25)).astype(np.float32)
    picked = pa.table(
        {
            "subject": ["real"] * 800 + ["untrained"] * 400,
            "model": [f"net{n % 8}" for n in range(800)] + ["chance"] * 400,
            "layer_index": [n // 8 % 2 for n in range(800)] + [n % 6 for n in range(400)],
            "weight": taps_column(np.concatenate([real, noise])),
        }
    )
    assert_allclose(unit_kernels(picked, "untrained"), centre_and_normalise(noise))
    labeller = Labeller(Coder(model.state_dict()), pd.DataFrame(), 0.2)
    table, examples = answer("5x5", picked, labeller, 300, 150, 0).values()
    shares = table.set_index(["control", "encoder"])
    assert set(shares.index.get_level_values(0)) == {"real", "untrained", *MADE}
    assert shares.loc[("real", "main"), "clustered_share"] > 0.9
    assert (shares.drop(index="real")["clustered_share"] < 0.3).all()
    assert shares.loc[("real", "own"), "kernels"] < 800 and shares.loc[("real", "main"), "kernels"] == 800
    assert ((table["low"].isna()) | (table["low"] <= table["clustered_share"])).all()
    assert shares.loc[("gaussian", "own"), "above_chance"] == 0
    assert shares.xs("own", level="encoder").loc[["real", *MADE], "kernels"].nunique() == 1  # the same halves
    assert len(examples) == len(table) * EXAMPLES
    drawn = examples.to_pandas().iloc[0]
    assert 1 - drawn["kernel"] @ drawn["reconstruction"] == pytest.approx(drawn["dissimilarity"], abs=1e-5)
    assert taps_array(examples["kernel"]).shape == (len(examples), 25)
