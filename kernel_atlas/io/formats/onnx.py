"""ONNX files: weights of convolutions, with the groups, stride, dilation and padding that the graph tells."""

import contextlib
import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.checkpoint import Checkpoint, Choice, Form, Layer, is_chosen, is_depthwise, licence_of
from kernel_atlas.io.formats.onnx_graph import OWN_DOMAINS, Graph, Scope, Unfoldable


class _Inputs(NamedTuple):
    """Places of a convolution's inputs: weight, its scale and zero point, bias."""

    weight: int = 1
    scale: int | None = None
    zero: int | None = None
    bias: int | None = 2


_MICROSOFT = ("com.microsoft", "com.ms.internal.nhwc")  # the fused operators that onnxruntime writes
_CONVOLUTIONS = {
    **dict.fromkeys(["Conv", "FusedConv", "NhwcConv", "NhwcFusedConv", "DeformConv"], _Inputs()),
    **dict.fromkeys(["ConvTranspose", "ConvTransposeWithDynamicPads"], _Inputs()),
    "QLinearConv": _Inputs(weight=3, scale=4, zero=5, bias=8),
    "ConvInteger": _Inputs(zero=3, bias=None),
}
_NOT_KERNELS = {
    "ConvTranspose": "transposed convolution",
    "ConvTransposeWithDynamicPads": "transposed convolution",
    "DeformConv": "deformable convolution",
}
_BLOCKED = "com.microsoft.nchwc"
_MOST_USERS = 8  # nodes after a convolution that are looked at
_PASSING = ("Identity", "Cast", "QuantizeLinear", "DequantizeLinear")  # nodes that leave the values as they are


def read_onnx(path: Path, choose: Choice) -> Checkpoint:
    """The convolutions of a graph, its subgraphs and functions, whose weights the file tells.

    Parameters
    ----------
    path : Path
        The model; its external data lie beside it or in folders below.
    choose : callable
        Which weights are wanted, by shape and groups.

    Returns
    -------
    Checkpoint
        Layers in the order of the graph. Weights behind other nodes are computed, integers dequantized; those of a
        ConvInteger without a scale after it stay whole numbers. `folded` is False before a BatchNormalization, True
        with a constant bias in a network without norms, None otherwise. `not_read` names convolutions with groups
        whose weight cannot be computed, and depthwise ones that are 1-D, 3-D, deformable or transposed. `sha256`
        covers external data: it then is that of the lines "HASH  NAME" which sha256sum writes for all files.

    Raises
    ------
    AtlasError
        The file is damaged, or external data are missing or outside the folder. Also raised while iterating.
    """
    content = path.read_bytes()
    model = _parsed(content)
    if not model.graph.node:
        raise AtlasError("unknown format, or an ONNX file without a graph")
    outside = _outside(path.parent, model, content)
    size = len(content) + sum(file.stat().st_size for file in outside)
    graph = Graph(model, lambda tensor, name: _values(path.parent, tensor, name), 8 * size)
    not_read: dict[str, list[str]] = {}
    layers = _Reading(graph, choose, not_read, _has_norms(model)).layers()
    licence = licence_of({entry.key: str(entry.value) for entry in model.metadata_props})
    return Checkpoint(layers, {"sha256": _sha256(path, content, outside), **licence}, not_read)


def external_files(path: Path) -> list[Path]:
    """The files beside a model that its tensors lie in, in the order of their names.

    Raises
    ------
    AtlasError
        The model is damaged, or a file is missing or lies outside the model's folder.
    """
    content = path.read_bytes()
    return _outside(path.parent, _parsed(content), content) if b"location" in content else []


def _parsed(content: bytes):
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.load_model_from_string(content)
    except DecodeError as error:
        raise AtlasError("unknown format, or a truncated ONNX file; fetch the file again") from error


