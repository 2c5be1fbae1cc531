"""Checkpoints: named convolution layers, and the choice of them among the tensors of a source."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True, eq=False)
class Layer:
    """One convolution: `weight` is float32 [O, I, kh, kw], `dtype` the one it was stored in.

    `stride` and `dilation` are the larger of the two axes, `stage` the level of resolution in the network, from 0, and
    `branch` the path inside a block that can be re-parameterised; None where the source does not tell.
    `padding` is `same`, `valid`, or the rows and columns added at the four sides. `folded` tells whether a BatchNorm
    was multiplied into the kernels. `judged_by` says what proves the layer depthwise: `graph`, `architecture` or
    `shape`.
    """

    name: str
    weight: np.ndarray
    dtype: str
    stride: int | None = None
    dilation: int | None = None
    stage: int | None = None
    branch: str | None = None
    padding: str | None = None
    folded: bool | None = None
    judged_by: str = "shape"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Layers in the order of the network, read one by one while iterating, and metadata of the file.

    `metadata` may have revision, date (of a file, or of the last commit on the hub: 2024-06-01), sha256 (of files that
    were read whole), key (where in the file the weights were) and licence, as far as the source tells them.
    `not_read` has the names of layers that look depthwise and are not read, by the reason; complete after the last
    layer.
    """

    layers: Iterator[Layer]
    metadata: dict[str, str]
    not_read: dict[str, list[str]] = field(default_factory=dict)


class Form(NamedTuple):
    """The shape of a tensor, its groups where the network is known, and its storage, which tensors may share."""

    shape: tuple[int, ...]
    groups: int | None = None
    storage: Hashable = None


class Weight(NamedTuple):
    """A weight to read: the name of its layer, the tensors that it is made of, and how (`parametrised.MADE`)."""

    name: str
    tensors: tuple[str, ...]
    made: str = "stored"


class Selection(NamedTuple):
    """The weights to read, in the order of the network; others that look alike, by reason; what proves the choice."""

    weights: list[Weight]
    not_read: dict[str, list[str]]
    judged_by: str = "shape"


Rule = Callable[[Form], bool]
Choice = Callable[[Mapping[str, Form]], Selection]  # from all tensors of a checkpoint
TensorFilter = Callable[[str, tuple[int, ...]], bool]  # whether a tensor is wanted, by name and shape


def is_depthwise(form: Form) -> bool:
    """Whether a weight of this form belongs to a depthwise convolution.

    [O, 1, kh, kw] with O > 1 and a side > 1. Where the network is known, `groups` decides: a dense convolution on a
    one-channel input has the shape too, but one group.
    """
    shape, groups, _ = form
    return _is_convolution(shape) and shape[1] == 1 and (shape[0] > 1 if groups is None else groups > 1)


def is_dense(form: Form) -> bool:
    """Whether a weight of this form belongs to a regular convolution: I > 1 or, where it is known, one group."""
    shape, groups, _ = form
    return _is_convolution(shape) and (shape[1] > 1 if groups is None else groups == 1)


def is_chosen(choose: Choice, name: str, shape: tuple[int, ...], groups: int) -> bool:
    """Whether a choice takes a weight whose groups the graph tells; such weights are chosen one by one."""
    return bool(choose({name: Form(shape, groups)}).weights)


def tell_not_read(not_read: Mapping[str, list[str]]) -> str | None:
    """One line about the layers that were not read: how many, why, and the first of each reason."""
    if not not_read:
        return None
    count = sum(map(len, not_read.values()))
    reasons = [
        f"{reason}: {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        for reason, names in not_read.items()
    ]
    look = "layer looks depthwise and was" if count == 1 else "layers look depthwise and were"
    return f"{count} {look} not read ({'; '.join(reasons)})"


def licence_of(metadata: Mapping[str, str]) -> dict[str, str]:
    """The licence that a file's own metadata name, under the key `licence`; empty where they name none."""
    licence = metadata.get("license") or metadata.get("licence")
    return {"licence": licence} if licence else {}


def _is_convolution(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and min(shape) > 0 and max(shape[2:]) > 1
