"""Train the autoencoder of one kernel size: an MLP with a code of one number in (0, 1). `coder` uses the result.

Codes of more numbers are for comparison (`evidence.baselines`); `coder` does not take them.

The one-number code and the cosine loss are those of Babaiee et al. (ICLR 2024); the sigmoid is from their follow-up
code. Widths, optimiser and length are not published and are chosen here.
"""

import itertools
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from torch import Tensor, nn
from tqdm import tqdm

from kernel_atlas.core.errors import AtlasError
from kernel_atlas.io.tables import in_order, stamped, whole

WIDTHS = (256, 128, 64)
LEARNING_RATE = 2e-3
HELD_OUT = 0.1, 20_000  # share of the kernels, and their most, that choose the start and the stop
LOOK = 50  # steps between two looks at them
PATIENCE = 0.3  # of the steps without a better held-out loss
COLLAPSED = 1e-3  # standard deviation of the codes below which they are one code


class Autoencoder(nn.Module):
    """`taps -> 256 -> 128 -> 64 -> code` through a sigmoid, and the mirror image back.

    Parameters
    ----------
    taps : int
        Taps of a kernel, 49 for 7x7.
    code : int
        Numbers in the code.
    """

    def __init__(self, taps: int, code: int = 1):
        super().__init__()
        self.taps = taps
        self.encoder = _mlp(taps, *WIDTHS, code)
        self.decoder = _mlp(code, *reversed(WIDTHS), taps)

    def forward(self, kernels: Tensor) -> tuple[Tensor, Tensor]:
        """Codes [n] (or [n, code]) in (0, 1) and dissimilarities [n] (1 - cosine to the reconstruction) of kernels."""
        codes = torch.sigmoid(self.encoder(kernels))
        decoded = self.decoder(codes)
        decoded = decoded - decoded.mean(1, keepdim=True)
        cosine = (decoded * kernels).sum(1) / decoded.norm(dim=1).clamp_min(1e-8)
        return codes.squeeze(1), 1 - cosine


def _mlp(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])


def choose_device(gpus: int) -> str:
    """`cuda` where one was given and is there, else `cpu`."""
    return "cuda" if gpus and torch.cuda.is_available() else "cpu"


def batch_size(kernels: int) -> int:
    """A fiftieth of the kernels, from 256 (smaller batches are noise) to 8192 (larger ones gain nothing)."""
    return min(8192, max(256, 2 ** round(math.log2(max(1, kernels / 50)))))


def train(
    kernels: np.ndarray,
    seed: int,
    restarts: int,
    steps: int,
    device: str = "cpu",
    report: Callable[[str], None] = print,
    code: int = 1,
) -> tuple[Autoencoder, pd.DataFrame]:
    """Train from several random starts and keep the one with the lowest held-out loss.

    Parameters
    ----------
    kernels : float32 array [n, taps]
        Centred unit kernels.
    seed : int
        Start r is drawn with 1000 seed + r, so that two seeds share no start. The held-out kernels are drawn with seed.
    restarts : int
        Random starts. A start whose codes all end at one value has collapsed and never wins.
    steps : int
        Most steps of the optimiser in one start. Batches grow with the set, so that the passes over it hardly depend on
        its size.
    device : str
        `cpu` or `cuda`. The whole set is kept on it; if it runs out of memory, training begins again on the CPU.
    report : callable
        Receives lines of progress.
    code : int
        Numbers in the code.

    Returns
    -------
    Autoencoder
        On the CPU.
    DataFrame
        As history.parquet of schemas/tables.yaml, a row for each look at the held-out kernels.

    Raises
    ------
    AtlasError
        All starts collapsed.
    """
    try:
        return _train(kernels, seed, restarts, steps, device, report, code)
    except torch.OutOfMemoryError:
        if device == "cpu":
            raise
        report(f"{device} is out of memory: training on the CPU, which takes longer")
        return _train(kernels, seed, restarts, steps, "cpu", report, code)


