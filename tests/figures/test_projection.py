"""Principal components."""

import numpy as np
from drawing import cluster_tables, drawn

from kernel_atlas.core.kernels import centre_and_normalise


def test_projection_is_a_principal_component_analysis():
    from sklearn.decomposition import PCA

    tables = cluster_tables(clusters=12)
    ours = drawn("projection", tables).data.filter(like="component_").to_numpy()
    theirs = PCA(4, svd_solver="full").fit_transform(centre_and_normalise(np.stack(tables["sample"]["weight"])))
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-4)
