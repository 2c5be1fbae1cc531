"""From a source of the model sheet to its convolution layers; a new kind of source is one line in `SOURCES`."""

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io import timm_layers as architectures
from kernel_atlas.io.checkpoint import Checkpoint, Layer, Rule, by_rule, is_dense, is_depthwise
from kernel_atlas.io.formats.signatures import file_reader

MAX_NAME = 1000  # characters of a layer's name; networks have a tenth of it
_RULES: dict[str, Rule] = {"depthwise": is_depthwise, "dense": is_dense}


def read_layers(source: str, folder: Path, convolution: str) -> Checkpoint:
    """Open a source and find its convolution layers.

    Parameters
    ----------
    source : str
        `file:PATH`, `timm:NAME.TAG`, `hf:OWNER/REPO[@REVISION]:FILE` or `init:TIMM_NAME[:SEED]`.
    folder : Path
        What a relative PATH is relative to: the folder of the model sheet.
    convolution : str
        "depthwise" or "dense".

    Raises
    ------
    AtlasError
        Where the source is missing, damaged, of an unknown format, would run code on loading, or has no layer of the
        kind asked for; also while iterating.
    """
    scheme, _, rest = source.partition(":")
    if scheme not in SOURCES:
        raise AtlasError(f"unknown kind of source; use one of {', '.join(f'{known}:' for known in SOURCES)}")
    checkpoint = SOURCES[scheme](rest, folder, convolution)
    return replace(checkpoint, layers=_checked(checkpoint.layers, convolution))


def _checked(layers: Iterator[Layer], convolution: str) -> Iterator[Layer]:
    """The layers, if there are some and their names can be printed."""
    index = -1
    with contextlib.closing(layers):
        for index, layer in enumerate(layers):
            if len(layer.name) > MAX_NAME or not layer.name.isprintable():
                raise AtlasError(f"damaged: the name of layer {index} is not up to {MAX_NAME} printable characters")
            yield layer
    if index < 0:
        raise AtlasError(f"no {convolution} convolution in it; check that it holds the weights of a network")


def _read_file(name: str, folder: Path, convolution: str) -> Checkpoint:
    """A checkpoint on disk."""
    path = folder / name
    try:
        checkpoint = file_reader(path)(path, by_rule(_RULES[convolution]))
        day = datetime.fromtimestamp(path.stat().st_mtime, UTC).date()
        return Checkpoint(checkpoint.layers, checkpoint.metadata | {"date": day.isoformat()})
    except OSError as error:
        raise AtlasError(f"cannot read {path}: {error.strerror or error}; check the path") from error


def _read_hf(name: str, folder: Path, convolution: str) -> Checkpoint:
    """A checkpoint on the hub, whose network is not known."""
    from kernel_atlas.io.hub import read_hub

    match = re.fullmatch(r"([^@:]+)(?:@([^:]+))?:(.+)", name)
    if not match:
        raise AtlasError("not of the form hf:OWNER/REPO[@REVISION]:FILE")
    repository, revision, file = match.groups()
    return read_hub(repository, revision, [file], by_rule(_RULES[convolution]), convolution)


def _read_timm(tag: str, folder: Path, convolution: str) -> Checkpoint:
    """A pretrained network of timm, on the hub; timm tells which of its tensors are convolutions."""
    from kernel_atlas.io.hub import read_hub

    weights, layers = architectures.known_layers(tag, _RULES[convolution])
    if "://" in weights:
        raise AtlasError(f"not on the hub; fetch {weights} and name it as file:PATH")
    checkpoint = read_hub(
        weights,
        None,
        ["model.safetensors", "pytorch_model.bin"],
        lambda forms: architectures.names_in_checkpoint(tag, layers, forms),
        f"{convolution}.{tag}",
    )
    known = {layer.name: layer for layer in layers}

    def described() -> Iterator[Layer]:
        for layer in checkpoint.layers:
            _, _, stride, dilation, stage, branch = known[layer.name]
            yield replace(layer, stride=stride, dilation=dilation, stage=stage, branch=branch)

    return Checkpoint(described(), checkpoint.metadata)


def _read_init(name: str, folder: Path, convolution: str) -> Checkpoint:
    """An untrained network of timm: the control for what initialisation alone looks like."""
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
        for known, module in architectures.find_layers(network, _RULES[convolution]):
            weight = module.weight.detach()
            dtype = str(weight.dtype).removeprefix("torch.")
            place = (known.stride, known.dilation, known.stage, known.branch)
            yield Layer(known.name, weight.float().numpy(), dtype, *place)

    return Checkpoint(layers(), {"revision": f"timm {timm.__version__}"})


SOURCES: dict[str, Callable[[str, Path, str], Checkpoint]] = {
    "file": _read_file,
    "timm": _read_timm,
    "hf": _read_hf,
    "init": _read_init,
}
