"""What a checkpoint gives: named convolution layers, and the rules which of them count."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Layer:
    """One convolution: `weight` is float32 [O, I, kh, kw], `dtype` the one it was stored in.

    `stride` and `dilation` are the larger of the two axes, None where the source does not tell.
    """

    name: str
    weight: np.ndarray
    dtype: str
    stride: int | None = None
    dilation: int | None = None


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Layers in the order of the network, read one by one while iterating, and what is known of the file.

    `metadata` has those of revision, sha256 (only of a file that was read whole) and licence that the source tells.
    """

    layers: Iterator[Layer]
    metadata: dict[str, str]


Rule = Callable[..., bool]  # (shape, groups or None) -> whether the layer is asked for


def is_depthwise(shape: tuple[int, ...], groups: int | None = None) -> bool:
    """Whether a weight of this shape belongs to a depthwise convolution.

    [O, 1, kh, kw] with O > 1 and a side > 1. Where the network is known, `groups` decides: a dense convolution on a
    one-channel input has the shape too, but one group.
    """
    return _is_convolution(shape) and shape[1] == 1 and (shape[0] > 1 if groups is None else groups > 1)


def is_dense(shape: tuple[int, ...], groups: int | None = None) -> bool:
    """Whether a weight of this shape belongs to a regular convolution: I > 1 or, where it is known, one group."""
    return _is_convolution(shape) and (shape[1] > 1 if groups is None else groups == 1)


def _is_convolution(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and min(shape) > 0 and max(shape[2:]) > 1
