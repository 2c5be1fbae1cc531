"""`python -m kernel_atlas label CHECKPOINT`: label the kernels of a checkpoint; print a table and draw a picture."""

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd

# Set before matplotlib is imported. Notebooks name a backend of their own, which is not installed here.
os.environ["MPLBACKEND"] = "Agg"

from kernel_atlas.api import assign, describe_layers, extract, measure_unlikeness, place_networks
from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.patterns import REFERENCE
from kernel_atlas.figures.contact_sheet import write_sheet
from kernel_atlas.figures.style import short


def main(arguments: list[str] | None = None) -> None:
    """Run the command. Unreadable files end it with one line and exit status 1."""
    parser = argparse.ArgumentParser(prog="python -m kernel_atlas", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="label")
    label = commands.add_parser("label", help="label the depthwise kernels of a checkpoint", description=__doc__)
    label.add_argument("checkpoint", type=Path, help="safetensors, PyTorch, ONNX or TFLite; no code in it is run")
    label.add_argument(
        "--encoder", type=Path, help="encoder.safetensors of a run, or its folder (default: the project's)"
    )
    label.add_argument("--patterns", type=Path, default=REFERENCE, help="a table of patterns (default: the project's)")
    label.add_argument("--sheet", type=Path, help="the picture, a PNG (default: CHECKPOINT's stem + _kernels.png)")
    given = parser.parse_args(arguments)
    sheet = given.sheet or Path(f"{given.checkpoint.stem}_kernels.png")
    try:
        kernels = assign(extract(given.checkpoint), given.encoder, given.patterns)
        print(_lines(describe_layers(kernels)))
        print("".join(_beside(row) for row in place_networks(kernels).itertuples()))
        unlike = measure_unlikeness(kernels, given.encoder).query("unlike")
        print("".join(_beyond(row) for row in unlike.itertuples()), end="")
        write_sheet(kernels, given.checkpoint.name, sheet)
    except AtlasError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {sheet}: {error.strerror or error}; name another file with --sheet")
    print(f"The kernels are drawn in {sheet}")


def _beside(row: tuple) -> str:
    """A line that places a size of the network among the reference networks."""
    return (
        f"\n{row.size}: {row.pattern_share:.0%} of the kernels have a pattern, more than in {row.above:.0%} of "
        f"{row.networks} reference networks, of which the middle half have {row.low:.0%} to {row.high:.0%}"
    )


def _beyond(row: tuple) -> str:
    """A line about a size whose codes tell little, as the encoder was trained on other kernels."""
    return (
        f"{row.size}: {row.beyond:.0%} of {row.kernels} kernels are less like their reconstruction than nine in ten of "
        "those that trained the encoder; labels hold, codes and clusters tell little\n"
    )


def _lines(layers: pd.DataFrame) -> str:
    """The table of layers as text."""
    rows = [("layer", "size", "kernels", "dead", "with a pattern", "clustered", "commonest patterns")]
    for row in layers.itertuples():
        dead = row.kernels == row.dead
        share, clustered = (
            missing if np.isnan(value) else f"{value:.0%}"
            for value, missing in (
                (row.pattern_share, "all dead" if dead else "not square"),
                (row.clustered_share, "" if dead else "no encoder"),
            )
        )
        labels = ", ".join(f"{short(label)} {part:.0%}" for label, part in row.labels)
        rows.append((row.layer, row.size, f"{row.kernels:,}", f"{row.dead:,}", share, clustered, labels))
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), row[1].ljust(widths[1]), *(row[n].rjust(widths[n]) for n in (2, 3, 4, 5)), row[6]]
        ).rstrip()
        for row in rows
    )


if __name__ == "__main__":
    main()
