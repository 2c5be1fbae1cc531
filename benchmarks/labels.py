"""The reference patterns beside the autoencoder on networks that neither saw: coverage, and coverage at equal null.

    python benchmarks/labels.py RESULTS [STEPS]

RESULTS is the folder of a run (`snakemake patterns` is enough). In each of five folds of its networks both are made
from the other folds. Prints the means over folds and writes RESULTS/patterns/labels.csv.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from kernel_atlas.core.kernels import size_name
from kernel_atlas.core.patterns import threshold_of
from kernel_atlas.evidence import patterns
from kernel_atlas.model import autoencoder
from kernel_atlas.model.coder import Coder

SEED = 0


def cosines_of(coder: Coder) -> Callable[[np.ndarray], np.ndarray]:
    """Cosine of unit kernels to their reconstruction."""
    return lambda units: 1 - coder.reconstruct(units)[1]


def main() -> None:
    results, steps = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3000
    samples = patterns.draw_samples(patterns.read_kernels(sorted((results / "kernels").iterdir())), SEED)
    thresholds = {size_name(side): threshold_of(side) for side in samples}
    folds = {
        side: np.random.default_rng([SEED, side]).permutation(one.network.max() + 1) for side, one in samples.items()
    }
    rows = []
    for fold in range(patterns.FOLDS):
        held_out = {side: numbers[fold :: patterns.FOLDS] for side, numbers in folds.items()}
        others = {side: np.setdiff1d(folds[side], held_out[side]) for side in samples}
        table = patterns.choose(samples, others, thresholds)
        for side, one in samples.items():
            limit = 1 - thresholds[size_name(side)]
            kernels = one.units[np.isin(one.network, others[side])]
            model, _ = autoencoder.train(kernels, SEED, restarts=1, steps=steps, report=lambda line: None)
            coder = Coder(model.state_dict())
            by_coder = patterns.measure_cosines(cosines_of(coder), one, held_out[side], limit, SEED)
            about = {"fold": fold + 1, "size": size_name(side), "networks": len(held_out[side])}
            rows.append(about | {"method": "autoencoder", **by_coder})
            rows.append(about | {"method": "patterns", **patterns.measure(table, one, held_out[side], limit, SEED)})
            print(pd.DataFrame(rows[-2:]).to_string(index=False, header=False), flush=True)
    found = pd.DataFrame(rows)
    found.to_csv(results / "patterns/labels.csv", index=False)
    print(found.drop(columns=["fold", "networks"]).groupby(["size", "method"]).mean().round(4).to_string())


if __name__ == "__main__":
    main()
