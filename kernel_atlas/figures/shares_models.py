"""Shares with a pattern, a row a network."""

import numpy as np
import pandas as pd

from kernel_atlas.core.vocabulary import FAMILIES
from kernel_atlas.figures import style
from kernel_atlas.figures.write import Drawing
from kernel_atlas.stats.independence import one_per_group

NETWORKS, CONTROLS = 16, 4  # of a size; with more they cannot be read on a page


def draw(models: pd.DataFrame, labels: pd.DataFrame) -> Drawing:
    """The share with a pattern of each network and control, by family of patterns, a panel a size."""
    sizes = style.sizes_of(models.dropna(subset="clustered_share"))
    parts = {size: _networks_of(models[models["size"] == size]) for size in sizes}
    heights = [0.5 + 0.19 * len(part) for part in parts.values()]
    figure, panels = style.open_panels([f"{size} kernels" for size in sizes], heights, columns=(1, 1), sharex=True)
    families: dict[str, None] = {}
    for axes, (size, part) in zip(panels.values(), parts.items(), strict=True):
        shares = style.family_shares(labels[labels["size"] == size], "model").drop(columns="other", errors="ignore")
        shares = shares.reindex(part["model"]).fillna(0)
        y, base = np.arange(len(part)), np.zeros(len(part))
        for family, share in shares.items():
            axes.barh(y, share, 0.75, base, **style.look_of(family))
            base += share.to_numpy()
        families |= dict.fromkeys(shares)
        axes.hlines(y, part["pattern_low"], part["pattern_high"], color=style.INK, lw=1)
        axes.plot(part["phase_share"], y, ls="", marker=style.TICK, color=style.INK, ms=9)
        style.name_rows(axes, [_name_of(*row) for row in part[["model", "use"]].itertuples(index=False)])
        style.share_axis(axes, "share of kernels with a pattern")
        parts[size] = part.join(shares.reset_index(drop=True))
    style.add_legend(
        figure,
        style.families_legend(sorted(families, key=list(FAMILIES).index))
        | style.points_legend({"phase_share": ("random phases", style.INK, style.TICK)}),
    )
    there = max(part["use"].ne("control").sum() for part in parts.values())
    caption = (
        f"Independent networks{' with most kernels' if there == NETWORKS else ''}, and controls: share of kernels "
        "with a pattern, by family of patterns. Lines are 95 % intervals over the layers of a network, where it has "
        "five. Marks are the share that the same kernels have with random phases."
    )
    alt = "Stacked bars of the share of kernels with a pattern, a row for each network and a panel for each size."
    columns = ["size", "model", "use", "kernels", "dead", "pattern_share", "pattern_low", "pattern_high", "phase_share"]
    data = pd.concat(parts.values(), ignore_index=True)
    return Drawing(figure, data[[*columns, *families]], "Patterns in each network", caption, alt)


def _networks_of(models: pd.DataFrame) -> pd.DataFrame:
    """The independent networks and the controls with most kernels of a size, by their share with a pattern."""
    controls = models[models["use"] == "control"].sort_values("kernels", ascending=False, kind="stable")
    shown = pd.concat([one_per_group(models).head(NETWORKS), controls.head(CONTROLS)])
    return shown.sort_values("pattern_share", ascending=False, kind="stable", ignore_index=True)


def _name_of(model: str, use: str) -> str:
    mark = " (control)" if use == "control" else ""
    return style.cut(model, (22 if style.is_narrow() else 40) - len(mark)) + mark