def _outside(folder: Path, model, content: bytes) -> list[Path]:
    """The files that hold external data of a model."""
    if b"location" not in content:  # spares the search of most models
        return []
    places = {}
    for tensor in _tensors(model):
        for entry in tensor.external_data:
            if entry.key == "location":
                places.setdefault(entry.value, tensor.name)
    for place, name in places.items():
        told = f"external data {place!r} of tensor {name!r}"
        try:
            if not (folder / place).resolve().is_relative_to(folder.resolve()):
                raise AtlasError(f"{told} lies outside the folder of the model")
            if not (folder / place).is_file():
                raise AtlasError(f"{told} is missing; put it beside the model")
        except (OSError, ValueError, TypeError) as error:  # names that no file can have
            raise AtlasError(f"{told} is no file that can be read") from error
    return [folder / place for place in sorted(places)]


def _tensors(message) -> Iterator:
    """All tensors in a model: initializers, attributes, sparse ones, those of subgraphs and functions."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                if field.message_type.name == "TensorProto":
                    yield part
                else:
                    yield from _tensors(part)


def _sha256(path: Path, content: bytes, outside: list[Path]) -> str:
    """The hash of a model; with external data, that of the lines which sha256sum writes for all its files."""
    own = hashlib.sha256(content).hexdigest()
    if not outside:
        return own
    lines = f"{own}  {path.name}\n"
    for file in outside:
        with file.open("rb") as opened:
            lines += (
                f"{hashlib.file_digest(opened, 'sha256').hexdigest()}  {file.relative_to(path.parent).as_posix()}\n"
            )
    return hashlib.sha256(lines.encode()).hexdigest()


def _values(folder: Path, tensor, name: str) -> np.ndarray:
    """The values of a constant."""
    import onnx

    try:
        values = onnx.numpy_helper.to_array(tensor, base_dir=str(folder))
    except Exception as error:  # sizes that do not fit, files that are missing: ValueError, OSError, onnx's own
        raise AtlasError(f"damaged tensor {name!r} ({(str(error).splitlines() or [''])[0][:120]})") from error
    if values.dtype.kind in "OUSc":
        kind = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
        raise Unfoldable(f"its weight is stored as {kind}")
    return values


def _has_norms(model) -> bool:
    """Whether a network normalises anywhere; older exporters write norms as a Sqrt among other nodes."""
    bodies = [model.graph, *model.functions]
    while bodies:
        for node in bodies.pop().node:
            operator = str(node.op_type)  # protobuf gives bytes where a name is no text
            if ("Norm" in operator and operator != "LpNormalization") or operator in ("Sqrt", "Rsqrt"):
                return True
            for attribute in node.attribute:
                bodies += [attribute.g] if attribute.HasField("g") else []
                bodies += attribute.graphs
    return False


@dataclass
class _Reading:
    """One pass over a graph."""

    graph: Graph
    choose: Choice
    not_read: dict[str, list[str]]
    norms: bool

    def __post_init__(self):
        self.seen: set = set()  # weights; detection heads use one in several nodes
        self.names: set[str] = set()

    def layers(self) -> Iterator[Layer]:
        """The layers in the order of the graph."""
        for scope, node in self.graph.nodes():
            known = node.domain in (*OWN_DOMAINS, *_MICROSOFT, _BLOCKED)
            inputs = _CONVOLUTIONS.get(node.op_type) if known else None
            if inputs is None:
                self._look_at_unknown(scope, node)
                continue
            attributes = scope.attributes_of(node)
            groups = attributes["group"].i if "group" in attributes else 1
            if len(node.input) <= inputs.weight or not self._may_count(attributes, groups):
                continue
            given = node.input[inputs.weight]
            try:
                layer = self._layer(scope, node, inputs, attributes, groups)
            except Unfoldable as error:
                shape = self.graph.stated_shape(scope, given)
                if shape is None:
                    self._pass_over(_NOT_KERNELS.get(node.op_type) or str(error), given, groups)
                elif not self._is_passed_over(node, given, shape, groups) and is_depthwise(Form(shape, groups)):
                    self._pass_over(str(error), given, groups)
                continue
            if layer is not None:
                yield layer

    def _may_count(self, attributes: dict, groups: int) -> bool:
        """Whether a weight with these groups may be chosen, whatever its shape; spares computing others."""
        side = max(attributes["kernel_shape"].ints, default=0) if "kernel_shape" in attributes else None
        shapes = [(max(groups, 2), inputs, 3, 3) for inputs in (1, 2)]
        return side != 1 and any(is_chosen(self.choose, "", shape, groups) for shape in shapes)

    def _layer(self, scope: Scope, node, inputs: _Inputs, attributes: dict, groups: int) -> Layer | None:
        """The layer of a node; None if its weight does not count, was read before, or is passed over by name."""
        given = node.input[inputs.weight]
        constant = self.graph.tensor(scope, given) if inputs.zero is None else None
        if constant is not None:
            tensor, home, name = constant
            weight, shape = None, tuple(tensor.dims)  # not read yet: most of a network does not count
        else:
            weight, name, dtype, home = self.graph.fold(scope, given)
            shape = weight.shape
        sides = tuple(attributes["kernel_shape"].ints) if "kernel_shape" in attributes else shape[2:]
        channels_last = len(shape) == 4 and shape[2:] != sides and shape[1:3] == sides
        if channels_last:
            shape = shape[0], shape[3], *sides
        if self._is_passed_over(node, name, shape, groups) or not is_chosen(self.choose, name, shape, groups):
            return None
        of_network = name if home is self.graph.top else None
        key = of_network if weight is None else None
        if key is None or key not in self.seen:
            if weight is None:
                self.graph.spend(math.prod(shape) if key is None else 0)
                weight = self.graph.load(tensor, name)
                dtype = weight.dtype.name
            if inputs.zero is not None:
                weight = self._dequantized(scope, node, inputs, weight)
            weight = weight.transpose(0, 3, 1, 2) if channels_last else weight
            with np.errstate(over="ignore"):  # float64, as in safetensors
                weight = np.ascontiguousarray(weight.astype(np.float32, copy=False))
            # Branches of an If hold copies of a weight. A computed weight is known by its values.
            key = key or (of_network, shape, hashlib.sha256(weight).digest())
        if key in self.seen:
            return None
        self.seen.add(key)
        stride, dilation = (
            max(attributes[name].ints, default=1) if name in attributes else 1 for name in ("strides", "dilations")
        )
        told = {"padding": self._padding(scope, node, attributes), "folded": self._folded(scope, node, inputs)}
        return Layer(self._unique(name, given), weight, dtype, stride, dilation, **told, judged_by="graph")

    def _is_passed_over(self, node, name: str, shape: tuple[int, ...], groups: int) -> bool:
        """Whether a weight is none of a 2-D convolution in plain layout; named if depthwise with more than one tap."""
        reason = _NOT_KERNELS.get(node.op_type)
        if reason is None and node.domain == _BLOCKED:
            reason = f"layout in blocks ({_BLOCKED})"
        if reason is None and len(shape) in (3, 5):
            reason = f"Conv{len(shape) - 2}d"
        if reason is None:
            return False
        single = shape[0] == groups if "Transpose" in node.op_type else shape[1:2] == (1,)
        if len(shape) > 2 and min(shape) > 0 and max(shape[2:]) > 1 and single:
            self._pass_over(reason, name, groups)
        return True

    def _pass_over(self, reason: str, name: str, groups: int) -> None:
        """Name a convolution that looks depthwise and is not read."""
        if groups > 1 and ("not read", name) not in self.seen:
            self.seen.add(("not read", name))
            self.not_read.setdefault(reason, []).append(name)

    def _look_at_unknown(self, scope: Scope, node) -> None:
        """Name the weight of an operator that is called a convolution and is not known."""
        if "conv" not in node.op_type.lower():
            return
        for given in node.input:
            constant = self.graph.tensor(scope, given)
            if constant is not None:
                tensor, _, name = constant
                shape = tuple(tensor.dims)
                if is_depthwise(Form(shape)) and is_chosen(self.choose, name, shape, shape[0]):
                    self._pass_over(f"unknown operator {node.domain}.{node.op_type}".strip("."), name, shape[0])

    def _unique(self, name: str, given: str) -> str:
        """The name of a layer: that of the constant its weight comes from, or another if that is taken."""
        unique = name if name not in self.names else given
        while unique in self.names:
            unique = f"{given} ({len(self.names)})"
        self.names.add(unique)
        return unique

    def _dequantized(self, scope: Scope, node, inputs: _Inputs, weight: np.ndarray) -> np.ndarray:
        """(weight - zero point) * scale, each one number or one per output channel."""

        def column(place: int | None) -> np.ndarray | None:
            if place is None or place >= len(node.input) or not node.input[place]:
                return None
            return _column(self.graph.fold(scope, node.input[place]).value, weight)

        zero = column(inputs.zero)
        scale = self._scale_after(scope, node, weight) if inputs.scale is None else column(inputs.scale)
        weight = weight.astype(np.float32) - (0 if zero is None else zero)
        return weight if scale is None else weight * scale

    def _scale_after(self, scope: Scope, node, weight: np.ndarray) -> np.ndarray | None:
        """The scale that the output of a ConvInteger is multiplied by, without that of the input; None if unknown."""
        for user in self._users(scope, node):
            if user.op_type == "Mul" and len(user.input) == 2:
                factors = list(user.input)
                for factor in user.input:  # scale of the input * scale of the weight, computed beside
                    home = scope.home(factor)
                    producer = home and home[0].body.producers.get(home[1])
                    factors += producer.input if producer is not None and producer.op_type == "Mul" else []
                for factor in factors:
                    try:
                        return _column(self.graph.fold(scope, factor).value, weight)
                    except Unfoldable:
                        continue
        return None

    def _users(self, scope: Scope, node) -> list:
        """The nodes that take a node's output, through those that leave the values as they are."""
        users, names = [], list(node.output[:1])
        while names and len(users) < _MOST_USERS:
            taking = scope.body.consumers.get(names.pop(0), [])[:_MOST_USERS]
            users += taking
            names += [name for user in taking if user.op_type in _PASSING for name in user.output[:1]]
        return users

    def _padding(self, scope: Scope, node, attributes: dict) -> str | None:
        """`same`, `valid`, or the four numbers of padding; a Pad node before counts too."""
        if "auto_pad" in attributes and attributes["auto_pad"].s.startswith(b"SAME"):
            return "same"
        own = list(attributes["pads"].ints) if "pads" in attributes else [0] * 4
        before = self._padding_before(scope, node)
        if len(own) != 4 or before is None:
            return None
        pads = [int(one + other) for one, other in zip(own, before, strict=True)]
        return " ".join(map(str, pads)) if any(pads) else "valid"

    def _padding_before(self, scope: Scope, node) -> list[int] | None:
        """What a Pad node adds to the input of a convolution; None if that is not known."""
        home = scope.home(node.input[0])
        pad = home and home[0].body.producers.get(home[1])
        if pad is None or pad.op_type != "Pad":
            return [0] * 4
        attributes = home[0].attributes_of(pad)
        try:
            pads = list(attributes["pads"].ints) if "pads" in attributes else self._numbers(home[0], pad.input[1:2])
        except Unfoldable:
            return None
        if len(pads) != 8 or len(pad.input) > 3 or any(pads[:2] + pads[4:6]) or "Nhwc" in node.op_type:
            return None
        return pads[2:4] + pads[6:8]

    def _numbers(self, scope: Scope, names: list[str]) -> list:
        return [number for name in names for number in self.graph.fold(scope, name).value.ravel().tolist()]

    def _folded(self, scope: Scope, node, inputs: _Inputs) -> bool | None:
        """Whether a BatchNorm was folded into a weight.

        False if a BatchNormalization follows. True if the network has no norm at all and the convolution a constant
        bias: exporters fold norms into weight and bias, and depthwise networks train with norms. A network that was
        trained without any looks the same and counts as folded. None otherwise.
        """
        users = self._users(scope, node)
        if any(user.op_type == "BatchNormalization" for user in users):
            return False
        if self.norms:
            return None
        biases = list(node.input[inputs.bias : inputs.bias + 1]) if inputs.bias else []
        biases += [name for user in users if user.op_type == "Add" for name in user.input]
        for bias in filter(None, biases):
            with contextlib.suppress(Unfoldable):  # a sum of two paths
                self.graph.fold(scope, bias)
                return True
        return None


def _column(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """A number, or numbers for the output channels, as [O, 1, 1, 1] float32."""
    if values.size not in (1, len(weight)):
        raise Unfoldable(f"its weight has {values.size} scales for {len(weight)} channels")
    return values.astype(np.float32).reshape(-1, *[1] * (weight.ndim - 1))
