import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from kernel_atlas.core.kernels import centre_and_normalise
from kernel_atlas.core.patterns import kind_of, templates
from kernel_atlas.evidence import stability
from kernel_atlas.evidence.kernels import Units
from kernel_atlas.findings.stability import find_stability
from kernel_atlas.model import autoencoder
from kernel_atlas.model.assign import OTHER, Labeller
from kernel_atlas.model.coder import SAMPLES, Coder, sample_codes
from kernel_atlas.model.naming import find_clusters
from kernel_atlas.model.poses import POSES, PosedCoder, learn_codebook, turn

PATTERNS = ("On-Centre", "Off-Centre", "First-Derivative-E")  # what 200 steps find from any start; four need 1,500
CUT = {"boundary": 0.25, "smallest": 0.01}
UNITS = np.arange(1000) % 10


def planted():
    """Three patterns, and a little noise."""
    random, family = np.random.default_rng(0), templates(5)
    drawn = family.taps[random.choice([family.labels.index(label) for label in PATTERNS], len(UNITS))]
    return centre_and_normalise(drawn + random.normal(0, 0.05, drawn.shape))


def trained(kernels) -> tuple[dict, pd.DataFrame]:
    """The tensors of an autoencoder of kernels, and its clusters."""
    model, _ = autoencoder.train(kernels, 0, 1, 200)
    coder = Coder(model.state_dict())
    counts = np.histogram(coder.encode(kernels), SAMPLES, (0, 1))[0]
    return model.state_dict(), find_clusters(coder.decode(sample_codes()), counts, **CUT)


def labeller_of(kernels) -> tuple[Labeller, pd.DataFrame]:
    """Both autoencoders of kernels; the clusters of the one in one pose, named without sign and direction."""
    tensors, clusters = trained(kernels)
    codebook = learn_codebook(kernels, 0)
    turned, stretches = trained(stability._stand(kernels, codebook))
    posed = PosedCoder(turned | {"codebook": codebook})
    stretches["label"] = stretches["label"].map(kind_of)
    return Labeller(Coder(tensors), clusters, 0.2, posed=posed), stretches


def tables_of(kernels, atlas, units=UNITS, runs=2, steps=200):
    return stability.answer(
        "5x5",
        kernels,
        Units("networks", units),
        *atlas,
        **CUT,
        sample=900,
        restarts=runs,
        bootstraps=runs,
        steps=steps,
        seed=0,
    )


@pytest.fixture(scope="module")
def atlas():
    return labeller_of(planted())


@pytest.fixture(scope="module")
def tables(atlas):
    return tables_of(planted(), atlas)


@pytest.mark.parametrize(
    ("method", "labels"), [("autoencoder", set(PATTERNS)), ("posed", {kind_of(label) for label in PATTERNS})]
)
def test_planted_clusters_are_stable(tables, method, labels):
    summary = tables["stability_summary"].set_index(["method", "kind"]).loc[method, "all"]
    assert summary["runs"] == 4 and summary["stable"] >= len(labels)
    assert summary["stable_kernels"] > 0.95 and summary["moved"] < 0.05 and summary["adjusted_rand"] > 0.95
    kept = tables["stability"].query("method == @method and kind == 'all' and stable == 'yes'")
    assert labels <= set(kept["label"]) and (kept["same_name"] > 0.7).all()


def test_clusters_of_noise_are_not():
    noise = centre_and_normalise(np.random.default_rng(1).normal(size=(1000, 25)))
    tables = tables_of(noise, labeller_of(noise))
    assert (tables["stability"]["stable"] == "no").all() and (tables["stability_summary"]["stable"] == 0).all()
    assert "back: 0 of " in find_stability(tables["stability"], tables["stability_summary"])[0]


def test_a_row_for_each_run_cluster_and_kind(tables):
    runs, clusters = (tables[name].query("method == 'posed'") for name in ("restarts", "stability"))
    assert runs["kind"].tolist() == ["main", "restart", "restart", "bootstrap", "bootstrap"]
    assert runs["seed"].dropna().is_unique and (runs["training_kernels"][3:] < 900).all()
    assert (runs["moved"].dropna() >= (runs["lost"] + runs["gained"]).dropna() - 1e-9).all()
    counts = clusters.groupby("kind").size()
    assert set(counts.index) == {"restart", "bootstrap", "all"} and counts.nunique() == 1
    assert clusters[["recurs", "jaccard", "same_name", "chance"]].stack().between(0, 1).all()


def test_a_clustering_equals_itself(atlas):
    main = stability._clustering(atlas[0], planted())
    match, moved = stability._match(main, main), stability._compare(main, main)
    assert_allclose(match["cosine"], 1, atol=1e-6)
    assert match["same_name"].all() and moved["moved"] == moved["lost"] == moved["gained"] == 0
    assert (match["jaccard"][np.unique(main.member[main.member != OTHER])] == 1).all() and moved["adjusted_rand"] == 1
    # in another pose it does, where poses do not count
    turned = main._replace(prototypes=turn(main.prototypes, 1))
    assert stability._match(main, turned)["cosine"].min() < 0.5
    assert_allclose(stability._match(main._replace(poses=POSES), turned)["cosine"], 1, atol=1e-6)


def test_two_calls_are_equal(atlas):
    first, second = (tables_of(planted(), atlas, runs=1, steps=30) for _ in range(2))
    for name, table in first.items():
        pd.testing.assert_frame_equal(table, second[name])


def test_few_units_have_no_bootstrap(atlas):
    tables = tables_of(planted(), atlas, units=UNITS % 4, runs=1, steps=30)
    assert "bootstrap" not in set(tables["restarts"]["kind"])


def test_a_run_that_collapses_has_no_clusters(atlas):
    alike, kernels = np.repeat(templates(5).taps[:1], 600, axis=0), planted()
    cut = stability.Cut(False, 0.2, **CUT, steps=200)
    run = stability._run(alike, kernels, stability._labels(kernels, 0.2), cut, 0)
    main = stability._clustering(atlas[0], kernels)
    match = stability._match(main, run)
    assert len(run.numbers) == 0 and match["cosine"].isna().all() and (match["jaccard"] == 0).all()
    assert stability._compare(main, run)["lost"] == (main.member != OTHER).mean()


def test_kernels_have_the_names_of_their_clusters():
    labels = np.array(["mixed", "On-Centre", "mixed"])
    clustering = stability.Clustering(np.arange(3), labels, np.zeros((3, 9)), np.array([0, 1, 2, OTHER]))
    assert clustering.names().tolist() == ["mixed", "On-Centre", "mixed", "other"]
