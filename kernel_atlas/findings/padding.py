"""Does padding displace kernels?"""

import pandas as pd

from kernel_atlas.core.words import joined, percent

VALUE = ["value", "low", "high"]


def find_offsets(padding: pd.DataFrame) -> list[str]:
    """Whether Squares lie off the middle, and where padding would push them."""
    known = padding.dropna(subset=["low"])
    said = []
    rows = known[known["test"] == "square - centre"]
    listed = [f"{_taps(row)} at {row['size']}" for _, row in rows.iterrows()]
    if listed:
        said.append(
            f"Energy of Square kernels lies farther from the middle than that of Centre kernels, by taps: "
            f"{', '.join(listed)}."
        )
    pushes = known[known["test"].str.startswith("push all, stride 2")]
    listed = [
        f"{_taps(row)} at {row['size']} with {'SAME' if row['test'].endswith('same') else 'symmetric'} padding"
        for _, row in pushes.iterrows()
    ]
    if listed:
        said.append(f"Towards where it would push them, kernels of stride two are off by taps: {', '.join(listed)}.")
    shares = known[known["test"].str.startswith("square share") & (known["value"] > 0)]
    for size, part in shares.groupby("size", sort=False):
        if len(part) > 1:
            listed = [
                f"{percent(*row[VALUE])} with {row['test'].split(', ')[1].replace(' ', '-')}"
                for _, row in part.iterrows()
            ]
            said.append(f"Of Square and Centre kernels at {size}, Square are {joined(listed)}.")
    return said


def _taps(row: pd.Series) -> str:
    """A length with its interval, in taps."""
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
