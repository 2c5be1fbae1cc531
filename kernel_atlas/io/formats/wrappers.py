"""Where in a training checkpoint the weights are that were evaluated: of several copies the averaged one.

Which copy that is depends on the framework. It is told by what lies beside the copies, never by the name of the file.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.formats.rebuild import Tensor
from kernel_atlas.io.formats.unpickle import Name, Stub

MAX_DEPTH = 8  # of wrappers in each other; networks of Megatron have 4
MAX_TENSORS = 200_000  # of a network, and modules on the way to them; a module in two places counts twice
MAX_NAME = 1000  # characters of a tensor's name
_AVERAGED = re.compile(r"(^|[_.-])(ema|swa|averaged?|shadow|polyak|teacher)($|[_.-])|EMA|Ema(?![a-z])")
# Keys of raw weights, best first.
_RAW = (
    *("state_dict", "model_state_dict", "model_state", "model", "params", "net", "network", "weights", "module"),
    *("net_g", "netg", "g", "generator", "gen", "student", "student_state_dict", "student_model"),
    *("app", "state"),
)
# What is never opened: optimizers hold tensors of the shapes of the weights, and discriminators are no result.
_CLOSED = re.compile(
    r"optim|sched|(^|_)scaler|discriminator|critic|callback|metric|hyper_param|^opt$|"
    r"^(net_?|model_?)?d(is|isc)?(_?(ema|state_dict|state|weights|[ab0-9]))*$",
    re.IGNORECASE,
)
_FLAT_OPTIMIZER = re.compile(
    r"optim(izer)?s?(_\w+)?\."
)  # in the names of a state dict, where a module may have any other
_MARKS_OF_MM = {"mmengine_version", "mmcv_version", "mmdet_version", "mmseg_version"}


class Found(NamedTuple):
    """What a search found: the keys that lead there, and the members of a state dict or the reason to refuse it."""

    path: tuple[str, ...]
    members: Mapping[str, object]
    problem: str | None = None


def find_state(root: object, foreign: str | None) -> tuple[tuple[str, ...], dict[str, Tensor]]:
    """The state dict in an object of a file: the keys that lead to it, and its tensors by name.

    Parameters
    ----------
    root : object
        As of `Unpickler.load`.
    foreign : str or None
        The first name of a program that the file asks for.

    Raises
    ------
    AtlasError
        There is no state dict, several whose keys tell no order, or something in it that is no tensor.
    """
    search = _Search()
    found = search.find(root, MAX_DEPTH)
    if found is None:
        called = foreign or (root.name if isinstance(root, Stub) else root if isinstance(root, Name) else None)
        if called:
            raise AtlasError(_code(called))
        keys = list(root)[:5] if isinstance(root, dict) else []
        raise AtlasError(
            f"holds no state dict (found: {type(root).__name__} {keys}); save the network's state_dict() alone"
        )
    if found.problem:
        raise AtlasError((f"under {'.'.join(found.path)[:100]!r}: " if found.path else "") + found.problem)
    return found.path, {name: _tensor(value) for name, value in _inside(found)}


def _code(name: str) -> str:
    return f"would run code on loading: {name[:100]}; save the network's state_dict() alone, or as safetensors"


def _tensor(value: object) -> Tensor:
    if isinstance(value, Tensor):
        return value
    raise AtlasError(_code(value.name if isinstance(value, Stub) else str(value)))


def _inside(found: Found) -> Iterator[tuple[str, object]]:
    """The tensors of a state dict and what stands in a tensor's place.

    Beside tensors, a training script may keep its arguments: at the top of a file, under names without a dot.
    Optimizers may lie flat in it too. A dtype beside a quantized tensor is a name that torch itself keeps there.
    """
    dotted = _has_dotted(found.members)
    for name, value in found.members.items():
        beside = not found.path and dotted and "." not in name
        if isinstance(value, Tensor):
            if not _FLAT_OPTIMIZER.match(name):
                yield name, value
        elif isinstance(value, (Stub, Name)) and not beside and not name.endswith("_extra_state"):
            if not (isinstance(value, Name) and re.fullmatch(r"torch\.[a-z]\w+", value)):
                yield name, value


class _Search:
    """One search of a file; each object is looked at once, however many keys lead to it."""

    def __init__(self) -> None:
        self._known: dict[int, Found | None] = {}

    def find(self, value: object, depth: int) -> Found | None:
        """The state dict in an object, None if there is none."""
        if id(value) not in self._known:
            self._known[id(value)] = None  # of an object that holds itself
            self._known[id(value)] = self._find(value, depth) if depth else None
        return self._known[id(value)]

    def _find(self, value: object, depth: int) -> Found | None:
        try:
            network = _attributes(value)
            if network is not None:
                members = dict(_walk(network))
                return Found((), members) if _has_weights(members) else None
            members = _members(value)
            if members is None or "param_groups" in members:
                return None
            inner = {
                key: found
                for key, member in members.items()
                if not _CLOSED.search(key) and (found := self.find(member, depth - 1))
            }
            key = _choose(members, inner)
        except AtlasError as error:  # a reason only where this object is the chosen one
            return Found((), {}, str(error))
        if key is None:
            return Found((), members) if _has_weights(members) else None
        return inner[key]._replace(path=(key, *inner[key].path))


def _choose(members: Mapping[str, object], inner: Mapping[str, Found]) -> str | None:
    """The key of the weights that were evaluated; None if they are no member but the members themselves.

    Raises
    ------
    AtlasError
        The keys do not tell, or the averaged weights have no names.
    """
    averaged = [key for key in members if _AVERAGED.search(key) and not _CLOSED.search(key)]
    if _is_of_mm(members) and "state_dict" in inner:
        averaged = [key for key in averaged if key != "ema_state_dict"]  # its hook swaps the two when it saves
    raw = sorted((key for key in inner if key.lower() in _RAW), key=lambda key: _RAW.index(key.lower()))
    copies = [_shapes(found) for key, found in inner.items() if key not in averaged]
    named = [
        key
        for key in averaged
        if key in inner and ("teacher" not in key.lower() or not copies or _shapes(inner[key]) in copies)
    ]  # a teacher of other shapes than the student is another network, and no average
    if len({id(inner[key].members) for key in named}) > 1:
        raise AtlasError(_several(named))
    if named:
        return named[0]
    for key in averaged:
        if raw and _weights_without_names(members[key]):
            raise AtlasError(
                f"the averaged weights under {key!r} have no names, and those under {raw[0]!r} are the raw ones; "
                "load the averaged ones into the network and save its state_dict() alone"
            )
    if raw:
        return raw[0]
    if _has_weights(members) and _has_dotted(members):
        return None
    spatial = [key for key, found in inner.items() if found.problem or _shapes(found)] or list(inner)
    if len({id(inner[key].members) for key in spatial}) > 1:
        raise AtlasError(_several(spatial))
    return spatial[0] if spatial else None


def _several(keys: list[str]) -> str:
    named = ", ".join(repr(key[:50]) for key in keys[:8])
    return f"holds several networks, or parts of one: {named}; save the state_dict() of the one you mean alone"


def _is_of_mm(members: Mapping[str, object]) -> bool:
    """Whether mmengine or mmcv wrote a checkpoint; the averaged copy of mmengine counts its steps."""
    meta, averaged = _members(members.get("meta")), _members(members.get("ema_state_dict"))
    return "message_hub" in members or bool(_MARKS_OF_MM & set(meta or {})) or "steps" in (averaged or {})


def _has_weights(members: Mapping[str, object]) -> bool:
    return any(isinstance(value, Tensor) and len(value.shape) >= 2 for value in members.values())


def _has_dotted(members: Mapping[str, object]) -> bool:
    return any("." in name for name, value in members.items() if isinstance(value, Tensor))


def _shapes(found: Found) -> list[tuple[int, ...]]:
    """The shapes of a network's kernels, by which two copies of it are known."""
    return sorted(
        value.shape for value in found.members.values() if isinstance(value, Tensor) and len(value.shape) == 4
    )


