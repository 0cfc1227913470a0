"""Compare two models on the same items: differences, their intervals, and verdicts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from eval.config import HELDOUT
from eval.findings.standard_error import clusters_of, standard_error, sums
from eval.harness.heldout import RowScore
from eval.harness.results import SuiteResult, is_score, metric_name
from pacos.errors import UserError
from pacos.seeds import derived_seed

NLL = f"{HELDOUT}/nll"
"""Name of the token NLL of held-out answers among the figures."""

CONFIDENCE = 0.95
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


def compare_suites(
    suite: str, before: SuiteResult, after: SuiteResult, seed: int
) -> list[Difference]:
    """Compare every metric that is a mean over items: by task, and pooled over all tasks with it.

    Lines of tasks are corrected for their number. A pooled line is not: it is one figure, and the
    first to look at.

    Raises:
        UserError: the two models were not scored on the same items.
    """
    lines: list[Difference] = []
    pooled: dict[tuple[str, bool], list[tuple[Floats, Floats, list[int]]]] = defaultdict(list)
    for task, samples in after.samples.items():
        _check_same_items(task, before.samples.get(task, []), samples)
        for key in filter(is_score, after.results["results"][task]):
            old, new = (item_values(result, task, key) for result in (before, after))
            if old is None or new is None:
                continue
            higher, metric = after.higher_is_better(task, key), metric_name(after, task, key)
            clusters = clusters_of(item_docs(after, task, key))
            line = paired(
                f"{task}/{metric}",
                *(old, new),
                higher_is_better=higher,
                seed=seed,
                clusters=clusters,
            )
            lines.append(line)
            pooled[metric, higher].append((old, new, clusters))
    lines = holm(lines)
    for (metric, higher), parts in pooled.items():
        if len(parts) > 1:
            old, new = (np.concatenate(side) for side in list(zip(*parts, strict=True))[:2])
            line = paired(
                f"{suite}/{metric}",
                *(old, new),
                higher_is_better=higher,
                seed=seed,
                clusters=_joined([clusters for *_, clusters in parts]),
            )
            lines.append(line)
    return lines


def _joined(parts: Sequence[Sequence[int]]) -> list[int]:
    """Renumber the clusters of several tasks so that no two tasks share one."""
    joined: list[int] = []
    for part in parts:
        start = max(joined, default=-1) + 1
        joined += [start + number for number in part]
    return joined


def standard_errors(result: SuiteResult) -> dict[str, float]:
    """Return the standard error of each metric that is a mean over items, by task/metric."""
    errors = {}
    for task in result.samples:
        for key in filter(is_score, result.results["results"][task]):
            values = item_values(result, task, key)
            if values is not None and len(values) > 1:
                clusters = clusters_of(item_docs(result, task, key))
                errors[f"{task}/{metric_name(result, task, key)}"] = standard_error(
                    values, clusters
                )
    return errors


def item_docs(result: SuiteResult, task: str, key: str) -> list[Mapping[str, Any]]:
    """Return the documents that a metric, with its filter, was measured on."""
    used = key.partition(",")[2]
    return [line.get("doc", {}) for line in result.samples[task] if line["filter"] == used]


def item_values(result: SuiteResult, task: str, key: str) -> Floats | None:
    """Return a metric's value for each item; None if the score is not their mean.

    Perplexities and F1 over a corpus, say, are not: an interval over items would not be theirs.
    """
    metric, _, used = key.partition(",")
    values = [line.get(metric) for line in result.samples[task] if line["filter"] == used]
    if not all(isinstance(value, int | float) for value in values):
        return None
    array = np.asarray(values, dtype=float)
    return array if np.isclose(array.mean(), result.results["results"][task][key]) else None


def _check_same_items(
    task: str, before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> None:
    def items(lines: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
        return [(line["doc_id"], line["doc_hash"], line["filter"]) for line in lines]

    if items(before) != items(after):
        raise UserError(
            f"{task}: the two models were scored on different items; use a new run.name"
        )


def compare_heldout(
    before: Sequence[RowScore], after: Sequence[RowScore], seed: int
) -> Difference | None:
    """Compare token NLL. Return None if the tokenizers split the answers differently."""
    if [(row.id, row.tokens) for row in before] != [(row.id, row.tokens) for row in after]:
        return None
    return paired(
        NLL,
        [row.nll for row in before],
        [row.nll for row in after],
        [row.tokens for row in after],
        higher_is_better=False,
        seed=seed,
    )
