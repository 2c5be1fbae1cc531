"""Cluster kernels by k-means, as the paper does with 3x3."""

import numpy as np
import pyarrow as pa
from sklearn.cluster import KMeans

from kernel_atlas.core.kernels import centre_and_normalise, taps_column
from kernel_atlas.core.patterns import resemble


def cluster_kmeans(kernels: np.ndarray, clusters: int, threshold: float, seed: int) -> pa.Table:
    """The centres of k-means, named by the template they resemble most.

    Parameters
    ----------
    kernels : float32 array [n, taps]
        Centred unit kernels.
    clusters : int
        k; fewer where there are fewer kernels.
    threshold : float
        Dissimilarity to its centre below which a kernel is clustered.
    seed : int

    Returns
    -------
    pyarrow.Table
        cluster, label, template, template_cosine, kernels (nearest to the centre), clustered (of those, the ones within
        the threshold), centre (fixed_size_list, a centred unit kernel); most kernels first.
    """
    fitted = KMeans(min(clusters, len(kernels)), n_init=5, random_state=seed).fit(kernels)
    centres = centre_and_normalise(fitted.cluster_centers_)
    near = (kernels * centres[fitted.labels_]).sum(axis=1) > 1 - threshold
    sizes = np.bincount(fitted.labels_, minlength=len(centres))
    clustered = np.bincount(fitted.labels_, weights=near, minlength=len(centres)).astype(int)
    order = np.argsort(-sizes, kind="stable")
    labels, templates, cosines = resemble(centres[order])
    columns = {"cluster": np.arange(len(order)), "label": labels, "template": templates, "template_cosine": cosines}
    columns |= {"kernels": sizes[order], "clustered": clustered[order], "centre": taps_column(centres[order])}
    return pa.table(columns)
