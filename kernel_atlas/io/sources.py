"""From a source of the model sheet to its convolution layers. A new kind of source is a row of `SOURCES`."""

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import numpy as np

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import is_dead
from kernel_atlas.io import timm_layers as architectures
from kernel_atlas.io.checkpoint import (
    Checkpoint,
    Choice,
    Form,
    Layer,
    Rule,
    Selection,
    TensorFilter,
    is_dense,
    is_depthwise,
    tell_not_read,
)
from kernel_atlas.io.formats.signatures import file_reader, load_arrays
from kernel_atlas.io.memory import read_module, read_object
from kernel_atlas.io.packages import find_packaged
from kernel_atlas.io.ranges import Located, NoRanges, read_arrays, read_headers
from kernel_atlas.io.state_dict import choose_by_shape, matches

MAX_NAME = 1000  # characters of a layer's name; networks have a tenth of it


class Wanted(NamedTuple):
    """What to read of a source.

    Parameters
    ----------
    folder : Path
        Base of a relative path: the folder of the model sheet.
    convolution : str
        "depthwise" or "dense".
    architecture : str, optional
        A name of timm. It decides which tensors of a file are layers, if the file has them all.
    leave_out : tuple of str
        Patterns of layer names that are no kernels.
    """

    folder: Path
    convolution: str = "depthwise"
    architecture: str | None = None
    leave_out: tuple[str, ...] = ()

    @property
    def rule(self) -> Rule:
        return is_depthwise if self.convolution == "depthwise" else is_dense


def read_layers(source: Any, wanted: Wanted) -> Checkpoint:
    """Open a source and find its convolution layers.

    Parameters
    ----------
    source : str, or a network in memory
        `file:PATH`, `package:DISTRIBUTION:PATH`, `timm:NAME.TAG`, `hf:OWNER/REPO[@REVISION]:FILE`,
        `init:TIMM_NAME[:SEED]`, `https://HOST/FILE` or the address of a store of fsspec, `s3://BUCKET/FILE` say; else
        as `memory.read_object`.
    wanted : Wanted
        The rest of a row of the sheet.

    Raises
    ------
    AtlasError
        The source is missing, damaged, of an unknown format, would run code on loading, or has no layer of the kind
        asked for. Also raised while iterating.
    """
    opened = _open(source, wanted) if isinstance(source, str) else read_object(source, _choice(wanted)[0], wanted.rule)
    return replace(opened, layers=_checked(opened, wanted.convolution))


def _open(source: str, wanted: Wanted) -> Checkpoint:
    kind, groups = _parsed(source)
    return kind.read(wanted, *groups)


def read_tensors(source: str, wanted: TensorFilter) -> dict[str, np.ndarray]:
    """The tensors of a source that are wanted, by name, in their own dtype.

    Parameters
    ----------
    source : str
        As of `read_layers`, but no network that is built: `init:` and `timm:`.
    wanted : TensorFilter

    Raises
    ------
    AtlasError
        As `read_layers`.
    """
    kind, groups = _parsed(source)
    if kind.locate is None:
        raise AtlasError(f"{kind.written} is a network, no file; name the file that its tensors lie in")
    located = kind.locate(*groups)
    if located.files:
        with contextlib.suppress(NoRanges), located.one_line():
            places, _ = read_headers(located.files)
            return read_arrays({name: p for name, p in places.items() if wanted(name, p.tensor.shape)})
    path = located.whole()
    try:
        return load_arrays(path, wanted)
    except OSError as error:
        raise AtlasError(f"cannot read {path}: {error.strerror or error}; check the path") from error


def _parsed(source: str) -> tuple["Source", tuple[str, ...]]:
    """The kind of a source, and the groups of its pattern."""
    kind = kind_of(source)
    if kind is None:
        raise AtlasError(f"unknown kind of source; use one of {', '.join(f'{known}:' for known in SOURCES)}")
    match = re.fullmatch(kind.pattern, source)
    if not match:
        raise AtlasError(f"not of the form {kind.written}")
    return kind, match.groups()


def without_secrets(source: str) -> str:
    """A source as it may be shown: an address without its query, which may be a signature, and without a password."""
    if "://" not in source:
        return source
    return re.sub(r"://[^/@]*@", "://", source.partition("?")[0])


def is_source(text: str) -> bool:
    """Whether a text has the form of one of the kinds of sources."""
    kind = kind_of(text)
    return kind is not None and re.fullmatch(kind.pattern, text) is not None


