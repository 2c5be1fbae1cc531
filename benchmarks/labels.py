"""The reference patterns beside the autoencoders on networks that neither saw: coverage, and coverage at equal null.

    python benchmarks/labels.py RESULTS [STEPS]

RESULTS is the folder of a run (`snakemake patterns` is enough). In each of five folds of its networks all are made from
the other folds. Prints the means over folds and writes RESULTS/patterns/labels.csv; then trains the autoencoder of
kernels in one pose from five seeds on all networks, and prints the range of its in-sample share.
"""

import contextlib
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from kernel_atlas.core.kernels import size_name
from kernel_atlas.core.patterns import threshold_of
from kernel_atlas.evidence import held_out, patterns

SEED = 0
SEEDS = 5
FITTED = ("codebook", "autoencoder", "posed")


def fit(method: str, units: np.ndarray, steps: int, seed: int) -> held_out.Judge:
    """A method of `held_out` without its lines of progress."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        return held_out.METHODS[method](units, steps, seed)


def main() -> None:
    torch.set_num_threads(1)
    results, steps = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3000
    samples = patterns.draw_samples(patterns.read_kernels(sorted((results / "kernels").iterdir())), SEED)
    thresholds = {size_name(side): threshold_of(side) for side in samples}
    folds = {
        side: np.random.default_rng([SEED, side]).permutation(one.network.max() + 1) for side, one in samples.items()
    }
    rows = []
    for fold in range(patterns.FOLDS):
        out = {side: numbers[fold :: patterns.FOLDS] for side, numbers in folds.items()}
        others = {side: np.setdiff1d(folds[side], out[side]) for side in samples}
        table = patterns.choose(samples, others, thresholds)
        for side, one in samples.items():
            limit = 1 - thresholds[size_name(side)]
            about = {"fold": fold + 1, "size": size_name(side), "networks": len(out[side])}
            rows.append(about | {"method": "patterns", **patterns.measure(table, one, out[side], limit, SEED)})
            kernels = one.units[np.isin(one.network, others[side])]
            for method in FITTED:
                judge = fit(method, kernels, steps, SEED)
                found = patterns.measure_cosines(
                    lambda units, judge=judge: 1 - judge(units), one, out[side], limit, SEED
                )
                rows.append(about | {"method": method, **found})
            print(pd.DataFrame(rows[-1 - len(FITTED) :]).to_string(index=False, header=False), flush=True)
    found = pd.DataFrame(rows)
    (results / "patterns").mkdir(exist_ok=True)
    found.to_csv(results / "patterns/labels.csv", index=False)
    print(found.drop(columns=["fold", "networks"]).groupby(["size", "method"]).mean().round(4).to_string(), flush=True)
    for side, one in samples.items():
        near = [
            (fit("posed", one.units, steps, seed)(one.units) < thresholds[size_name(side)]) for seed in range(SEEDS)
        ]
        shares = [100 * each @ one.weights(range(one.network.max() + 1)) for each in near]
        print(
            f"{size_name(side)} in one pose, in-sample, {SEEDS} seeds: {min(shares):.1f} to {max(shares):.1f} %",
            flush=True,
        )


if __name__ == "__main__":
    main()
