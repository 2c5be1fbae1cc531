"""safetensors files on disk: the header first, then only the byte ranges of the layers asked for."""

from collections.abc import Iterator
from pathlib import Path

from kernel_atlas.io import safetensors as header
from kernel_atlas.io.checkpoint import Checkpoint, Choice, Layer, licence_of


def read_safetensors(path: Path, choose: Choice) -> Checkpoint:
    """The layers chosen from a file, and the licence that its metadata state."""
    with path.open("rb") as file:
        tensors, metadata = header.read_header(file, path.stat().st_size)
    chosen = header.choose_tensors(tensors, choose)

    def layers() -> Iterator[Layer]:
        with path.open("rb") as file:
            for name, tensor in chosen.items():
                file.seek(tensor.start)
                weight = header.decode(tensor, file.read(tensor.stop - tensor.start))
                yield Layer(name, weight, header.FLOATS[tensor.dtype])

    return Checkpoint(layers(), licence_of(metadata))
