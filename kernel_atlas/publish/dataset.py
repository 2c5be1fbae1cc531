"""A release -> two folders for the Hugging Face hub: a data set with a picture of each kernel, and a page.

Licences are checked once more: a file may have been put into the release by hand, and the page shows kernels, too.
"""

import io
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.figures.kernels import TAPS
from kernel_atlas.io.merge import ROWS
from kernel_atlas.io.sheet import why_not_passed_on
from kernel_atlas.io.tables import REPEATED, whole_folder

DOTS = 16  # of a tap's side
LEVELS = 127  # of colour on either side of zero
COPIED = ("clusters.csv", "encoder.safetensors", "load_encoder.py", "patterns.tsv")
FOLDERS = ("dataset", "space")  # kinds of repository of the hub, and names of their folders
IMAGE = pa.field("image", pa.struct({"bytes": pa.binary(), "path": pa.string()}))
MEANING = (
    f"the kernel as a PNG, {DOTS} dots to a tap, scaled to its own largest absolute value: white is zero, the deepest "
    "red that value, the deepest blue its negative; none where a tap is no finite number"
)
_COLOURS = (matplotlib.colormaps[TAPS](np.linspace(0, 1, 2 * LEVELS + 1))[:, :3] * 255).round().astype(np.uint8)


def draw_png(taps: np.ndarray) -> bytes | None:
    """A kernel [kh, kw] as a PNG, scaled to its own largest tap; None where a tap is no finite number."""
    if not np.isfinite(taps).all():
        return None
    steps = np.rint(LEVELS * (taps / max(np.abs(taps).max(), np.finfo(np.float32).tiny))).astype(int) + LEVELS
    used, places = np.unique(steps, return_inverse=True)  # a palette of few colours makes small files
    dots = places.reshape(taps.shape).astype(np.uint8).repeat(DOTS, axis=0).repeat(DOTS, axis=1)
    image = Image.fromarray(dots)
    image.putpalette(_COLOURS[used].tobytes())
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def write_folders(release: str | Path, atlas: str | Path, repository: str) -> Path:
    """Write what is published beside the release, as the folder RELEASE_hub; a failure leaves none.

    Parameters
    ----------
    release : path
        results/release.
    atlas : path
        results/atlas.html.
    repository : str
        OWNER/NAME of data set and page on the hub.

    Returns
    -------
    Path
        The folder. `dataset` in it has data/MODEL.parquet with the column `image` before those of the release (read
        and written in groups of 65,536 rows), its other files, and the card; `space` has the page, the kernels of a
        large run that lie beside it, and its card.

    Raises
    ------
    AtlasError
        The release or the page is missing, damaged, or has kernels of a model whose licence is not permissive or not
        stated.
    """
    release, atlas = Path(release), Path(atlas)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise AtlasError(f"{repository}: not of the form OWNER/NAME, as data sets are called on the hub")
    data, missing = (
        sorted(release.glob("data/*.parquet")),
        [path for path in (release / "README.md", *(release / name for name in COPIED), atlas) if not path.exists()],
    )
    if missing or not data:
        raise AtlasError(f"{(missing or [release / 'data'])[0]}: missing; run `snakemake all release` first")
    _check_licences(data, atlas)
    header, card = _parts_of(release / "README.md")
    output = release.with_name(f"{release.name}_hub")
    with whole_folder(output) as folder:
        for kind in FOLDERS:
            (folder / kind).mkdir()
        (folder / "dataset/data").mkdir()
        for path in data:
            _add_pictures(path, folder / "dataset/data" / path.name)
        for name in COPIED:
            shutil.copyfile(release / name, folder / "dataset" / name)
        shutil.copyfile(atlas, folder / "space/index.html")
        beside = _facts_of(atlas).get("folder")
        if beside:
            shutil.copytree(atlas.with_name(beside), folder / "space" / beside)
        _write_card(folder / "dataset/README.md", header, _card_of(card, repository))
        _write_card(folder / "space/README.md", _header_of_page(header, repository), _words_of_page(header, repository))
    return output


