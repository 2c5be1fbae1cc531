"""safetensors files on disk: the header is checked first, then only the layers asked for are read."""

from collections.abc import Iterator
from pathlib import Path

import ml_dtypes  # noqa: F401  (gives numpy the type bfloat16)
import numpy as np

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io import safetensors as header
from kernel_atlas.io.checkpoint import Checkpoint, Choice, Layer, licence_of


def read_safetensors(path: Path, choose: Choice) -> Checkpoint:
    """The layers chosen from a file as float32, and the licence in its metadata.

    float16 and bfloat16 are widened exactly. float64 is rounded, and `Layer.dtype` tells so.

    Raises
    ------
    AtlasError
        The file is damaged; also while iterating.
    """
    with path.open("rb") as file:
        tensors, metadata = header.read_header(file, path.stat().st_size)
    chosen = header.choose_tensors(tensors, choose)

    def layers() -> Iterator[Layer]:
        # Read, as the library maps: a mapped file that is truncated meanwhile kills the process (SIGBUS).
        with path.open("rb") as file:
            for name, tensor in chosen.items():
                file.seek(tensor.start)
                data = file.read(tensor.stop - tensor.start)
                if len(data) < tensor.stop - tensor.start:
                    raise AtlasError(f"truncated: tensor {tensor.name[:100]!r} ends early; fetch the file again")
                weight = np.frombuffer(data, header.FLOATS[tensor.dtype]).reshape(tensor.shape)
                with np.errstate(over="ignore"):  # a float64 beyond float32 becomes Inf, and its kernel is dead
                    weight = weight.astype(np.float32, copy=False)
                yield Layer(name, weight, header.FLOATS[tensor.dtype])

    return Checkpoint(layers(), licence_of(metadata))
