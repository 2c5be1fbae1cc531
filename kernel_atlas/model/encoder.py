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
from kernel_atlas.io.tables import read_table, stamped, whole
from kernel_atlas.model.assign import Labeller
from kernel_atlas.model.clusters import check_clusters, find_prototypes, read_clusters
from kernel_atlas.model.coder import Coder

_ENTRY = "kernel_atlas"  # the one of the metadata, as `autoencoder.save` says why


def write_encoder(
    encoders: Sequence[str | Path],
    clusters: Sequence[str | Path],
    spectra: Sequence[str | Path],
    thresholds: Mapping[str, float],
    output: str | Path,
) -> None:
    """Put what training and naming wrote for each size into one safetensors file.

    Parameters
    ----------
    encoders, clusters, spectra : sequence of path
        `encoder.safetensors`, `clusters.tsv` and `spectrum.parquet`, in the same order of sizes.
    thresholds : mapping
        Size (`7x7`) -> dissimilarity.
    output : path
        Its tensors have the names they had, after the size (`7x7.encoder.0.weight`), and `7x7.prototypes` [p, taps].
        Its metadata have one entry, `kernel_atlas`, in JSON: versions, and `sizes`: size -> threshold, clusters (a list
        of rows of clusters.tsv) and prototypes (cluster and label of each).

    Raises
    ------
    AtlasError
        No size has an autoencoder.
    """
    if not encoders:
        raise AtlasError(
            "no size has the kernels that an autoencoder needs (see sizes.csv); "
            "add models with use = train, or lower minimum_kernels"
        )
    tensors, sizes = {}, {}
    for encoder, table, spectrum in zip(encoders, clusters, spectra, strict=True):
        size = size_name(_side(Coder(encoder)))
        tensors |= {f"{size}.{name}": tensor for name, tensor in safetensors.numpy.load_file(encoder).items()}
        named = read_clusters(table)
        prototypes = find_prototypes(read_table(spectrum), named)
        tensors[f"{size}.prototypes"] = np.stack(prototypes["kernel"])
        rows = named.astype(object)
        rows = rows.where(rows.notna(), None)  # JSON has no NaN; clusters made by hand have no templates
        sizes[size] = {
            "threshold": thresholds[size],
            "clusters": rows.to_dict("records"),
            "prototypes": prototypes[["cluster", "label"]].to_dict("records"),
        }
    metadata = {_ENTRY: json.dumps({**stamped(), "sizes": sizes})}
    with whole(output) as partial:
        partial.write_bytes(safetensors.numpy.save(tensors, metadata))


def read_encoder(path: str | Path) -> dict[int, Labeller]:
    """Side of the kernels -> Labeller, from a file of `write_encoder`.

    A file of version 0.1.0 has no prototypes, and nor have its labellers.

    Raises
    ------
    AtlasError
        It is missing, damaged, or another file.
    """
    try:
        with safe_open(path, "np") as file:
            sizes = json.loads(file.metadata()[_ENTRY])["sizes"]
        labellers, stored = {}, safetensors.numpy.load_file(path)
        for size, known in sizes.items():
            coder = Coder(path, f"{size}.")
            side = _side(coder)
            coder.reconstruct(np.eye(1, side * side, dtype=np.float32))  # fails where tensors do not fit together
            clusters, prototypes = check_clusters(pd.DataFrame(known["clusters"]), path), None
            if "prototypes" in known:
                kernels = stored[f"{size}.prototypes"]
                prototypes = pd.DataFrame(known["prototypes"]).assign(kernel=list(kernels))
            labellers[side] = Labeller(coder, clusters, known["threshold"], prototypes)
        return labellers
    except OSError as error:
        why = "no such file" if isinstance(error, FileNotFoundError) else error.strerror or error
        raise AtlasError(f"{path}: {why}; name the encoder.safetensors of a release") from error
    except (SafetensorError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise AtlasError(
            f"{path}: not the encoder of a release, or damaged; name the encoder.safetensors of `snakemake release`"
        ) from error


def labeller_of(labellers: Mapping[int, Labeller], side: int, kernels: str | Path) -> Labeller:
    """The Labeller of kernels of a side, which are in the file `kernels`.

    Raises
    ------
    AtlasError
        The encoder does not know kernels of this size.
    """
    if side not in labellers:
        raise AtlasError(f"{kernels}: {size_name(side)} kernels, which the encoder does not know; name another encoder")
    return labellers[side]


def _side(coder: Coder) -> int:
    return round(coder.taps**0.5)
