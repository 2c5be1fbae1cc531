"""Label the kernels of one's own network, without a run: `kernel_atlas.extract` and `kernel_atlas.assign`."""

import contextlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import is_dead, size_name
from kernel_atlas.core.patterns import templates
from kernel_atlas.io.checkpoint import tell_not_read
from kernel_atlas.io.sources import Wanted, read_layers
from kernel_atlas.model.encoder import read_encoder

__all__ = ["AtlasError", "assign", "extract", "templates"]

ENCODER = Path(__file__).parents[1] / "resources/encoder.safetensors"  # resources/encoder.md names its run


def extract(path: str | Path, convolution: str = "depthwise") -> pd.DataFrame:
    """Read the kernels of a checkpoint.

    Parameters
    ----------
    path : path
        safetensors, PyTorch (a state dict, bare or in a training checkpoint), ONNX or TFLite. Content decides the
        format; no code in the file is run.
    convolution : str
        "depthwise", or "dense": every [kh, kw] slice of regular convolutions.

    Returns
    -------
    DataFrame
        A row for each kernel, in the order of the network: layer_index, layer, channel, kh, kw, weight (float32 array
        [kh * kw], row by row) and dead, as kernels/*/*.parquet of schemas/tables.yaml.

    Raises
    ------
    AtlasError
        The file is missing, damaged, of an unknown format, would run code on loading, or has no such convolution (one
        line).

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
        checkpoint = read_layers(f"file:{path}", Wanted(Path(), convolution))
        with contextlib.closing(checkpoint.layers) as layers:
            for index, layer in enumerate(layers):
                *_, kh, kw = layer.weight.shape
                taps = layer.weight.reshape(-1, kh * kw)
                place = {"layer_index": index, "layer": layer.name, "channel": np.arange(len(taps)), "kh": kh, "kw": kw}
                parts.append(pd.DataFrame({**place, "weight": list(taps), "dead": is_dead(taps)}))
    except AtlasError as error:
        raise AtlasError(f"{path}: {error}") from error
    if checkpoint.not_read:
        warnings.warn(f"{path}: {tell_not_read(checkpoint.not_read)}", stacklevel=2)
    return pd.concat(parts, ignore_index=True)


def assign(kernels: Any, encoder: str | Path | None = None) -> pd.DataFrame:
    """Label kernels: a code, a cluster and a label each.

    Parameters
    ----------
    kernels : DataFrame or array
        A table with the columns kh, kw and weight: from `extract`, a shard, a file of a release. Or raw taps, an array
        or torch tensor [n, kh, kw] or [n, 1, kh, kw], such as a layer's weight.
    encoder : path, optional
        `encoder.safetensors` of a run or of a release, or the folder (`results`) that holds it. The default knows the
        3x3 and 7x7 kernels of the project's embedded networks; for other networks, a run on networks like them labels
        more.

    Returns
    -------
    DataFrame
        The given table (of an array: kh, kw, weight) with code (0 to 1), dissimilarity (1 - cosine to the own
        reconstruction), cluster (-1 for other and dead), label (the cluster's name; `other` from the size's threshold
        of dissimilarity on; `dead`) and tap_sum. Dead kernels have NaN as code and dissimilarity. Kernels of a size
        without an encoder have missing values (NaN, <NA>, None) in all of these, and a warning counts them.

    Raises
    ------
    AtlasError
        `kernels` is of another kind, or `encoder` is no such file (one line).

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
    labellers = read_encoder(ENCODER if encoder is None else encoder)
    # columns of missing values, filled in for each size that the encoder knows
    known = np.zeros(len(table), bool)
    code, dissimilarity, tap_sum = np.full((3, len(table)), np.nan, np.float32)
    cluster, label = np.zeros(len(table), np.int32), np.full(len(table), None, object)
    without = {}
    for (kh, kw), rows in table.groupby(["kh", "kw"]).indices.items():
        if kh != kw or kh not in labellers:
            without[f"{kh}x{kw}"] = len(rows)
            continue
        taps = _taps(table["weight"].to_numpy()[rows], kh * kw)
        found = labellers[kh].assign(taps, is_dead(taps))
        known[rows] = True
        code[rows], dissimilarity[rows], tap_sum[rows] = found["code"], found["dissimilarity"], found["tap_sum"]
        cluster[rows], label[rows] = found["cluster"], found["label"]
    if without:
        warnings.warn(
            f"{sum(without.values())} of {len(table)} kernels have no label: they are {', '.join(without)}, and this "
            f"encoder knows {', '.join(map(size_name, sorted(labellers)))}",
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
    """Describe the kernels of each layer.

    Parameters
    ----------
    assigned : DataFrame
        From `assign(extract(...))`.

    Returns
    -------
    DataFrame
        A row for each layer, then one for `all with an encoder`, if any: layer, size (`7x7`, empty for several),
        kernels, dead, encoder (whether the size has one), clustered_share (of live kernels; NaN without such or without
        encoder), labels (the three commonest of clusters: pairs of a label and its share of live kernels).
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
    """The kernels given to `assign` as a table with the columns kh, kw and weight."""
    if isinstance(kernels, pd.DataFrame):
        lacking = [name for name in ("kh", "kw", "weight") if name not in kernels]
        if lacking:
            raise AtlasError(f"kernels: the table has no column {lacking[0]}; give what kernel_atlas.extract returns")
        return kernels
    if hasattr(kernels, "detach"):  # a torch tensor: perhaps a parameter, on a GPU, or bfloat16
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
    """Stack the weights of kernels of one size, float32 [n, taps]."""
    try:
        return np.stack(weights).astype(np.float32).reshape(len(weights), taps)
    except (TypeError, ValueError) as error:
        raise AtlasError(f"kernels: a weight is not {taps} numbers ({error}); its taps must be kh * kw") from error
