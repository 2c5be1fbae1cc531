"""Which networks count once."""

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from kernel_atlas.io.sheet import read_sheet
from kernel_atlas.stats.independence import one_per_group, related


def networks(groups: list, recipes: list) -> pd.DataFrame:
    table = pd.DataFrame({"model": list("abcdef")[: len(groups)], "group": groups, "recipe": recipes})
    return table.assign(kernels=range(1, len(groups) + 1), use="train", convolution="depthwise")


@pytest.mark.parametrize(
    ("groups", "recipes", "counted"),
    [
        ([None] * 4, [None] * 4, "dcba"),
        ([np.nan] * 4, [np.nan] * 4, "dcba"),  # as an empty column is read
        (["g", "g", "h", None], [None] * 4, "dcb"),
        (list("ghij"), ["r", "r", "r", None], "dc"),  # three seeds of one recipe
        (["g", "g", "h", None], [None, "r", "r", None], "dc"),  # a and b share weights, b and c a recipe
        (["r", None, None, None], [None, "r", None, None], "dcba"),  # a group and a recipe of one name
        (["b", None, None, None], [None] * 4, "dcba"),  # a group with the name of a model
    ],
)
def test_one_of_a_group_and_of_a_recipe(groups, recipes, counted):
    table = networks(groups, recipes)
    for order in (table, table[::-1], table.sample(frac=1, random_state=0)):
        assert "".join(one_per_group(order)["model"]) == counted
        assert related(order).nunique() == len(counted)


def test_the_largest_of_each_size_counts():
    table = networks(list("ghi"), ["r", "r", None])
    assert one_per_group(table[table["model"] != "b"])["model"].tolist() == ["c", "a"]


def test_three_seeds_of_the_zoo_are_one_network():
    zoo = read_sheet(ROOT / "resources/zoo/zoo.tsv")
    unit = related(zoo).set_axis(zoo["model"])
    assert unit[[f"cifar10_7x7_s{seed}" for seed in range(3)]].nunique() == 1
    real = zoo["use"] == "train"
    assert unit[real.to_numpy()].nunique() == real.sum() - 2
