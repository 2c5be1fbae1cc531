"""Use a trained autoencoder: kernel -> code -> kernel, in numpy; and the spectrum, what it draws along the code.

Training needs torch, using the result does not: importing torch (3 s) would take longer than assigning one model's
kernels. Reading and writing the labeller is in `encoder`: training imports this module, and an edit of the labeller
must not train again.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from kernel_atlas.core.kernels import centre_and_normalise, taps_column

SAMPLES = 200  # even steps of the code; the follow-up code draws 50, which is coarse where the decoder changes fast
USUAL = 0.9  # quantile of the training kernels' dissimilarities beyond which a kernel is unlike most of them
BATCH = 4096  # kernels at a time: the widest layer's activations (4 MB) stay in the cache

Weights = list[tuple[np.ndarray, np.ndarray]]  # of each layer: [outputs, inputs] and [outputs]


class Coder:
    """The encoder and decoder of one size.

    Parameters
    ----------
    tensors : mapping
        `encoder.N.weight`, `encoder.N.bias` and the same of `decoder`: the `state_dict()` of an `Autoencoder` on the
        CPU, or the content of the file that `autoencoder.save` wrote.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray]):
        self._encoder, self._decoder = (_layers(tensors, name) for name in ("encoder", "decoder"))
        self.taps = self._encoder[0][0].shape[1]
        self.side = round(self.taps**0.5)  # 7 for 49 taps

    def encode(self, kernels: np.ndarray) -> np.ndarray:
        """Codes, float32 [n] in (0, 1), of centred unit kernels, float32 [n, taps]."""
        codes = np.empty(len(kernels), np.float32)
        for low in range(0, len(kernels), BATCH):  # as the hidden layers of millions of kernels are gigabytes
            codes[low : low + BATCH] = 1 / (1 + np.exp(-_mlp(kernels[low : low + BATCH], self._encoder)[:, 0]))
        return codes

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Centred unit kernels, float32 [n, taps], of codes [n]."""
        return centre_and_normalise(_mlp(np.asarray(codes, np.float32)[:, None], self._decoder))

    def reconstruct(self, kernels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes and dissimilarities (1 - cosine to the own reconstruction), float32 [n] each."""
        codes, dissimilarities = np.empty((2, len(kernels)), np.float32)
        for low in range(0, len(kernels), BATCH):
            part = slice(low, low + BATCH)
            codes[part] = self.encode(kernels[part])
            decoded = _mlp(codes[part, None], self._decoder)
            decoded -= decoded.mean(axis=1, keepdims=True)
            length = np.sqrt(np.einsum("nt,nt->n", decoded, decoded))
            dissimilarities[part] = 1 - np.einsum("nt,nt->n", decoded, kernels[part]) / np.maximum(length, 1e-8)
        return codes, dissimilarities


def _layers(tensors: Mapping[str, np.ndarray], name: str) -> Weights:
    numbers = sorted({int(key.split(".")[1]) for key in tensors if key.startswith(f"{name}.")})
    return [tuple(np.asarray(tensors[f"{name}.{n}.{kind}"]) for kind in ("weight", "bias")) for n in numbers]


def _mlp(values: np.ndarray, layers: Weights) -> np.ndarray:
    for weight, bias in layers[:-1]:
        values = values @ weight.T
        values += bias
        np.maximum(values, 0, out=values)
    weight, bias = layers[-1]
    return values @ weight.T + bias


def sample_codes() -> np.ndarray:
    """The middles of `SAMPLES` even steps of the code, float64 [samples]."""
    return (np.arange(SAMPLES) + 0.5) / SAMPLES


def build_spectrum(decoded: np.ndarray, training_codes: np.ndarray) -> pa.Table:
    """The spectrum as a table.

    Parameters
    ----------
    decoded : float array [samples, taps]
        Decoded kernels at `sample_codes()`, centred unit kernels.
    training_codes : float array [n]
        Codes of the training kernels.

    Returns
    -------
    pyarrow.Table
        As autoencoder/*/spectrum.parquet of schemas/tables.yaml, a row for each sample.
    """
    counts = np.histogram(training_codes, SAMPLES, (0, 1))[0]
    return pa.table({"code": sample_codes(), "kernels": counts, "decoded": taps_column(decoded)})
