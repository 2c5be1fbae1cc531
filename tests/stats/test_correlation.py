import numpy as np
import pandas as pd
from numpy.testing import assert_allclose
from scipy.stats import pearsonr, spearmanr

from kernel_atlas.stats.correlation import correlate

NONE = pd.DataFrame(columns=["pattern", "images"])


def make_models(count: int, **columns) -> pd.DataFrame:
    same = {"size": "7x7", "use": "train", "convolution": "depthwise", "kernels": 100, "params": np.nan}
    same |= {"group": None, "recipe": None}
    same |= {"dataset": "toy", "family": "f", "top1": np.nan, "pattern_share": 0.5}
    return pd.DataFrame({"model": [f"m{index:03}" for index in range(count)]} | same | columns)


def test_correlation_within_families_has_another_sign_than_over_all():
    random = np.random.default_rng(0)
    family = np.repeat(np.arange(4), 15)
    inside = random.normal(size=60)
    models = make_models(60, family=family.astype(str), top1=50 + 5 * family + inside)
    models["pattern_share"] = 0.2 + 0.1 * family - 0.02 * inside + random.normal(0, 0.005, 60)
    row = correlate(models, NONE, 0).set_index("variable").loc["top1"]
    assert_allclose(row["pearson"], pearsonr(models["top1"], models["pattern_share"]).statistic)
    assert_allclose(row["spearman"], spearmanr(models["top1"], models["pattern_share"]).statistic)
    less = models.groupby("family")[["top1", "pattern_share"]].transform(lambda values: values - values.mean())
    assert_allclose(row["partial"], pearsonr(*less.to_numpy().T).statistic)
    assert row["pearson"] > 0.8 and row["partial_low"] < row["partial"] < row["partial_high"] < -0.9
    assert row["families"] == 4 and row["n"] == 60


def test_the_interval_covers_what_was_planted():
    """The population coefficient is 0.6; 95 % intervals of 30 networks should hold it in about 93 % of samples."""
    inside = 0
    for sample in range(40):
        x, e = np.random.default_rng([1, sample]).normal(size=(2, 30))
        models = make_models(30, top1=50 + x, pattern_share=0.5 + 0.01 * (0.6 * x + 0.8 * e))
        row = correlate(models, NONE, sample).iloc[0]
        inside += row["pearson_low"] < 0.6 < row["pearson_high"]
    assert inside >= 33


def test_correlation_needs_independent_networks_that_differ():
    models = make_models(10, top1=np.arange(60, 70.0), pattern_share=np.linspace(0.2, 0.9, 10))
    assert correlate(models.assign(group="one"), NONE, 0).empty
    assert correlate(models.assign(top1=70.0), NONE, 0).empty
    assert correlate(models.iloc[:9], NONE, 0).empty
    row = correlate(models, NONE, 0).iloc[0]
    assert np.isnan(row["partial"]), "one family leaves nothing to take out"
    few = correlate(models.assign(family=list("aabbccddef")), NONE, 0).iloc[0]
    assert np.isnan(few["partial"]) and np.isnan(few["partial_low"])
