"""Graphs of ONNX: all nodes with the scope they stand in, and the values of constants behind other nodes.

Subgraphs (branches of If, bodies of Loop and Scan) see the names around them; functions see their arguments alone.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from kernel_atlas.core.errors import AtlasError

OWN_DOMAINS = ("", "ai.onnx")
MAX_DEPTH = 40  # of graphs inside graphs and functions inside functions; exporters nest a tenth of it
MAX_VISITS = 100_000  # of nodes by way of functions, which can call each other a billion times in a small file
MAX_STEPS = 128  # nodes between a weight and its constants; weight standardisation takes 10
FEWEST_LIMIT = 2**22  # values that a folded node may give in a small file
MAX_TIMES = 16  # as many values may be read and computed in all

_SCALING = ("DequantizeLinear", "QuantizeLinear")  # onnxruntime has them in its own domain too
# Operators that are folded, by how large their output may become. All others, random ones among them, are not.
_NO_LARGER = frozenset(
    "Identity Cast CastLike Reshape Flatten Transpose Squeeze Unsqueeze Slice Split Shape Size Neg Abs Sqrt Reciprocal "
    "Exp Log Sign Tanh Sigmoid Relu Clip Not Round Floor Ceil Softplus ReduceMean ReduceSum ReduceMax ReduceMin "
    "ReduceProd ReduceL1 ReduceL2 ReduceSumSquare".split()
).union(_SCALING)
_TENSORS = {"value": "t", "sparse_value": "sparse_tensor"}  # attribute of a Constant: its field
_BROADCAST = frozenset("Mul Div Add Sub Pow Max Min Where Equal Greater Less And Or".split())
_LARGER: dict[str, Callable[[list[np.ndarray]], int]] = {
    "Concat": lambda values: sum(value.size for value in values),
    "Gather": lambda values: values[0].size * values[1].size,
    "Expand": lambda values: math.prod(np.broadcast_shapes(values[0].shape, tuple(values[1].tolist()))),
    "Tile": lambda values: values[0].size * math.prod(max(1, abs(times)) for times in values[1].tolist()),
    "ConstantOfShape": lambda values: math.prod(values[0].tolist()),
    "MatMul": lambda values: math.prod(values[0].shape[:-1]) * math.prod(values[1].shape[1:]),
}


class Unfoldable(Exception):
    """A value that the file alone does not tell; the message says why."""


class Body:
    """Nodes of one graph or function, and where each name in it comes from."""

    def __init__(self, nodes, initializers=(), sparse=(), inputs=(), infos=()):
        self.nodes = list(nodes)
        self.constants = {tensor.name: tensor for tensor in initializers}
        self.constants.update((tensor.values.name, tensor) for tensor in sparse)
        self.inputs = frozenset(entry.name for entry in inputs)
        self.infos = {entry.name: entry for entry in (*inputs, *infos)}
        self.producers, self.consumers = {}, {}
        for node in self.nodes:
            if bytes in map(type, (node.op_type, node.domain, *node.input, *node.output)):  # protobuf's way to say so
                raise AtlasError("damaged: a name in its graph is no text")
            self.producers.update(dict.fromkeys(node.output, node))
            for name in node.input:
                self.consumers.setdefault(name, []).append(node)
            if node.op_type == "Constant" and node.domain in OWN_DOMAINS:
                for attribute in node.attribute:
                    if attribute.name in _TENSORS and not attribute.ref_attr_name:
                        self.constants.update(dict.fromkeys(node.output, getattr(attribute, _TENSORS[attribute.name])))


@dataclass(frozen=True, eq=False)
class Scope:
    """A body where it is used: the scope around a subgraph, or the arguments and attributes of a call."""

    body: Body
    outer: "Scope | None" = None
    arguments: dict[str, tuple["Scope", str]] = field(default_factory=dict)
    attributes: dict = field(default_factory=dict)
    opset: int = 1
    depth: int = 0

    def home(self, name: str) -> "tuple[Scope, str] | None":
        """The scope that defines a name, and what it is called there; None if nothing does."""
        scope = self
        while scope is not None:
            body = scope.body
            if name in scope.arguments:
                scope, name = scope.arguments[name]
            elif name in body.constants or name in body.producers or name in body.inputs:
                return scope, name
            else:
                scope = scope.outer
        return None

    def attributes_of(self, node) -> dict:
        """The attributes of a node by name, those of a function's caller put in their place."""
        own = {a.name: self.attributes.get(a.ref_attr_name) if a.ref_attr_name else a for a in node.attribute}
        return {name: attribute for name, attribute in own.items() if attribute is not None}


class Folded(NamedTuple):
    """A computed value, the constant that most of it comes from, and where that lies."""

    value: np.ndarray
    root: str
    dtype: str
    scope: Scope


