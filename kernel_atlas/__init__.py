"""kernel-atlas: the patterns of trained depthwise convolution kernels."""

__version__ = "0.1.0"
SCHEMA_VERSION = (
    1  # of the tables in results/ (schemas/tables.yaml): raise it when a column comes to mean something else
)
