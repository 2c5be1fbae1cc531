"""A pickle read as data: nothing in it is imported, called or built, but tensors, numbers, texts and their containers.

A pickle is a program for a small machine. Its names of Python objects are imported and called by other readers. Here a
name stays a text. What the names of `BUILDERS` would make, tensors and arrays, is described by code of this project. A
call of any other name becomes an inert `Stub`, which keeps what it was given.
"""

import pickletools
import re
from collections.abc import Callable
from typing import Any, BinaryIO

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.formats.rebuild import BUILDERS, Array, Dtype, Tensor

MAX_STEPS = 5_000_000  # of a pickle, 100 bytes of memory each; a whole network with its optimizer takes a tenth
MAX_NAME = 1000  # characters of a name


class Name(str):
    """The name of a Python object that the pickle asks for."""

    __slots__ = ()


class Stub:
    """What a call of an unknown name would make: the name, and what it was given.

    `items` are those of a mapping, `sequence` those of a list or set; None where nothing was put in.
    """

    __slots__ = ("arguments", "items", "name", "sequence", "state")

    def __init__(self, name: str, arguments: object = ()):
        self.name = name
        self.arguments = arguments
        self.state: object = None
        self.items: dict[str, object] | None = None
        self.sequence: list | None = None


class _Bounded:
    """A file that is never asked for more bytes than it has: a length in a pickle takes no memory."""

    def __init__(self, file: BinaryIO, size: int):
        self._file, self._size = file, size
        self.readline, self.tell = file.readline, file.tell

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, self._size))


class Unpickler:
    """Reads the pickles of one file.

    Parameters
    ----------
    file : BinaryIO
        At the beginning of a pickle; `load` leaves it at the end.
    size : int
        Bytes of the file.
    persistent : callable
        From the persistent id of an object to the object.
    """

    def __init__(self, file: BinaryIO, size: int, persistent: Callable[[object], object]):
        self._file = _Bounded(file, size)
        self._persistent = persistent
        self._steps = 0
        self.foreign: str | None = None  # the first unknown name that was called

    def load(self) -> object:
        """The next object.

        Raises
        ------
        AtlasError
            The pickle is damaged, or so long that no network can be in it.
        """
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, object] = {}
        try:
            for opcode, argument, _ in pickletools.genops(self._file):
                self._steps += 1
                if self._steps > MAX_STEPS:
                    raise ValueError(f"more than {MAX_STEPS} steps")
                if opcode.name in _PUSHES:
                    self._stack.append(argument)
                elif opcode.name not in _PASSED:
                    _STEPS[opcode.name](self, argument)
            return self._stack.pop()
        except AtlasError:
            raise
        except OSError:
            raise
        except Exception as error:  # a damaged pickle can raise anything
            first = (str(error).splitlines() or [""])[0]
            raise AtlasError(
                f"damaged, or no pickle of a network ({first[:120] or type(error).__name__}); fetch the file again"
            ) from error

    def _marked(self) -> list[Any]:
        """What lies above the last mark."""
        above, self._stack = self._stack, self._marks.pop()
        return above

    def _mark(self, _: object) -> None:
        self._marks.append(self._stack)
        self._stack = []

    def _pop(self, _: object) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._stack = self._marks.pop()

    def _put(self, index: int | None) -> None:
        index = len(self._memo) if index is None else index
        if not 0 <= index < 2**32:
            raise ValueError("a memo beyond reason")
        self._memo[index] = self._stack[-1]

    def _get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    def _list(self, _: object) -> None:
        items = self._marked()
        self._stack.append(items)

    def _marked_tuple(self, _: object) -> None:
        items = self._marked()
        self._stack.append(tuple(items))

    def _tuple(self, count: int) -> None:
        if len(self._stack) < count:
            raise ValueError("a tuple of too few")
        items = tuple(self._stack[-count:])
        self._stack[-count:] = [items]

    def _name(self, argument: str) -> None:
        self._stack.append(_named(*argument.split(" ", 1)))

    def _stack_name(self, _: object) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._stack.append(_named(module, name))

    def _reduce(self, _: object) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        self._stack.append(self._called(function, arguments))

    def _new_with_names(self, _: object) -> None:
        names, arguments, function = self._stack.pop(), self._stack.pop(), self._stack.pop()
        self._stack.append(self._called(function, (*arguments, names)))

    def _instance(self, argument: str) -> None:
        arguments = tuple(self._marked())
        self._stack.append(self._called(_named(*argument.split(" ", 1)), arguments))

    def _object(self, _: object) -> None:
        function, *arguments = self._marked()
        self._stack.append(self._called(function, tuple(arguments)))

    def _called(self, function: object, arguments: object) -> object:
        """What a call would make. Only the builders of this project are called."""
        if not isinstance(arguments, tuple):
            raise ValueError("arguments that are no tuple")
        if isinstance(function, Name) and function in BUILDERS:
            self._steps += sum(len(each) for each in arguments if isinstance(each, (list, tuple)))
            return BUILDERS[function](*arguments)
        name = function if isinstance(function, Name) else "an object of the file"
        if name in ("copyreg._reconstructor", "copy_reg._reconstructor") and len(arguments) == 3:
            stub = Stub(arguments[0] if isinstance(arguments[0], Name) else name)
            stub.items = arguments[2] if isinstance(arguments[2], dict) else None
        else:
            stub = Stub(name, arguments)
        if not _HARMLESS.fullmatch(stub.name):
            self.foreign = self.foreign or str(stub.name)
        return stub

    def _build(self, _: object) -> None:
        state, made = self._stack.pop(), self._stack[-1]
        if isinstance(made, (Array, Dtype)):
            made.build(state)
        elif isinstance(made, Stub):
            made.state = state
        elif not isinstance(made, (dict, Tensor)):  # of these, attributes beside the items or values
            raise ValueError("a state for a plain value")

    def _append(self, _: object) -> None:
        self._extend([self._stack.pop()])

    def _appends(self, _: object) -> None:
        self._extend(self._marked())

    def _extend(self, values: list[Any]) -> None:
        to = self._stack[-1]
        if isinstance(to, Stub):
            to.sequence = [] if to.sequence is None else to.sequence
            to = to.sequence
        if not isinstance(to, list):
            raise ValueError("an item for a plain value")
        to.extend(values)

    def _set_item(self, _: object) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._update([key, value])

    def _set_items(self, _: object) -> None:
        self._update(self._marked())

    def _update(self, pairs: list[Any]) -> None:
        """Put pairs into a mapping; a key that is no text names no tensor, and hashing it may take for ever."""
        to = self._stack[-1]
        if isinstance(to, Stub):
            to.items = {} if to.items is None else to.items
            to = to.items
        if not isinstance(to, dict) or len(pairs) % 2:
            raise ValueError("an item for a plain value")
        to.update((key, value) for key, value in zip(pairs[::2], pairs[1::2], strict=True) if isinstance(key, str))

    def _identified(self, identity: object) -> None:
        self._stack.append(self._persistent(self._stack.pop() if identity is None else identity))

    def _registered(self, _: object) -> None:
        raise AtlasError(
            "would run code on loading: a name of copyreg's registry; save the network's state_dict() alone"
        )

    def _set(self, _: object) -> None:
        self._stack.append(Stub("builtins.set"))

    def _frozen_set(self, _: object) -> None:
        values, stub = self._marked(), Stub("builtins.frozenset")
        stub.sequence = values
        self._stack.append(stub)

    def _dictionary(self, _: object) -> None:
        pairs = self._marked()
        self._stack.append({})
        self._update(pairs)


