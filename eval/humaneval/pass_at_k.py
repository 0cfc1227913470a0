"""pass@k: the probability that at least one of k answers to a problem is correct."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.findings.significance import bootstrap_interval
from pacos.seeds import derived_seed

KS = (1, 10, 100)
"""Reported values of k (those of the paper), each if there are at least as many answers."""


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Return the unbiased estimate for one problem (Chen et al. 2021, equation 1).

    1 - C(samples - correct, k) / C(samples, k), computed as a product of factors between 0 and 1
    because the binomials overflow. The naive 1 - (1 - p)^k is biased low.

    Args:
        samples: number of answers, at least k.
        correct: number of answers that passed.
        k: number of attempts.
    """
    if samples - correct < k:
        return 1.0
    return float(1 - np.prod(1 - k / np.arange(samples - correct + 1, samples + 1)))


def pass_at_each_k(passed: Sequence[bool]) -> dict[str, float]:
    """Return pass@k of one problem for each reported k that it has enough answers for."""
    samples, correct = len(passed), sum(passed)
    return {f"pass@{k}": pass_at_k(samples, correct, k) for k in KS if k <= samples}


def interval(values: Sequence[float], name: str, seed: int) -> tuple[float, float]:
    """Return the 95 % interval of the mean, by a percentile bootstrap over problems.

    Args:
        values: one value per problem.
        name: name of the metric, which gives it random draws of its own.
        seed: seed of the run.
    """
    random = np.random.default_rng(derived_seed(seed, "interval", name))
    array = np.asarray(values, dtype=float)
    return bootstrap_interval(array, np.ones_like(array), random)