def _train(
    kernels: np.ndarray, seed: int, restarts: int, steps: int, device: str, report: Callable[[str], None], code: int
) -> tuple[Autoencoder, pd.DataFrame]:
    torch.set_float32_matmul_precision("high")  # TF32 on a GPU; no effect on a CPU
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with it
    torch.use_deterministic_algorithms(True)
    # hold some kernels out
    order = np.random.default_rng(seed).permutation(len(kernels))
    share, most = HELD_OUT
    held_out_count = min(most, max(1, round(share * len(kernels))))
    held_out = torch.from_numpy(kernels[order[:held_out_count]]).to(device)
    training = torch.from_numpy(kernels[order[held_out_count:]]).to(device)

    # the bar is for a terminal; a log gets the lines of `report`
    bar = tqdm(total=restarts * steps, unit="step", leave=False, disable=None, file=sys.__stderr__)
    # train every start, keep the best that did not collapse
    best, histories = None, []
    for start in range(restarts):
        bar.set_description(f"{kernels.shape[1]} taps, start {start + 1} of {restarts}")
        bar.update(start * steps - bar.n)
        torch.manual_seed(1000 * seed + start)
        model = Autoencoder(kernels.shape[1], code).to(device)
        history = _train_once(model, training, held_out, steps, start, report, bar)
        histories.append(history.assign(start=start, seed=1000 * seed + start))
        loss = history["held_out_loss"].min()
        collapsed = history["collapsed"].iloc[-1]
        report(f"start {start}: held-out loss {loss:.4f}{', collapsed' if collapsed else ''}")
        if not collapsed and (best is None or loss < best[0]):
            best = loss, start, model
    bar.close()
    if best is None:
        raise AtlasError(
            f"autoencoder of {kernels.shape[1]} taps: all {restarts} starts collapsed to one code; "
            f"the {len(kernels)} kernels may be all alike: add models, or raise training.restarts"
        )
    history = pd.concat(histories, ignore_index=True)
    history["chosen"] = history["start"] == best[1]
    return best[2].cpu(), in_order(history, "history.parquet")


def _train_once(
    model: Autoencoder,
    training: Tensor,
    held_out: Tensor,
    steps: int,
    start: int,
    report: Callable[[str], None],
    bar: tqdm,
) -> pd.DataFrame:
    optimiser = torch.optim.Adam(model.parameters(), fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    batches = _batches(len(training), batch_size(len(training)), training.device)
    best_loss, best_state, best_step, rows, reported = math.inf, None, 0, [], time.monotonic()
    total = torch.zeros((), device=training.device)  # read at each look only: each reading stalls a GPU
    for step in range(1, steps + 1):
        loss = model(training[next(batches)])[1].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        total += loss.detach()
        if step % LOOK and step < steps:
            continue
        with torch.no_grad():
            codes, dissimilarity = model(held_out)
        held_out_loss, spread = dissimilarity.mean().item(), codes.std(0, correction=0).max().item()
        collapsed = spread < COLLAPSED
        rows.append((step, total.item() / ((step - 1) % LOOK + 1), held_out_loss, spread, collapsed))
        total.zero_()
        if held_out_loss < best_loss:
            best_loss, best_step = held_out_loss, step
            best_state = {name: value.clone() for name, value in model.state_dict().items()}
        bar.update(start * steps + step - bar.n)
        if time.monotonic() - reported > 5 or step == steps:
            reported = time.monotonic()
            state = f"held-out loss {held_out_loss:.4f}, spread of codes {spread:.3f}"
            report(f"start {start}: step {step}/{steps}, {state}")
        if step > 0.15 * steps and (collapsed or step - best_step > PATIENCE * steps):
            break
    model.load_state_dict(best_state)
    return pd.DataFrame(rows, columns=["step", "loss", "held_out_loss", "code_std", "collapsed"])


def _batches(kernels: int, batch: int, device: torch.device) -> Iterator[Tensor]:
    """Indices of random batches; every kernel comes once before any comes again."""
    while True:
        yield from torch.randperm(kernels, device=device).split(batch)


def save(tensors: dict[str, Tensor], path: str | Path, **metadata: object) -> None:
    """Write encoder and decoder, the `state_dict()` of an `Autoencoder`, as safetensors.

    `metadata` and versions are JSON in a single entry, `kernel_atlas`: safetensors writes several entries in an order
    that changes from call to call, and equal nets must give equal files.
    """
    content = safetensors.torch.save(tensors, {"kernel_atlas": json.dumps(stamped(metadata))})
    with whole(path) as partial:
        partial.write_bytes(content)