def kind_of(source: str) -> "Source | None":
    """The kind of a source by its scheme; None of a text that has no known one, a path most likely."""
    scheme, _, rest = source.partition(":")
    return SOURCES.get(scheme, STORE if rest.startswith("//") else None)


def _checked(checkpoint: Checkpoint, convolution: str) -> Iterator[Layer]:
    """Pass the layers on, without fixed filters; refuse a checkpoint of no layers, and names that cannot be printed."""
    count = 0
    with contextlib.closing(checkpoint.layers):
        for index, layer in enumerate(checkpoint.layers):
            if len(layer.name) > MAX_NAME or not layer.name.isprintable():
                raise AtlasError(f"damaged: the name of layer {index} is not up to {MAX_NAME} printable characters")
            if convolution == "depthwise" and _is_fixed(layer.weight):
                checkpoint.not_read.setdefault("a fixed filter, as its kernels are equal", []).append(layer.name)
                continue
            count += 1
            yield layer
    if not count:
        not_read = tell_not_read(checkpoint.not_read)
        raise AtlasError(
            f"no {convolution} convolution was read: {not_read}"
            if not_read
            else f"no {convolution} convolution in it; check that it holds the weights of a network"
        )


def _is_fixed(weight: np.ndarray) -> bool:
    """Whether the kernels of a layer are copies of few: blur, Sobel, SSIM.

    Of 6,704 real layers none has less than 0.7 different kernels to a live one; that one is stored in 8 bits.
    """
    kernels = weight[:4096].reshape(len(weight[:4096]), -1)
    live = kernels[~is_dead(kernels)]
    return len(live) > 2 and len(np.unique(live, axis=0)) <= len(live) / 2


def _choice(wanted: Wanted) -> tuple[Choice, list[architectures.KnownLayer]]:
    """Which tensors to read, by the architecture where it is known and fits, else by shapes; and its layers."""
    by_shape = choose_by_shape(wanted.rule, wanted.leave_out)
    layers = architectures.layers_of(wanted.architecture, wanted.rule) if wanted.architecture else []

    def choose(forms: Mapping[str, Form]) -> Selection:
        if not layers or any(form.groups is not None for form in forms.values()):
            return by_shape(forms)
        in_order = architectures.choose_in_order(layers, forms)  # takes no import of timm
        if in_order:
            return in_order
        try:
            return architectures.choose_known(wanted.architecture, layers, forms)
        except AtlasError as error:
            print(f"judged by shapes: {error}")
            return by_shape(forms)

    return choose, layers


def _described(checkpoint: Checkpoint, known: list[architectures.KnownLayer], wanted: Wanted) -> Checkpoint:
    """The layers with what an architecture tells of them, without those to leave out."""
    places = {layer.name: layer.place() for layer in known}

    def layers() -> Iterator[Layer]:
        for layer in checkpoint.layers:
            if not matches(layer.name, wanted.leave_out):
                yield replace(layer, **places[layer.name]) if layer.judged_by == "architecture" else layer

    return replace(checkpoint, layers=layers())


def _read_file(wanted: Wanted, name: str) -> Checkpoint:
    """A checkpoint on disk."""
    path = wanted.folder / name
    choose, known = _choice(wanted)
    try:
        checkpoint = _described(file_reader(path)(path, choose), known, wanted)
        day = datetime.fromtimestamp(path.stat().st_mtime, UTC).date()
        return replace(checkpoint, metadata=checkpoint.metadata | {"date": day.isoformat()})
    except OSError as error:
        raise AtlasError(f"cannot read {path}: {error.strerror or error}; check the path") from error


def _read_package(wanted: Wanted, distribution: str, path: str) -> Checkpoint:
    """A checkpoint among the files of an installed distribution; its day would be that of the installation."""
    file, told = find_packaged(distribution, path)
    checkpoint = _read_file(wanted._replace(folder=file.parent), file.name)
    metadata = {name: value for name, value in checkpoint.metadata.items() if name != "date"}
    return replace(checkpoint, metadata=told | metadata)


def _read_hf(wanted: Wanted, repository: str, revision: str | None, file: str) -> Checkpoint:
    """A checkpoint on the hub, of an unknown network."""
    from kernel_atlas.io.hub import read_hub

    choose, known = _choice(wanted)
    rest = "\n".join([wanted.architecture or "", *wanted.leave_out]).encode()
    kind = wanted.convolution + (f".{hashlib.sha256(rest).hexdigest()[:8]}" if rest else "")
    return _described(read_hub(repository, revision, [file], choose, kind), known, wanted)


