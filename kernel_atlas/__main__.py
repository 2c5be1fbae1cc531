"""`python -m kernel_atlas label CHECKPOINT`: label the kernels of a checkpoint; print a table and draw a picture."""

import argparse
import os
import sys
import warnings
from pathlib import Path

import pandas as pd

# Set before matplotlib is imported. Notebooks name a backend of their own, which is not installed here.
os.environ["MPLBACKEND"] = "Agg"

from kernel_atlas.api import assign, describe_layers, extract
from kernel_atlas.core.errors import AtlasError
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
    label.add_argument("--sheet", type=Path, help="the picture, a PNG (default: CHECKPOINT's stem + _kernels.png)")
    given = parser.parse_args(arguments)
    sheet = given.sheet or Path(f"{given.checkpoint.stem}_kernels.png")
    try:
        with warnings.catch_warnings(action="ignore"):  # the table names the sizes without an encoder
            kernels = assign(extract(given.checkpoint), given.encoder)
        print(_lines(describe_layers(kernels)))
        write_sheet(kernels, given.checkpoint.name, sheet)
    except AtlasError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {sheet}: {error.strerror or error}; name another file with --sheet")
    if given.encoder is None:
        print("\nLabelled by the encoder of the project's small networks; --encoder results takes that of your own run")
    print(f"The kernels are drawn in {sheet}")


def _lines(layers: pd.DataFrame) -> str:
    """The table of layers as text."""
    rows = [("layer", "size", "kernels", "dead", "clustered", "commonest labels")]
    for row in layers.itertuples():
        share = f"{row.clustered_share:.0%}" if row.kernels > row.dead else "all dead"
        share = share if row.encoder else "no encoder"
        labels = ", ".join(f"{short(label)} {part:.0%}" for label, part in row.labels)
        rows.append((row.layer, row.size, f"{row.kernels:,}", f"{row.dead:,}", share, labels))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), row[1].ljust(widths[1]), *(row[n].rjust(widths[n]) for n in (2, 3, 4)), row[5]]
        ).rstrip()
        for row in rows
    )


if __name__ == "__main__":
    main()
