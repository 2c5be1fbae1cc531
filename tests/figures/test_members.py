"""Kernels of each cluster."""

import numpy as np
import pandas as pd
import pytest
from drawing import cluster_tables, drawn
from matplotlib.image import AxesImage


def test_each_cluster_shows_its_best_and_worst_fitted_and_no_kernel_twice():
    tables = cluster_tables()
    tables["sample"] = pd.concat([tables["sample"]] * 5, ignore_index=True)
    tables["sample"]["channel"] = range(len(tables["sample"]))
    tables["sample"]["dissimilarity"] = np.random.default_rng(1).random(len(tables["sample"]))
    members = drawn("members", tables).data
    for cluster, part in members.groupby("cluster"):
        of_sample = (
            tables["sample"][tables["sample"]["cluster"] == cluster].sort_values("dissimilarity")["channel"].tolist()
        )
        blocks = part.groupby("chosen")["channel"].apply(list)
        assert (blocks["best"], blocks["worst"]) == (of_sample[:5], of_sample[-5:])
        assert part["channel"].is_unique and len(blocks["random"]) == 6


def test_stretches_that_share_a_cluster_share_a_row():
    tables = cluster_tables(clusters=6)
    for name in ("clusters", "sample"):
        third = tables[name]["cluster"] == 2
        tables[name].loc[third, "cluster"] = 0
        tables[name].loc[third, "label"] = tables["clusters"]["label"][0]
    assert drawn("members", tables).data["cluster"].nunique() == 6  # five clusters and other
    assert drawn("tap_sums", tables).data.set_index("cluster").at[0, "kernels"] == 16
    spectrum = drawn("spectrum", tables)
    share = spectrum.data.groupby("cluster")["share"].sum()
    assert share.sum() == pytest.approx(1) and len(share) == 5


def test_taps_are_coloured_from_minus_to_plus_the_largest():
    for image in drawn("members", cluster_tables()).figure.findobj(AxesImage):
        assert image.norm.vmin == -image.norm.vmax
