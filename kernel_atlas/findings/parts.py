"""What several findings share: limits, columns, and how the report shows a table."""

from collections.abc import Mapping
from typing import NamedTuple

MANY = 10  # networks, or kernels of a label, below which there is no finding
SHARE = ["share", "share_low", "share_high"]
OWN = "zoonet_"  # how the architectures of this project's own small networks begin


class Grid(NamedTuple):
    """A table of results as the report shows it.

    - `table`: its name, the file's without ending.
    - `caption`: what its rows are.
    - `columns`: head -> column; with its interval `column low high`; shares end with ` %`.
    - `rows`: which rows, as a query of pandas; all where it is empty.
    """

    table: str
    caption: str
    columns: Mapping[str, str]
    rows: str = ""
