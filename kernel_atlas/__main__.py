"""`kernel-atlas`: read, label and describe depthwise kernels of networks, compare two, and publish those of a run."""

import argparse
import json
import os
import re
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

# Set before matplotlib is imported. Notebooks name a backend of their own, which is not installed here.
os.environ["MPLBACKEND"] = "Agg"

from kernel_atlas import __version__, api
from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.patterns import REFERENCE
from kernel_atlas.io.sources import without_secrets
from kernel_atlas.io.tables import write_csv
from kernel_atlas.model.description import sizes_of
from kernel_atlas.views import Description, Kernels, describe_words, difference_words

NETWORK = (
    "a checkpoint (safetensors, PyTorch, ONNX, TFLite; no code in it is run), timm:NAME.TAG, hf:OWNER/REPO:FILE, "
    "package:DISTRIBUTION:PATH, init:TIMM_NAME, or the address of a file: https://, or of a store that fsspec knows (s3://)"
)
TEXTS = ("layer", "size", "label", "commonest patterns")  # columns that are not numbers


def main(arguments: list[str] | None = None) -> None:
    """Run a command. What cannot be done ends it with one line and exit status 1."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends the command without a word
    warnings.showwarning = lambda message, *_: print(f"note: {message}", file=sys.stderr)
    given = _parser().parse_args(arguments)
    try:
        given.run(given)
    except AtlasError as error:
        sys.exit(f"error: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kernel-atlas", description=__doc__)
    parser.add_argument("--version", action="version", version=f"kernel-atlas {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for run in (extract, label, describe, diff):
        command = commands.add_parser(run.__name__, help=run.__doc__, description=run.__doc__)
        command.set_defaults(run=run)
        for name in ("network", "against") if run is diff else ("network",):
            command.add_argument(name, help=NETWORK)
        command.add_argument("--only", metavar="7x7", help="kernels of this size alone")
        command.add_argument("--csv", type=Path, metavar="FILE", help="write the whole table")
        command.add_argument("--json", action="store_true", help="print the whole table as JSON, and nothing else")
        if run in (label, describe):
            command.add_argument("--encoder", type=Path, help="encoder.safetensors of a run, or its folder")
        if run is label:
            command.add_argument("--patterns", type=Path, default=REFERENCE, help="a table of patterns of one's own")
            command.add_argument("--sheet", type=Path, help="the picture, a PNG (default: NETWORK_kernels.png)")
    command = commands.add_parser("publish", help=publish.__doc__, description=publish.__doc__)
    command.set_defaults(run=publish)
    command.add_argument("repository", metavar="OWNER/NAME", help="data set and page on the hub; both get this name")
    command.add_argument(
        "--release",
        type=Path,
        default=Path("results/release"),
        help="what `snakemake all release` wrote (default: results/release, with atlas.html beside it)",
    )
    command.add_argument("--dry-run", action="store_true", help="write RELEASE_hub and say what would be sent")
    return parser


def extract(given: argparse.Namespace) -> None:
    """Read the kernels of a network."""
    kernels = _kernels(given.network, given.only)
    if _gave(given, kernels):
        return
    counts = kernels.assign(size=sizes_of(kernels)).groupby(["layer_index", "layer", "size"], as_index=False)
    table = counts.agg(kernels=("dead", "size"), dead=("dead", "sum")).drop(columns="layer_index")
    print(_aligned(table.astype(str)))


def label(given: argparse.Namespace) -> None:
    """Name each kernel by the most similar pattern, and draw them."""
    kernels = api.label(_kernels(given.network, given.only), given.encoder, given.patterns)
    if not _gave(given, kernels):
        _say(api.describe(kernels, given.encoder))
        path = Path(shown := without_secrets(given.network))
        name = path.stem if path.exists() else re.sub(r"[^\w.-]+", "_", shown)
        sheet = given.sheet or Path(f"{name}_kernels.png")
        _draw(kernels, path.name, sheet)
        print(f"\nThe kernels are drawn in {sheet}")
    _check_any(given.network, kernels)


def describe(given: argparse.Namespace) -> None:
    """Say which patterns a network has, in which layers, beside reference networks."""
    kernels = _kernels(given.network, given.only)
    described = api.describe(kernels, given.encoder)
    table = pd.concat([described.sizes, described], ignore_index=True)
    if not _gave(given, table, {"sizes": described.sizes, "layers": described}):
        _say(described)
    _check_any(given.network, described.sizes.rename(columns={"pattern_share": "label"}))


def diff(given: argparse.Namespace) -> None:
    """Say how the shares of patterns change from one network to another."""
    change = api.diff(*(_kernels(network, given.only) for network in (given.network, given.against)))
    if not _gave(given, change):
        print(_aligned(difference_words(change)))


def publish(given: argparse.Namespace) -> None:
    """Put the release of a run on the Hugging Face hub, as a data set with pictures and a page with the atlas."""
    from kernel_atlas.publish.dataset import FOLDERS, files_of, write_folders

    folder = write_folders(given.release, given.release.with_name("atlas.html"), given.repository)
    if not given.dry_run:
        with api.one_line(given.repository):
            from kernel_atlas.publish.upload import upload_folders
        for line in upload_folders(folder, given.repository):
            print(line)
        return
    for kind in FOLDERS:
        print(f"{kind} {given.repository}")
        for name, path in files_of(folder / kind).items():
            print(f"  {path.stat().st_size:>14,} bytes  {name}")
    sizes = [path.stat().st_size for path in files_of(folder).values()]
    print(f"{len(sizes)} files, {sum(sizes):,} bytes, lie in {folder}; nothing was sent")


def _kernels(network: str, only: str | None) -> Kernels:
    """The kernels of a network, those of one size where that is asked for."""
    kernels = api.extract(network)
    if only is None:
        return kernels
    sizes = sizes_of(kernels)
    if not (sizes == only).any():
        raise AtlasError(f"{without_secrets(network)}: no kernels of {only}; it has {', '.join(sorted(set(sizes)))}")
    return kernels[sizes == only]


def _check_any(network: str, table: pd.DataFrame) -> None:
    """End with an error where no kernel has an answer."""
    if table["label"].isna().all():
        raise AtlasError(
            f"{without_secrets(network)}: no kernel is square and alive, so that none can have a reference pattern"
        )


def _gave(given: argparse.Namespace, table: pd.DataFrame, parts: dict[str, pd.DataFrame] | None = None) -> bool:
    """Write the table as CSV and print it as JSON, as far as asked for; whether it was printed."""
    if given.csv:
        texts = {
            "weight": lambda taps: " ".join(f"{tap:.9g}" for tap in taps),
            "labels": lambda labels: "; ".join(f"{name} {share:.4f}" for name, share in labels),
        }
        written = table.assign(**{name: table[name].map(text) for name, text in texts.items() if name in table})
        try:
            write_csv(written, given.csv)
        except OSError as error:
            raise AtlasError(f"{given.csv}: {error.strerror or error}; name another file with --csv") from error
    if given.json:
        named = parts or {"": table}
        rows = {name: json.loads(part.to_json(orient="records", double_precision=7)) for name, part in named.items()}
        print(json.dumps(rows if parts else rows[""]))
    return given.json


def _say(described: Description) -> None:
    """Print a description, sizes first."""
    sizes = describe_words(described.sizes)
    print(_aligned(sizes.drop(columns="reference networks")))
    print(f"\n{_aligned(describe_words(described))}\n")
    for row in sizes.itertuples(index=False, name=None):
        print(f"{row[0]}: {row[-1]}")
    for row in described.sizes.itertuples():
        if row.unlike:
            print(
                f"\n{row.size}: {row.beyond:.0%} of the kernels are less like their reconstruction than nine in ten of "
                "those that trained the encoder; labels hold, codes and clusters tell little"
            )


def _draw(kernels: pd.DataFrame, title: str, path: Path) -> None:
    from kernel_atlas.figures.contact_sheet import write_sheet

    try:
        write_sheet(kernels, title, path)
    except OSError as error:
        raise AtlasError(f"{path}: {error.strerror or error}; name another file with --sheet") from error


def _aligned(table: pd.DataFrame) -> str:
    """A table as text: words to the left, numbers to the right."""
    rows: Sequence[Sequence[str]] = [list(table), *table.fillna("").to_numpy().tolist()]
    widths = [max(len(row[place]) for row in rows) for place in range(table.shape[1])]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if name in TEXTS else cell.rjust(width)
            for name, cell, width in zip(table, row, widths, strict=True)
        ).rstrip()
        for row in rows
    )


if __name__ == "__main__":
    main()
