"""Patterns, or only their covariance? Pairs of conditions judged by the rule of config/README.md."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from kernel_atlas.stats.resampling import crossed_interval


def judge(
    pairs: pd.DataFrame, titles: Mapping[str, str], answers: Mapping[tuple[str, int], np.ndarray]
) -> pd.DataFrame:
    """What a condition is worth beyond its control, of networks from the same seeds.

    Parameters
    ----------
    pairs : DataFrame
        config/verdict.tsv: question, condition, control; usual, whose seeds say how much seeds differ.
    titles : mapping
        Condition -> what figures and sentences call it.
    answers : mapping
        Condition and seed -> which test images its network classifies correctly, bool [images].

    Returns
    -------
    DataFrame
        As experiments/verdict/verdict.csv of schemas/tables.yaml, a row for each pair. Seeds are those that both have.
    """
    rows = []
    for pair in pairs.itertuples():
        seeds = [seed for name, seed in answers if name == pair.condition and (pair.control, seed) in answers]
        ours, theirs = (
            100.0 * np.stack([answers[name, seed] for seed in seeds]) for name in (pair.condition, pair.control)
        )
        usual_top1 = [100 * right.mean() for (name, _), right in answers.items() if name == pair.usual]
        change = ours - theirs
        low, high = crossed_interval(change)
        difference, by_seed = change.mean(), change.mean(axis=1)
        row = {"question": pair.question, "condition": titles[pair.condition], "control": titles[pair.control]}
        row |= {"seeds": len(seeds), "images": change.shape[1]}
        row |= {"top1": ours.mean(), "control_top1": theirs.mean()}
        row |= {"difference": difference, "low": low, "high": high, "lowest": by_seed.min(), "highest": by_seed.max()}
        row |= {"usual_top1": np.mean(usual_top1), "seed_range": np.ptp(usual_top1)}
        rows.append(row | {"holds": bool(low > 0 and difference > row["seed_range"])})
    return pd.DataFrame(rows)
