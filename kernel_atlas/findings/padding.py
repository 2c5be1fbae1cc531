"""Does padding displace kernels?"""

import pandas as pd

from kernel_atlas.core.words import percent

VALUE = ["value", "low", "high"]
PUSHED = {"square": "of Square", "either": "of Square or Centre", "all": "of all kernels"}  # in tests of padding


def find_offsets(padding: pd.DataFrame) -> list[str]:
    """The hypothesis of padding, as far as the rows of one size can say."""
    tests = padding.dropna(subset=["low"]).set_index("test")
    words = []
    if "square - centre" in tests.index:
        row = tests.loc["square - centre"]
        words.append(
            f"The centre of energy of Square kernels lies {_taps(row)} taps farther from the middle than that of "
            f"Centre kernels, on average over {row['models']} networks with both."
        )
    pushes = tests[tests.index.str.startswith("push ")]
    parts = pushes.index.str.extract("push (?P<kind>[a-z]+), stride (?P<stride>.+), (?P<style>.+)").set_index(
        pushes.index
    )
    for (stride, style), part in parts.groupby(["stride", "style"]):
        said = [
            f"{_taps(pushes.loc[test])} {PUSHED[kind]} in {pushes.loc[test, 'models']} networks"
            for kind, test in zip(part["kind"], part.index, strict=True)
            if kind in PUSHED
        ]
        words.append(
            f"With {'SAME' if style == 'same' else 'symmetric'} padding and "
            f"{'unknown strides' if stride == 'unknown' else f'stride-{stride}'}, kernels are off their middle by so "
            f"many taps towards where stride-2 would push them: {', '.join(said)}."
        )
    share = tests[tests.index.str.startswith("square share")]
    if len(share) > 1 and share["value"].any():
        parts = (
            f"{percent(*row[VALUE])} with {test.split(', ')[1].replace(' ', '-')}" for test, row in share.iterrows()
        )
        words.append(f"Of Square and Centre kernels, Square are {', '.join(parts)}.")
    return words


def _taps(row: pd.Series) -> str:
    """A length with its interval, in taps."""
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
