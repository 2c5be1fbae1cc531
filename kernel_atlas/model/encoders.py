"""One file that is enough to label kernels: the autoencoders of all sizes of a run, their clusters and thresholds."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import size_name
from kernel_atlas.io.tables import stamped, whole
from kernel_atlas.model.assign import Atlas
from kernel_atlas.model.clusters import check_clusters, read_clusters
from kernel_atlas.model.coder import Coder

_ENTRY = "kernel_atlas"  # the one of the metadata, as `autoencoder.save` says why


def write_encoder(
    encoders: Sequence[str | Path],
    clusters: Sequence[str | Path],
    thresholds: Mapping[str, float],
    output: str | Path,
) -> None:
    """Put what training and naming wrote for each size into one safetensors file.

    Parameters
    ----------
    encoders, clusters : sequence of path
        `encoder.safetensors` and `clusters.tsv`, in the same order of sizes.
    thresholds : mapping
        Size (`7x7`) -> dissimilarity.
    output : path
        Its tensors have the names they had, after the size (`7x7.encoder.0.weight`). Its metadata have one entry,
        `kernel_atlas`, in JSON: versions, and `sizes`: size -> threshold and clusters (a list of rows of clusters.tsv).
    """
    tensors, sizes = {}, {}
    for encoder, table in zip(encoders, clusters, strict=True):
        size = size_name(_side(Coder(encoder)))
        tensors |= {f"{size}.{name}": tensor for name, tensor in safetensors.numpy.load_file(encoder).items()}
        rows = read_clusters(table).astype(object)
        rows = rows.where(rows.notna(), None)  # JSON has no NaN; clusters made by hand have no templates
        sizes[size] = {"threshold": thresholds[size], "clusters": rows.to_dict("records")}
    metadata = {_ENTRY: json.dumps({**stamped(), "sizes": sizes})}
    with whole(output) as partial:
        partial.write_bytes(safetensors.numpy.save(tensors, metadata))


def read_encoder(path: str | Path) -> dict[int, Atlas]:
    """Side of the kernels -> Atlas, from a file of `write_encoder`.

    Raises
    ------
    AtlasError
        It is missing, damaged, or another file.
    """
    try:
        with safe_open(path, "np") as file:
            sizes = json.loads(file.metadata()[_ENTRY])["sizes"]
        atlases = {}
        for size, known in sizes.items():
            coder = Coder(path, f"{size}.")
            side = _side(coder)
            coder.reconstruct(np.eye(1, side * side, dtype=np.float32))  # fails where tensors do not fit together
            atlases[side] = Atlas(coder, check_clusters(pd.DataFrame(known["clusters"]), path), known["threshold"])
        return atlases
    except OSError as error:
        why = "no such file" if isinstance(error, FileNotFoundError) else error.strerror or error
        raise AtlasError(f"{path}: {why}; name the encoder.safetensors of a release") from error
    except (SafetensorError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise AtlasError(
            f"{path}: not the encoder of a release, or damaged; name the encoder.safetensors of `snakemake release`"
        ) from error


def atlas_of(atlases: Mapping[int, Atlas], side: int, kernels: str | Path) -> Atlas:
    """The Atlas of kernels of a side, which are in the file `kernels`.

    Raises
    ------
    AtlasError
        The encoder does not know kernels of this size.
    """
    if side not in atlases:
        raise AtlasError(f"{kernels}: {size_name(side)} kernels, which the encoder does not know; name another encoder")
    return atlases[side]


def _side(coder: Coder) -> int:
    return round(coder.taps**0.5)
