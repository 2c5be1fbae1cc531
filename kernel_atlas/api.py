"""One's own network, without a run: `kernel_atlas.extract`, `label`, `describe` and `diff`."""

import contextlib
import difflib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.files import data_file
from kernel_atlas.core.kernels import is_dead
from kernel_atlas.core.patterns import REFERENCE, read_patterns, templates
from kernel_atlas.io import sources
from kernel_atlas.io.checkpoint import tell_not_read
from kernel_atlas.io.memory import KINDS, values_of
from kernel_atlas.io.sources import Wanted, read_layers
from kernel_atlas.io.tables import read_csv
from kernel_atlas.model.assign import ASSIGNED, SCHEMA, Assigner
from kernel_atlas.model.description import compare, describe_layers, describe_sizes
from kernel_atlas.model.encoder import read_encoder
from kernel_atlas.views import Description, Difference, Kernels

__all__ = ["AtlasError", "assign", "describe", "diff", "extract", "label", "read_tensors", "templates"]

ENCODER = data_file("resources/encoder.safetensors")  # encoder.md beside it names its run
NETWORKS = data_file("resources/reference/networks.csv")
MAX_PATH = 4096  # characters
# Package -> the extra of pyproject.toml that has it.
EXTRAS = {
    "torch": "torch",
    "timm": "torch",
    "onnx": "onnx",
    "tflite": "onnx",
    "huggingface_hub": "hub",
    "httpx2": "hub",
    "fsspec": "hub",
}


def extract(network: Any, convolution: str = "depthwise") -> Kernels:
    """Read the kernels of a network.

    Parameters
    ----------
    network : path, str, nn.Module, state dict, array, or list of arrays
        A path of a checkpoint: safetensors, PyTorch (a state dict, bare or in a training checkpoint), ONNX or TFLite.
        Content decides the format; no code in the file is run. A source of a model sheet: `timm:NAME.TAG`,
        `hf:OWNER/REPO[@REVISION]:FILE`, `package:DISTRIBUTION:PATH`, `init:TIMM_NAME[:SEED]`. The address of a file:
        `https://HOST/FILE`, or of a store that fsspec knows, `s3://BUCKET/FILE` say. A network in memory, on any
        device. Arrays or tensors [n, 1, kh, kw], a layer each.
    convolution : str
        "depthwise", or "dense": every [kh, kw] slice of regular convolutions.

    Returns
    -------
    Kernels
        A pandas table with a row for each kernel, in the order of the network: layer_index, layer, channel, kh, kw,
        weight (float32 array [kh * kw], row by row) and dead, as kernels/*/*.parquet of schemas/tables.yaml. `plot()`
        draws them.

    Raises
    ------
    AtlasError
        It is missing, damaged, of an unknown format or type, would run code on loading, needs a package that is not
        installed, or has no such convolution (one line).

    Examples
    --------
    >>> kernels = extract("resources/zoo/cifar10_7x7_s0.safetensors")
    >>> kernels.groupby(["layer_index", "kh"], as_index=False)["channel"].count().head(4)
       layer_index  kh  channel
    0            0   7       48
    1            1   7       48
    2            2   7       48
    3            3   3      128
    >>> kernels["weight"][0].shape, kernels["weight"][0].dtype
    ((49,), dtype('float32'))
    """
    source, name = _source(network)
    parts = []
    with one_line(name):
        checkpoint = read_layers(source, Wanted(Path(), convolution))
        with contextlib.closing(checkpoint.layers) as layers:
            for index, layer in enumerate(layers):
                *_, kh, kw = layer.weight.shape
                taps = layer.weight.reshape(-1, kh * kw)
                place = {"layer_index": index, "layer": layer.name, "channel": np.arange(len(taps)), "kh": kh, "kw": kw}
                parts.append(pd.DataFrame({**place, "weight": list(taps), "dead": is_dead(taps)}))
    if checkpoint.not_read:
        warnings.warn(f"{name}: {tell_not_read(checkpoint.not_read)}", stacklevel=2)
    return Kernels(pd.concat(parts, ignore_index=True))


