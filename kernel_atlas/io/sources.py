"""From a source of the model sheet to its convolution layers. A new kind of source is a row of `SOURCES`."""

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io import timm_layers as architectures
from kernel_atlas.io.checkpoint import Checkpoint, Layer, Rule, by_rule, is_dense, is_depthwise, tell_not_read
from kernel_atlas.io.formats.signatures import file_reader
from kernel_atlas.io.packages import find_packaged

MAX_NAME = 1000  # characters of a layer's name; networks have a tenth of it
_RULES: dict[str, Rule] = {"depthwise": is_depthwise, "dense": is_dense}


def read_layers(source: str, folder: Path, convolution: str) -> Checkpoint:
    """Open a source and find its convolution layers.

    Parameters
    ----------
    source : str
        `file:PATH`, `package:DISTRIBUTION:PATH`, `timm:NAME.TAG`, `hf:OWNER/REPO[@REVISION]:FILE` or
        `init:TIMM_NAME[:SEED]`.
    folder : Path
        Base of a relative PATH: the folder of the model sheet.
    convolution : str
        "depthwise" or "dense".

    Raises
    ------
    AtlasError
        The source is missing, damaged, of an unknown format, would run code on loading, or has no layer of the kind
        asked for. Also raised while iterating.
    """
    scheme, _, rest = source.partition(":")
    if scheme not in SOURCES:
        raise AtlasError(f"unknown kind of source; use one of {', '.join(f'{known}:' for known in SOURCES)}")
    kind = SOURCES[scheme]
    match = re.fullmatch(kind.pattern, rest)
    if not match:
        raise AtlasError(f"not of the form {kind.written}")
    checkpoint = kind.read(folder, convolution, *match.groups())
    return replace(checkpoint, layers=_checked(checkpoint, convolution))


def _checked(checkpoint: Checkpoint, convolution: str) -> Iterator[Layer]:
    """Pass the layers on; refuse a checkpoint without layers, and names that cannot be printed."""
    index = -1
    with contextlib.closing(checkpoint.layers):
        for index, layer in enumerate(checkpoint.layers):
            if len(layer.name) > MAX_NAME or not layer.name.isprintable():
                raise AtlasError(f"damaged: the name of layer {index} is not up to {MAX_NAME} printable characters")
            yield layer
    if index < 0:
        not_read = tell_not_read(checkpoint.not_read)
        raise AtlasError(
            f"no {convolution} convolution was read: {not_read}"
            if not_read
            else f"no {convolution} convolution in it; check that it holds the weights of a network"
        )


def _read_file(folder: Path, convolution: str, name: str) -> Checkpoint:
    """A checkpoint on disk."""
    path = folder / name
    try:
        checkpoint = file_reader(path)(path, by_rule(_RULES[convolution]))
        day = datetime.fromtimestamp(path.stat().st_mtime, UTC).date()
        return replace(checkpoint, metadata=checkpoint.metadata | {"date": day.isoformat()})
    except OSError as error:
        raise AtlasError(f"cannot read {path}: {error.strerror or error}; check the path") from error


def _read_package(_: Path, convolution: str, distribution: str, path: str) -> Checkpoint:
    """A checkpoint among the files of an installed distribution; its day would be that of the installation."""
    file, told = find_packaged(distribution, path)
    checkpoint = _read_file(file.parent, convolution, file.name)
    metadata = {name: value for name, value in checkpoint.metadata.items() if name != "date"}
    return replace(checkpoint, metadata=told | metadata)


def _read_hf(_: Path, convolution: str, repository: str, revision: str | None, file: str) -> Checkpoint:
    """A checkpoint on the hub, of an unknown network."""
    from kernel_atlas.io.hub import read_hub

    return read_hub(repository, revision, [file], by_rule(_RULES[convolution]), convolution)


def _read_timm(_: Path, convolution: str, tag: str) -> Checkpoint:
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
            told = {"stride": stride, "dilation": dilation, "stage": stage, "branch": branch}
            yield replace(layer, **told, judged_by="architecture")

    return replace(checkpoint, layers=described())


def _read_init(_: Path, convolution: str, architecture: str, seed: str | None) -> Checkpoint:
    """An untrained network of timm: the control for patterns of the initialisation."""
    import timm  # here: 8 s that only this source pays for
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seed or 0))
        try:
            network = timm.create_model(architecture, pretrained=False)
        except RuntimeError as error:
            raise AtlasError(f"timm {timm.__version__} cannot build {architecture!r}: {error}") from error

    def layers() -> Iterator[Layer]:
        for known, module in architectures.find_layers(network, _RULES[convolution]):
            weight = module.weight.detach()
            dtype = str(weight.dtype).removeprefix("torch.")
            place = {name: getattr(known, name) for name in ("stride", "dilation", "stage", "branch")}
            yield Layer(known.name, weight.float().numpy(), dtype, **place, judged_by="architecture")

    return Checkpoint(layers(), {"revision": f"timm {timm.__version__}"})


class Source(NamedTuple):
    """A kind of source: the pattern after its scheme, how the sheet writes it, and the reader, called with the folder,
    the kind of convolution and the groups of the pattern."""

    pattern: str
    written: str
    read: Callable[..., Checkpoint]


SOURCES = {
    "file": Source(r"(\S.*)", "file:PATH", _read_file),
    "package": Source(r"(\w[\w.-]*):(\S.*)", "package:DISTRIBUTION:PATH", _read_package),
    "timm": Source(r"(\w+\.[\w.-]+)", "timm:NAME.TAG", _read_timm),
    "hf": Source(r"([\w.-]+/[\w.-]+)(?:@([^:\s]+))?:(\S+)", "hf:OWNER/REPO[@REVISION]:FILE", _read_hf),
    "init": Source(r"([\w.-]+)(?::(\d+))?", "init:TIMM_NAME[:SEED]", _read_init),
}
