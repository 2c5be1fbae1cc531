"""The encoder file of a run: autoencoders, clusters, thresholds and prototypes of all sizes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import size_name
from kernel_atlas.io.tables import read_table, stamped, whole
from kernel_atlas.model.assign import Labeller
from kernel_atlas.model.clusters import check_clusters, find_prototypes, read_clusters
from kernel_atlas.model.coder import Coder
from kernel_atlas.model.poses import PosedCoder

_ENTRY = "kernel_atlas"  # the only entry of the metadata, for equal bytes (see `autoencoder.save`)
_NAME_ONE = "name the encoder.safetensors of a run or of a release"


def write_encoder(
    encoders: Sequence[str | Path],
    posed: Sequence[str | Path],
    clusters: Sequence[str | Path],
    spectra: Sequence[str | Path],
    thresholds: Mapping[str, float],
    output: str | Path,
) -> None:
    """Put the results of training and naming into one file.

    Parameters
    ----------
    encoders, posed, clusters, spectra : sequence of path
        `encoder.safetensors`, `posed/encoder.safetensors`, `clusters.tsv` and `spectrum.parquet` of each size, in the
        same order of sizes.
    thresholds : mapping
        Size (`7x7`) -> dissimilarity.
    output : path
        Tensors: those of each autoencoder, named after the size (`7x7.encoder.0.weight`), of the one in one pose
        `7x7.posed.encoder.0.weight` and `7x7.posed.codebook`, and `7x7.prototypes` [prototypes, taps].
        Metadata: the entry `kernel_atlas`, JSON of versions and `sizes`: size -> threshold, usual
        (see `Labeller`), clusters (rows of clusters.tsv) and prototypes (cluster and label of each row of the tensor).

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
    for encoder, turned, table, spectrum in zip(encoders, posed, clusters, spectra, strict=True):
        trained = load_file(encoder)
        with safe_open(encoder, "np") as file:
            usual = json.loads(file.metadata()[_ENTRY])["usual"]
        size = size_name(Coder(trained).side)
        tensors |= {f"{size}.{name}": tensor for name, tensor in trained.items()}
        tensors |= {f"{size}.posed.{name}": tensor for name, tensor in load_file(turned).items()}
        named = read_clusters(table)
        prototypes = find_prototypes(read_table(spectrum), named)
        tensors[f"{size}.prototypes"] = np.stack(prototypes["kernel"])
        rows = named.astype(object)
        rows = rows.where(rows.notna(), None)  # JSON has no NaN; clusters made by hand have no templates
        sizes[size] = {
            "threshold": thresholds[size],
            "usual": usual,
            "clusters": rows.to_dict("records"),
            "prototypes": prototypes[["cluster", "label"]].to_dict("records"),
        }
    metadata = {_ENTRY: json.dumps({**stamped(), "sizes": sizes})}
    with whole(output) as partial:
        partial.write_bytes(save(tensors, metadata))


def read_encoder(path: str | Path) -> dict[int, Labeller]:
    """Read a labeller file.

    Parameters
    ----------
    path : path
        A file of `write_encoder`, or the folder of results or of a release that holds `encoder.safetensors`. A file of
        version 0.1.0 has no prototypes and no posed autoencoder; its labellers have None.

    Returns
    -------
    dict
        Side of the kernels -> Labeller.

    Raises
    ------
    AtlasError
        The file is missing, damaged, or another file.
    """
    path = Path(path) / "encoder.safetensors" if Path(path).is_dir() else path
    try:
        with safe_open(path, "np") as file:
            sizes = json.loads(file.metadata()[_ENTRY])["sizes"]
        tensors = load_file(path)
        labellers = [_labeller(size, known, tensors, path) for size, known in sizes.items()]
    except OSError as error:
        why = "no such file" if isinstance(error, FileNotFoundError) else error.strerror or error
        raise AtlasError(f"{path}: {why}; {_NAME_ONE}") from error
    except (SafetensorError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise AtlasError(f"{path}: not an encoder of kernel-atlas, or damaged; {_NAME_ONE}") from error
    return {labeller.coder.side: labeller for labeller in labellers}


def _labeller(size: str, known: Mapping[str, Any], tensors: Mapping[str, np.ndarray], path: str | Path) -> Labeller:
    """The Labeller of one size from the metadata and tensors of the file."""
    mine = {name.removeprefix(f"{size}."): each for name, each in tensors.items() if name.startswith(f"{size}.")}
    turned = {name.removeprefix("posed."): each for name, each in mine.items() if name.startswith("posed.")}
    coder, posed = Coder(mine), PosedCoder(turned) if turned else None
    for each in (coder, posed) if posed else (coder,):
        each.reconstruct(np.eye(1, coder.side**2, dtype=np.float32))  # fails where tensors do not fit together
    prototypes = None
    if "prototypes" in known:
        prototypes = pd.DataFrame(known["prototypes"]).assign(kernel=list(tensors[f"{size}.prototypes"]))
    return Labeller(
        coder,
        check_clusters(pd.DataFrame(known["clusters"]), path),
        known["threshold"],
        prototypes,
        posed,
        known.get("usual"),
    )


def labeller_of(labellers: Mapping[int, Labeller], side: int, kernels: str | Path) -> Labeller:
    """The Labeller of kernels of a side.

    Raises
    ------
    AtlasError
        The encoder does not know kernels of this size. The line names `kernels`, the file they are in.
    """
    if side not in labellers:
        raise AtlasError(f"{kernels}: {size_name(side)} kernels, which the encoder does not know; name another encoder")
    return labellers[side]
