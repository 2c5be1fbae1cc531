"""safetensors files on disk: the header is checked first, then only the layers asked for are read."""

from collections.abc import Iterator
from pathlib import Path

import ml_dtypes  # noqa: F401  (gives numpy the type bfloat16)
import numpy as np
from safetensors import SafetensorError, safe_open

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
    # The library names neither the tensor nor the mend, and takes the last of repeated keys: check the header here.
    with path.open("rb") as file:
        tensors, metadata = header.read_header(file, path.stat().st_size)
    chosen = header.choose_tensors(tensors, choose)

    def layers() -> Iterator[Layer]:
        try:
            with safe_open(path, "np") as file:
                for name, tensor in chosen.items():
                    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes Inf, and its kernel is dead
                        weight = file.get_tensor(tensor.name).astype(np.float32, copy=False)
                    yield Layer(name, weight, header.FLOATS[tensor.dtype])
        except SafetensorError as error:
            raise AtlasError(f"damaged ({error}); fetch the file again") from error

    return Checkpoint(layers(), licence_of(metadata))
