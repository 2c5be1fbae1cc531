"""The kernels of a network while it is trained."""

from typing import TYPE_CHECKING

import numpy as np

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.core.kernels import centre_and_normalise, is_dead, size_name
from kernel_atlas.core.patterns import read_patterns
from kernel_atlas.io.checkpoint import is_depthwise
from kernel_atlas.io.timm_layers import find_layers
from kernel_atlas.model.assign import Assigner

if TYPE_CHECKING:
    import torch


class KernelMonitor:
    """Labels the depthwise kernels of a network now and then, for a training loop's log.

    A look takes one copy of the kernels to the CPU and one product with the patterns; `benchmarks/monitor.py` measures
    it. It has no interval and no control, which `describe` has.

    Parameters
    ----------
    model : torch.nn.Module
        On any device. Its convolutions are looked up once, their weights at every look.

    Raises
    ------
    AtlasError
        It has no depthwise convolution with square kernels.

    Examples
    --------
    >>> import torch
    >>> monitor = KernelMonitor(torch.nn.Conv2d(64, 64, 7, groups=64))
    >>> sorted(monitor.log(step=0))
    ['7x7/changed', '7x7/dead', '7x7/most_frequent', '7x7/pattern_share', 'step']
    """

    def __init__(self, model: "torch.nn.Module"):
        self._modules: dict[int, list[torch.nn.Conv2d]] = {}
        self._assigner = Assigner(read_patterns(), {})
        for known, module in find_layers(model, is_depthwise):
            *_, height, width = known.shape
            if height == width and self._assigner.knows(height):
                self._modules.setdefault(height, []).append(module)
        if not self._modules:
            raise AtlasError(f"{type(model).__name__}: no depthwise convolution with square kernels to watch")
        self._last: dict[int, np.ndarray] = {}

    def log(self, step: int) -> dict[str, int | float | str]:
        """Look at the kernels.

        Parameters
        ----------
        step : int
            Of the training; it comes back.

        Returns
        -------
        dict
            step, and for each size, such as `7x7/pattern_share`: pattern_share (of live kernels), most_frequent (the
            commonest label but `other`, empty without one), dead (kernels), and changed (share of all kernels with
            another label than at the last look; NaN at the first).
        """
        found: dict[str, int | float | str] = {"step": step}
        for side, modules in self._modules.items():
            labels = self._label(modules, side)
            live = labels[labels != "dead"]
            names, counts = np.unique(live[live != "other"].astype(str), return_counts=True)
            last = self._last.get(side)
            entry = {
                "pattern_share": float((live != "other").mean()) if len(live) else np.nan,
                "most_frequent": str(names[counts.argmax()]) if len(names) else "",
                "dead": len(labels) - len(live),
                "changed": np.nan if last is None else float((labels != last).mean()),
            }
            self._last[side] = labels
            found |= {f"{size_name(side)}/{name}": value for name, value in entry.items()}
        return found

    def _label(self, modules: "list[torch.nn.Conv2d]", side: int) -> np.ndarray:
        """The label of each kernel of some layers."""
        import torch

        weights = [module.weight.detach().reshape(-1, side * side).float() for module in modules]
        kernels = torch.cat(weights).cpu().numpy()
        labels = np.full(len(kernels), "dead", object)
        live = ~is_dead(kernels)
        if live.any():
            labels[live] = self._assigner.label(centre_and_normalise(kernels[live]))["label"]
        return labels
