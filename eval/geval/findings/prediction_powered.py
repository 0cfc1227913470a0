"""The mean human rating of all items, from a judge's scores and ratings of a few (PPI)."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from statistics import fmean
from typing import TypeVar

import numpy as np
import scipy.stats

from eval.findings.significance import CONFIDENCE
from eval.geval.findings.agreement import Estimate

K = TypeVar("K", bound=Hashable)

LEAST = 2
"""Fewest randomly drawn ratings for an estimate: with one, their spread is unknown."""


def prediction_powered_mean(
    judge: Mapping[K, float | None], human: Mapping[K, float], drawn: Collection[K]
) -> Estimate | None:
    """Estimate the mean human rating from the judge's scores of all items and ratings of some.

    Prediction-powered inference (Angelopoulos et al. 2023) with two strata. Items that a person
    chose, or was shown because the judge was unsure, count with their rating h. The rest count with
    the judge's score f, corrected by its mean error on the items drawn at random. With N items, R
    of them not chosen, and n of those R drawn and rated:

        mean = (Σ chosen h + Σ rest f)/N + R/N · mean of (h - f) over the n

    An inaccurate judge widens the interval and does not shift the mean.

    Args:
        judge: score of every item; a missing score is replaced by the mean of the others.
        human: ratings, on the judge's scale.
        drawn: the rated items that were drawn at random.

    Returns:
        None with fewer than `LEAST` items drawn at random, or without any score.
    """
    scores = [score for score in judge.values() if score is not None]
    chosen_items = [item for item in human if item not in drawn]
    drawn_items = [item for item in human if item in drawn]
    if len(drawn_items) < LEAST or not scores:
        return None
    fallback = fmean(scores)
    filled = {item: fallback if score is None else score for item, score in judge.items()}
    rest_items = [item for item in filled if item not in set(chosen_items)]
    errors = np.array([human[item] - filled[item] for item in drawn_items])
    items, rest = len(filled), len(rest_items)
    total = sum(human[item] for item in chosen_items) + sum(filled[item] for item in rest_items)
    mean = (total + rest * errors.mean()) / items
    # Two sources of variance: the items are themselves a sample of what the models are for, and
    # only n of the R remaining items were rated (hence the finite-population factor 1/n - 1/R).
    # Drawn items stand for all of the rest, so they weigh R/n.
    values = np.array([human[item] for item in (*chosen_items, *drawn_items)])
    weights = np.array([1.0] * len(chosen_items) + [rest / len(drawn_items)] * len(drawn_items))
    spread = np.average((values - np.average(values, weights=weights)) ** 2, weights=weights)
    unrated = errors.var(ddof=1) * (1 / len(drawn_items) - 1 / rest) * (rest / items) ** 2
    # Student's t instead of the normal: n is small, often a dozen ratings.
    quantile = scipy.stats.t.ppf(1 - (1 - CONFIDENCE) / 2, len(drawn_items) - 1)
    half_width = float(quantile * np.sqrt(spread / items + unrated))
    return Estimate(float(mean), float(mean - half_width), float(mean + half_width))
