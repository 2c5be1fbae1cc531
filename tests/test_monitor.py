"""KernelMonitor: what a training loop logs of its kernels."""

import doctest

import numpy as np
import pytest
import torch

from kernel_atlas import AtlasError, KernelMonitor, label, monitor, templates


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = torch.nn.Conv2d(3, 40, 3)
        self.small = torch.nn.Conv2d(40, 40, 3, groups=40)
        self.large = torch.nn.Conv2d(40, 40, 7, groups=40)
        self.flat = torch.nn.Conv2d(40, 40, (1, 5), groups=40)


def test_the_example_of_the_documentation():
    result = doctest.testmod(monitor)
    assert result.attempted and not result.failed


def test_a_look_says_what_label_says_and_what_has_changed():
    network = Net()
    watch = KernelMonitor(network)
    first = watch.log(step=7)
    labels = {size: label(layer.weight)["label"] for size, layer in (("3x3", network.small), ("7x7", network.large))}
    assert first["step"] == 7 and {name.split("/")[0] for name in first} == {"step", "3x3", "7x7"}
    for size, there in labels.items():
        assert first[f"{size}/pattern_share"] == (there != "other").mean()
        assert np.isnan(first[f"{size}/changed"]) and first[f"{size}/dead"] == 0
    drawn = templates(7)
    pattern = torch.from_numpy(drawn.taps[drawn.labels.index("On-Centre")]).reshape(7, 7)
    with torch.no_grad():
        network.large.weight[:20] = pattern
        network.large.weight[20:25] = 0
        network.large.weight[25:] *= 3
    second = watch.log(step=8)
    assert second["7x7/most_frequent"] == "On-Centre" and second["7x7/dead"] == 5
    assert second["7x7/changed"] == 25 / 40 and second["3x3/changed"] == 0
    assert all(type(value) in (int, float, str) for value in second.values())


def test_half_precision_and_a_dead_layer():
    network = Net().to(torch.bfloat16)
    with torch.no_grad():
        network.small.weight.zero_()
    found = KernelMonitor(network).log(0)
    assert np.isnan(found["3x3/pattern_share"]) and found["3x3/most_frequent"] == "" and found["3x3/dead"] == 40


def test_a_network_without_kernels_to_watch_is_refused_in_one_line():
    with pytest.raises(AtlasError, match="Linear: no depthwise convolution with square kernels"):
        KernelMonitor(torch.nn.Linear(3, 3))
