"""Tensors of PyTorch and numpy as a pickle describes them, built by inert code: neither library is asked.

A tensor is a view of a storage, whose bytes stay in the file until `Tensor.values` asks for its own range of them.
Every claim of the file is checked before memory is taken by it.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import ml_dtypes
import numpy as np

from kernel_atlas.core.errors import AtlasError

MAX_SIDES = 32  # of a shape; networks have up to 5
_TORCH = {
    **{"FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16"},
    **{"LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8"},
    **{"ByteStorage": "uint8", "BoolStorage": "bool", "UntypedStorage": "uint8"},
    **{"ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128"},
    **{"QInt8Storage": "qint8", "QUInt8Storage": "quint8", "QInt32Storage": "qint32"},
    **{"QUInt4x2Storage": "quint4x2", "QUInt2x4Storage": "quint2x4"},
}
STORAGES = {f"{module}.{name}": dtype for module in ("torch", "torch.storage") for name, dtype in _TORCH.items()}
FLOATS = ("float64", "float32", "float16", "bfloat16")
_STORED = {"qint8": "int8", "quint8": "uint8", "qint32": "int32", "quint4x2": "uint8", "quint2x4": "uint8"}
_PLAIN = {name for name in _TORCH.values() if name not in _STORED} | {"uint16", "uint32", "uint64"}
_ML_DTYPES = ("bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu")


@dataclass(eq=False, slots=True)
class Storage:
    """A block of `count` values; two tensors share memory where they have the same storage.

    `place` tells a reader where the bytes are: the name of a member of a zip archive or a byte of a file. A numpy
    array brings its `data` along: bytes, or the text that old pickles make of bytes.
    """

    place: str | int | None
    dtype: str
    count: int
    data: bytes | bytearray | str | None = None


class ReadBytes(Protocol):
    """Reads bytes `start` to `start + size` of a storage; fewer where the file ends."""

    def __call__(self, storage: Storage, start: int, size: int) -> bytes: ...


@dataclass(eq=False, slots=True)
class Tensor:
    """A view of a storage: `offset` and `stride` count values.

    `scales` are scale, zero point and axis of a quantized tensor: numbers, or an array for each channel along the axis.
    `why_not` says why it has no values that can be read, in a few words.
    """

    shape: tuple[int, ...]
    dtype: str
    storage: Storage | None = None
    offset: int = 0
    stride: tuple[int, ...] = ()
    scales: tuple[Any, Any, int] | None = None
    why_not: str | None = None
    swapped: bool = False  # the other byte order

    @property
    def memory(self) -> tuple:
        """What is equal for two tensors of one form in one memory."""
        storage = self.storage or self
        place = getattr(storage, "place", None)
        start = self.offset * dtype_of(self.dtype).itemsize if self.storage else 0
        data = getattr(storage, "data", None)
        return (id(storage if data is None else data) if place is None else place, start, self.shape, self.stride)

    def values(self, read: ReadBytes) -> np.ndarray:
        """The values in their own dtype, contiguous; of a quantized tensor as float32.

        Raises
        ------
        AtlasError
            The storage or the file has fewer values.
        """
        if 0 in self.shape:
            return np.empty(self.shape, dtype_of(self.dtype))
        dtype = dtype_of(self.dtype)
        span = 1 + sum((side - 1) * step for side, step in zip(self.shape, self.stride, strict=True))
        start, size = self.offset * dtype.itemsize, span * dtype.itemsize
        if start + size > self.storage.count * dtype_of(self.storage.dtype).itemsize:
            raise AtlasError("damaged: a tensor reaches beyond its storage; fetch the file again")
        data = self.storage.data
        if isinstance(data, str):
            data = data.encode("latin-1")
        data = read(self.storage, start, size) if data is None else data[start : start + size]
        if len(data) < size:
            raise AtlasError("truncated: a tensor ends early; fetch the file again")
        flat = np.frombuffer(data, f"V{dtype.itemsize}")  # as_strided does not know all types
        steps = [step * dtype.itemsize for step in self.stride]
        values = np.ascontiguousarray(np.lib.stride_tricks.as_strided(flat, self.shape, steps))
        values = values.view(dtype.newbyteorder() if self.swapped else dtype).astype(dtype, copy=False)
        values = values.reshape(self.shape)  # of a scalar, ascontiguousarray makes a row
        return self._dequantized(values, read) if self.scales else values

    def _dequantized(self, values: np.ndarray, read: ReadBytes) -> np.ndarray:
        scale, zero, axis = self.scales
        channels = self.shape[axis : axis + 1]
        if any(np.shape(each) != channels for each in self.scales[:2] if not isinstance(each, (int, float))):
            raise AtlasError("damaged: the scales of a quantized tensor do not fit its channels")
        scale, zero = (each.values(read) if isinstance(each, Tensor) else np.asarray(each) for each in (scale, zero))
        if scale.ndim:
            column = [-1 if side == axis else 1 for side in range(len(self.shape))]
            scale, zero = scale.reshape(column), zero.reshape(column)
        return (values.astype(np.float32) - zero.astype(np.float32)) * scale.astype(np.float32)


def dtype_of(name: str) -> np.dtype:
    """numpy's dtype for the values of a dtype of torch or numpy.

    Raises
    ------
    ValueError
        numpy has none.
    """
    if name in _ML_DTYPES:
        return np.dtype(getattr(ml_dtypes, name))
    if name not in _PLAIN and name not in _STORED:
        raise ValueError(f"unknown dtype {name[:30]!r}")
    return np.dtype(_STORED.get(name, name))


def storage_dtype(name: object) -> str:
    """The dtype of a type of storage, named as in a pickle.

    Raises
    ------
    ValueError
        It is no storage of torch.
    """
    try:
        return STORAGES[str(name).replace("torch.cuda.", "torch.")]
    except KeyError:
        raise ValueError(f"{name} is no storage") from None


def _whole(numbers: object) -> tuple[int, ...]:
    """A shape or strides.

    Raises
    ------
    ValueError
        They are no few whole numbers.
    """
    if not isinstance(numbers, (tuple, list)) or len(numbers) > MAX_SIDES:
        raise ValueError("no shape")
    if not all(type(number) is int and 0 <= number < 2**63 for number in numbers):
        raise ValueError("a shape, stride or offset that is no whole number")
    return tuple(numbers)


def _tensor(storage: Storage, offset: int, shape: object, stride: object, dtype: str | None = None) -> Tensor:
    """A view of a storage of torch.

    A storage without a type counts bytes, and its tensor tells the `dtype`.
    """
    if not isinstance(storage, Storage):
        raise ValueError("a tensor without a storage")
    shape, stride, (offset,) = _whole(shape), _whole(stride), _whole([offset])
    if len(shape) != len(stride):
        raise ValueError("a shape and strides of other lengths")
    tensor = Tensor(shape, dtype or storage.dtype, storage, offset, stride)
    if tensor.dtype in ("quint4x2", "quint2x4"):
        tensor.why_not = f"{tensor.dtype}, several values to the byte"
    return tensor


def _tensor_v2(
    storage: Storage, offset: int, shape: object, stride: object, _grad: object = None, _hooks: object = None,
    metadata: object = None,
) -> Tensor:  # fmt: skip
    tensor = _tensor(storage, offset, shape, stride)
    if isinstance(metadata, Mapping) and (metadata.get("neg") or metadata.get("conj")):
        tensor.why_not = "a view whose sign is pending"
    return tensor


def _tensor_v3(
    storage: Storage, offset: int, shape: object, stride: object, _grad: object, _hooks: object, dtype: str, *_: object
) -> Tensor:
    dtype = _torch_dtype(dtype)
    try:
        dtype_of(dtype)
    except ValueError:
        return Tensor(_whole(shape), dtype, why_not=dtype)
    return _tensor(storage, offset, shape, stride, dtype)


def _torch_dtype(name: object) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"torch\.\w{1,30}", name):
        raise ValueError("no dtype")
    return str(name.removeprefix("torch."))


def _quantized(storage: Storage, offset: int, shape: object, stride: object, quantizer: object, *_: object) -> Tensor:
    tensor = _tensor(storage, offset, shape, stride)
    scheme, scale, zero, axis = quantizer if len(quantizer) == 4 else (*quantizer, 0)
    if not (isinstance(scheme, str) and type(axis) is int and 0 <= axis < max(1, len(tensor.shape))):
        raise ValueError("no quantizer")
    for each in (scale, zero):
        if not isinstance(each, (int, float, Tensor)) and not all(isinstance(one, (int, float)) for one in each):
            raise ValueError("no scales")
        if isinstance(each, Tensor) and (len(each.shape) != 1 or each.scales or each.why_not):
            raise ValueError("no scales")
    tensor.scales = (scale, zero, axis)
    return tensor


def _sparse(_layout: object, data: tuple) -> Tensor:
    shape = next(_whole(each) for each in data if isinstance(each, (tuple, list)))
    return Tensor(shape, "float32", why_not="sparse")


def _meta(dtype: object, shape: object, *_: object) -> Tensor:
    return Tensor(_whole(shape), _torch_dtype(dtype), why_not="on the meta device, without values")


def _wrapped(data: object, *_: object) -> object:
    """What a parameter, or a device's tensor, is made of."""
    return data


