"""What people's ratings of a part of the items say of the judge, and of all items."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from statistics import fmean
from typing import TypeVar

import numpy as np
import scipy.stats

from eval.geval.findings.agreement import CONFIDENCE, Estimate

K = TypeVar("K", bound=Hashable)

LEAST = 2
"""Items rated by chance below which nothing is concluded: their spread is not known."""


def corrected_mean(
    judge: Mapping[K, float | None], human: Mapping[K, float], by_chance: Collection[K]
) -> Estimate | None:
    """What people would give on average, from the judge's scores of all and people's of some.

    Prediction-powered inference (Angelopoulos et al. 2023) with strata: items that a person chose
    to look at, or was led to, count with what the person gave; of all others, those drawn by chance
    say how far the judge is off. With N items, R of them not chosen and n of these rated:
    mean = (Σ chosen h + Σ others f)/N + R/N · mean of (h - f) over the n. A judge that is wrong
    widens the interval and does not shift the mean.

    Args:
        judge: score of every item; one without a score counts as the mean of the others.
        human: ratings, on the judge's scale.
        by_chance: the rated items that a random order brought up.

    Returns:
        None with fewer than `LEAST` items by chance, or no score at all.
    """
    scores = [score for score in judge.values() if score is not None]
    chosen = [item for item in human if item not in by_chance]
    drawn = [item for item in human if item in by_chance]
    if len(drawn) < LEAST or not scores:
        return None
    usual = fmean(scores)
    filled = {item: usual if score is None else score for item, score in judge.items()}
    others = [item for item in filled if item not in set(chosen)]
    errors = np.array([human[item] - filled[item] for item in drawn])
    items, rest = len(filled), len(others)
    total = sum(human[item] for item in chosen) + sum(filled[item] for item in others)
    mean = (total + rest * errors.mean()) / items
    # Spread of people's scores over all items, and what is not known because few were rated.
    values = np.array([human[item] for item in (*chosen, *drawn)])
    weights = np.array([1.0] * len(chosen) + [rest / len(drawn)] * len(drawn))
    spread = np.average((values - np.average(values, weights=weights)) ** 2, weights=weights)
    unknown = errors.var(ddof=1) * (1 / len(drawn) - 1 / rest) * (rest / items) ** 2
    reach = scipy.stats.t.ppf(1 - (1 - CONFIDENCE) / 2, len(drawn) - 1)
    half = float(reach * np.sqrt(spread / items + unknown))
    return Estimate(float(mean), float(mean - half), float(mean + half))
