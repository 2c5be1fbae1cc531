"""How near discrete scale-space models come."""

import pandas as pd

WORDS = {"published": "the eight published master keys", "prototypes": "the prototypes"}


def find_scale_space(scale_space_summary: pd.DataFrame) -> list[str]:
    """How near discrete scale-space models come, beside noise."""
    said = []
    for size, part in scale_space_summary.groupby("size", sort=False):
        best = part.set_index("source")["best_cosine_median"]
        listed = [f"{best[source]:.3f} with {words}" for source, words in WORDS.items() if source in best.index]
        said.append(f"{' and '.join(listed)} at {size}, {best['noise']:.3f} with Gaussian noise")
    return [f"Discrete scale-space models have a median cosine of {'; '.join(said)}."] if said else []
