"""What the data beside each figure hold."""

import numpy as np
import pytest
from drawing import cluster_tables, drawn

from kernel_atlas.core.vocabulary import FAMILIES


def test_data_are_what_is_drawn():
    tables = cluster_tables()
    spectrum = drawn("spectrum", tables).data
    assert spectrum["share"].sum() == pytest.approx(1)
    assert (spectrum["clustered"] <= spectrum["share"]).all()
    np.testing.assert_allclose(spectrum.filter(like="tap_"), np.stack(tables["spectrum"]["decoded"]))
    assert (spectrum.groupby("cluster")["code"].min() >= tables["clusters"].set_index("cluster")["code_low"]).all()

    models = drawn("shares_models", tables).data
    families = models.columns[models.columns.isin(list(FAMILIES))]
    np.testing.assert_allclose(models[families].sum(axis=1), models["pattern_share"])
    assert (models["phase_share"] == 0.05).all()

    assert drawn("kmeans", tables).data["share"].sum() == pytest.approx(1)