def _read_address(wanted: Wanted, address: str) -> Checkpoint:
    """A checkpoint by its address: on the hub, on another server, or in a store of fsspec."""
    from kernel_atlas.io.stores import read_store

    if place := _on_hub(address):
        return _read_hf(wanted, *place)
    choose, known = _choice(wanted)
    return _described(read_store(address, choose), known, wanted)


def _on_hub(address: str) -> tuple[str, str, str] | None:
    """Repository, revision and file of an address on the hub; None of any other address."""
    match = _HUB_ADDRESS.fullmatch(address)
    if match:
        from kernel_atlas.io.hub import HOST

        host, repository, revision, file = match.groups()
        return (repository, revision, unquote(file)) if host == HOST else None
    return None


def _read_timm(wanted: Wanted, tag: str) -> Checkpoint:
    """A pretrained network of timm, on the hub; timm tells which of its tensors are convolutions."""
    from kernel_atlas.io.hub import read_hub

    weights, layers = architectures.known_layers(tag, wanted.rule)
    if "://" in weights:
        raise AtlasError(f"not on the hub; fetch {weights} and name it as file:PATH")
    checkpoint = read_hub(
        weights,
        None,
        ["model.safetensors", "pytorch_model.bin"],
        lambda forms: architectures.choose_known(tag, layers, forms),
        f"{wanted.convolution}.{tag}",
    )
    return _described(checkpoint, layers, wanted)


def _read_init(wanted: Wanted, architecture: str, seed: str | None) -> Checkpoint:
    """An untrained network of timm: the control for patterns of the initialisation."""
    import timm  # here: 8 s that only this source pays for
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seed or 0))
        try:
            network = timm.create_model(architecture, pretrained=False)
        except RuntimeError as error:
            raise AtlasError(f"timm {timm.__version__} cannot build {architecture!r}: {error}") from error

    checkpoint = read_module(network, wanted.rule) or Checkpoint(iter(()), {})
    layers = (layer for layer in checkpoint.layers if not matches(layer.name, wanted.leave_out))
    return replace(checkpoint, layers=layers, metadata={"revision": f"timm {timm.__version__}"})


def _locate_package(distribution: str, path: str) -> Located:
    file, _ = find_packaged(distribution, path)
    return Located([], lambda: file)


def _locate_hf(repository: str, revision: str | None, file: str) -> Located:
    from kernel_atlas.io.hub import locate_hub

    return locate_hub(repository, revision, file)


def _locate_address(address: str) -> Located:
    from kernel_atlas.io.stores import locate_store

    place = _on_hub(address)
    return _locate_hf(*place) if place else locate_store(address)


class Source(NamedTuple):
    """A kind of source: its pattern, how the sheet writes it, the reader of its layers, and what finds its file.

    `read` is called with what is wanted and the groups of the pattern, `locate` with the groups alone; it is None where
    there is no file.
    """

    pattern: str
    written: str
    read: Callable[..., Checkpoint]
    locate: Callable[..., Located] | None = None


_HUB_ADDRESS = re.compile(r"https?://([^/\s]+)/([\w.-]+/[\w.-]+)/(?:resolve|blob)/([^/\s]+)/([^\s?]+)(?:\?\S*)?")
_WEB = Source(r"(https?://[^/\s]\S*)", "https://HOST/FILE", _read_address, _locate_address)
STORE = Source(r"([a-z][a-z0-9+.-]*://\S+)", "STORE://FILE (s3://, gs:// ...)", _read_address, _locate_address)
SOURCES = {
    "file": Source(r"file:(\S.*)", "file:PATH", _read_file, lambda path: Located([], lambda: Path(path))),
    "package": Source(r"package:(\w[\w.-]*):(\S.*)", "package:DISTRIBUTION:PATH", _read_package, _locate_package),
    "timm": Source(r"timm:(\w+\.[\w.-]+)", "timm:NAME.TAG", _read_timm),
    "hf": Source(r"hf:([\w.-]+/[\w.-]+)(?:@([^:\s]+))?:(\S+)", "hf:OWNER/REPO[@REVISION]:FILE", _read_hf, _locate_hf),
    "init": Source(r"init:([\w.-]+)(?::(\d+))?", "init:TIMM_NAME[:SEED]", _read_init),
    "https": _WEB,
    "http": _WEB,
}
