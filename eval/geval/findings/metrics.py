"""Metrics of the models from a judge's scores, and their differences."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from statistics import fmean, stdev
from typing import Any

import scipy.stats

from eval.findings.significance import CONFIDENCE, Difference, paired
from eval.geval.records import BASELINE, TARGET, JudgeResults
from eval.rubrics.rubric import Rubric

POWER = 0.8
"""Probability of noticing a difference that is really there (Cohen 1988)."""
WIN_RATE = "win_rate"
"""Metric of pairs: share of the target's wins, a tie counting half; 0.5: neither is better."""
OVERALL = "score"
"""Metric of a whole suite: mean over answers of the mean over criteria, each mapped to 0…1 of its
scale."""

Table = dict[tuple[str, str], float]
"""Values of one metric, by rubric and prompt id."""


def score_tables(
    suite: str, rubrics: Mapping[str, Rubric], results: JudgeResults, model: str
) -> dict[str, Table]:
    """Return the values of a model's metrics; answers without a score are left out.

    `RUBRIC/CRITERION` is on the criterion's scale, `SUITE/score` from 0 to 1. The latter needs the
    scores on all criteria: a mean over those that happened to be readable would favour answers
    whose hard criteria failed.
    """
    tables: defaultdict[str, Table] = defaultdict(dict)
    shares: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    incomplete = set()
    for one in results.scores:
        if one.model != model:
            continue
        item = (one.rubric, one.id)
        score = one.distribution.mean
        if score is None:
            incomplete.add(item)
            continue
        tables[one.metric][item] = score
        shares[item].append(rubrics[one.rubric].criterion(one.criterion).share(score))
    overall = {item: fmean(values) for item, values in shares.items() if item not in incomplete}
    if overall:
        tables[f"{suite}/{OVERALL}"] = overall
    return dict(tables)


def win_tables(suite: str, results: JudgeResults) -> dict[str, Table]:
    """Return the target's share of each readable pair, under the name of the win rate."""
    shares = {
        (pair.rubric, pair.id): pair.target_share
        for pair in results.pairs
        if pair.target_share is not None
    }
    return {f"{suite}/{WIN_RATE}": shares} if shares else {}


def mean_metrics(
    suite: str, rubrics: Mapping[str, Rubric], results: JudgeResults, model: str
) -> dict[str, float]:
    """Return the mean of each metric of a model; only the target has a win rate."""
    tables = score_tables(suite, rubrics, results, model)
    if model == TARGET:
        tables |= win_tables(suite, results)
    return {name: fmean(table.values()) for name, table in tables.items()}


def compare_models(
    suite: str, rubrics: Mapping[str, Rubric], results: JudgeResults, seed: int
) -> list[Difference]:
    """Compare the models on every metric that both have, over prompts where both have a score.

    The target's win rate is compared with one half, at which neither model is better.
    """
    differences = [
        paired(name, list(old.values()), list(new.values()), higher_is_better=True, seed=seed)
        for name, old, new in _common_items(suite, rubrics, results)
    ]
    for name, table in win_tables(suite, results).items():
        shares = list(table.values())
        differences.append(
            paired(name, [0.5] * len(shares), shares, higher_is_better=True, seed=seed)
        )
    return differences


def detectable_differences(
    suite: str, rubrics: Mapping[str, Rubric], results: JudgeResults
) -> list[dict[str, Any]]:
    """Return each difference of the models beside the smallest that its items can detect."""
    records = []
    for name, old, new in _common_items(suite, rubrics, results):
        differences = [new[item] - old[item] for item in new]
        if len(differences) > 1:
            smallest = minimum_detectable(differences)
            records.append(
                {
                    "name": name,
                    "items": len(differences),
                    "difference": fmean(differences),
                    "minimum_detectable": smallest,
                    "is_below": abs(fmean(differences)) < smallest,
                }
            )
    return records


def _common_items(
    suite: str, rubrics: Mapping[str, Rubric], results: JudgeResults
) -> list[tuple[str, Table, Table]]:
    """Return each metric's values of baseline and target, on their common items in one order."""
    before = score_tables(suite, rubrics, results, BASELINE)
    after = score_tables(suite, rubrics, results, TARGET)
    # The difference is paired by item: only items with both scores can enter it.
    common = []
    for name, table in after.items():
        items = [item for item in table if item in before.get(name, {})]
        if items:
            old = {item: before[name][item] for item in items}
            common.append((name, old, {item: table[item] for item in items}))
    return common


def minimum_detectable(differences: list[float]) -> float:
    """Return the true mean difference that a two-sided 5 % test detects in 80 % of such samples.

    (z₀.₉₇₅ + z₀.₈)·s/√n = 2.80 standard errors of the paired differences. Their spread includes the
    judge's own noise, so a noisy judge raises the bar.
    """
    z = scipy.stats.norm.ppf(1 - (1 - CONFIDENCE) / 2) + scipy.stats.norm.ppf(POWER)
    return float(z * stdev(differences) / math.sqrt(len(differences)))
