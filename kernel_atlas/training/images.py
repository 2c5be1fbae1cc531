"""Read images: the data sets of the zoo, and folders or Parquet files of a user's own."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from kernel_atlas.core.errors import AtlasError

# A mirrored photograph or garment keeps its class, a mirrored letter does not.
FLIPPED = {"cifar10": True, "fashion_mnist": True, "chars74k": False}
DATASETS = tuple(FLIPPED)


class ImageSet(NamedTuple):
    """One split each for training and test: pixels uint8 [N, H, W, 3], labels int64 [N]; `classes` is their number."""

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    classes: int

    def to(self, device: str) -> "ImageSet":
        """The same on a device of torch."""
        return ImageSet(*(part.to(device) for part in self[:4]), self.classes)


def image_files(images: Path, dataset: str) -> list[Path]:
    """The Parquet files of a data set: those whose name, or whose folder in `images`, begins with its name.

    So `cifar10_a.parquet`, `cifar10/train.parquet` and `cifar10/plain_text/test-00000-of-00001.parquet` belong to
    `cifar10`, and `cifar100.parquet` does not.
    """
    if dataset not in DATASETS:
        raise AtlasError(f"zoo: unknown data set {dataset!r}; known are {', '.join(DATASETS)}")
    images = Path(images)
    if not images.is_dir():
        raise AtlasError(
            f"zoo: {images}: no such folder of image sets; name yours: --config images=FOLDER (resources/zoo/README.md)"
        )
    files = [
        path
        for path in sorted(images.rglob("*.parquet"))
        if (first := path.relative_to(images).parts[0]).startswith(dataset) and not first[len(dataset) :][:1].isdigit()
    ]
    if not files:
        raise AtlasError(f"zoo: {images}: no Parquet file of {dataset}; its name or folder must begin with {dataset}")
    return files


def read_images(images: Path, dataset: str, limit: int | None = None) -> ImageSet:
    """Read and decode a data set, or no more than the first `limit` images of each split.

    A row is an encoded image (`image` or `img`: bytes, or the hub's struct of `bytes` and `path`), a `label` and a
    `split` (`train` or `test`); without a column `split` the file's name tells it.
    """
    pixels = {"train": [], "test": []}
    labels = {"train": [], "test": []}
    for path in image_files(images, dataset):
        encoded, told, splits = _read_columns(path, f"zoo: {path}")
        if splits is None:
            named = [split for split in pixels if split in path.stem]
            if len(named) != 1:
                raise AtlasError(f"zoo: {path}: no column split, and the file's name says neither train nor test")
            splits = named * len(told)
        for row, (label, split) in enumerate(zip(told, splits, strict=True)):
            if split not in pixels or len(labels[split]) == limit:
                continue
            pixels[split].append(np.asarray(decode_image(encoded[row].as_py(), f"zoo: {path}, row {row}")))
            labels[split].append(label)
    for split, decoded in pixels.items():
        if not decoded:
            raise AtlasError(f"zoo: {images}: {dataset} has no {split} images")
    shapes = {image.shape for decoded in pixels.values() for image in decoded}
    if len(shapes) > 1:
        raise AtlasError(f"zoo: {images}: the images of {dataset} differ in size: {sorted(shapes)[:3]}")
    train, test = (torch.from_numpy(np.stack(decoded)) for decoded in pixels.values())
    train_labels, test_labels = (torch.tensor(values, dtype=torch.int64) for values in labels.values())
    return ImageSet(train, train_labels, test, test_labels, int(max(train_labels.max(), test_labels.max())) + 1)


SPLITS = {"train": "train", "test": "test", "val": "test", "valid": "test", "validation": "test"}
Rows = dict[str, list[tuple[Callable[[], Image.Image], int | str]]]
WORDNET = re.compile(r"n\d{8}")  # how ImageNet names its classes
FULL = 0.9  # share of the numbers up to the highest label from which on they look like a data set's own


def list_folder(folder: Path) -> Rows:
    """How to read each image, and its class by name, of the splits test and train."""
    from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes

    parts = {child: SPLITS[child.name] for child in sorted(folder.iterdir()) if child.is_dir() and child.name in SPLITS}
    rows: Rows = {"test": [], "train": []}
    for part, split in (parts or {folder: "test"}).items():
        try:
            names, _ = find_classes(str(part))
        except FileNotFoundError as error:
            raise AtlasError(f"{part}: no folders of classes") from error
        for name in names:
            files = sorted(path for path in (part / name).rglob("*") if path.suffix.lower() in IMG_EXTENSIONS)
            rows[split] += [(lambda path=path: decode_image(path, str(path)), name) for path in files]
    return rows


def list_parquet(path: Path) -> Rows:
    """The same of a Parquet file, whose labels are numbers or names."""
    encoded, labels, splits = _read_columns(path, str(path))
    rows: Rows = {"test": [], "train": []}
    for row, (label, split) in enumerate(zip(labels, splits or ["test"] * len(labels), strict=True)):
        if split in SPLITS:
            rows[SPLITS[split]].append(
                (lambda row=row: decode_image(encoded[row].as_py(), f"{path}, row {row}"), label)
            )
    return rows


def _read_columns(path: Path, where: str) -> tuple[pa.ChunkedArray, list[int | str], list[str] | None]:
    """Encoded images, labels and splits of a Parquet file; None where it has no column of splits."""
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise AtlasError(f"{where}: not a readable Parquet file or folder ({str(error).splitlines()[0]})") from error
    columns = table.column_names
    image = next((name for name in ("image", "img") if name in columns), None)
    if image is None or "label" not in columns:
        raise AtlasError(f"{where}: needs the columns image (or img) and label, has {', '.join(columns)}")
    return table[image], table["label"].to_pylist(), table["split"].to_pylist() if "split" in columns else None


def number_classes(labels: set[int | str], classes: int, where: Path) -> dict[int | str, int]:
    """Which output of a network each class of a data set is.

    Numbers are the network's own. WordNet ids are looked up, for a network with as many outputs as a set of ImageNet.
    Other names are numbered in their order, as torchvision does, if there is one for each output.

    Parameters
    ----------
    labels : set
        All classes of the data set, numbers or names.
    classes : int
        Outputs of the network.
    where : Path
        The data set, for the message.

    Raises
    ------
    AtlasError
        A class is none of the network's, or there are fewer classes than outputs and nothing tells which they are.
    """
    if all(isinstance(label, int) for label in labels):
        end = max(labels) + 1
        if end > classes or min(labels) < 0:
            raise AtlasError(f"{where}: class {end - 1}, but the network knows {classes} from 0; take its own images")
        if end < classes and len(labels) >= FULL * end:
            raise AtlasError(
                f"{where}: labels up to {end - 1}, but the network knows {classes} classes, and nothing tells which of "
                "them these are; write the network's own numbers as labels, or WordNet ids such as n01440764"
            )
        return {label: label for label in labels}
    if not all(isinstance(label, str) for label in labels):
        raise AtlasError(f"{where}: labels must be whole numbers, or names; mend the column label")
    names = sorted(labels)
    known = _imagenet(classes) if all(map(WORDNET.fullmatch, names)) else {}
    foreign = [name for name in names if known and name not in known]
    if foreign:
        raise AtlasError(f"{where}: {foreign[0]} is none of the {classes} classes of the network; take it out")
    if not known and len(names) != classes:
        raise AtlasError(
            f"{where}: {len(names)} classes, but the network knows {classes}, and nothing tells which these are; "
            "name the folders by WordNet ids such as n01440764, or give a Parquet file with the network's own numbers"
        )
    return {name: known[name] for name in names} if known else {name: place for place, name in enumerate(names)}


def _imagenet(classes: int) -> dict[str, int]:
    """WordNet id -> output, of networks for a set of ImageNet, which their number of outputs tells."""
    from timm.data import ImageNetInfo, infer_imagenet_subset  # here: 8 s that the zoo does not pay for

    subset = infer_imagenet_subset({"num_classes": classes})
    return {name: place for place, name in enumerate(ImageNetInfo(subset).label_names())} if subset else {}


def decode_image(encoded: Path | bytes | dict, where: str) -> Image.Image:
    """An RGB image of a file, of encoded bytes, or of the hub's struct of `bytes` and `path`.

    Raises
    ------
    AtlasError
        It is no image that can be decoded; `where` names it.
    """
    if isinstance(encoded, dict):
        encoded = encoded.get("bytes")
    try:
        return Image.open(encoded if isinstance(encoded, Path) else io.BytesIO(encoded)).convert("RGB")
    except (UnidentifiedImageError, OSError, TypeError) as error:
        raise AtlasError(f"{where}: not an image that can be decoded") from error
