"""kernel-atlas: the patterns of trained depthwise convolution kernels."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what __getattr__ finds, for editors and type checkers
    from kernel_atlas.api import AtlasError, assign, describe, diff, extract, label, read_tensors, templates
    from kernel_atlas.monitor import KernelMonitor

__version__ = "0.1.0"
SCHEMA_VERSION = 4  # of the tables in schemas/tables.yaml; raise it when a column changes its meaning

# Public name -> the module that has it.
_PUBLIC = dict.fromkeys(
    ("AtlasError", "assign", "describe", "diff", "extract", "label", "read_tensors", "templates"), "api"
)
_PUBLIC["KernelMonitor"] = "monitor"

__all__ = ["AtlasError", "KernelMonitor", "assign", "describe", "diff", "extract", "label", "read_tensors", "templates"]


def __getattr__(name: str) -> object:
    # Lazy: every job imports this package (0.01 s); the functions of `api` import NumPy, pandas and Arrow (1.1 s).
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"kernel_atlas.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
