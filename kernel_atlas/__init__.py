"""kernel-atlas: the patterns of trained depthwise convolution kernels."""

import importlib

__version__ = "0.1.0"
# Of what lies in results/ (schemas/tables.yaml): raise it when a column comes to mean something else.
SCHEMA_VERSION = 2

# Where the functions for one's own programs are. Every job imports this package and must not wait for them.
_FUNCTIONS = {"extract": "labelling", "assign": "labelling", "templates": "patterns", "AtlasError": "errors"}


def __getattr__(name: str) -> object:
    if name not in _FUNCTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_FUNCTIONS[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_FUNCTIONS])
