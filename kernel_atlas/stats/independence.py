"""Independent networks.

Apart from `shares`, so that an edited bootstrap redraws no figure that only leaves networks out.
"""

import pandas as pd


def one_per_group(models: pd.DataFrame) -> pd.DataFrame:
    """Independent networks of one size: of those that are `related`, the one with most kernels.

    Controls and regular convolutions are excluded.

    Parameters
    ----------
    models : DataFrame
        Rows of one size of models.csv.

    Returns
    -------
    DataFrame
        Most kernels first; the order of the input does not matter.
    """
    real = models[(models["use"] != "control") & (models["convolution"] == "depthwise")]
    return largest_of(real, related(real))


def largest_of(models: pd.DataFrame, unit: pd.Series) -> pd.DataFrame:
    """The row with most `kernels` of each unit, most kernels first."""
    models = models.sort_values(["kernels", "model"], ascending=[False, True])
    return models[~unit.loc[models.index].duplicated()]


def related(models: pd.DataFrame) -> pd.Series:
    """What each network is a part of: networks that share weights, or that differ in the seed only, are one.

    Parameters
    ----------
    models : DataFrame
        model, group, recipe; the last two may be empty.

    Returns
    -------
    Series
        A name, with the index of `models`. It is equal where `group` or `recipe` is, also by way of a third network.
    """
    unit, before = models["model"], None
    while before is None or not unit.equals(before):
        before = unit
        for column in ("group", "recipe"):
            stated = models[column].dropna()
            unit = unit.where(models[column].isna(), unit.loc[stated.index].groupby(stated).transform("min"))
    return unit
