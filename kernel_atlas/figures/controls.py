"""Shares of real kernels and of controls that are near what the autoencoders make of them."""

import pandas as pd

from kernel_atlas.core.vocabulary import KINDS
from kernel_atlas.figures import style
from kernel_atlas.figures.write import Drawing, draw_nothing

LOOKS = {
    "main": ("the autoencoder of this run", style.COLOURS[0], "o"),
    "posed": ("the same of kernels in one pose", style.COLOURS[1], "s"),
    "own": ("one trained on such kernels", style.COLOURS[2], "D"),
}


def draw(controls: pd.DataFrame) -> Drawing:
    """A row a kind of kernels, a panel a size."""
    rows = {kind: words for kind, words in KINDS.items() if (controls["control"] == kind).any()}
    if not rows:
        return draw_nothing("Controls", "no kernels were compared with controls")
    figure, panels = style.open_panels(style.sizes_of(controls), 0.75 + 0.3 * len(rows), sharex=True, sharey=True)
    table = controls.rename(columns={"control": "row", "encoder": "kind", "clustered_share": "value"})
    for size, axes in panels.items():
        style.draw_points(axes, table[table["size"] == size], rows, LOOKS)
        style.share_axis(axes, "share clustered")
    style.add_legend(figure, style.points_legend(LOOKS))
    caption = (
        "Share of kernels that are clustered, that is near what an autoencoder draws of their code, with 95 % "
        "intervals. An autoencoder that imposed structure would cluster the controls as well. The one trained on "
        "such kernels is judged on layers that it did not see."
    )
    alt = "Dots of the share of real kernels and of each control that is clustered, a panel for each size."
    return Drawing(figure, controls, "Real kernels against controls", caption, alt)
