"""A network whose depthwise kernels are changed, and what it answers then."""

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from kernel_atlas.training.networks import Images

PREFIX_BYTES = 2**30  # of a network's inner maps, kept to save computing them again


class Answers(NamedTuple):
    """Which images are classified correctly, bool [images]; `reestimated` is None where nothing was estimated again."""

    kept: np.ndarray
    reestimated: np.ndarray | None


class Bench:
    """A network whose kernels are changed and whose answers are recorded, the network being as before afterwards.

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

    Attributes
    ----------
    convolutions : dict
        In the order in which the network begins to run them, which need not be that of its definition.

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
        begun = self._run_once()[0]
        self.convolutions = dict(sorted(convolutions.items(), key=lambda item: begun.get(item[1], np.inf)))
        self.weights = {name: module.weight.detach().clone() for name, module in self.convolutions.items()}
        self.prefix: dict[nn.Module, dict[tuple[str, int], Tensor]] = {}

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
        with self._given_back():
            for draw, changes in enumerate(draws):
                self._load(changes)
                mine = range(draw, len(kept), len(draws))
                for place in mine:
                    kept[place] = self._right(place, "kept")
                if estimates:
                    self._reestimate()
                    for place in mine:
                        reestimated[place] = self._right(place, "reestimated")
                    self._load_statistics()
            self._load({})
        return Answers(torch.cat(kept).cpu().numpy(), torch.cat(reestimated).cpu().numpy() if estimates else None)

    def draws_of(self, draws: int, batches: int | None = None) -> np.ndarray:
        """Which of so many draws answers each image, int [images]."""
        return np.concatenate([np.full(len(part), place % draws) for place, part in enumerate(self.truth[:batches])])

    @torch.inference_mode()
    def start_at(self, layer: str | None, batches: int) -> None:
        """From now on compute only what can change: what comes after the beginning of `layer`.

        What the modules give that end before it is kept, for the first so many batches of images, if there is room.
        Changes of earlier layers are then not to be asked for. None forgets it all.
        """
        self.prefix = {}
        if layer is None:
            return
        self._load({})
        done = self._ended_before(self.convolutions[layer])
        example = {module: {} for module in done}
        with self._recorded(example, ("example", 0)):
            self.net(self.test[0].to(self.device))
        passes = 2 * batches + len(self.train)
        if sum(kept.nbytes for module in example.values() for kept in module.values()) * passes > PREFIX_BYTES:
            return
        prefix = {module: {} for module in done}
        for place in range(batches):
            with self._recorded(prefix, ("kept", place)):
                self.net(self.test[place].to(self.device))
        if self.norms and self.train:
            with self._estimating():
                for place, images in enumerate(self.train):
                    with self._recorded(prefix, ("train", place)):
                        self.net(images.to(self.device))
            for place in range(batches):
                with self._recorded(prefix, ("reestimated", place)):
                    self.net(self.test[place].to(self.device))
            self._load_statistics()
        self.prefix = prefix

    def _right(self, place: int, kind: str) -> Tensor:
        self.now = kind, place
        return self.net(self.test[place].to(self.device)).argmax(1) == self.truth[place].to(self.device)

    def _load(self, changes: Mapping[str, np.ndarray]) -> None:
        for name, module in self.convolutions.items():
            new = changes.get(name)
            weight = self.weights[name]
            module.weight.data.copy_(weight if new is None else torch.from_numpy(new).view(weight.shape))

    def _load_statistics(self) -> None:
        for norm, kept in zip(self.norms, self.statistics, strict=True):
            for buffer, value in zip(norm.buffers(), kept, strict=True):
                buffer.copy_(value)

    def _reestimate(self) -> None:
        with self._estimating():
            for place, images in enumerate(self.train):
                self.now = "train", place
                self.net(images.to(self.device))

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

    @torch.inference_mode()
    def _run_once(self) -> tuple[dict[nn.Module, int], dict[nn.Module, int], Counter]:
        """When each module first begins and last ends to give a tensor, by a clock, and how often it runs."""
        clock, begun, ended, runs = itertools.count(), {}, {}, Counter()

        def begin(module: nn.Module, given: tuple) -> None:
            runs[module] += 1
            begun.setdefault(module, next(clock))

        def end(module: nn.Module, given: tuple, output: object) -> None:
            if isinstance(output, Tensor):
                ended[module] = next(clock)

        hooks = [m.register_forward_pre_hook(begin) for m in self.net.modules()]
        hooks += [m.register_forward_hook(end) for m in self.net.modules()]
        self.net(self.test[0].to(self.device))
        for hook in hooks:
            hook.remove()
        return begun, ended, runs

    def _ended_before(self, convolution: nn.Module) -> list[nn.Module]:
        """The largest modules that give a tensor before a convolution first begins, and run once."""
        begun, ended, runs = self._run_once()
        start, done, inside = begun[convolution], [], set()
        for module in self.net.modules():  # parents first
            if module in inside or runs[module] != 1 or ended.get(module, start) >= start:
                continue
            done.append(module)
            inside.update(module.modules())
        return done

    @contextlib.contextmanager
    def _recorded(self, prefix: dict[nn.Module, dict], key: tuple[str, int]) -> Iterator[None]:
        """Keep what modules give; a copy, as the next may work in place."""

        def keep(module: nn.Module, given: tuple, output: Tensor) -> None:
            prefix[module][key] = output.clone()

        hooks = [module.register_forward_hook(keep) for module in prefix]
        yield
        for hook in hooks:
            hook.remove()

    @contextlib.contextmanager
    def _given_back(self) -> Iterator[None]:
        """The modules of the prefix give what was kept instead of computing it."""
        for module, kept in self.prefix.items():
            module.forward = lambda *given, kept=kept, **named: kept[self.now].clone()
        yield
        for module in self.prefix:
            del module.forward
