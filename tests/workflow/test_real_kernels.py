"""What must hold on the kernels of real networks: one net of each group, trained, undilated layers."""

import json

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from sklearn.cluster import KMeans

from kernel_atlas.core.kernels import centre_and_normalise, is_dead
from kernel_atlas.model import autoencoder
from kernel_atlas.model.coder import Coder


@pytest.fixture(scope="module")
def kernels(data):
    """The 7x7 kernels, centred and normalised."""
    nets = pd.read_csv(data / "kernels/models.tsv", sep="\t").sort_values("model")
    nets = nets[[json.loads(verdict).get("7x7") == "trained" for verdict in nets["verdict"]]].drop_duplicates("group")
    found = []
    for _, net in nets.iterrows():
        dilated = json.loads(net["dilated_layers"])
        for name, weight in load_file(data / "kernels" / net["file"]).items():
            if weight.shape[2:] == (7, 7) and name not in dilated:
                taps = weight.reshape(-1, 49).astype(np.float32)
                found.append(taps[~is_dead(taps)])
    return centre_and_normalise(np.concatenate(found))


def test_one_number_clusters_at_least_as_much_as_ten_means_and_no_noise(kernels):
    model, _ = autoencoder.train(kernels, seed=0, restarts=3, steps=3000, report=lambda line: None)
    coder = Coder(model.state_dict())
    means = centre_and_normalise(KMeans(10, n_init=5, random_state=0).fit(kernels).cluster_centers_)
    by_means = ((kernels @ means.T).max(axis=1) > 0.7).mean()
    by_code = (coder.reconstruct(kernels)[1] < 0.3).mean()
    noise = centre_and_normalise(np.random.default_rng(0).standard_normal((20_000, 49), np.float32))
    by_chance = (coder.reconstruct(noise)[1] < 0.3).mean()
    print(f"{len(kernels)} kernels: code {by_code:.3f}, 10-means {by_means:.3f}, noise {by_chance:.4f}")
    assert by_code >= by_means
    assert by_chance < 0.005
