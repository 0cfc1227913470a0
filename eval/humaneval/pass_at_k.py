"""pass@k: the chance that one of k answers to a problem is right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.findings.compare import bootstrap_interval
from pacos.seeds import derived_seed

KS = (1, 10, 100)
"""Those that are reported, each if there are as many answers."""


def pass_at_k(samples: int, right: int, k: int) -> float:
    """The unbiased estimate from one problem's answers (Chen et al. 2021, equation 1).

    1 - C(samples - right, k) / C(samples, k), as a product of numbers between 0 and 1.

    Args:
        samples: answers that were drawn, at least k.
        right: those that passed.
        k: answers of which one has to be right.
    """
    if samples - right < k:
        return 1.0
    return float(1 - np.prod(1 - k / np.arange(samples - right + 1, samples + 1)))


def interval(values: Sequence[float], name: str, seed: int) -> tuple[float, float]:
    """95 % of the mean over problems, by a percentile bootstrap over problems.

    Args:
        values: one for each problem.
        name: of the metric; separates its draws from another's.
        seed: seed of the run.
    """
    random = np.random.default_rng(derived_seed(seed, "interval", name))
    found = np.asarray(values, dtype=float)
    return bootstrap_interval(found, np.ones_like(found), random)
