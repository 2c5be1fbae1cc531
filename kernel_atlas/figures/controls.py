"""Shares of real kernels and of controls that are near what the autoencoders make of them."""

import pandas as pd

from kernel_atlas.core.vocabulary import KINDS
from kernel_atlas.figures.style import (
    COLOURS,
    add_legend,
    draw_points,
    open_panels,
    points_legend,
    share_axis,
    sizes_of,
)
from kernel_atlas.figures.write import Drawing, draw_nothing

ENCODERS = {
    "main": "the autoencoder of this run",
    "posed": "the same of kernels in one pose",
    "own": "one trained on such kernels",
}
LOOKS = dict(zip(ENCODERS.values(), zip(COLOURS, "osD", strict=False), strict=True))


def draw(controls: pd.DataFrame) -> Drawing:
    """A row a kind of kernels, a panel a size."""
    kinds = [kind for kind in KINDS if (controls["control"] == kind).any()]
    if not kinds:
        return draw_nothing("Controls", "no kernels were compared with controls")
    figure, panels = open_panels(sizes_of(controls), 0.75 + 0.3 * len(kinds), sharex=True, sharey=True)
    table = controls.assign(
        row=controls["control"].map(KINDS), kind=controls["encoder"].map(ENCODERS), value=controls["clustered_share"]
    )
    for size, axes in panels.items():
        draw_points(axes, table[table["size"] == size], [KINDS[kind] for kind in kinds], LOOKS)
        share_axis(axes, "share clustered")
    add_legend(figure, points_legend(LOOKS))
    caption = (
        "Share of kernels that are clustered, that is near what an autoencoder draws of their code, with 95 % "
        "intervals. An autoencoder that imposed structure would cluster the controls as well. The one trained on "
        "such kernels is judged on layers that it did not see."
    )
    alt = "Dots of the share of real kernels and of each control that is clustered, a panel for each size."
    return Drawing(figure, controls, "Real kernels against controls", caption, alt)