def _named(module: object, name: object) -> Name:
    if not isinstance(module, str) or not isinstance(name, str) or len(module) + len(name) > MAX_NAME:
        raise ValueError("a name that is no text")
    return Name(f"{module}.{name}")


# Calls of these are no reason to refuse a file.
_HARMLESS = re.compile(
    r"(builtins|__builtin__)\.(set|frozenset|slice|complex|range|bytearray|list|dict|tuple|int|float)|__torch__\..*|"
    r"(datetime|pathlib)\.\w+|torch\.device|collections\.(defaultdict|Counter|deque)"
)
_PASSED = {"PROTO", "FRAME", "STOP"}
_PUSHES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
# NEXT_BUFFER and READONLY_BUFFER are missing: buffers outside the pickle are in no file.
_STEPS: dict[str, Callable[[Unpickler, Any], None]] = {
    "NONE": lambda self, _: self._stack.append(None),
    "NEWTRUE": lambda self, _: self._stack.append(True),
    "NEWFALSE": lambda self, _: self._stack.append(False),
    "EMPTY_TUPLE": lambda self, _: self._stack.append(()),
    "EMPTY_LIST": lambda self, _: self._stack.append([]),
    "EMPTY_DICT": lambda self, _: self._stack.append({}),
    "EMPTY_SET": Unpickler._set,
    "FROZENSET": Unpickler._frozen_set,
    "LIST": Unpickler._list,
    "DICT": Unpickler._dictionary,
    "TUPLE": Unpickler._marked_tuple,
    "TUPLE1": lambda self, _: self._tuple(1),
    "TUPLE2": lambda self, _: self._tuple(2),
    "TUPLE3": lambda self, _: self._tuple(3),
    "MARK": Unpickler._mark,
    "POP": Unpickler._pop,
    "POP_MARK": lambda self, _: self._marked(),
    "DUP": lambda self, _: self._stack.append(self._stack[-1]),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), Unpickler._put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Unpickler._get),
    "GLOBAL": Unpickler._name,
    "STACK_GLOBAL": Unpickler._stack_name,
    **dict.fromkeys(("REDUCE", "NEWOBJ"), Unpickler._reduce),
    "NEWOBJ_EX": Unpickler._new_with_names,
    "INST": Unpickler._instance,
    "OBJ": Unpickler._object,
    "BUILD": Unpickler._build,
    "APPEND": Unpickler._append,
    **dict.fromkeys(("APPENDS", "ADDITEMS"), Unpickler._appends),
    "SETITEM": Unpickler._set_item,
    "SETITEMS": Unpickler._set_items,
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), Unpickler._registered),
    **dict.fromkeys(("PERSID", "BINPERSID"), Unpickler._identified),
}
