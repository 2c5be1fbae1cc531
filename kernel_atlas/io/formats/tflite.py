"""TFLite files: weights of convolutions and what their operators tell, by the schema alone, without an interpreter.

Every offset in a flatbuffer may lie. The schema's accessors check none; counts, indices and sizes are checked here.
"""

import contextlib
import hashlib
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
import numpy as np

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.checkpoint import Checkpoint, Choice, Layer, is_chosen

# Numbers of the schema. Its package takes 0.4 s to import, which other formats are spared.
CONV_2D, DEPTHWISE_CONV_2D, DEQUANTIZE, PAD, SPACE_TO_BATCH_ND, CUSTOM, PADV2 = 3, 4, 6, 34, 38, 32, 60
TRANSPOSE_CONV, SQRT, RSQRT, DENSIFY, CONV_3D, CONV_3D_TRANSPOSE = 67, 75, 76, 124, 132, 141
STABLEHLO_CONVOLUTION, STABLEHLO_RSQRT, STABLEHLO_COMPOSITE = 171, 186, 206
# Operator -> place of the weight among its inputs, and its axes: out, in, then those of the image.
_WEIGHTS = {
    CONV_2D: (1, (0, 3, 1, 2)),
    DEPTHWISE_CONV_2D: (1, (3, 0, 1, 2)),
    CONV_3D: (1, (4, 3, 0, 1, 2)),
    TRANSPOSE_CONV: (1, (0, 3, 1, 2)),
    CONV_3D_TRANSPOSE: (1, (3, 4, 0, 1, 2)),
}
_NOT_KERNELS = {
    CONV_3D: "Conv3d",
    TRANSPOSE_CONV: "transposed convolution",
    CONV_3D_TRANSPOSE: "transposed convolution",
}
_NORMS = (SQRT, RSQRT, STABLEHLO_RSQRT, STABLEHLO_COMPOSITE)  # what LayerNorm is written with, or may hide in
_INT4 = 17
_DTYPES = {
    0: np.dtype("<f4"),
    1: np.dtype("<f2"),
    3: np.dtype("u1"),
    7: np.dtype("<i2"),
    9: np.dtype("i1"),
    10: np.dtype("<f8"),
    18: np.dtype(ml_dtypes.bfloat16),
}
_SMALLEST = 8  # bytes that an operator or tensor takes at least
_MOST_AXES = 8
_MOST_NAME = 1000  # bytes; converters join the names of all they fuse


class _PassedOver(Exception):
    """A weight that cannot be read; the message says why."""


def read_tflite(path: Path, choose: Choice) -> Checkpoint:
    """The DEPTHWISE_CONV_2D and CONV_2D operators of all subgraphs whose weights the file holds.

    Parameters
    ----------
    path : Path
        The model.
    choose : callable
        Which weights are wanted, by shape and groups.

    Returns
    -------
    Checkpoint
        Layers in the order of the operators, named by their weights. Integers are dequantized. `folded` is True if no
        operator of the network can be a norm, and the weight is quantized or has a bias that is not zero: the converter
        folds BatchNorm, and gives a bias of zeros to convolutions without one. It is None otherwise. `not_read` names
        depthwise weights that are sparse, computed while the network runs, or of a 3-D or transposed convolution.

    Raises
    ------
    AtlasError
        The file is damaged. Also raised while iterating.
    """
    content = path.read_bytes()
    not_read: dict[str, list[str]] = {}
    reading = _Reading(content, choose, not_read)
    return Checkpoint(reading.layers(), {"sha256": hashlib.sha256(content).hexdigest()}, not_read)


@contextlib.contextmanager
def _checked() -> Iterator[None]:
    """One line in place of what the schema's accessors raise where an offset leads out of the file."""
    try:
        yield
    except (struct.error, IndexError, ValueError, TypeError, OverflowError, AttributeError) as error:
        raise AtlasError(f"damaged or truncated TFLite file ({str(error)[:100]}); fetch it again") from error


class _Operator(NamedTuple):
    code: int
    inputs: list[int]
    table: object  # tflite.Operator


class _Stored(NamedTuple):
    """A constant: its tensor, bytes, and what tells it from others."""

    tensor: object  # tflite.Tensor
    data: memoryview
    key: tuple


