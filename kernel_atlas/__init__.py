"""kernel-atlas: the patterns of trained depthwise convolution kernels."""

__version__ = "0.1.0"
SCHEMA_VERSION = 4  # of the tables in schemas/tables.yaml; raise it when a column changes its meaning

_FUNCTIONS = ("AtlasError", "assign", "describe", "diff", "extract", "label", "templates")


def __getattr__(name: str) -> object:
    # Lazy: every job imports this package (0.01 s); the functions of `api` import NumPy, pandas and Arrow (1.1 s).
    if name not in _FUNCTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kernel_atlas import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_FUNCTIONS])