def files_of(folder: Path) -> dict[str, Path]:
    """Name in a repository -> file, of one of the folders."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _check_licences(data: list[Path], atlas: Path) -> None:
    """Refuse kernels that may not be passed on.

    Raises
    ------
    AtlasError
        As said; it names the file and the model.
    """
    for path in data:
        try:
            told = {key.decode(): value.decode() for key, value in (pq.read_schema(path).metadata or {}).items()}
        except (pa.ArrowInvalid, OSError) as error:
            raise AtlasError(f"{path}: damaged ({str(error)[:100]}); run `snakemake release` again") from error
        reason = why_not_passed_on(told.get("licence"), told.get("source", ""))
        if reason:
            raise AtlasError(f"{path}: may not be passed on: {reason}; remove it, or state its licence in the sheet")
    released = {path.stem for path in data}
    shown = {model["model"] for model in _facts_of(atlas)["models"]}
    others = sorted(shown - released)
    if others:
        raise AtlasError(
            f"{atlas}: shows kernels of {len(others)} models that are not in the release, {others[0]} first; state "
            "their licences in the sheet, or leave them out: `snakemake all release --config licences=permissive`"
        )


def _facts_of(atlas: Path) -> Mapping[str, Any]:
    """What the scripts of the page know."""
    text = atlas.read_text(encoding="utf-8")
    facts = re.search(r'<script type="application/json" id="facts-of-the-page">(.*?)</script>', text, re.S)
    if not facts:
        raise AtlasError(f"{atlas}: no atlas of kernel-atlas; run `snakemake all` again")
    return json.loads(facts[1])


def _add_pictures(path: Path, output: Path) -> None:
    """Copy a file of kernels, with their pictures as first column, a group of rows at a time."""
    with pq.ParquetFile(path) as file:
        kept = file.schema_arrow
        feature = {"info": {"features": {IMAGE.name: {"_type": "Image"}}}}  # others are what their types say
        schema = pa.schema([IMAGE, *kept], {**(kept.metadata or {}), b"huggingface": json.dumps(feature).encode()})
        with pq.ParquetWriter(
            output, schema, compression="zstd", use_dictionary=REPEATED, write_page_checksum=True, write_page_index=True
        ) as writer:
            for batch in file.iter_batches(ROWS):
                pictures = pa.array(_pictures(batch), IMAGE.type)
                writer.write_batch(pa.record_batch([pictures, *batch.columns], schema=schema), row_group_size=ROWS)


def _pictures(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | None]:
    """The pictures of kernels, as the hub has images in tables."""
    names = ("model", "layer_index", "channel", "kh", "kw", "weight")
    for model, layer, channel, kh, kw, weight in zip(*(batch.column(name) for name in names), strict=True):
        png = draw_png(weight.values.to_numpy(zero_copy_only=False).reshape(kh.as_py(), kw.as_py()))
        yield png and {"bytes": png, "path": f"{model}_{layer.as_py():03d}_{channel}.png"}


def _parts_of(card: Path) -> tuple[dict[str, Any], str]:
    """The header of a card that the hub reads, and the text after it."""
    try:
        _, header, text = card.read_text(encoding="utf-8").split("---\n", 2)
        return dict(yaml.safe_load(header)), text
    except (ValueError, TypeError, yaml.YAMLError) as error:
        raise AtlasError(f"{card}: no card of a release; run `snakemake release` again") from error


def _card_of(text: str, repository: str) -> str:
    """The card of a release with the column of pictures, for who reads it on the hub."""
    heads, page = "| column | type | meaning |\n|---|---|---|\n", f"https://huggingface.co/spaces/{repository}"
    for old, new in {
        heads: f"{heads}| `{IMAGE.name}` | image | {MEANING} |\n",
        'load_dataset("FOLDER")': f'load_dataset("{repository}")',
        "'FOLDER/data/": f"'hf://datasets/{repository}/data/",
        "## Load\n": f"The page to explore every kernel: [{repository}]({page}).\n\n## Load\n",
    }.items():
        text = text.replace(old, new, 1)
    return text


def _header_of_page(header: Mapping[str, Any], repository: str) -> dict[str, Any]:
    licence = {name: header[name] for name in ("license", "license_name", "license_details") if name in header}
    return {
        **{"title": header["pretty_name"], "colorFrom": "red", "colorTo": "blue", "sdk": "static"},
        **{"app_file": "index.html", "pinned": False, **licence, "datasets": [repository]},
    }


def _words_of_page(header: Mapping[str, Any], repository: str) -> str:
    return (
        f"\n# {header['pretty_name']}\n\nA page to explore every kernel of the data set "
        f"[{repository}](https://huggingface.co/datasets/{repository}). Its card has the licence of each model and "
        "the citation.\n"
    )


def _write_card(path: Path, header: Mapping[str, Any], text: str) -> None:
    head = yaml.safe_dump(dict(header), sort_keys=False, allow_unicode=True, width=1000)
    path.write_text(f"---\n{head}---\n{text}", encoding="utf-8")