class Graph:
    """A model: its scopes, and the values in them.

    Parameters
    ----------
    model : onnx.ModelProto
    load : callable
        Tensor -> array; raises AtlasError where the tensor is damaged.
    limit : int
        Values that a folded node may give.
    """

    def __init__(self, model, load: Callable, limit: int):
        self.load, self.limit = load, max(limit, FEWEST_LIMIT)
        self._left = MAX_TIMES * self.limit
        self.functions = {(f.domain, f.name, f.overload): (f, Body(f.node)) for f in model.functions}
        opset = next((entry.version for entry in model.opset_import if entry.domain in OWN_DOMAINS), 1)
        self.top = Scope(_body_of(model.graph), opset=opset)

    def spend(self, count: int) -> None:
        """Count values to be computed, or read again, so that a small file cannot make for hours of work."""
        if count > min(self.limit, self._left):
            raise Unfoldable("its weight takes more computing than its file is large")
        self._left -= max(0, count)

    def nodes(self) -> Iterator[tuple[Scope, object]]:
        """All nodes that are run, with their scopes, in the order of the graph; calls of functions by their bodies.

        Raises
        ------
        AtlasError
            Graphs or functions are nested beyond reason.
        """
        visits = itertools.count()

        def walk(scope: Scope) -> Iterator[tuple[Scope, object]]:
            if scope.depth > MAX_DEPTH:
                raise AtlasError(f"damaged: graphs and functions in it are nested more than {MAX_DEPTH} deep")
            for node in scope.body.nodes:
                if scope.depth and next(visits) > MAX_VISITS:
                    raise AtlasError(f"damaged: its graphs and functions come to more than {MAX_VISITS} nodes")
                called = self._called(scope, node)
                if called is not None:
                    yield from walk(called)
                    continue
                yield scope, node
                for graph in _graphs_of(node):
                    yield from walk(_inside(scope, graph))

        return walk(self.top)

    def _called(self, scope: Scope, node) -> Scope | None:
        """The scope inside a call of one of the model's functions; None for other nodes."""
        if (node.domain, node.op_type, node.overload) not in self.functions:
            return None
        function, body = self.functions[node.domain, node.op_type, node.overload]
        arguments = {name: (scope, given) for name, given in zip(function.input, node.input, strict=False)}
        attributes = {a.name: a for a in function.attribute_proto} | scope.attributes_of(node)
        opset = next((entry.version for entry in function.opset_import if entry.domain in OWN_DOMAINS), scope.opset)
        return Scope(body, None, arguments, attributes, opset, scope.depth + 1)

    def tensor(self, scope: Scope, name: str):
        """The dense constant that a name stands for, its scope and its name there; None if it is anything else."""
        home = scope.home(name)
        found = home and home[0].body.constants.get(home[1])
        return (found, *home) if found is not None and not hasattr(found, "indices") else None

    def stated_shape(self, scope: Scope, name: str) -> tuple[int, ...] | None:
        """The shape that a graph states of a value that is computed; None if it states none, or parts of it."""
        home = scope.home(name)
        stated = home and home[0].body.infos.get(home[1])
        shape = tuple(side.dim_value for side in stated.type.tensor_type.shape.dim) if stated else ()
        return shape if shape and min(shape) > 0 else None

    def fold(self, scope: Scope, name: str) -> Folded:
        """The value of a name.

        Raises
        ------
        Unfoldable
            It depends on an input of the network, on an operator that is not folded, or on too much.
        AtlasError
            A tensor that it comes from is damaged.
        """
        return _Folding(self).value(scope, name)


