"""How near discrete scale-space models come."""

import pandas as pd


def find_scale_space(scale_space_summary: pd.DataFrame) -> list[str]:
    """How near discrete scale-space models come, beside noise."""
    rows = scale_space_summary.set_index("source")
    words = {"published": "eight published master key filters", "prototypes": "prototypes"}
    if rows.empty:
        return []
    noise = rows.loc["noise"]
    return [
        f"The best discrete scale-space models of the {words[source]} have a median absolute cosine of "
        f"{row.best_cosine_median:.3f} with them (from {row.best_cosine_low:.3f} to {row.best_cosine_high:.3f}), of "
        f"Gaussian noise {noise.best_cosine_median:.3f} (from {noise.best_cosine_low:.3f} to "
        f"{noise.best_cosine_high:.3f})."
        for source, row in rows.drop(index="noise").iterrows()
    ]
