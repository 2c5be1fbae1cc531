"""What a look of KernelMonitor costs beside a step of training, in one run.

    python benchmarks/monitor.py [--network NAME] [--batch 32] [--steps 10] [--device cpu]

Trains a timm network on noise with SGD, looks after each step, and prints the medians, their ratio, and the share of
the time that one look in a hundred steps takes.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import timm
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from kernel_atlas import KernelMonitor

EVERY = 100  # steps to a look
WARM = 2  # steps that are not counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="convnext_tiny")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.manual_seed(0)
    model = timm.create_model(given.network).to(given.device).train()
    monitor = KernelMonitor(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    images = torch.randn(given.batch, 3, 224, 224, device=given.device)
    answers = torch.randint(1000, (given.batch,), device=given.device)

    def train() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), answers).backward()
        optimizer.step()
        if given.device != "cpu":
            torch.cuda.synchronize()

    steps, looks = [], []
    for step in range(WARM + given.steps):
        for times, work in ((steps, train), (looks, lambda step=step: monitor.log(step))):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
    step, look = (float(np.median(times[WARM:])) for times in (steps, looks))
    print(monitor.log(WARM + given.steps))
    print(
        f"{given.network}, batch {given.batch}, {given.device}: a step {step:.3f} s, a look {look:.3f} s, ratio "
        f"{look / step:.2f}; a look every {EVERY} steps takes {look / (EVERY * step + look):.2%} of the time"
    )


if __name__ == "__main__":
    main()
