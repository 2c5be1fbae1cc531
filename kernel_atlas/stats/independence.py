"""Independent networks.

Apart from `shares`, so that an edited bootstrap redraws no figure that only leaves networks out.
"""

import pandas as pd


def one_per_group(models: pd.DataFrame) -> pd.DataFrame:
    """Independent networks of one size: the model with most kernels of each `group`.

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
    return largest_of_group(models[(models["use"] != "control") & (models["convolution"] == "depthwise")])


def largest_of_group(models: pd.DataFrame) -> pd.DataFrame:
    """The row with most `kernels` of each `group`, and all rows without group, most kernels first."""
    models = models.sort_values(["kernels", "model"], ascending=[False, True])
    return models[~models.duplicated("group") | models["group"].isna()]
