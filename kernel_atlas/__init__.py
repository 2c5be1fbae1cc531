"""kernel-atlas: the patterns of trained depthwise convolution kernels."""

__version__ = "0.1.0"
# Of what lies in results/ (schemas/tables.yaml): raise it when a column comes to mean something else.
SCHEMA_VERSION = 2