def _source(network: Any) -> tuple[Any, str]:
    """What `read_layers` takes for a network, and its name in messages."""
    if isinstance(network, os.PathLike):
        return f"file:{os.fspath(network)}", os.fspath(network)
    if isinstance(network, str):
        if len(network) > MAX_PATH or not network.isprintable():
            raise AtlasError(f"{network[:40]!r}: a text that is neither a path nor a source; give {KINDS}")
        kind = sources.kind_of(network)
        shown = sources.without_secrets(network) if kind else network
        return network if kind else f"file:{network}", shown
    return network, type(network).__name__


@contextlib.contextmanager
def one_line(name: str) -> Iterator[None]:
    """Put the name of a network before what fails; a package that is missing is an extra to install."""
    try:
        yield
    except AtlasError as error:
        raise AtlasError(f"{name}: {error}") from error
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        wanted = f"pip install 'kernel-atlas[{EXTRAS[package]}]'"
        raise AtlasError(f"{name}: needs {package}, which is not installed: {wanted}") from error


def read_tensors(
    address: str | os.PathLike[str], wanted: Iterable[str] | Callable[[str, tuple[int, ...]], bool] | None = None
) -> dict[str, np.ndarray]:
    """Read tensors of a checkpoint by name, of a safetensors file elsewhere without the rest of the file.

    Of a safetensors file behind an address, and of the shards that an index (`*.safetensors.index.json`) names, the
    headers and the wanted tensors are read, by ranges of bytes; tensors less than 128 KiB apart come with what lies
    between them. A PyTorch checkpoint, or a file of a server that knows no ranges, is fetched whole and kept in the
    cache of huggingface_hub. No code in a file is run.

    Parameters
    ----------
    address : str or path
        A path, `hf:OWNER/REPO[@REVISION]:FILE`, `package:DISTRIBUTION:PATH`, `https://HOST/FILE`, or SCHEME://PATH of
        a store that fsspec knows (`s3://`, `gs://`, `memory://`), whose credentials are those of its own package.
    wanted : iterable of str, or callable, optional
        Names of tensors; or a function of name and shape that says whether a tensor is wanted. By default all.

    Returns
    -------
    dict of str to numpy.ndarray
        The tensors in their own shape and dtype (bfloat16 and float8 are those of ml_dtypes; quantized ones of PyTorch
        are float32), in the order of `wanted` if it names them, else of the file. They cannot be written to.

    Raises
    ------
    AtlasError
        The file is missing, may not be read, is damaged, changes meanwhile, is no state dict or would run code; it has
        no tensor of a name; or a package is not installed (one line).

    Examples
    --------
    >>> tensors = read_tensors("resources/zoo/cifar10_7x7_s0.safetensors", ["stages.0.1.depthwise.weight"])
    >>> tensors["stages.0.1.depthwise.weight"].shape
    (48, 1, 7, 7)
    >>> len(read_tensors("resources/zoo/cifar10_7x7_s0.safetensors", lambda name, shape: shape[1:] == (1, 7, 7)))
    3
    """
    source, name = _source(address)
    if not isinstance(source, str):
        raise AtlasError(f"{name}: no path and no address; give one, as text")
    names = None if wanted is None or callable(wanted) else list(dict.fromkeys(wanted))
    there: list[str] = []

    def chosen(tensor: str, shape: tuple[int, ...]) -> bool:
        there.append(tensor)
        return wanted(tensor, shape) if callable(wanted) else names is None or tensor in asked

    asked = set(names or ())
    with one_line(name):
        found = sources.read_tensors(source, chosen)
    missing = [one for one in names or () if one not in found]
    if missing:
        near = difflib.get_close_matches(missing[0], there, 3, cutoff=0)
        raise AtlasError(
            f"{name}: none of its {len(there)} tensors is called {missing[0][:100]!r}; near are {', '.join(near)}"
        )
    return found if names is None else {one: found[one] for one in names}


