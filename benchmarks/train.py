"""How well training uses the device: against one large matrix product, and against a plain DataLoader loop.

    PYTHONPATH=. python benchmarks/train.py [--kernels 1000000] [--threads 2] [--rounds 5]

All three run in turn in one process, a few rounds; printed are medians and the median ratio of the rounds. On a GPU
where there is one.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.model import autoencoder

SIDE = 7


def flop_per_kernel() -> int:
    """Multiplications and additions of one training step: forward, and backward to weights and inputs."""
    weights = [layer.weight.numel() for layer in autoencoder.Autoencoder(SIDE**2).modules() if hasattr(layer, "weight")]
    return 6 * sum(weights) - 2 * weights[0]  # the kernels themselves need no gradient


def matmul_flops(device: str, size: int = 4096) -> float:
    a, b = torch.randn(2, size, size, device=device)
    a @ b
    return 2 * size**3 / timed(lambda: a @ b, device)


def timed(job, device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    job()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def dataloader_loop(kernels: np.ndarray, batch: int, device: str) -> None:
    """What most people would write first, with the same network, loss, optimiser and batch size."""
    model = autoencoder.Autoencoder(kernels.shape[1]).to(device)
    optimiser = torch.optim.Adam(model.parameters(), lr=autoencoder.LEARNING_RATE)
    for (part,) in DataLoader(TensorDataset(torch.from_numpy(kernels)), batch_size=batch, shuffle=True):
        loss = model(part.to(device))[1].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernels", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = autoencoder.choose_device(1)
    kernels = centre_and_normalise(np.random.default_rng(0).standard_normal((options.kernels, SIDE**2), np.float32))
    batch = autoencoder.batch_size(options.kernels)
    some = kernels[: max(batch, options.kernels // 10)]  # the loop's speed does not depend on how many there are

    steps = -(-options.kernels // batch)  # once over the kernels

    def ours() -> None:
        autoencoder.train(kernels, 0, 1, steps, device, report=lambda line: None)

    def one_round() -> tuple[float, float, float]:
        return (
            matmul_flops(device),
            options.kernels / timed(ours, device),
            len(some) / timed(lambda: dataloader_loop(some, batch, device), device),
        )

    one_round()  # warm-up
    rounds = [one_round() for _ in range(options.rounds)]
    matmul, speed, loop = (statistics.median(column) for column in zip(*rounds, strict=True))
    use = statistics.median(speed * flop_per_kernel() / matmul for matmul, speed, _ in rounds)
    gain = statistics.median(speed / loop for _, speed, loop in rounds)
    print(
        f"device {device}, {options.threads} threads, {options.kernels} kernels, batch {batch}, {options.rounds} rounds"
    )
    used = speed * flop_per_kernel()
    print(f"matmul {matmul / 1e9:.0f} GFLOP/s; training {speed:.0f} kernels/s, {used / 1e9:.0f} GFLOP/s")
    print(f"share of matmul's FLOP/s: {use:.2f}")
    print(f"plain DataLoader loop {loop:.0f} kernels/s; ratio {gain:.2f}")


if __name__ == "__main__":
    main()