class _Folding:
    """The values found on the way to one weight, which share a bound on their number."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.known: dict[tuple[int, str], tuple[Scope, Folded | None]] = {}  # None while it is being computed

    def value(self, scope: Scope, name: str) -> Folded:
        home = scope.home(name)
        if home is None:
            raise Unfoldable("its weight is not in the file")
        scope, name = home
        key = id(scope.body), id(scope.arguments), name  # alive, as the scope is kept
        if key not in self.known:
            if len(self.known) > MAX_STEPS or scope.depth > MAX_DEPTH:
                raise Unfoldable(f"its weight is computed by more than {MAX_STEPS} nodes")
            self.known[key] = scope, None
            self.known[key] = scope, self._computed(scope, name)
        found = self.known[key][1]
        if found is None:
            raise Unfoldable("its weight is computed from itself")
        return found

    def _computed(self, scope: Scope, name: str) -> Folded:
        if name in scope.body.constants:
            tensor = scope.body.constants[name]
            value = _dense(tensor, self.graph) if hasattr(tensor, "indices") else self.graph.load(tensor, name)
            self.graph.spend(value.size)
            return Folded(value, name, value.dtype.name, scope)
        if name not in scope.body.producers:
            raise Unfoldable("its weight is an input of the graph")
        node = scope.body.producers[name]
        place = list(node.output).index(name)
        called = self.graph._called(scope, node)
        if called is not None:
            function, _ = self.graph.functions[node.domain, node.op_type, node.overload]
            if place >= len(function.output):
                raise Unfoldable(f"its weight is an output that {node.op_type} lacks")
            return self.value(called, function.output[place])
        if node.op_type == "If" and node.domain in OWN_DOMAINS:
            return self._branch(scope, node, place)
        scaling = node.domain == "com.microsoft" and node.op_type in _SCALING
        known = node.op_type in _NO_LARGER or node.op_type in _BROADCAST or node.op_type in _LARGER
        if node.op_type == "Constant" and node.domain in OWN_DOMAINS:
            inputs = []
        elif scaling or (known and node.domain in OWN_DOMAINS):
            inputs = [self.value(scope, given) if given else None for given in node.input]
        else:
            raise Unfoldable(f"its weight is computed by {node.op_type}")
        result = self._run(scope, node, place, [given and given.value for given in inputs])
        # A kernel that is scaled, shifted or reshaped keeps its name: the input with the most values.
        root = max((given for given in inputs if given), key=lambda given: given.value.size, default=None)
        return (
            Folded(result, root.root, root.dtype, root.scope)
            if root
            else Folded(result, name, result.dtype.name, scope)
        )

    def _branch(self, scope: Scope, node, place: int) -> Folded:
        """The value of an If whose condition is known."""
        chosen = "then_branch" if self.value(scope, node.input[0]).value.all() else "else_branch"
        graph = scope.attributes_of(node)[chosen].g
        return self.value(_inside(scope, graph), graph.output[place].name)

    def _run(self, scope: Scope, node, place: int, values: list[np.ndarray | None]) -> np.ndarray:
        """One output of one node, computed by onnx's reference."""
        import onnx
        from onnx.reference import ReferenceEvaluator

        attributes = scope.attributes_of(node)
        alone = onnx.NodeProto()
        alone.CopyFrom(node)
        del alone.attribute[:]
        for name, attribute in attributes.items():
            alone.attribute.add().CopyFrom(attribute)
            alone.attribute[-1].name = name
        scaling = node.op_type in _SCALING  # of which the reference has no old versions; the new ones cover them
        opset = onnx.defs.onnx_opset_version() if scaling else scope.opset
        alone.domain = ""
        feeds = {name: value for name, value in zip(node.input, values, strict=True) if name}
        try:
            self.graph.spend(_most_values(node.op_type, attributes, list(feeds.values())))
            opsets = [onnx.helper.make_opsetid("", opset)]
            program = onnx.helper.make_function("fold", "fold", list(feeds), [node.output[place]], [alone], opsets)
            with np.errstate(all="ignore"):
                result = np.asarray(ReferenceEvaluator(program).run(None, feeds, {})[0])
        except Unfoldable:
            raise
        except Exception as error:  # wrong shapes and types: onnx raises what numpy does, and its own
            first = (str(error).splitlines() or [""])[0][:120]
            raise Unfoldable(f"its weight cannot be computed by {node.op_type} ({first})") from error
        if result.dtype.kind in "OUSc":
            raise Unfoldable(f"its weight is computed by {node.op_type} as {result.dtype}")
        return result


def _most_values(operator: str, attributes: dict, values: list[np.ndarray]) -> int:
    """A bound on the number of values that an operator gives or needs, from those it gets."""
    if "to" in attributes and attributes["to"].i == 8:  # strings, which take a hundred bytes each
        raise Unfoldable("its weight is computed from strings")
    largest = max((value.size for value in values), default=0)
    if "block_size" in attributes and len(values) > 1:  # scales are repeated by it
        return max(largest, values[1].size * attributes["block_size"].i)
    if operator in _BROADCAST:
        return math.prod(np.broadcast_shapes(*(value.shape for value in values)))
    return max(largest, _LARGER[operator](values) if operator in _LARGER else 0)


def _dense(sparse, graph: Graph) -> np.ndarray:
    """A sparse tensor with its zeros."""
    shape = tuple(sparse.dims)
    if min(shape, default=0) < 0:
        raise AtlasError(f"damaged sparse tensor {sparse.values.name!r} of shape {shape}")
    if math.prod(shape) > graph.limit:
        raise Unfoldable("its weight is sparse and larger than its file")
    given = graph.load(sparse.values, sparse.values.name)
    places = graph.load(sparse.indices, sparse.values.name)
    dense = np.zeros(shape, given.dtype)
    try:
        dense[tuple(places.T) if places.ndim == 2 else np.unravel_index(places, shape)] = given
    except (ValueError, IndexError, TypeError) as error:
        raise AtlasError(f"damaged sparse tensor {sparse.values.name!r} ({error})") from error
    return dense


def _body_of(graph) -> Body:
    return Body(graph.node, graph.initializer, graph.sparse_initializer, graph.input, graph.value_info)


def _inside(scope: Scope, graph) -> Scope:
    """The scope of a subgraph."""
    return Scope(_body_of(graph), scope, {}, scope.attributes, scope.opset, scope.depth + 1)


def _graphs_of(node) -> Iterator:
    """The subgraphs of a node."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs
