"""Kernels without the structure of trained ones, to tell what a number means: a share, a fit, a distance."""

import numpy as np

from kernel_atlas.kernels import centre_and_normalise

MADE = ("gaussian", "shuffled", "phase")  # from the real kernels; `untrained` and `dense` are networks of the sheet


def make_control(name: str, kernels: np.ndarray, seed: int) -> np.ndarray:
    """As many kernels as are given, without the structure of these.

    Parameters
    ----------
    name : str
        `gaussian`: independent normal taps. `shuffled`: the taps of each kernel in random order, which keeps their
        distribution. `phase`: each kernel's power spectrum with the phases of white noise, which keeps its scale and
        orientation and loses what is where (Theiler et al., Physica D 58, 1992).
    kernels : float array [n, side * side]
        Centred unit kernels.
    seed : int

    Returns
    -------
    float32 array [n, side * side]
        Centred unit kernels.
    """
    side = round(kernels.shape[1] ** 0.5)
    random = np.random.default_rng([seed, side, MADE.index(name)])
    if name == "shuffled":
        return centre_and_normalise(random.permuted(kernels, axis=1))
    noise = random.standard_normal(kernels.shape, np.float32)
    if name == "phase":
        images = (-1, side, side)
        phases = np.exp(1j * np.angle(np.fft.rfft2(noise.reshape(images))))
        spectra = np.abs(np.fft.rfft2(kernels.reshape(images))) * phases
        noise = np.fft.irfft2(spectra, (side, side)).reshape(kernels.shape)
    return centre_and_normalise(noise)