def _subclass(rebuild: object, _type: object, arguments: tuple, *_: object) -> object:
    """A tensor with attributes or of a subclass that keeps the values of a plain one."""
    if not isinstance(rebuild, str) or not rebuild.startswith("torch._utils._rebuild_"):
        raise ValueError(f"a tensor that {rebuild} would build")
    return BUILDERS[str(rebuild)](*arguments)


def _ordered(pairs: object = ()) -> dict:
    """An OrderedDict, with its pairs in old pickles."""
    if not isinstance(pairs, (list, tuple)):
        raise ValueError("pairs of another kind")
    return {key: value for key, value in pairs if isinstance(key, str)}


@dataclass(eq=False, slots=True)
class Dtype:
    """A dtype of numpy while it is read: `name` is None where it is no plain number."""

    name: str | None
    swapped: bool = False

    def build(self, state: tuple) -> None:
        self.swapped = state[1] == ">"


def _dtype(code: str, *_: object) -> Dtype:
    if code in ("ml_dtypes.bfloat16", "bfloat16"):
        return Dtype("bfloat16")
    if not isinstance(code, str) or len(code) > 4 or code.lstrip("<>|=")[:1] not in tuple("fiubc?"):
        return Dtype(None)
    name = np.dtype(code).name
    return Dtype(name if name in _PLAIN else None, code.startswith(">"))