def _weights_without_names(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return any(isinstance(item, Tensor) and len(item.shape) >= 2 for item in value)
    return any(
        isinstance(member, (list, tuple)) and _weights_without_names(member)
        for member in (_members(value) or {}).values()
    )


def _members(value: object) -> Mapping[str, object] | None:
    """What lies in a container under its keys, or under its numbers in a list; None of what is none."""
    if isinstance(value, Stub):
        value = next((held for held in (value.items, value.state, value.sequence) if held), None)
    if isinstance(value, dict):
        return value
    if isinstance(value, (list, tuple)) and len(value) <= 100 and not any(isinstance(item, Tensor) for item in value):
        return {str(index): item for index, item in enumerate(value)}
    return None


def _attributes(value: object) -> Mapping[str, object] | None:
    """The attributes of a pickled module or of a TorchScript program's; None of anything else."""
    if not isinstance(value, Stub):
        return None
    state = value.state
    if state is None and isinstance(value.arguments, tuple):  # a call that takes the attributes, as of torch.fx
        state = next((held for held in value.arguments if isinstance(held, dict)), None)
    if isinstance(state, tuple):  # attributes and those of slots
        state = (
            state[0]
            if state and isinstance(state[0], dict)
            else {"": state}
            if value.name.startswith("__torch__")
            else None
        )
    if not isinstance(state, dict):
        return None
    return state if "_modules" in state or value.name.startswith("__torch__.") else None


def _walk(attributes: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """The state dict of a network: names with dots, of tensors and of what stands in a module's or tensor's place.

    Raises
    ------
    AtlasError
        Modules hold each other without end.
    """
    waiting, count = [("", attributes)], 0
    while waiting:
        prefix, attributes = waiting.pop()
        parts = []
        for key, value in _parts(attributes):
            count += 1
            name = f"{prefix}{key}"
            if count > MAX_TENSORS or len(name) > MAX_NAME:
                raise AtlasError("damaged: modules hold each other without end; fetch the file again")
            inner = _attributes(value)
            if inner is None:
                yield name, value
            else:
                parts.append((f"{name}.", inner))
        waiting += reversed(parts)


def _parts(attributes: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Parameters, buffers and modules of one module; of a program's module, whatever holds tensors."""
    if "_modules" not in attributes:
        for key, value in attributes.items():
            if isinstance(value, Tensor) or _attributes(value) is not None:
                yield key, value
            elif isinstance(value, (list, tuple)) and len(value) <= 100:  # the packed weights of a quantized layer
                packed = _members(value) or {str(index): item for index, item in enumerate(value)}
                yield from ((f"{key}.{at}".strip("."), item) for at, item in packed.items() if isinstance(item, Tensor))
        return
    hidden = attributes.get("_non_persistent_buffers_set")
    hidden = hidden.sequence or next(iter(hidden.arguments), ()) if isinstance(hidden, Stub) else ()
    for kind in ("_parameters", "_buffers", "_modules"):
        members = _members(attributes.get(kind)) or {}
        yield from (
            (key, value)
            for key, value in members.items()
            if value is not None and not (kind == "_buffers" and key in hidden)
        )
