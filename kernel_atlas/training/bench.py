"""A network whose depthwise kernels are changed, and what it answers then."""

import contextlib
import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from kernel_atlas import __version__
from kernel_atlas.io.tables import whole
from kernel_atlas.training.networks import Images


class Answers(NamedTuple):
    """Which images are classified correctly, bool [images]; `reestimated` is None where nothing was estimated again."""

    kept: np.ndarray
    reestimated: np.ndarray | None


class Bench:
    """Answers of a network with other kernels. The network itself stays as it is.

    Parameters
    ----------
    net : nn.Module
        On the device to compute on.
    convolutions : mapping
        Name -> depthwise convolution.
    images : Images
        Normalised: those to answer, and those of the training set that statistics of batch norm are estimated on.
    batch : int
        Images at a time.

    Statistics are estimated as the plain mean over batches of training images in the mode that normalises by the
    batch; everything but batch norm stays as it is for evaluation.
    """

    def __init__(self, net: nn.Module, convolutions: Mapping[str, nn.Conv2d], images: Images, batch: int):
        self.net = net.eval()
        self.test, self.truth = images.test.split(batch), images.truth.split(batch)
        # in equal parts: batch norm cannot learn from a last one of a single image
        self.train = images.train.tensor_split(-(-len(images.train) // batch)) if len(images.train) else ()
        self.norms = [
            m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats
        ]
        self.statistics = [[buffer.clone() for buffer in norm.buffers()] for norm in self.norms]
        self.device = next(net.parameters()).device
        self.convolutions = dict(convolutions)
        self.weights = {name: module.weight.detach() for name, module in self.convolutions.items()}
        paths = {module: path for path, module in net.named_modules()}
        self.parameters = {name: f"{paths[module]}.weight" for name, module in self.convolutions.items()}

    @torch.inference_mode()
    def answer(self, draws: Sequence[Mapping[str, np.ndarray]], batches: int | None = None) -> Answers:
        """The answers with changed kernels.

        Parameters
        ----------
        draws : sequence of mapping
            Name of a layer -> its kernels, float array [channels, taps]; other layers are as they were. Of several
            draws, each has its share of the images: batch i is answered by draw i modulo their number.
        batches : int, optional
            The first so many; by default all.
        """
        estimates = bool(self.norms and self.train)
        kept = [None] * len(self.test[:batches])
        reestimated = kept.copy()
        for draw, changes in enumerate(draws):
            weights = self._weights(changes)
            mine = range(draw, len(kept), len(draws))
            for place in mine:
                kept[place] = self._right(place, weights)
            if estimates:
                self._reestimate(weights)
                for place in mine:
                    reestimated[place] = self._right(place, weights)
                self._load_statistics()
        return Answers(torch.cat(kept).cpu().numpy(), torch.cat(reestimated).cpu().numpy() if estimates else None)

    def recall(self, draws: Sequence[Mapping[str, np.ndarray]], batches: int | None, folder: str | Path) -> Answers:
        """As `answer`, from a file in a folder where it was asked the same before; there the answers are kept.

        The name of the file is a digest of all that answers depend on: network, images, device and changed kernels. A
        run that was interrupted goes on where it was, and one of other weights finds nothing.
        """
        asked = hashlib.sha256(f"{self._digest} {batches}".encode())
        for changes in draws:
            asked.update(b"draw")
            for name, new in changes.items():
                asked.update(name.encode() + np.ascontiguousarray(new).tobytes())
        path = Path(folder) / f"{asked.hexdigest()[:40]}.npy"
        with contextlib.suppress(OSError, ValueError, EOFError):  # missing, or cut short with the machine
            kept, *reestimated = np.load(path)
            return Answers(kept, reestimated[0] if reestimated else None)
        answers = self.answer(draws, batches)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as partial, partial.open("wb") as file:
            np.save(file, np.stack([kind for kind in answers if kind is not None]))
        return answers

    @functools.cached_property
    def _digest(self) -> str:
        """Of the network, the images in their batches, and what computes."""
        found = hashlib.sha256(f"{__version__} {torch.__version__} {self.device.type}".encode())
        for name, value in self.net.state_dict().items():
            found.update(f"{name} {tuple(value.shape)}".encode() + value.cpu().contiguous().numpy().tobytes())
        for images in (*self.test, *self.truth, *self.train):
            found.update(str(tuple(images.shape)).encode() + images.contiguous().numpy().tobytes())
        return found.hexdigest()

    def draws_of(self, draws: int, batches: int | None = None) -> np.ndarray:
        """Which of so many draws answers each image, int [images]."""
        return np.concatenate([np.full(len(part), place % draws) for place, part in enumerate(self.truth[:batches])])

    def _run(self, images: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        return functional_call(self.net, weights, (images.to(self.device),))

    def _right(self, place: int, weights: Mapping[str, Tensor]) -> Tensor:
        return self._run(self.test[place], weights).argmax(1) == self.truth[place].to(self.device)

    def _weights(self, changes: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        """The changed weights by the names of the network's parameters, laid out in memory as the unchanged ones."""
        return {
            self.parameters[name]: torch.empty_like(self.weights[name]).copy_(
                torch.from_numpy(new).view(self.weights[name].shape)
            )
            for name, new in changes.items()
        }

    def _load_statistics(self) -> None:
        for norm, kept in zip(self.norms, self.statistics, strict=True):
            for buffer, value in zip(norm.buffers(), kept, strict=True):
                buffer.copy_(value)

    def _reestimate(self, weights: Mapping[str, Tensor]) -> None:
        with self._estimating():
            for images in self.train:
                self._run(images, weights)

    @contextlib.contextmanager
    def _estimating(self) -> Iterator[None]:
        """Batch norm learns its statistics, from nothing; without momentum it takes the mean over batches."""
        momenta = [norm.momentum for norm in self.norms]
        for norm in self.norms:
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
        yield
        for norm, momentum in zip(self.norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