@dataclass
class _Reading:
    """One pass over a file."""

    content: bytes
    choose: Choice
    not_read: dict[str, list[str]]

    def __post_init__(self):
        import tflite

        self.schema = tflite
        self.seen: set = set()
        self.names: set[str] = set()
        self.bytes_left = len(self.content)  # that weights may take together, as buffers can overlap
        self.operators_left = len(self.content) // _SMALLEST
        with _checked():
            self.model = tflite.Model.GetRootAs(self.content, 0)
            codes = [self.model.OperatorCodes(i) for i in range(self._count(self.model.OperatorCodesLength()))]
            self.codes = [code.BuiltinCode() for code in codes]
            custom = [code.CustomCode() or b"" for code in codes]
            self.norms = any(code in _NORMS for code in self.codes) or any(b"norm" in name.lower() for name in custom)

    def _count(self, length: int) -> int:
        """The length of a vector of tables, if the file has room for so many."""
        if length > len(self.content) // 4:
            raise ValueError(f"{length} entries in {len(self.content)} bytes")
        return length

    def layers(self) -> Iterator[Layer]:
        """The layers in the order of the operators."""
        with _checked():
            for index in range(self._count(self.model.SubgraphsLength())):
                yield from self._layers_of(self.model.Subgraphs(index))

    def _layers_of(self, graph) -> Iterator[Layer]:
        producers: dict[int, _Operator] = {}
        for index in range(self._count(graph.OperatorsLength())):
            self.operators_left -= 1
            if self.operators_left < 0:
                raise ValueError("its subgraphs overlap")
            table = graph.Operators(index)
            operator = _Operator(self.codes[table.OpcodeIndex()], _few(table.InputsAsNumpy()), table)
            producers.update(dict.fromkeys(_few(table.OutputsAsNumpy())[:1], operator))
            if operator.code == STABLEHLO_CONVOLUTION:
                self._pass_over_stablehlo(graph, operator, index)
            elif operator.code in _WEIGHTS:
                layer = self._layer(graph, operator, index, producers)
                if layer is not None:
                    yield layer

    def _layer(self, graph, operator: _Operator, index: int, producers: dict) -> Layer | None:
        """The layer of an operator; None if its weight does not count, was read before, or is passed over by name."""
        place, axes = _WEIGHTS[operator.code]
        weight_at = operator.inputs[place]
        tensor = self._tensor(graph, weight_at)
        stored_shape = _few(tensor.ShapeAsNumpy())
        if len(stored_shape) != len(axes):
            raise ValueError(f"a weight of {len(stored_shape)} axes")
        shape = tuple(stored_shape[axis] for axis in axes)
        image = self._tensor(graph, operator.inputs[2 if "transposed" in _NOT_KERNELS.get(operator.code, "") else 0])
        groups = _groups(operator.code, shape, _few(image.ShapeAsNumpy()))
        looks_depthwise = shape[1] == 1 and groups > 1 and max(shape[2:]) > 1
        name = _name(tensor) or f"operator {index}"
        reason = _NOT_KERNELS.get(operator.code)
        if reason or not is_chosen(self.choose, name, shape, groups):
            if reason and looks_depthwise and is_chosen(self.choose, name, (*shape[:2], 3, 3), groups):
                self._pass_over(reason, name)
            return None
        try:
            stored = self._stored(graph, weight_at, producers)
            if stored.key in self.seen:
                return None
            self.seen.add(stored.key)
            weight, dtype = self._values(stored, stored_shape)
        except _PassedOver as why:
            if looks_depthwise:
                self._pass_over(str(why), name)
            return None
        unique = name if name not in self.names else f"{name} ({index})"
        self.names.add(unique)
        stride, dilation, padding = self._options(graph, operator, producers)
        quantized = np.issubdtype(_dtype_of(stored), np.integer)
        folded = True if not self.norms and (quantized or self._has_bias(graph, operator)) else None
        weight = np.ascontiguousarray(weight.transpose(axes))
        return Layer(unique, weight, dtype, stride, dilation, padding=padding, folded=folded, judged_by="graph")

    def _pass_over(self, reason: str, name: str) -> None:
        """Name a weight that looks depthwise and is not read, once."""
        if ("not read", name) not in self.seen:
            self.seen.add(("not read", name))
            self.not_read.setdefault(reason, []).append(name)

    def _tensor(self, graph, index: int):
        if not 0 <= index < self._count(graph.TensorsLength()):
            raise IndexError(f"no tensor {index}")
        return graph.Tensors(index)

    def _stored(self, graph, index: int, producers: dict) -> _Stored:
        """The constant behind a weight: itself, or what a DEQUANTIZE takes."""
        for _ in range(2):
            tensor = self._tensor(graph, index)
            if tensor.Sparsity() is not None:
                raise _PassedOver("its weight is sparse")
            data = self._data(tensor.Buffer())
            if len(data):
                scales = tensor.Quantization()
                scales = scales.ScaleAsNumpy() if scales is not None and scales.ScaleLength() else np.zeros(0)
                return _Stored(tensor, data, (tensor.Buffer(), scales.tobytes()))
            producer = producers.get(index)
            if producer is None or producer.code != DEQUANTIZE:
                break
            index = producer.inputs[0]
        dense = producer is not None and producer.code == DENSIFY
        raise _PassedOver("its weight is sparse" if dense else "its weight is computed while the network runs")

    def _data(self, index: int) -> memoryview:
        """The bytes of a buffer, inside the flatbuffer or, in large models, after it."""
        if not 0 <= index < self._count(self.model.BuffersLength()):
            raise IndexError(f"no buffer {index}")
        buffer = self.model.Buffers(index)
        start, size = buffer.Offset(), buffer.Size()
        if start > 1:  # 0 and 1 stand for none
            if start + size > len(self.content):
                raise ValueError(f"buffer {index} ends at byte {start + size} of {len(self.content)}")
            return memoryview(self.content)[start : start + size]
        return memoryview(buffer.DataAsNumpy()) if buffer.DataLength() else memoryview(b"")

    def _values(self, stored: _Stored, shape: list[int]) -> tuple[np.ndarray, str]:
        """The values of a weight in its stored axes as float32, and the type they were stored in."""
        dtype, four_bits = _dtype_of(stored), stored.tensor.Type() == _INT4
        count = math.prod(_few(stored.tensor.ShapeAsNumpy()))
        if count != math.prod(shape) or len(stored.data) != ((count + 1) // 2 if four_bits else count * dtype.itemsize):
            raise ValueError(f"a weight of {count} values in {len(stored.data)} bytes")
        self.bytes_left -= len(stored.data)
        if self.bytes_left < 0:
            raise ValueError("its buffers overlap")
        values = np.frombuffer(stored.data, dtype)
        if four_bits:  # the lower half of a byte comes first
            values = np.stack([values << 4, values], axis=1).reshape(-1)[:count] >> 4
        with np.errstate(over="ignore"):  # float64, as in safetensors
            weight = values.reshape(shape).astype(np.float32)
        if np.issubdtype(dtype, np.integer):
            weight = _dequantized(weight, stored.tensor.Quantization(), "int4" if four_bits else dtype.name)
        return weight, "int4" if four_bits else dtype.name

    def _options(self, graph, operator: _Operator, producers: dict) -> tuple[int | None, int | None, str | None]:
        """Stride, dilation and padding of an operator; a PAD or SPACE_TO_BATCH_ND before it counts too."""
        kind = "DepthwiseConv2DOptions" if operator.code == DEPTHWISE_CONV_2D else "Conv2DOptions"
        table = operator.table.BuiltinOptions()
        if table is None or operator.table.BuiltinOptionsType() != getattr(self.schema.BuiltinOptions, kind):
            return None, None, None
        options = getattr(self.schema, kind)()
        options.Init(table.Bytes, table.Pos)
        stride = max(options.StrideH(), options.StrideW())
        dilation = max(options.DilationHFactor(), options.DilationWFactor())
        padding = {0: "same", 1: "valid"}.get(options.Padding())
        before = producers.get(operator.inputs[0])
        if before is not None and before.code in (PAD, PADV2, SPACE_TO_BATCH_ND):
            numbers = self._integers(graph, before.inputs[1])
            if before.code == SPACE_TO_BATCH_ND:  # how older converters write a dilation
                dilation, padding = max([dilation, *numbers]), None
            elif padding == "valid":
                # Pairs of before and after, for batch, rows, columns and channels.
                known = len(numbers) == 8 and not any(numbers[:2] + numbers[6:])
                padding = " ".join(str(numbers[i]) for i in (2, 4, 3, 5)) if known else None
        return stride or None, dilation or None, padding

    def _integers(self, graph, index: int) -> list[int]:
        """The values of a small tensor of integers; empty if it is no constant."""
        tensor = self._tensor(graph, index)
        dtype = {2: "<i4", 4: "<i8"}.get(tensor.Type())
        data = self._data(tensor.Buffer())
        return np.frombuffer(data, dtype).tolist() if dtype and 0 < len(data) <= 64 else []

    def _has_bias(self, graph, operator: _Operator) -> bool:
        """Whether an operator has a bias that is not zero; converters add zeros where a network has none."""
        if len(operator.inputs) < 3 or operator.inputs[2] < 0:
            return False
        return any(self._data(self._tensor(graph, operator.inputs[2]).Buffer()))

    def _pass_over_stablehlo(self, graph, operator: _Operator, index: int) -> None:
        """Name a convolution of StableHLO with groups; its axes may be in any order."""
        table = operator.table.BuiltinOptions2()
        if table is not None:
            options = self.schema.StablehloConvolutionOptions()
            options.Init(table.Bytes, table.Pos)
            groups = options.FeatureGroupCount()
            if groups > 1 and is_chosen(self.choose, "", (groups, 1, 3, 3), groups):
                name = _name(self._tensor(graph, operator.inputs[1])) or f"operator {index}"
                self._pass_over("operator of StableHLO", name)


def _dtype_of(stored: _Stored) -> np.dtype:
    """The numpy type of a constant's bytes."""
    kind = stored.tensor.Type()
    if kind != _INT4 and kind not in _DTYPES:
        raise _PassedOver(f"its weight is stored as type {kind} of the schema")
    return _DTYPES.get(kind, np.dtype("i1"))


def _dequantized(weight: np.ndarray, quantization, dtype: str) -> np.ndarray:
    """(weight - zero point) * scale, per tensor or per slice of one axis."""
    if quantization is None or not quantization.ScaleLength():
        raise _PassedOver(f"its weight is stored as {dtype} without a scale")
    if quantization.DetailsType():
        raise _PassedOver(f"its weight is stored as {dtype} with a quantization of its own")
    axis, scale = quantization.QuantizedDimension(), quantization.ScaleAsNumpy()
    zero = quantization.ZeroPointAsNumpy() if quantization.ZeroPointLength() else np.zeros(1, np.int64)
    axis = axis if 0 <= axis < weight.ndim else None
    for numbers in (scale, zero):
        if numbers.size not in (1, 1 if axis is None else weight.shape[axis]):
            raise ValueError(f"{numbers.size} scales or zero points for a weight of {weight.shape}")
    along = [-1 if place == axis else 1 for place in range(weight.ndim)]
    scale, zero = (numbers.astype(np.float32).reshape(along if numbers.size > 1 else 1) for numbers in (scale, zero))
    with np.errstate(over="ignore", invalid="ignore"):
        return (weight - zero) * scale


def _groups(code: int, shape: tuple[int, ...], image: list[int]) -> int:
    """The groups of a convolution, from the channels of its input [batch, ..., channels].

    Where the input has no shape, they are those that the operator usually has.
    """
    channels = image[-1] if len(image) > 2 and image[-1] > 0 else None
    if code == DEPTHWISE_CONV_2D:
        return channels if channels and shape[0] % channels == 0 else shape[0]
    return max(1, channels // shape[1]) if channels and shape[1] > 0 else 1


def _few(vector) -> list[int]:
    """The first numbers of a vector; the schema gives 0 for none."""
    return [] if isinstance(vector, int) else vector[:_MOST_AXES].tolist()


def _name(tensor) -> str:
    return (tensor.Name() or b"")[:_MOST_NAME].decode(errors="replace")
