"""Train the autoencoder of one kernel size: an MLP with a code of one number in (0, 1). Using the result is `codes`.

The one-number code and the cosine loss are those of Babaiee et al. (ICLR 2024); the sigmoid is from their follow-up
code. Widths, optimiser and length are not published and are chosen here.
"""

import itertools
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from kernel_atlas.errors import AtlasError

WIDTHS = (256, 128, 64)
LEARNING_RATE = 2e-3
HELD_OUT = 0.1  # of the kernels, to choose the restart and to stop
PATIENCE = 30  # epochs without a better held-out loss
COLLAPSED = 1e-3  # standard deviation of the codes below which they all say the same


class Autoencoder(nn.Module):
    """`taps -> 256 -> 128 -> 64 -> 1` through a sigmoid, and the mirror image back.

    Parameters
    ----------
    taps : int
        Taps of a kernel, 49 for 7x7.
    """

    def __init__(self, taps: int):
        super().__init__()
        self.taps = taps
        self.encoder = _mlp(taps, *WIDTHS, 1)
        self.decoder = _mlp(1, *reversed(WIDTHS), taps)

    def forward(self, kernels: Tensor) -> tuple[Tensor, Tensor]:
        """Codes [n] in (0, 1) and dissimilarities [n] (1 - cosine to the reconstruction) of unit kernels [n, taps]."""
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
    """About fifty steps an epoch, in batches from 256 (small sets need the steps) to 8192 (GPUs need the work)."""
    return min(8192, max(256, 2 ** round(math.log2(max(1, kernels / 50)))))


def train(
    kernels: np.ndarray,
    seed: int,
    restarts: int,
    epochs: int,
    kernels_seen: int,
    device: str = "cpu",
    report: Callable[[str], None] = print,
) -> tuple[Autoencoder, pd.DataFrame]:
    """Train from several random starts and keep the one with the lowest held-out loss.

    Parameters
    ----------
    kernels : float32 array [n, taps]
        Centred unit kernels.
    seed : int
        Start r is drawn with seed + r; the held-out kernels with seed.
    restarts : int
        Random starts. A start whose codes all end at one value has collapsed and never wins.
    epochs, kernels_seen : int
        One start stops after so many epochs, or once it has seen so many kernels, whichever comes first.
    device : str
        `cpu` or `cuda`. The whole set is kept there.
    report : callable
        Receives lines of progress.

    Returns
    -------
    Autoencoder
        On the CPU.
    DataFrame
        start, seed, epoch, loss, held_out_loss, code_std, collapsed, chosen.

    Raises
    ------
    AtlasError
        All starts collapsed.
    """
    torch.set_float32_matmul_precision("high")  # TF32 on a GPU; no effect on a CPU
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with it
    torch.use_deterministic_algorithms(True)
    order = np.random.default_rng(seed).permutation(len(kernels))
    held_out_count = max(1, round(HELD_OUT * len(kernels)))
    held_out = torch.from_numpy(kernels[order[:held_out_count]]).to(device)
    training = torch.from_numpy(kernels[order[held_out_count:]]).to(device)
    epochs = max(1, min(epochs, math.ceil(kernels_seen / len(training))))

    # for whoever watches a terminal; where there is none, `report` has to do
    bar = tqdm(total=restarts * epochs, unit="epoch", leave=False, disable=None, file=sys.__stderr__)
    best, histories = None, []
    for start in range(restarts):
        bar.set_description(f"{kernels.shape[1]} taps, start {start + 1} of {restarts}")
        bar.update(start * epochs - bar.n)
        model, history = _train_once(training, held_out, seed + start, epochs, start, report, bar)
        histories.append(history.assign(start=start, seed=seed + start))
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
    return best[2].cpu(), history


def _train_once(
    training: Tensor, held_out: Tensor, seed: int, epochs: int, start: int, report: Callable[[str], None], bar: tqdm
) -> tuple[Autoencoder, pd.DataFrame]:
    torch.manual_seed(seed)
    model = Autoencoder(training.shape[1]).to(training.device)
    optimiser = torch.optim.Adam(model.parameters(), fused=True)
    batch = batch_size(len(training))
    steps = epochs * math.ceil(len(training) / batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    best_loss, best_state, best_epoch, rows, reported = math.inf, None, 0, [], time.monotonic()
    for epoch in range(epochs):
        total = torch.zeros((), device=training.device)  # stays there: reading it each step would stall a GPU
        for index in torch.randperm(len(training), device=training.device).split(batch):
            _, dissimilarity = model(training[index])
            loss = dissimilarity.mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.detach() * len(index)
        with torch.no_grad():
            codes, dissimilarity = model(held_out)
        held_out_loss, spread = dissimilarity.mean().item(), codes.std(correction=0).item()
        collapsed = spread < COLLAPSED
        rows.append((epoch, total.item() / len(training), held_out_loss, spread, collapsed))
        if held_out_loss < best_loss:
            best_loss, best_epoch = held_out_loss, epoch
            best_state = {name: value.clone() for name, value in model.state_dict().items()}
        bar.update()
        if time.monotonic() - reported > 5 or epoch + 1 == epochs:
            reported = time.monotonic()
            state = f"held-out loss {held_out_loss:.4f}, spread of codes {spread:.3f}"
            report(f"start {start}: epoch {epoch + 1}/{epochs}, {state}")
        warmed_up = epoch > 0.15 * epochs
        if warmed_up and (collapsed or epoch - best_epoch >= PATIENCE):
            break
    model.load_state_dict(best_state)
    return model, pd.DataFrame(rows, columns=["epoch", "loss", "held_out_loss", "code_std", "collapsed"])


def save(model: Autoencoder, path: str | Path, **metadata: object) -> None:
    """Write the weights, encoder and decoder, as safetensors; metadata values become strings."""
    partial = f"{path}.partial"
    save_file(model.state_dict(), partial, {name: str(value) for name, value in metadata.items()})
    os.replace(partial, path)
