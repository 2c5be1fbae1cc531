"""From a source of the model sheet to its convolution layers; a new kind of source is one function in `SOURCES`."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from kernel_atlas.errors import AtlasError
from kernel_atlas.formats import file_reader
from kernel_atlas.layers import Checkpoint, Layer, Rule, is_dense, is_depthwise

_RULES: dict[str, Rule] = {"depthwise": is_depthwise, "dense": is_dense}


def read_layers(source: str, folder: Path, convolution: str) -> Checkpoint:
    """Open a source and find its convolution layers.

    Parameters
    ----------
    source : str
        `file:PATH` or `init:TIMM_NAME[:SEED]`.
    folder : Path
        What a relative PATH is relative to: the folder of the model sheet.
    convolution : str
        "depthwise" or "dense".

    Raises
    ------
    AtlasError
        Where the source is missing, damaged, of an unknown format or would run code on loading; also while
        iterating.
    """
    scheme, _, rest = source.partition(":")
    if scheme not in SOURCES:
        raise AtlasError(f"unknown kind of source; use one of {', '.join(f'{known}:' for known in SOURCES)}")
    return SOURCES[scheme](rest, folder, _RULES[convolution])


def _read_file(name: str, folder: Path, rule: Rule) -> Checkpoint:
    """A checkpoint on disk."""
    path = folder / name
    try:
        with path.open("rb") as file:
            start = file.read(512)
        return file_reader(start)(path, rule)
    except OSError as error:
        raise AtlasError(f"cannot read {path}: {error.strerror or error}; check the path in the model sheet") from error


def _read_init(name: str, folder: Path, rule: Rule) -> Checkpoint:
    """An untrained network of timm: the control for what initialisation alone looks like."""
    del folder  # its weights come from no file
    match = re.fullmatch(r"([\w.-]+)(?::(\d+))?", name)
    if not match:
        raise AtlasError("not of the form init:TIMM_NAME[:SEED] with a whole number as seed")
    architecture, seed = match[1], int(match[2] or 0)
    import timm  # here: 8 s that only this source pays for
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            network = timm.create_model(architecture, pretrained=False)
        except RuntimeError as error:
            raise AtlasError(f"timm {timm.__version__} cannot build {architecture!r}: {error}") from error

    def layers() -> Iterator[Layer]:
        for path, module in network.named_modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                if rule(tuple(module.weight.shape), module.groups):
                    weight = module.weight.detach()
                    dtype = str(weight.dtype).removeprefix("torch.")
                    stride, dilation = max(module.stride), max(module.dilation)
                    yield Layer(f"{path}.weight", weight.float().numpy(), dtype, stride, dilation)

    return Checkpoint(layers(), {"revision": f"timm {timm.__version__}"})


SOURCES: dict[str, Callable[[str, Path, Rule], Checkpoint]] = {"file": _read_file, "init": _read_init}