def label(kernels: Any, encoder: str | Path | None = None, patterns: str | Path = REFERENCE) -> pd.DataFrame:
    """Label kernels by the reference patterns; and by an autoencoder, a code and a cluster each.

    Parameters
    ----------
    kernels : DataFrame or array, or a network as for `extract`
        A table with the columns kh, kw and weight: from `extract`, a shard, a file of a release. Or raw taps, an array
        or torch tensor [n, kh, kw] or [n, 1, kh, kw], such as a layer's weight. Of a network, its kernels.
    encoder : path, optional
        `encoder.safetensors` of a run or of a release, or the folder (`results`) that holds it. The default
        is of 171 real networks and knows sides of 3 to 11. It has no effect on labels.
    patterns : path
        A table as resources/patterns/v1.tsv, which is the default.

    Returns
    -------
    DataFrame
        The given table (of an array: kh, kw, weight; of a network: as `extract`, and `plot()` draws it) with

        - label: the most similar pattern; `other` from the dissimilarity (1 - similarity) of 0.2 on for sides below 7,
          0.3 for others; `dead`;
        - similarity (cosine), second (the most similar name of another family; of `other` the most similar name),
          margin (how much less similar that is), beyond_spectrum (whether at most 1 of 39 copies of the kernel with
          random phases is as similar to a pattern: 5 % by chance), scrambled (the similarity of one of these copies);
        - code (0 to 1), dissimilarity (1 - cosine to the own reconstruction), cluster (-1 for none);
        - pose (0 to 15: symmetry of the square, and sign), pose_code and pose_dissimilarity, as code and dissimilarity
          of the kernel in one pose;
        - tap_sum.

        Dead kernels have no other value. Kernels that are not square have missing values in all of these, those of a
        size without an encoder in the six of the autoencoders.

    Raises
    ------
    AtlasError
        `kernels` is of another kind, cannot be read, or a file is none of these (one line).

    Examples
    --------
    >>> kernels = label("resources/zoo/cifar10_7x7_s0.safetensors")
    >>> kernels.loc[[0, 2, 144], ["kh", "label", "similarity", "code", "cluster"]].round(2)
         kh                    label  similarity  code  cluster
    0     7  On-Second-Derivative-EW        0.82  0.58        9
    2     7                On-Centre        0.84  0.62        9
    144   3                    other        0.67  0.36       -1
    >>> first = kernels[kernels["layer_index"] == 0]
    >>> taps = np.stack(first["weight"]).reshape(-1, 1, 7, 7)
    >>> label(taps)["label"].equals(first["label"])
    True
    """
    table = _table(kernels)
    assigner = Assigner(read_patterns(patterns), read_encoder(ENCODER if encoder is None else encoder))
    columns = {name: np.full(len(table), None, object) for name in ASSIGNED}
    for (kh, kw), rows in table.groupby(["kh", "kw"]).indices.items():
        if kh == kw and assigner.knows(kh):
            found = assigner.assign(_taps(table["weight"].to_numpy()[rows], kh * kw))
            for name, column in columns.items():
                column[rows] = found[name]
    kinds = {"cluster": "Int32", "pose": "Int8", "beyond_spectrum": "boolean"}
    numbers = [field.name for field in SCHEMA if field.type == pa.float32()]
    kinds |= dict.fromkeys(numbers, np.float32)
    return table.assign(
        **{name: pd.Series(column, table.index, kinds.get(name, object)) for name, column in columns.items()}
    )


assign = label


