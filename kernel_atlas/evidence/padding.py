"""Offsets of kernels, and the hypothesis that padding displaces them (Square as a displaced Centre).

With stride 2 a kernel stands for a cell of 2 x 2 inputs. Its middle tap lies on the upper left input with symmetric
padding (PyTorch), on the lower right with TensorFlow's SAME on even inputs (odd zero right and below). A pattern
centred on the cell is half a tap off along either axis: right and down with symmetric padding, left and up with SAME.
With stride 1 both paddings are symmetric: no offset.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
import pyarrow as pa

from kernel_atlas.core.kernels import centre_and_normalise, taps_array
from kernel_atlas.core.patterns import family_of
from kernel_atlas.evidence.kernels import SUBJECTS
from kernel_atlas.io.tables import in_order
from kernel_atlas.stats.resampling import bootstrap_share, seed_of

# expected direction of the offset with stride 2, unit vector (x right, y up)
PUSH = {"symmetric": np.array([1, -1]) / np.sqrt(2), "same": np.array([-1, 1]) / np.sqrt(2)}
SHUFFLES = 200


def answer(size: str, picked: pa.Table, padding: Mapping[str, str | None], seed: int) -> dict[str, pd.DataFrame]:
    """Centre of energy of the kernels of one size, by label, stride and padding.

    Parameters
    ----------
    size : str
    picked : pyarrow.Table
        From `pick_kernels`.
    padding : mapping
        Model -> `symmetric`, `same`, or None if unknown; for layers whose padding the inventory does not know.
    seed : int

    Returns
    -------
    dict of DataFrame
        offsets, padding.
    """
    kernels = tabulate_offsets(picked, padding).assign(size=size)
    return {"offsets": summarise_offsets(kernels, seed), "padding": examine_padding(kernels, seed)}


def centre_of_energy(unit: np.ndarray) -> np.ndarray:
    """Centroid of a kernel's taps, weighted by the squared deviation from the median.

    The median estimates the background. Deviations from the mean would give the background weight and bias the centroid
    to the middle: by a fifth for a dot of sigma 0.8 in 7 x 7 taps, by half with absolute deviations.

    Parameters
    ----------
    unit : float array [n, side * side]
        Centred unit kernels; the centroid of a zero kernel is the middle.

    Returns
    -------
    float64 array [n, 2]
        x (to the right) and y (up) in taps, from the middle of the kernel.
    """
    side = round(unit.shape[1] ** 0.5)
    place = np.arange(side) - (side - 1) / 2
    energy = (unit - np.median(unit, axis=1, keepdims=True)).astype(np.float64) ** 2
    energy = (energy / np.maximum(energy.sum(axis=1, keepdims=True), 1e-12)).reshape(-1, side, side)
    return np.stack([energy.sum(axis=1) @ place, -(energy.sum(axis=2) @ place)], axis=1)


def style_of(padding: str | None) -> str | None:
    """The style of a layer's padding as the inventory has it (`same`, `2 2 2 2`); None if it is unknown or neither.

    `same` is TensorFlow's: of an odd number of rows the last is at the bottom, of columns at the right.
    """
    if padding in (None, "same"):
        return padding
    if padding == "valid":
        return None
    top, left, bottom, right = map(int, padding.split())
    if (top, left) == (bottom, right):
        return "symmetric"
    return "same" if {bottom - top, right - left} <= {0, 1} else None


def tabulate_offsets(picked: pa.Table, padding: Mapping[str, str | None]) -> pd.DataFrame:
    """One row per picked kernel: subject, model, label, family, stride, padding; dx, dy, length in taps."""
    taps = taps_array(picked["weight"])
    table = picked.select(["subject", "model", "layer_index", "label", "stride"]).to_pandas()
    table[["dx", "dy"]] = offsets = centre_of_energy(centre_and_normalise(taps))
    known = picked["padding"].to_pylist()
    return table.assign(
        family=table["label"].map(family_of),
        stride=table["stride"].map(lambda stride: "unknown" if np.isnan(stride) else f"{stride:.0f}"),
        padding=[
            style_of(layer) or padding.get(model) or "unknown"
            for layer, model in zip(known, table["model"], strict=True)
        ],
        length=np.linalg.norm(offsets, axis=1),
    )


def summarise_offsets(kernels: pd.DataFrame, seed: int) -> pd.DataFrame:
    """offsets.csv: mean offsets by label, and by family, stride and padding.

    Rows of a single label cover all strides and paddings. `chance` shuffles labels within models, stride and padding.

    Parameters
    ----------
    kernels : DataFrame
        From `tabulate_offsets`, with `size`.
    seed : int
    """
    rows = []
    for subject in SUBJECTS:
        mine = kernels[kernels["subject"] == subject]
        for name, stride, padding, part in _parts(mine):
            where = part["size"].iloc[0], subject, name, stride, padding
            units = part.groupby("model")[["dx", "dy", "length"]].sum()
            whole = part.groupby("model").size()
            low, high = bootstrap_share(units.to_numpy(), whole.to_numpy(), seed_of(seed, *where))
            mean = units.sum().to_numpy() / whole.sum()
            beside = mine
            beside = beside if stride == "all" else beside[beside["stride"] == stride]
            beside = beside if padding == "all" else beside[beside["padding"] == padding]
            chance = (
                (np.nan, np.nan) if name == "all" else _shuffled_length(part, beside, seed_of(seed, *where, "null"))
            )
            row = dict(zip(("size", "subject", "label", "stride", "padding"), where, strict=True))
            row |= {"models": len(whole), "kernels": len(part), "chance": chance[0], "chance_high": chance[1]}
            for n, column in enumerate(units):
                row |= {column: mean[n], f"{column}_low": low[n], f"{column}_high": high[n]}
            row["direction"] = np.degrees(np.arctan2(mean[1], mean[0])) % 360
            rows.append(row | {"shift": np.hypot(*mean[:2])})
    return in_order(pd.DataFrame(rows), "offsets.csv")


def _parts(kernels: pd.DataFrame) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """Label or family, stride, padding, and their kernels."""
    for label, part in kernels.groupby("label"):
        if label != family_of(label):
            yield label, "all", "all", part
    by = [name for name in ("stride", "padding") if kernels[name].nunique() > 1]
    for name, family in [("all", kernels), *kernels.groupby("family")] if len(kernels) else ():
        yield name, "all", "all", family
        for columns in ([[column] for column in by] + [by]) if len(by) > 1 else [by] if by else ():
            for values, part in family.groupby(columns):
                known = dict(zip(columns, values, strict=True))
                yield name, known.get("stride", "all"), known.get("padding", "all"), part


def _shuffled_length(part: pd.DataFrame, beside: pd.DataFrame, seed: list[int]) -> tuple[float, float]:
    """Mean and 95 % quantile of the mean length under labels shuffled within each model."""
    random = np.random.default_rng(seed)
    of_model = dict(list(beside.groupby("model")["length"]))
    sums = np.zeros(SHUFFLES)
    for model, count in part.groupby("model").size().items():
        lengths = of_model[model].to_numpy()
        # normal approximation of the sum of `count` lengths drawn without replacement
        rest = (len(lengths) - count) / max(len(lengths) - 1, 1)
        sums += random.normal(count * lengths.mean(), np.sqrt(count * rest) * lengths.std(), SHUFFLES)
    return float(sums.mean() / len(part)), float(np.quantile(sums / len(part), 0.95))


def examine_padding(kernels: pd.DataFrame, seed: int) -> pd.DataFrame:
    """padding.csv: tests of the hypothesis that padding displaces Centre to Square.

    Parameters
    ----------
    kernels : DataFrame
        From `tabulate_offsets`, with `size`.
    seed : int

    Returns
    -------
    DataFrame
        Tests with the expected values under the hypothesis:

        - `square - centre`: difference of the mean offset lengths, mean over networks with both: > 0;
        - `square`, `centre`: mean offset lengths;
        - `push KIND, stride S, PADDING`: mean offset along `PUSH` of Square, Centre, either, or all kernels: > 0 for
          stride 2, 0 for stride 1. Square is biased to the side of its prototype; `either` and `all` are not;
        - `square share, stride S`: share of Square among Square and Centre kernels: higher for stride 2.
    """
    real = kernels[kernels["subject"] == "real"].copy()
    if real.empty:
        return in_order(pd.DataFrame(), "padding.csv")
    size = real["size"].iloc[0]
    kind = real["family"].str.extract("(Square|Centre)$")[0].str.lower()
    rows = []

    def add(test: str, part: pd.DataFrame, values: pd.Series, expected: str) -> None:
        """Mean over kernels of the values, bootstrapped over models."""
        if len(part):
            units = values.groupby(part["model"]).agg(["sum", "size"]).to_numpy(np.float64)
            add_row(test, units, len(part), units[:, 0].sum() / units[:, 1].sum(), expected)

    def add_row(test: str, units: np.ndarray, kernels: int, value: float, expected: str) -> None:
        low, high = bootstrap_share(units[:, 0], units[:, 1], seed_of(seed, size, test))
        row = {"size": size, "test": test, "models": len(units), "kernels": kernels, "value": value, "low": low}
        rows.append(row | {"high": high, "expected": expected})

    # lengths
    pair = real.groupby(["model", kind])["length"].mean().unstack().reindex(columns=["square", "centre"]).dropna()
    if len(pair):
        change = pair["square"] - pair["centre"]
        both = kind.notna() & real["model"].isin(pair.index)
        units = np.column_stack([change, np.ones(len(pair))])
        add_row("square - centre", units, both.sum(), change.mean(), "> 0")
    for name in ("square", "centre"):
        add(name, real[kind == name], real.loc[kind == name, "length"], "")
    # offsets along the expected direction
    groups = {
        "square": kind == "square",
        "centre": kind == "centre",
        "either": kind.notna(),
        "all": np.ones(len(kind), bool),
    }
    for name, chosen in groups.items():
        for (stride, padding), part in real[chosen].groupby(["stride", "padding"]):
            if padding in PUSH:
                along = part[["dx", "dy"]] @ PUSH[padding]
                expected = {"1": "0", "2": "> 0"}.get(stride, "> 0 if some have stride 2")
                add(f"push {name}, stride {stride}, {padding}", part, along, expected)
    # share of Square
    for stride, part in real[kind.notna()].groupby("stride"):
        if stride != "unknown":
            is_square = (kind[part.index] == "square").astype(float)
            add(f"square share, stride {stride}", part, is_square, "higher for stride 2" if stride == "2" else "")
    return in_order(pd.DataFrame(rows), "padding.csv")
