"""Networks that can be run, not only read, and the images they are tried on: those of the zoo, and timm's.

`checkpoints` reads kernels without knowing the network; to measure accuracy it must be known. A file of the zoo says
itself what it is; of any other the sheet names the architecture, which timm builds.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.formats.signatures import read_state
from kernel_atlas.io.packages import find_packaged
from kernel_atlas.io.timm_layers import names_in_order
from kernel_atlas.training.images import DATASETS, list_folder, list_parquet, number_classes, read_images
from kernel_atlas.training.zoo import Batches, ZooNet


class Network(NamedTuple):
    """A network, its classes, the zoo's data set it was trained on (None for others), and what is done to an image.

    `transform` makes a normalised float tensor [3, H, W] of a PIL image.
    """

    net: nn.Module
    classes: int
    dataset: str | None
    transform: Callable[[Image.Image], Tensor] | None


class Images(NamedTuple):
    """Normalised: images to classify [n, 3, H, W], their classes [n], and images of the training set [m, 3, H, W]."""

    test: Tensor
    truth: Tensor
    train: Tensor


def load_network(source: str, folder: Path, architecture: str | None) -> Network:
    """Build the network of a row of the model sheet and load its weights; no code is run.

    Parameters
    ----------
    source : str
        `file:PATH` or `package:DISTRIBUTION:PATH` of a network of the zoo or, where the architecture is timm's, of any
        network; or `timm:NAME.TAG`.
    folder : Path
        What PATH is relative to.
    architecture : str or None
        timm's name, for a file that is not of the zoo.

    Raises
    ------
    AtlasError
        The network is not known, or the weights do not fit it.
    """
    scheme, _, rest = source.partition(":")
    if scheme == "timm":
        return _build_timm(rest, None)
    if scheme not in ("file", "package"):
        raise AtlasError(
            f"a source {scheme}: is not run for its accuracy; fetch the weights and name them as file:PATH"
        )
    path = folder / rest if scheme == "file" else find_packaged(*rest.split(":", 1))[0]
    try:
        told = _metadata(path)
        state = read_state(path)
    except OSError as error:
        raise AtlasError(f"cannot read {path}: {error.strerror or error}; check the path in the model sheet") from error
    except AtlasError as error:
        raise AtlasError(f"{path}: {error}") from error
    if told.get("architecture", "").startswith("zoonet_"):
        return _build_zoo(path, told, state)
    if not architecture:
        raise AtlasError(f"{path}: not of the zoo; name its timm architecture in the column architecture of the sheet")
    return _build_timm(architecture, state)


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except SafetensorError:  # of another format
        return {}


def _build_zoo(path: Path, told: dict[str, str], state: dict[str, Tensor]) -> Network:
    try:
        classes = len(state["head.bias"])
        net = ZooNet(int(told["kernel"]), classes)
        net.load_state_dict(state)
    except (KeyError, ValueError, RuntimeError) as error:
        raise AtlasError(f"{path}: not a network of this zoo ({error}); train it again: snakemake zoo") from error
    return Network(net, classes, told.get("dataset"), None)


def _build_timm(name: str, state: dict[str, Tensor] | None) -> Network:
    """A network of timm with its pretrained weights or, through the same converters, with others.

    Weights under names that no converter knows are taken by their order, if each has the shape and the role of timm's.
    """
    import timm  # here: 8 s that the zoo does not pay for

    try:
        known = timm.get_pretrained_cfg(name)
        overlay = {}
        if state is not None:
            heads = (
                known.classifier if isinstance(known.classifier, list | tuple) else [known.classifier] if known else []
            )
            weight = next((state[f"{head}.weight"] for head in heads if f"{head}.weight" in state), None)
            overlay = {"state_dict": state} | ({} if weight is None else {"num_classes": len(weight)})
        classes = {"num_classes": overlay["num_classes"]} if "num_classes" in overlay else {}
        if state and not classes:  # the head has another name, and so perhaps has all else
            shapes = {key: tuple(value.shape) for key, value in state.items()}
            last = {"num_classes": max(list(shapes.values())[-1][:1], default=0)}
            renamed = names_in_order(name, shapes, **last)
            if renamed:
                overlay, classes = {"state_dict": {new: state[old] for new, old in renamed.items()}, **last}, last
        net = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **classes)
    except Exception as error:  # timm, torch and the hub raise anything
        raise AtlasError(f"timm {timm.__version__} cannot build {name!r} with these weights: {error}") from error
    config = timm.data.resolve_data_config({}, model=net, use_test_size=True)
    return Network(net, net.num_classes, None, timm.data.create_transform(**config, is_training=False))


def load_images(network: Network, zoo: Path, own: str, test: int, train: int, seed: int) -> Images:
    """Draw the images a network is tried on.

    Parameters
    ----------
    network : Network
    zoo : Path
        Folder of the zoo's image sets, for its networks.
    own : str
        Images for other networks; may be empty. Either a Parquet file with image (or img), label and split, or a folder
        with a subfolder for each class. The subfolders lie in `train` and in `test` or `val`, or at the top, where all
        images are classified. `images.number_classes` maps classes to outputs of the network.
    test, train : int
        How many of each split at most; 0 takes the whole test split. They stay in memory, 0.6 MB each at 224 x 224.
    seed : int

    Raises
    ------
    AtlasError
        No images, an image that cannot be decoded, or classes that are not those of the network.
    """
    random = np.random.default_rng(seed)
    if network.dataset is not None:
        return _zoo_images(network, zoo, test, train, random)
    if not own:
        raise AtlasError(
            "configuration: ablation: images: name a folder of images or a Parquet file for networks not of the zoo"
        )
    where = Path(own)
    rows = list_folder(where) if where.is_dir() else list_parquet(where)
    drawn = {}
    for split, wanted in (("test", test), ("train", train)):
        there = rows[split]
        chosen = random.permutation(len(there))[: wanted or (len(there) if split == "test" else 0)]
        drawn[split] = [there[place] for place in chosen]
    if not drawn["test"]:
        raise AtlasError(f"{where}: no images to classify; there must be a split test, or folders of classes")
    outputs = number_classes({label for pairs in rows.values() for _, label in pairs}, network.classes, where)
    truth = torch.tensor([outputs[label] for _, label in drawn["test"]])
    tensors = {split: [network.transform(read()) for read, _ in pairs] for split, pairs in drawn.items()}
    answered = torch.stack(tensors["test"])
    return Images(answered, truth, torch.stack(tensors["train"]) if tensors["train"] else answered[:0])


def _zoo_images(network: Network, folder: Path, test: int, train: int, random: np.random.Generator) -> Images:
    if network.dataset not in DATASETS:
        raise AtlasError(
            f"ablation: a network of the zoo trained on {network.dataset!r}, which is not one of its data sets"
        )
    data = read_images(folder, network.dataset)
    batches = Batches(data.train[:5000], data.train_labels[:5000], False, 0)  # for the mean and std of the training
    drawn = torch.from_numpy(random.permutation(len(data.test))[: test or None])
    again = torch.from_numpy(random.permutation(len(data.train))[:train])
    highest = int(data.test_labels.max())
    if highest >= network.classes or data.test_labels.min() < 0:
        raise AtlasError(
            f"{folder}: class {highest}, but the network knows {network.classes} from 0; take its own images"
        )
    return Images(batches.normalise(data.test[drawn]), data.test_labels[drawn], batches.normalise(data.train[again]))
