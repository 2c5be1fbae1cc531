"""How many kernels a formula explains, beside controls."""

import pandas as pd

from kernel_atlas.core.vocabulary import FITTED, KINDS
from kernel_atlas.figures.style import (
    COLOURS,
    INK,
    MARKS,
    add_legend,
    draw_points,
    open_panels,
    points_legend,
    share_axis,
    sizes_of,
)
from kernel_atlas.figures.write import Drawing, draw_nothing

FAMILIES = {"all": "any formula"} | {family: name for family, (name, *_) in FITTED.items()}
LOOKS = dict(zip(FAMILIES.values(), zip((INK, *COLOURS), MARKS, strict=False), strict=False))


def draw(fit_explained: pd.DataFrame) -> Drawing:
    """A row a kind of kernels, a panel a size."""
    kinds = [kind for kind in KINDS if (fit_explained["subject"] == kind).any()]
    if not kinds:
        return draw_nothing("Formulas", "no kernels were fitted")
    figure, panels = open_panels(sizes_of(fit_explained), 0.75 + 0.42 * len(kinds), sharex=True, sharey=True)
    table = fit_explained.assign(row=fit_explained["subject"].map(KINDS), kind=fit_explained["family"].map(FAMILIES))
    table = table.rename(columns={"explained_share": "value", "explained_low": "low", "explained_high": "high"})
    for size, axes in panels.items():
        draw_points(axes, table[table["size"] == size], [KINDS[kind] for kind in kinds], LOOKS, 0.7)
        share_axis(axes, "share explained")
    add_legend(figure, points_legend(LOOKS))
    caption = (
        "Share of kernels that a formula with fitted parameters explains, by the family that fits best, with 95 % "
        "intervals. More parameters fit more, so controls are fitted in the same way. A kernel is explained if its "
        "best cosine is above that of 99 % of Gaussian noise."
    )
    alt = "Dots of the share of kernels that formulas explain, a row for each kind of kernels, a panel for each size."
    return Drawing(figure, fit_explained, "Formulas", caption, alt)
