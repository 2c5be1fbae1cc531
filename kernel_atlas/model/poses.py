"""One pose for each pattern: kernels turned by one of 16 poses, the 8 symmetries of the square with both signs.

A code of one number must spend its range on turns and signs of one pattern. Of kernels in one pose it draws each
pattern once: a kernel is then a pose and a number. A codebook of few orbits tells the pose: spherical k-means (Dhillon
and Modha, Machine Learning 42, 2001) in which a prototype and its 16 images are one cluster.
"""

from collections.abc import Mapping

import numpy as np

from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.model.coder import Coder

SYMMETRIES = 8  # pose p is symmetry p % 8, and from 8 on the other sign
POSES = 2 * SYMMETRIES
ORBITS = 5
STARTS, ROUNDS = 4, 25  # of k-means
LEARNED_FROM = 20_000  # kernels; more move no prototype


def turn(kernels: np.ndarray, poses: np.ndarray | int) -> np.ndarray:
    """Turn kernels from the standard pose, 0, into others.

    Parameters
    ----------
    kernels : float array [n, taps]
    poses : int, or int array [n]
        0 to 15: `p % 8` quarter turns, from 4 on of the mirror image; from 8 on the other sign.

    Returns
    -------
    float array [n, taps]
    """
    return _rearranged(kernels, poses, _taps_of(kernels.shape[1]))


def turn_back(kernels: np.ndarray, poses: np.ndarray | int) -> np.ndarray:
    """The reverse of `turn`."""
    return _rearranged(kernels, poses, _taps_of(kernels.shape[1]).argsort(axis=1))


def _taps_of(taps: int) -> np.ndarray:
    """The tap that each symmetry puts at each place, int [8, taps]."""
    side = round(taps**0.5)
    square = np.arange(taps).reshape(side, side)
    return np.stack([np.rot90(each, quarter).ravel() for each in (square, square.T) for quarter in range(4)])


def _rearranged(kernels: np.ndarray, poses: np.ndarray | int, order: np.ndarray) -> np.ndarray:
    poses = np.broadcast_to(poses, len(kernels))
    signs = np.where(poses < SYMMETRIES, 1, -1).astype(kernels.dtype)
    return np.take_along_axis(kernels, order[poses % SYMMETRIES], axis=1) * signs[:, None]


def learn_codebook(kernels: np.ndarray, seed: int) -> np.ndarray:
    """Learn the prototypes whose images tell the poses of kernels.

    Parameters
    ----------
    kernels : float32 array [n, taps]
        Centred unit kernels.
    seed : int

    Returns
    -------
    float32 array [`ORBITS`, taps]
        Centred unit kernels, each in the pose that `_upright` chooses; fewer where there are fewer kernels.
    """
    random, best, codebook = np.random.default_rng([seed, kernels.shape[1]]), -1.0, None
    kernels = random.permutation(kernels)[:LEARNED_FROM]
    for _ in range(STARTS):
        prototypes = random.permutation(kernels)[:ORBITS]
        for _ in range(ROUNDS):
            orbits, poses, cosines = _nearest(kernels, prototypes)
            turned = turn_back(kernels, poses)
            # an orbit without kernels begins again at the kernel that is least like any
            lonely = turned[cosines.argmin()]
            means = [
                turned[orbits == n].mean(axis=0) if (orbits == n).any() else lonely for n in range(len(prototypes))
            ]
            prototypes = centre_and_normalise(np.stack(means))
        likeness = _nearest(kernels, prototypes)[2].mean()
        if likeness > best:
            best, codebook = likeness, prototypes
    return np.stack([_upright(prototype) for prototype in codebook])


def find_poses(kernels: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """The pose, int8 [n], in which each centred unit kernel, float32 [n, taps], is most like a prototype."""
    return _nearest(kernels, codebook)[1].astype(np.int8)


def image_cosines(kernels: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """Cosine [n] of each centred unit kernel to the image of a prototype that is most like it."""
    return _nearest(kernels, codebook)[2]


def _nearest(kernels: np.ndarray, prototypes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Orbit, pose and cosine [n] of the image that is most like each kernel."""
    images = np.concatenate([turn(prototypes, pose) for pose in range(SYMMETRIES)])
    cosines = kernels @ images.T
    place = np.abs(cosines).argmax(axis=1)
    cosine = cosines[np.arange(len(kernels)), place]
    pose, orbit = np.divmod(place, len(prototypes))
    return orbit, np.where(cosine < 0, pose + SYMMETRIES, pose), np.abs(cosine)


def _upright(kernel: np.ndarray) -> np.ndarray:
    """The image of a kernel whose peak is positive, and which is bright at its right, else along the rows.

    The pose of a prototype is that of a random kernel; in pictures all should stand alike.
    """
    side = round(len(kernel) ** 0.5)
    y, x = np.mgrid[:side, :side] / (side - 1) - 0.5
    field = (x + 0.1 * (x**2 - y**2) - 0.01 * y).ravel()
    images = np.stack([turn(kernel[None], pose)[0] for pose in range(POSES)])
    return images[((images**3).sum(axis=1).round(3) + 0.1 * images @ field).argmax()]


class PosedCoder:
    """The autoencoder of one size of kernels in one pose.

    Parameters
    ----------
    tensors : mapping
        As of `Coder`, and `codebook` from `learn_codebook`.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray]):
        self.coder, self.codebook = Coder(tensors), np.asarray(tensors["codebook"])

    def reconstruct(self, kernels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Poses (int8), codes and dissimilarities to the reconstruction [n] of centred unit kernels, [n, taps]."""
        poses = find_poses(kernels, self.codebook)
        return poses, *self.coder.reconstruct(turn_back(kernels, poses))

    def decode(self, poses: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Centred unit kernels, float32 [n, taps]."""
        return turn(self.coder.decode(codes), poses)
