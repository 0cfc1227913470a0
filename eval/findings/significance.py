"""Paired statistics of two models on the same items: intervals, p-values, verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from eval.findings.standard_error import sums
from pacos.seeds import derived_seed

CONFIDENCE = 0.95
"""Coverage of every interval that an evaluation reports; tables and reports name it in words."""
RESAMPLES = 10_000
"""Resamples of the bootstrap and of the sign-flip test. The smallest p is then 1e-4."""
BATCH_CELLS = 4_000_000
"""Numbers drawn at once: 32 MB of indices, however many items a suite has."""

Floats = NDArray[np.float64]


class ComparisonVerdict(Enum):
    """Meaning of a difference for the second model."""

    better = "better"
    worse = "worse"
    cannot_tell = "cannot tell"


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of two models on the same items."""

    name: str
    """task/metric."""
    items: int
    higher_is_better: bool
    before: float
    after: float
    interval: tuple[float, float]
    """95 % interval of after - before, by a paired bootstrap over items, or over clusters of items
    that share a passage."""
    p: float
    """Probability of a difference this large if swapping before and after changed nothing."""
    corrected_p: float | None = None
    """p after Holm's correction for the number of lines; None for a line that stands alone."""

    @property
    def difference(self) -> float:
        """After - before."""
        return self.after - self.before

    @property
    def deciding_p(self) -> float:
        """Probability that decides the verdict: the corrected one if there is one."""
        return self.p if self.corrected_p is None else self.corrected_p

    @property
    def verdict(self) -> ComparisonVerdict:
        """Verdict on which the interval and p agree.

        On few items the bootstrap alone is overconfident: of 18 items with 4 changes, all for the
        better, hardly a resample is without one.
        """
        low, high = self.interval
        if low <= 0 <= high or self.deciding_p > 1 - CONFIDENCE:
            return ComparisonVerdict.cannot_tell
        is_better = (self.difference > 0) == self.higher_is_better
        return ComparisonVerdict.better if is_better else ComparisonVerdict.worse

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "items": self.items,
            "higher_is_better": self.higher_is_better,
            "before": self.before,
            "after": self.after,
            "difference": self.difference,
            "interval": list(self.interval),
            "p": self.p,
            "corrected_p": self.corrected_p,
            "verdict": self.verdict.value,
        }


def paired(
    name: str,
    before: ArrayLike,
    after: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    higher_is_better: bool,
    seed: int,
    clusters: Sequence[int] | None = None,
) -> Difference:
    """Compare Σ values / Σ weights of two models whose items are in the same order.

    Args:
        name: task/metric. It also separates the random draws of one comparison from another's.
        before: one value per item.
        after: one value per item.
        weights: one per item, such as its tokens; None for a plain mean.
        higher_is_better: meaning of the sign.
        seed: seed of the run.
        clusters: index of each item's cluster; None if items are independent.
    """
    old, new = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    scale = np.ones_like(old) if weights is None else np.asarray(weights, dtype=float)
    random = np.random.default_rng(derived_seed(seed, "compare", name))
    # Clusters are exchangeable, items within one are not: both methods work on sums by cluster.
    differences = sums(new - old, clusters)
    return Difference(
        name=name,
        items=len(old),
        higher_is_better=higher_is_better,
        before=float(old.sum() / scale.sum()),
        after=float(new.sum() / scale.sum()),
        interval=bootstrap_interval(differences, sums(scale, clusters), random),
        p=sign_flip_p(differences, random),
    )


def holm(differences: Sequence[Difference]) -> list[Difference]:
    """Correct the p of lines that are looked at together (Holm 1979). The order stays.

    scipy has no Holm: its false_discovery_control bounds the share of wrong verdicts, not the
    probability of any.
    """
    # The smallest p times m, the next times m - 1, …, each at least as large as the one before.
    corrected = [0.0] * len(differences)
    highest = 0.0
    for rank, place in enumerate(
        sorted(range(len(differences)), key=lambda place: differences[place].p)
    ):
        highest = max(highest, min(1.0, differences[place].p * (len(differences) - rank)))
        corrected[place] = highest
    return [replace(one, corrected_p=p) for one, p in zip(differences, corrected, strict=True)]


def bootstrap_interval(
    differences: Floats, weights: Floats, random: np.random.Generator
) -> tuple[float, float]:
    """Return the percentile interval of Σ differences / Σ weights over resampled items."""
    if len(differences) < 2:  # scipy refuses a single item, which every resample repeats.
        ratio = float(differences.sum() / weights.sum())
        return ratio, ratio

    def ratio_of_sums(drawn: Floats, scale: Floats, axis: int) -> Floats:
        return drawn.sum(axis) / scale.sum(axis)

    interval = stats.bootstrap(
        (differences, weights),
        ratio_of_sums,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=_batch(len(differences)),
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=random,
    ).confidence_interval
    return float(interval.low), float(interval.high)


def sign_flip_p(differences: Floats, random: np.random.Generator) -> float:
    """Return the two-sided p of the sum, against random signs of the items' differences.

    It is exact for up to 13 items that differ, whose 2^13 sign patterns are enumerated.
    """
    changed = differences[differences != 0]
    if len(changed) < 2:  # scipy refuses a single item, whose absolute sum no sign changes.
        return 1.0

    def absolute_sum(signed: Floats, axis: int) -> Floats:
        return np.abs(signed.sum(axis))

    test = stats.permutation_test(
        (changed,),
        absolute_sum,
        permutation_type="samples",  # For a single sample: flip signs.
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=_batch(len(changed)),
        alternative="greater",  # The absolute value makes it two-sided.
        rng=random,
    )
    return float(test.pvalue)


def _batch(items: int) -> int:
    return max(1, BATCH_CELLS // items)