def describe(network: Any, encoder: str | Path | None = None) -> Description:
    """Describe a network: how many of its kernels have a pattern, which, and how that compares.

    Parameters
    ----------
    network
        As for `extract`, or a table of `extract` or `label`.
    encoder : path, optional
        As for `label`.

    Returns
    -------
    Description
        A pandas table with a row for each layer (`model.description.describe_layers` says the columns); its attribute
        `sizes` has a row for each size (`describe_sizes`). `plot()` draws it.

    Raises
    ------
    AtlasError
        As `extract` and `label`.

    Examples
    --------
    >>> described = describe("resources/zoo/cifar10_7x7_s0.safetensors")
    >>> described.loc[:1, ["layer", "size", "kernels", "pattern_share"]].round(2)
                             layer size  kernels  pattern_share
    0  stages.0.1.depthwise.weight  7x7       48           0.67
    1  stages.0.2.depthwise.weight  7x7       48           0.52
    >>> described.sizes[["size", "layers", "kernels", "pattern_share", "phase_share", "networks"]].round(2)
      size  layers  kernels  pattern_share  phase_share  networks
    0  3x3       5      768           0.55         0.42       166
    1  7x7       3      144           0.62         0.06         9
    """
    labelled = _labelled(network, encoder)
    labellers = read_encoder(ENCODER if encoder is None else encoder)
    described = Description(describe_layers(labelled))
    described.sizes = describe_sizes(labelled, labellers, read_csv(NETWORKS))
    return described


def diff(one: Any, two: Any) -> Difference:
    """How the shares of labels change from one network to another: before and after fine-tuning or pruning, say.

    Parameters
    ----------
    one, two
        As for `describe`.

    Returns
    -------
    Difference
        A pandas table with a row for each size and label; `model.description.compare` says the columns. `plot()` draws
        it.

    Raises
    ------
    AtlasError
        As `extract`.

    Examples
    --------
    >>> change = diff("resources/zoo/cifar10_7x7_s0_init.safetensors", "resources/zoo/cifar10_7x7_s0.safetensors")
    >>> change.loc[change["size"] == "3x3", ["label", "share_a", "share_b", "low", "high"]].head(2).round(2)
                label  share_a  share_b   low  high
    0  with a pattern     0.12     0.55  0.39  0.48
    1   random phases     0.10     0.42  0.29  0.34
    """
    return Difference(compare(_labelled(one), _labelled(two)))


def _labelled(network: Any, encoder: str | Path | None = None) -> pd.DataFrame:
    """The kernels of a network with their labels, and of a table of kernels those that it has."""
    table = network if isinstance(network, pd.DataFrame) else extract(network)
    lacking = [name for name in ("layer_index", "layer", "kh", "kw", "weight") if name not in table]
    if lacking:
        raise AtlasError(f"kernels: the table has no column {lacking[0]}; give what kernel_atlas.extract returns")
    known = {"label", "scrambled", "dead", "dissimilarity", "cluster"} <= set(table.columns)
    return table if known else label(table, encoder)


def _table(kernels: Any) -> pd.DataFrame:
    """The kernels given to `label` as a table with the columns kh, kw and weight."""
    if isinstance(kernels, pd.DataFrame):
        lacking = [name for name in ("kh", "kw", "weight") if name not in kernels]
        if lacking:
            raise AtlasError(f"kernels: the table has no column {lacking[0]}; give what kernel_atlas.extract returns")
        return kernels
    if not hasattr(kernels, "shape"):
        return extract(kernels)
    kernels = values_of(kernels)
    shape = kernels.shape
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[1] != 1):
        raise AtlasError(
            f"kernels: of shape {list(shape)}; give taps [n, kh, kw] or [n, 1, kh, kw], the weight of a depthwise layer"
        )
    *_, kh, kw = shape
    return pd.DataFrame({"kh": kh, "kw": kw, "weight": list(kernels.reshape(-1, kh * kw))})


def _taps(weights: np.ndarray, taps: int) -> np.ndarray:
    """Stack the weights of kernels of one size, float32 [n, taps]."""
    try:
        return np.stack(weights).astype(np.float32).reshape(len(weights), taps)
    except (TypeError, ValueError) as error:
        raise AtlasError(f"kernels: a weight is not {taps} numbers ({error}); its taps must be kh * kw") from error
