"""TFLite files for tests, built with the schema's own builders."""

from typing import NamedTuple

import flatbuffers
import numpy as np
import tflite

TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "int16": 7, "int8": 9, "int4": 17}


class Tensor(NamedTuple):
    """A tensor. A computed one has no `values`; `kind` is its type, `buffer` its place in the file."""

    name: str
    shape: tuple[int, ...]
    values: np.ndarray | None = None
    scale: tuple[float, ...] = ()
    zero: tuple[int, ...] = ()
    axis: int = 0
    kind: str | None = None
    sparse: bool = False
    buffer: int | None = None


class Operator(NamedTuple):
    """An operator: code of the schema, places of tensors, and options as (class name, {field: value})."""

    code: int
    inputs: list[int]
    outputs: list[int]
    options: tuple[str, dict] | None = None
    custom: str = ""


def depthwise(inputs: list[int], output: int, stride: int = 1, dilation: int = 1, padding: int = 0) -> Operator:
    fields = {"Padding": padding, "StrideW": 1, "StrideH": stride, "DepthMultiplier": 1}
    fields |= {"DilationWFactor": dilation, "DilationHFactor": 1}
    return Operator(4, inputs, [output], ("DepthwiseConv2DOptions", fields))


def conv(inputs: list[int], output: int) -> Operator:
    return Operator(3, inputs, [output], ("Conv2DOptions", {"Padding": 1, "StrideW": 2, "StrideH": 2}))


def tflite_model(graphs: list[tuple[list[Tensor], list[Operator]]], outside: bool = False) -> bytes:
    """A model of subgraphs. With `outside`, values lie after the flatbuffer, as in models above 2 GB."""
    start = 10_000_000  # of values outside; replaced once the flatbuffer's length is known
    while True:
        content, tail = _built(graphs, start if outside else None)
        if not outside or len(content) == start:
            return content + tail
        start = len(content)


def _built(graphs: list, start: int | None) -> tuple[bytes, bytes]:
    builder = flatbuffers.Builder(1024)
    codes = sorted({(operator.code, operator.custom) for _, operators in graphs for operator in operators})
    blobs, tail = [b""], b""  # the first buffer stands for none
    subgraphs = []
    for tensors, operators in graphs:
        parts = []
        for tensor in tensors:
            if tensor.values is None:
                parts.append(_tensor(builder, tensor, tensor.buffer or 0))
            else:
                blobs.append(tensor.values.tobytes())
                parts.append(_tensor(builder, tensor, len(blobs) - 1))
        made = [_operator(builder, operator, codes.index((operator.code, operator.custom))) for operator in operators]
        tensors_at, operators_at = _tables(builder, parts), _tables(builder, made)
        tflite.SubGraphStart(builder)
        tflite.SubGraphAddTensors(builder, tensors_at)
        tflite.SubGraphAddOperators(builder, operators_at)
        subgraphs.append(tflite.SubGraphEnd(builder))
    buffers = []
    for blob in blobs:
        data = builder.CreateByteVector(blob) if blob and start is None else None
        tflite.BufferStart(builder)
        if data is not None:
            tflite.BufferAddData(builder, data)
        elif blob:
            tflite.BufferAddOffset(builder, start + len(tail))
            tflite.BufferAddSize(builder, len(blob))
            tail += blob
        buffers.append(tflite.BufferEnd(builder))
    made = []
    for code, custom in codes:
        name = builder.CreateString(custom) if custom else None
        tflite.OperatorCodeStart(builder)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, min(code, 127))
        tflite.OperatorCodeAddBuiltinCode(builder, code)
        if name is not None:
            tflite.OperatorCodeAddCustomCode(builder, name)
        made.append(tflite.OperatorCodeEnd(builder))
    places = [_tables(builder, part) for part in (made, subgraphs, buffers)]
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddOperatorCodes(builder, places[0])
    tflite.ModelAddSubgraphs(builder, places[1])
    tflite.ModelAddBuffers(builder, places[2])
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output()), tail


def _tables(builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _tensor(builder, tensor: Tensor, buffer: int) -> int:
    name = builder.CreateString(tensor.name)
    shape = builder.CreateNumpyVector(np.array(tensor.shape, np.int32))
    quantization = sparsity = None
    if tensor.scale:
        scale = builder.CreateNumpyVector(np.array(tensor.scale, np.float32))
        zero = builder.CreateNumpyVector(np.array(tensor.zero or [0], np.int64))
        tflite.QuantizationParametersStart(builder)
        tflite.QuantizationParametersAddScale(builder, scale)
        tflite.QuantizationParametersAddZeroPoint(builder, zero)
        tflite.QuantizationParametersAddQuantizedDimension(builder, tensor.axis)
        quantization = tflite.QuantizationParametersEnd(builder)
    if tensor.sparse:
        tflite.SparsityParametersStart(builder)
        sparsity = tflite.SparsityParametersEnd(builder)
    kind = tensor.kind or ("float32" if tensor.values is None else tensor.values.dtype.name)
    tflite.TensorStart(builder)
    tflite.TensorAddName(builder, name)
    tflite.TensorAddShape(builder, shape)
    tflite.TensorAddType(builder, TYPES[kind])
    tflite.TensorAddBuffer(builder, buffer)
    if quantization is not None:
        tflite.TensorAddQuantization(builder, quantization)
    if sparsity is not None:
        tflite.TensorAddSparsity(builder, sparsity)
    return tflite.TensorEnd(builder)


def _operator(builder, operator: Operator, code: int) -> int:
    options = None
    if operator.options is not None:
        kind, fields = operator.options
        getattr(tflite, f"{kind}Start")(builder)
        for field, value in fields.items():
            getattr(tflite, f"{kind}Add{field}")(builder, value)
        options = getattr(tflite, f"{kind}End")(builder)
    inputs = builder.CreateNumpyVector(np.array(operator.inputs, np.int32))
    outputs = builder.CreateNumpyVector(np.array(operator.outputs, np.int32))
    tflite.OperatorStart(builder)
    tflite.OperatorAddOpcodeIndex(builder, code)
    tflite.OperatorAddInputs(builder, inputs)
    tflite.OperatorAddOutputs(builder, outputs)
    if options is not None:
        if operator.options[0].startswith("Stablehlo"):
            tflite.OperatorAddBuiltinOptions2Type(builder, getattr(tflite.BuiltinOptions2, operator.options[0]))
            tflite.OperatorAddBuiltinOptions2(builder, options)
        else:
            tflite.OperatorAddBuiltinOptionsType(builder, getattr(tflite.BuiltinOptions, operator.options[0]))
            tflite.OperatorAddBuiltinOptions(builder, options)
    return tflite.OperatorEnd(builder)
