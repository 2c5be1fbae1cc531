"""Label the kernels of one's own network, without a run: `kernel_atlas.extract` and `kernel_atlas.assign`."""

import contextlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import is_dead, size_name
from kernel_atlas.io.sources import read_layers
from kernel_atlas.model.encoder import read_encoder

ENCODER = Path(__file__).parents[1] / "resources/encoder.safetensors"  # resources/encoder.md says of what run


def extract(path: str | Path, convolution: str = "depthwise") -> pd.DataFrame:
    """The kernels of a checkpoint.

    Parameters
    ----------
    path : path
        safetensors, PyTorch (a state dict, bare or in a training checkpoint) or ONNX; told by content, and read without
        running code from it.
    convolution : str
        "depthwise", or "dense": every [kh, kw] slice of regular convolutions.

    Returns
    -------
    DataFrame
        A row for each kernel, in the order of the network: layer_index (position among the layers, from 0), layer (name
        of the weight), channel (output channel; dense: o * inputs + i), kh, kw (height and width in taps), weight
        (float32 array [kh * kw], row by row, the checkpoint's values), dead (a tap is NaN or infinite, or none exceeds
        1e-4 in size).

    Raises
    ------
    AtlasError
        The file is missing, damaged, of an unknown format, would run code on loading, or has no such convolution; in
        one line.

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
    parts = []
    try:
        with contextlib.closing(read_layers(f"file:{path}", Path(), convolution).layers) as layers:
            for index, layer in enumerate(layers):
                *_, kh, kw = layer.weight.shape
                taps = layer.weight.reshape(-1, kh * kw)
                place = {"layer_index": index, "layer": layer.name, "channel": np.arange(len(taps)), "kh": kh, "kw": kw}
                parts.append(pd.DataFrame({**place, "weight": list(taps), "dead": is_dead(taps)}))
    except AtlasError as error:
        raise AtlasError(f"{path}: {error}") from error
    return pd.concat(parts, ignore_index=True)


def assign(kernels: Any, encoder: str | Path | None = None) -> pd.DataFrame:
    """Give kernels the code, the cluster and the label that they have in a run's atlas.

    Parameters
    ----------
    kernels : DataFrame or array
        What `extract` returns, or any table with the columns kh, kw and weight, such as a shard or a file of a
        release; or raw taps, as an array or a torch tensor [n, kh, kw] or [n, 1, kh, kw], such as a layer's weight.
    encoder : path, optional
        `encoder.safetensors` of a release. The one that comes with the project knows the 3x3 and 7x7 kernels of its
        embedded networks; for others' networks, that of a run on networks like them says more.

    Returns
    -------
    DataFrame
        The table given (of an array: kh, kw), and code (0 to 1), dissimilarity (1 - cosine to the reconstruction from
        the code), cluster (-1 for other and dead), label (its cluster's name, `other` where the dissimilarity is not
        below the size's threshold, or `dead`) and tap_sum. Of kernels whose size has no encoder these are missing (NaN,
        <NA>, None), and a warning counts them. Dead kernels have neither code nor dissimilarity (NaN).

    Raises
    ------
    AtlasError
        `kernels` is of another kind, or `encoder` is no such file; in one line.

    Examples
    --------
    >>> kernels = assign(extract("resources/zoo/cifar10_7x7_s0.safetensors"))
    >>> kernels.loc[[0, 2, 144], ["layer_index", "channel", "kh", "code", "dissimilarity", "label"]].round(2)
         layer_index  channel  kh  code  dissimilarity     label
    0              0        0   7  0.35           0.66     other
    2              0        2   7  0.31           0.27  On-Cross
    144            3        0   3  0.47           0.26     other
    >>> print(f"{(kernels['cluster'] >= 0).mean():.0%} are in a cluster")
    66% are in a cluster
    >>> first = kernels[kernels["layer_index"] == 0]
    >>> taps = np.stack(first["weight"]).reshape(-1, 1, 7, 7)
    >>> assign(taps)["label"].equals(first["label"])
    True
    """
    table = _table(kernels)
    atlases = read_encoder(ENCODER if encoder is None else encoder)
    known = np.zeros(len(table), bool)
    code, dissimilarity, tap_sum = np.full((3, len(table)), np.nan, np.float32)
    cluster, label = np.zeros(len(table), np.int32), np.full(len(table), None, object)
    without = {}
    for (kh, kw), rows in table.groupby(["kh", "kw"]).indices.items():
        if kh != kw or kh not in atlases:
            without[f"{kh}x{kw}"] = len(rows)
            continue
        taps = _taps(table["weight"].to_numpy()[rows], kh * kw)
        found = atlases[kh].assign(taps, is_dead(taps))
        known[rows] = True
        code[rows], dissimilarity[rows], tap_sum[rows] = found["code"], found["dissimilarity"], found["tap_sum"]
        cluster[rows], label[rows] = found["cluster"], found["label"]
    if without:
        warnings.warn(
            f"{sum(without.values())} of {len(table)} kernels have no label: they are {', '.join(without)}, and this "
            f"encoder knows {', '.join(map(size_name, sorted(atlases)))}",
            stacklevel=2,
        )
    return table.assign(
        code=code,
        dissimilarity=dissimilarity,
        cluster=pd.arrays.IntegerArray(cluster, ~known),
        label=pd.Series(label, table.index, object),
        tap_sum=tap_sum,
    )


def describe_layers(assigned: pd.DataFrame) -> pd.DataFrame:
    """What the kernels of each layer are.

    Parameters
    ----------
    assigned : DataFrame
        What `assign(extract(...))` returns.

    Returns
    -------
    DataFrame
        A row for each layer, and a last one, `all with an encoder`, if there are such: layer, size (`7x7`, empty where
        there are several), kernels, dead, encoder (whether the size has one), clustered_share (of the kernels that are
        not dead; NaN where there are none or no encoder), labels (up to three commonest of clusters, as pairs of the
        label and its share of the kernels that are not dead).
    """
    known = assigned[assigned["label"].notna()]
    parts = [(part["layer"].iloc[0], part) for _, part in assigned.groupby("layer_index")]
    rows = []
    for layer, part in [*parts, ("all with an encoder", known)] if len(known) else parts:
        sizes = {f"{kh}x{kw}" for kh, kw in zip(part["kh"], part["kw"], strict=True)}
        labels = part.loc[part["cluster"].fillna(-1) >= 0, "label"].value_counts()
        live = int((~part["dead"]).sum())
        encoder = bool(part["label"].notna().all())
        rows.append(
            {
                "layer": layer,
                "size": sizes.pop() if len(sizes) == 1 else "",
                "kernels": len(part),
                "dead": len(part) - live,
                "encoder": encoder,
                "clustered_share": labels.sum() / live if encoder and live else np.nan,
                "labels": [(label, count / live) for label, count in labels.head(3).items()],
            }
        )
    return pd.DataFrame(rows)


def _table(kernels: Any) -> pd.DataFrame:
    """Kernels of any kind that `assign` takes as a table with the columns kh, kw and weight."""
    if isinstance(kernels, pd.DataFrame):
        lacking = [name for name in ("kh", "kw", "weight") if name not in kernels]
        if lacking:
            raise AtlasError(f"kernels: the table has no column {lacking[0]}; give what kernel_atlas.extract returns")
        return kernels
    if hasattr(kernels, "detach"):  # a torch tensor, which may be a parameter, or on a GPU, or bfloat16
        kernels = kernels.detach().float().cpu().numpy()
    kernels = np.asarray(kernels)
    shape = kernels.shape
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[1] != 1):
        raise AtlasError(
            f"kernels: of shape {list(shape)}; give taps [n, kh, kw] or [n, 1, kh, kw], the weight of a depthwise layer"
        )
    *_, kh, kw = shape
    return pd.DataFrame({"kh": kh, "kw": kw, "weight": list(kernels.reshape(-1, kh * kw))})


def _taps(weights: np.ndarray, taps: int) -> np.ndarray:
    """The taps of kernels of one size, float32 [n, taps], from a column of a table."""
    try:
        return np.stack(weights).astype(np.float32).reshape(len(weights), taps)
    except (TypeError, ValueError) as error:
        raise AtlasError(f"kernels: a weight is not {taps} numbers ({error}); its taps must be kh * kw") from error
