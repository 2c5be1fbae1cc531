"""Does the autoencoder impose the structure it finds? The same for kernels that have none, or other structure."""

import numpy as np

MADE = (
    "gaussian",
    "shuffled",
    "phase",
)  # controls made from kernels; `untrained` and `dense` are networks of the sheet


def make_control(name: str, kernels: np.ndarray, seed: int) -> np.ndarray:
    """As many kernels without the structure of those given.

    Parameters
    ----------
    name : str
        `gaussian`: independent normal taps. `shuffled`: the taps of each kernel in random order, which keeps their
        distribution. `phase`: each kernel's power spectrum with the phases of white noise, which keeps its scale and
        orientation, and loses what is where (Theiler et al. 1992).
    kernels : float array [n, side * side]
    seed : int

    Returns
    -------
    float32 array [n, side * side]
    """
    side = round(kernels.shape[1] ** 0.5)
    random = np.random.default_rng([seed, side, MADE.index(name)])
    if name == "shuffled":
        return random.permuted(kernels, axis=1).astype(np.float32)
    noise = random.standard_normal(kernels.shape, np.float32)
    if name == "gaussian":
        return noise
    images = kernels.reshape(-1, side, side)
    phases = np.exp(1j * np.angle(np.fft.rfft2(noise.reshape(images.shape))))
    return (
        np.fft.irfft2(np.abs(np.fft.rfft2(images)) * phases, images.shape[1:]).reshape(kernels.shape).astype(np.float32)
    )
