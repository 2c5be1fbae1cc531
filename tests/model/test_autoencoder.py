import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from safetensors.numpy import load_file

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.core.patterns import templates
from kernel_atlas.model import autoencoder
from kernel_atlas.model.coder import Coder

QUIET = {"report": lambda line: None}


@pytest.fixture(scope="module")
def kernels():
    """Three patterns and some noise: what one number can tell apart."""
    random = np.random.default_rng(0)
    family = templates(5)
    chosen = [family.labels.index(label) for label in ("On-Centre", "Off-Centre", "First-Derivative-E")]
    drawn = family.taps[random.choice(chosen, 1500)]
    return centre_and_normalise(drawn + random.normal(0, 0.05, drawn.shape))


@pytest.fixture(scope="module")
def trained(kernels):
    return autoencoder.train(kernels, seed=1, restarts=2, steps=150, **QUIET)


def test_patterns_are_reconstructed_and_noise_is_not(kernels, trained):
    coder = Coder(trained[0].state_dict())
    noise = centre_and_normalise(np.random.default_rng(1).normal(size=(1000, 25)))
    assert (coder.reconstruct(kernels)[1] < 0.2).mean() > 0.95
    assert (coder.reconstruct(noise)[1] < 0.2).mean() < 0.01


def test_numpy_and_torch_agree(kernels, trained, tmp_path):
    model, _ = trained
    autoencoder.save(model.state_dict(), tmp_path / "encoder.safetensors", size="5x5")
    coder = Coder(load_file(tmp_path / "encoder.safetensors"))
    with torch.no_grad():
        codes, dissimilarities = model(torch.from_numpy(kernels))
    assert_allclose(coder.encode(kernels), codes, atol=1e-5)
    assert_allclose(coder.reconstruct(kernels)[0], codes, atol=1e-5)
    assert_allclose(coder.reconstruct(kernels)[1], dissimilarities, atol=1e-5)
    decoded = coder.decode(codes.numpy())
    assert_allclose(1 - (decoded * kernels).sum(axis=1), dissimilarities, atol=1e-5)
    assert ((codes > 0) & (codes < 1)).all()


def test_equal_nets_give_equal_files(trained, tmp_path):
    for number in range(10):
        autoencoder.save(trained[0].state_dict(), tmp_path / f"{number}.safetensors", size="5x5", seed=0)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_history_and_choice(trained):
    _, history = trained
    assert set(history.columns) == {
        *("start", "seed", "step", "loss", "held_out_loss", "code_std", "collapsed", "chosen")
    }
    best = history.groupby("start")["held_out_loss"].min().idxmin()
    assert history.loc[history["chosen"], "start"].unique().tolist() == [best]
    assert history["seed"].tolist() == (history["start"] + 1000).tolist()


def test_two_trainings_are_equal(kernels):
    first, second = (autoencoder.train(kernels, 3, 1, 20, **QUIET)[0].state_dict() for _ in range(2))
    assert all((first[name] == second[name]).all() for name in first)


def test_the_last_look_is_at_the_last_step(kernels):
    _, history = autoencoder.train(kernels, 0, 1, 120, **QUIET)
    assert history["step"].tolist() == [50, 100, 120]
    assert history["loss"].is_monotonic_decreasing and history["loss"].max() < 1.1


def test_kernels_all_alike_collapse():
    alike = np.repeat(templates(3).taps[:1], 600, axis=0)
    with pytest.raises(AtlasError, match="collapsed"):
        autoencoder.train(alike, 0, 1, 200, **QUIET)


def test_batches():
    assert [autoencoder.batch_size(n) for n in (500, 100_000, 10_000_000)] == [256, 2048, 8192]


def test_no_gpu_is_no_error():
    assert autoencoder.choose_device(0) == "cpu"
    assert autoencoder.choose_device(1) == ("cuda" if torch.cuda.is_available() else "cpu")
