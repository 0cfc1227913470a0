"""Before against after on the same items: differences, how sure they are, and what they mean."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
BLOCK_CELLS = 4_000_000
"""Numbers drawn at once: bounds memory on large suites."""

Floats = NDArray[np.float64]


class Verdict(Enum):
    """What a difference says about the model after."""

    better = "better"
    worse = "worse"
    cannot_tell = "cannot tell"


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of both models on the same items."""

    name: str
    """task/metric."""
    items: int
    higher_is_better: bool
    before: float
    after: float
    interval: tuple[float, float]
    """95 % of after - before, by paired bootstrap over the items, or over the clusters of those
    that share a passage."""
    p: float
    """Chance of a difference this large if swapping before and after changed nothing."""
    corrected_p: float | None = None
    """Of a line among several: the same after Holm's correction for their number."""

    @property
    def difference(self) -> float:
        """After - before."""
        return self.after - self.before

    @property
    def deciding_p(self) -> float:
        """The p that the verdict goes by: of a line among several, the corrected one."""
        return self.p if self.corrected_p is None else self.corrected_p

    @property
    def verdict(self) -> Verdict:
        """Both must agree: of few items the bootstrap alone is too sure."""
        low, high = self.interval
        if low <= 0 <= high or self.deciding_p > 1 - CONFIDENCE:
            return Verdict.cannot_tell
        return Verdict.better if (self.difference > 0) == self.higher_is_better else Verdict.worse

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
        name: task/metric; also separates the random draws of one comparison from another's.
        before: one value an item.
        after: likewise.
        weights: one an item, such as its tokens; without it the figure is the mean.
        higher_is_better: what the sign means.
        seed: seed of the run.
        clusters: number of each item's cluster; None: items are independent.
    """
    old, new = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    scale = np.ones_like(old) if weights is None else np.asarray(weights, dtype=float)
    random = np.random.default_rng(derived_seed(seed, "compare", name))
    return Difference(
        name=name,
        items=len(old),
        higher_is_better=higher_is_better,
        before=float(old.sum() / scale.sum()),
        after=float(new.sum() / scale.sum()),
        interval=bootstrap_interval(sums(new - old, clusters), sums(scale, clusters), random),
        p=sign_flip_p(sums(new - old, clusters), random),
    )


def holm(differences: Sequence[Difference]) -> list[Difference]:
    """Correct the p of lines that are looked at together (Holm 1979), in their order."""
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
    """Percentile interval of Σ differences / Σ weights over items drawn with replacement."""
    items, ratios = len(differences), []
    for size in _blocks(items):
        drawn = random.integers(0, items, (size, items))
        ratios.append(differences[drawn].sum(1) / weights[drawn].sum(1))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(ratios), [tail, 1 - tail])
    return float(low), float(high)


def sign_flip_p(differences: Floats, random: np.random.Generator) -> float:
    """Two-sided p of the sum, against random signs of the items' differences."""
    moved = differences[differences != 0]
    observed, reached = abs(moved.sum()), 0
    for size in _blocks(len(moved)):
        signs = random.integers(0, 2, (size, len(moved))) * 2 - 1
        # Sums that differ only by rounding are equal.
        reached += int((np.abs(signs @ moved) >= observed * (1 - 1e-9)).sum())
    return (reached + 1) / (RESAMPLES + 1)


def _blocks(items: int) -> list[int]:
    """RESAMPLES in pieces that fit into memory."""
    size = max(1, BLOCK_CELLS // max(1, items))
    return [min(size, RESAMPLES - start) for start in range(0, RESAMPLES, size)]


def compare_suites(
    suite: str, before: SuiteResult, after: SuiteResult, seed: int
) -> list[Difference]:
    """Compare every metric that is a mean over items: by task, and over all that share it.

    Lines of tasks are corrected for their number. What stands for all of a metric's tasks is not:
    it is one figure, and the first to look at.

    Raises:
        UserError: the two were not scored on the same items.
    """
    found: list[Difference] = []
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
            found.append(line)
            pooled[metric, higher].append((old, new, clusters))
    found = holm(found)
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
            found.append(line)
    return found


def _joined(parts: Sequence[Sequence[int]]) -> list[int]:
    """Clusters of several tasks, none in two of them."""
    joined: list[int] = []
    for part in parts:
        start = max(joined, default=-1) + 1
        joined += [start + number for number in part]
    return joined


def standard_errors(result: SuiteResult) -> dict[str, float]:
    """Of each metric that is a mean over items, under task/metric names."""
    found = {}
    for task in result.samples:
        for key in filter(is_score, result.results["results"][task]):
            values = item_values(result, task, key)
            if values is not None and len(values) > 1:
                clusters = clusters_of(item_docs(result, task, key))
                found[f"{task}/{metric_name(result, task, key)}"] = standard_error(values, clusters)
    return found


def item_docs(result: SuiteResult, task: str, key: str) -> list[Mapping[str, Any]]:
    """The documents that a metric, with its filter, was measured on."""
    used = key.partition(",")[2]
    return [line.get("doc", {}) for line in result.samples[task] if line["filter"] == used]


def item_values(result: SuiteResult, task: str, key: str) -> Floats | None:
    """A metric's value for each item; None where the score is not their mean."""
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
    """Compare token NLL; None where the tokenizers cut the answers differently."""
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
