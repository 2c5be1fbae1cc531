"""safetensors files on disk: the header is checked first, then only the layers asked for are read."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import ml_dtypes  # noqa: F401  (gives numpy the type bfloat16)
import numpy as np

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io import safetensors as header
from kernel_atlas.io.checkpoint import Checkpoint, Choice, Layer, licence_of
from kernel_atlas.io.state_dict import make


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
    selection = header.choose_tensors(tensors, choose)
    known = {tensor.name: tensor for tensor in tensors}

    def read(file: BinaryIO, tensor: header.Tensor) -> np.ndarray:
        # Read, as the library maps: a mapped file that is truncated meanwhile kills the process (SIGBUS).
        file.seek(tensor.start)
        data = file.read(tensor.stop - tensor.start)
        if len(data) < tensor.stop - tensor.start:
            raise AtlasError(f"truncated: tensor {tensor.name[:100]!r} ends early; fetch the file again")
        return np.frombuffer(data, header.NUMPY[tensor.dtype]).reshape(tensor.shape)

    def layers() -> Iterator[Layer]:
        with path.open("rb") as file:
            for weight in selection.weights:
                parts = [known[name] for name in weight.tensors]
                made = make(weight, [read(file, part) for part in parts])
                yield Layer(weight.name, made, header.NUMPY[parts[0].dtype], judged_by=selection.judged_by)

    return Checkpoint(layers(), licence_of(metadata), selection.not_read)
