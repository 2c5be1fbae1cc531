"""Kernels in one pose: turns and their reverse, the codebook, and what the autoencoder gains."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.core.patterns import sample, templates
from kernel_atlas.model import autoencoder
from kernel_atlas.model.poses import (
    POSES,
    PosedCoder,
    find_poses,
    image_cosines,
    learn_codebook,
    turn,
    turn_back,
)


def patterned(count: int, seed: int, names: tuple[str, ...] = ("On-Centre", "First-Derivative-E")) -> np.ndarray:
    """Kernels of 7x7 of some patterns with noise, each in a pose of its own."""
    drawn, random = templates(7), np.random.default_rng(seed)
    known = np.stack([drawn.taps[drawn.labels.index(name)] for name in names])
    kernels = known[random.integers(0, len(names), count)] + 0.05 * random.standard_normal((count, 49))
    return centre_and_normalise(turn(kernels, random.integers(0, POSES, count)))


def test_a_turn_has_its_reverse_and_no_two_are_equal():
    random = np.random.default_rng(0)
    kernels, poses = random.standard_normal((64, 49)), random.integers(0, POSES, 64)
    np.testing.assert_array_equal(turn_back(turn(kernels, poses), poses), kernels)
    images = np.stack([turn(kernels[:1], pose)[0] for pose in range(POSES)])
    assert len(np.unique(images, axis=0)) == POSES
    np.testing.assert_array_equal(images[0], kernels[0])
    np.testing.assert_array_equal(images[8:], -images[:8])
    square = kernels[0].reshape(7, 7)
    np.testing.assert_array_equal(images[1].reshape(7, 7), np.rot90(square))
    np.testing.assert_array_equal(images[4].reshape(7, 7), square.T)


def test_all_turns_of_a_pattern_come_to_one_pose():
    derivative = centre_and_normalise(sample(7, "first_derivative", direction="E", sigma=1.2)[None])
    images = np.concatenate([turn(derivative, pose) for pose in range(POSES)])
    codebook = learn_codebook(images, 0)
    back = turn_back(images, find_poses(images, codebook))
    np.testing.assert_allclose(back, np.repeat(back[:1], POSES, axis=0), atol=1e-6)
    np.testing.assert_allclose(image_cosines(images, codebook), 1, atol=1e-5)
    assert back[0].reshape(7, 7)[3, 4:].sum() > 0.5  # bright at the right


def test_the_codebook_finds_patterns_whatever_their_poses():
    kernels = patterned(600, 0)
    codebook = learn_codebook(kernels, 0)
    drawn = templates(7)
    known = np.stack([drawn.taps[drawn.labels.index(name)] for name in ("On-Centre", "First-Derivative-E")])
    assert image_cosines(known, codebook).min() > 0.95
    assert image_cosines(patterned(200, 1), codebook).mean() > 0.9
    np.testing.assert_array_equal(learn_codebook(kernels, 0), codebook)
    assert len(learn_codebook(kernels[:3], 0)) == 3  # of three kernels


def test_in_one_pose_one_number_explains_more(tmp_path):
    names = (
        "On-Centre",
        "First-Derivative-E",
        "First-Derivative-NE",
        "On-Second-Derivative-EW",
        "On-Cross",
        "On-Square",
    )
    kernels, others = patterned(3000, 0, names), patterned(500, 1, names)
    plain, _ = autoencoder.train(kernels, 0, 1, 300)
    with torch.no_grad():
        alone = plain(torch.from_numpy(others))[1].numpy()
    codebook = learn_codebook(kernels, 0)
    turned, _ = autoencoder.train(turn_back(kernels, find_poses(kernels, codebook)), 0, 1, 300)
    autoencoder.save(turned.state_dict() | {"codebook": torch.from_numpy(codebook)}, tmp_path / "posed.safetensors")
    coder = PosedCoder(load_file(tmp_path / "posed.safetensors"))
    poses, codes, dissimilarities = coder.reconstruct(others)
    assert isinstance(coder, PosedCoder) and poses.dtype == np.int8 and set(poses) <= set(range(POSES))
    assert dissimilarities.mean() < alone.mean() - 0.05
    decoded = coder.decode(poses, codes)
    np.testing.assert_allclose(1 - (decoded * others).sum(axis=1), dissimilarities, atol=1e-5)


@pytest.mark.parametrize("side", [3, 4, 5])
def test_other_sides(side):
    kernels = centre_and_normalise(np.random.default_rng(0).standard_normal((50, side**2)))
    codebook = learn_codebook(kernels, 0)
    assert codebook.shape == (5, side**2) and np.isfinite(codebook).all()
    np.testing.assert_array_equal(turn(turn_back(kernels, 5), 5), kernels)
