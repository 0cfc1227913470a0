"""Compare the results of two models: by task, pooled over a suite, and on held-out rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from eval.config import HELDOUT
from eval.findings.significance import Difference, Floats, holm, paired
from eval.findings.standard_error import clusters_of, standard_error
from eval.harness.heldout import RowScore
from eval.harness.results import SuiteResult, is_score, metric_name
from pacos.errors import UserError

NLL = f"{HELDOUT}/nll"
"""Name of the token NLL of held-out answers among the figures."""


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