class Array(Tensor):
    """A numpy array while it is read."""

    __slots__ = ()

    def build(self, state: tuple) -> None:
        *_, shape, dtype, fortran, data = state
        self.fill(data, dtype, shape, "F" if fortran else "C")

    def fill(self, data: object, dtype: object, shape: object, order: object) -> None:
        self.shape = _whole(shape)
        if not isinstance(dtype, Dtype) or not dtype.name or not isinstance(data, (bytes, bytearray, str)):
            self.why_not = "of objects"
            return
        self.dtype, self.swapped, self.why_not = dtype.name, dtype.swapped, None
        self.storage = Storage(None, dtype.name, len(data) // dtype_of(dtype.name).itemsize, data)
        sides = self.shape if order == "F" else self.shape[::-1]
        steps = [math.prod(sides[:axis]) for axis in range(len(sides))]
        self.stride = tuple(steps if order == "F" else steps[::-1])


def _new_array(*_: object) -> Array:
    return Array((), "float32", why_not="of objects")


def _filled_array(data: object, dtype: object, shape: object, order: object = "C", *_: object) -> Array:
    array = _new_array()
    array.fill(data, dtype, shape, order)
    return array


def _encoded(text: object, coding: object = "latin1", *_: object) -> object:
    """Text that stands for bytes: it is left as it is, as a call may be repeated without end, and turned when read."""
    if coding not in ("latin1", "latin-1"):
        raise ValueError("bytes of another coding")
    return text


BUILDERS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor_v2,
    "torch._utils._rebuild_tensor_v2": _tensor_v2,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_qtensor": _quantized,
    "torch._utils._rebuild_sparse_tensor": _sparse,
    "torch._utils._rebuild_meta_tensor_no_storage": _meta,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _wrapped,
    "torch._utils._rebuild_device_tensor_from_numpy": _wrapped,
    "torch._utils._rebuild_xla_tensor": _wrapped,
    "torch._utils._rebuild_parameter": _wrapped,
    "torch._utils._rebuild_parameter_with_state": _wrapped,
    "torch._tensor._rebuild_from_type": _subclass,
    "torch._tensor._rebuild_from_type_v2": _subclass,
    "torch.nn.parameter.Parameter": _wrapped,
    "torch.nn.parameter.Buffer": _wrapped,
    "torch.Size": _wrapped,
    "collections.OrderedDict": _ordered,
    "_codecs.encode": _encoded,
    "numpy.dtype": _dtype,
    **{
        f"numpy.{core}.{name}": build
        for core in ("core", "_core")
        for name, build in {
            "multiarray._reconstruct": _new_array,
            "multiarray.scalar": lambda dtype, data=b"": _filled_array(data, dtype, ()),
            "numeric._frombuffer": _filled_array,
        }.items()
    },
}
