"""Label the kernels of one's own network, without a run: `kernel_atlas.extract` and `kernel_atlas.assign`."""

import contextlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.files import data_file
from kernel_atlas.core.kernels import is_dead, size_name
from kernel_atlas.core.patterns import REFERENCE, read_patterns, templates
from kernel_atlas.io.checkpoint import tell_not_read
from kernel_atlas.io.sources import Wanted, read_layers
from kernel_atlas.io.tables import read_csv
from kernel_atlas.model.assign import ASSIGNED, SCHEMA, Assigner
from kernel_atlas.model.encoder import read_encoder
from kernel_atlas.stats.places import place_shares
from kernel_atlas.stats.resampling import DRIFT

__all__ = ["AtlasError", "assign", "extract", "templates"]

ENCODER = data_file("resources/encoder.safetensors")  # encoder.md beside it names its run
NETWORKS = data_file("resources/reference/networks.csv")


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


def assign(kernels: Any, encoder: str | Path | None = None, patterns: str | Path = REFERENCE) -> pd.DataFrame:
    """Label kernels by the reference patterns; and by an autoencoder, a code and a cluster each.

    Parameters
    ----------
    kernels : DataFrame or array
        A table with the columns kh, kw and weight: from `extract`, a shard, a file of a release. Or raw taps, an array
        or torch tensor [n, kh, kw] or [n, 1, kh, kw], such as a layer's weight.
    encoder : path, optional
        `encoder.safetensors` of a run or of a release, or the folder (`results`) that holds it. The default
        is of 171 real networks and knows sides of 3 to 11. It has no effect on labels.
    patterns : path
        A table as resources/patterns/v1.tsv, which is the default.

    Returns
    -------
    DataFrame
        The given table (of an array: kh, kw, weight) with

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
        `kernels` is of another kind, or a file is none of these (one line).

    Examples
    --------
    >>> kernels = assign(extract("resources/zoo/cifar10_7x7_s0.safetensors"))
    >>> kernels.loc[[0, 2, 144], ["kh", "label", "similarity", "code", "cluster"]].round(2)
         kh                    label  similarity  code  cluster
    0     7  On-Second-Derivative-EW        0.82  0.58        9
    2     7                On-Centre        0.84  0.62        9
    144   3                    other        0.67  0.36       -1
    >>> first = kernels[kernels["layer_index"] == 0]
    >>> taps = np.stack(first["weight"]).reshape(-1, 1, 7, 7)
    >>> assign(taps)["label"].equals(first["label"])
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


def describe_layers(assigned: pd.DataFrame) -> pd.DataFrame:
    """Describe the kernels of each layer.

    Parameters
    ----------
    assigned : DataFrame
        From `assign(extract(...))`.

    Returns
    -------
    DataFrame
        A row for each layer, then one for `all square`, if any: layer, size (`7x7`, empty for several), kernels, dead,
        pattern_share and clustered_share (of live kernels; NaN without such, where kernels are not square, or without
        an encoder of the size), labels (the three commonest but `other`: pairs of a label and its share of live
        kernels).
    """
    square = assigned[assigned["label"].notna()]
    parts = [(part["layer"].iloc[0], part) for _, part in assigned.groupby("layer_index")]
    rows = []
    for layer, part in [*parts, ("all square", square)] if len(square) else parts:
        sizes = {f"{kh}x{kw}" for kh, kw in zip(part["kh"], part["kw"], strict=True)}
        live = part.loc[~part["dead"]]
        labels = live.loc[live["label"].notna() & (live["label"] != "other"), "label"].value_counts()
        named = len(live) > 0 and bool(live["label"].notna().all())
        coded = len(live) > 0 and bool(live["cluster"].notna().all())
        rows.append(
            {
                "layer": layer,
                "size": sizes.pop() if len(sizes) == 1 else "",
                "kernels": len(part),
                "dead": len(part) - len(live),
                "pattern_share": labels.sum() / len(live) if named else np.nan,
                "clustered_share": (live["cluster"] >= 0).mean() if coded else np.nan,
                "labels": [(label, count / len(live)) for label, count in labels.head(3).items()],
            }
        )
    return pd.DataFrame(rows)


def measure_unlikeness(assigned: pd.DataFrame, encoder: str | Path | None = None) -> pd.DataFrame:
    """How much of a network lies beyond what trained an encoder, for each size that the encoder knows.

    Parameters
    ----------
    assigned : DataFrame
        From `assign(extract(...), encoder)`.
    encoder : path, optional
        As for `assign`. One that does not know how near its training kernels are tells nothing.

    Returns
    -------
    DataFrame
        size, kernels (live), beyond (share of them with a dissimilarity that one in ten training kernels exceeds) and
        unlike (whether that is more than two in ten).
    """
    rows = []
    for side, labeller in read_encoder(ENCODER if encoder is None else encoder).items():
        part = assigned.loc[(assigned["kh"] == side) & assigned["code"].notna(), "dissimilarity"]
        if len(part) and labeller.usual is not None:
            beyond = (part > labeller.usual).mean()
            rows.append({"size": size_name(side), "kernels": len(part), "beyond": beyond, "unlike": beyond > DRIFT})
    return pd.DataFrame(rows, columns=["size", "kernels", "beyond", "unlike"])


def place_networks(assigned: pd.DataFrame) -> pd.DataFrame:
    """The share with a pattern beside that of the reference networks (resources/reference), for each size of theirs.

    Parameters
    ----------
    assigned : DataFrame
        From `assign(extract(...))`.

    Returns
    -------
    DataFrame
        size, pattern_share (of live kernels), networks (of the reference), low, median, high (quartiles of their
        shares) and above (share of them with a lower share).
    """
    live = assigned[~assigned["dead"] & assigned["label"].notna()]
    rows = [
        {"model": None, "size": size_name(side), "pattern_share": (part["label"] != "other").mean()}
        for side, part in live.groupby("kh")
    ]
    shares = pd.DataFrame(rows, columns=["model", "size", "pattern_share"])
    return place_shares(shares, read_csv(NETWORKS)).drop(columns="model")


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
