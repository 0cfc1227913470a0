"""Figures of models from a judge's scores, and how large a difference the items can show."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from statistics import fmean, stdev
from typing import Any

import scipy.stats

from eval.geval.records import Judged
from eval.rubrics.rubric import Rubric

POWER = 0.8
CONFIDENCE = 0.95
WIN_RATE = "win_rate"
"""Figure of pairs: target's wins, ties as halves; 0.5 says that neither is better."""
OVERALL = "score"
"""Figure of a whole suite: mean over answers of the mean over criteria, each as a share of its
scale, 0 to 1."""

Table = dict[tuple[str, str], float]
"""Value by rubric and id of the prompt."""


def tables(
    suite: str, rubrics: Mapping[str, Rubric], judged: Judged, model: str
) -> dict[str, Table]:
    """The values of a model under the names of its figures; answers without a score are left out.

    `RUBRIC/CRITERION` is on the criterion's scale, `SUITE/score` from 0 to 1.
    """
    found: defaultdict[str, Table] = defaultdict(dict)
    shares: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    incomplete = set()
    for one in judged.scores:
        if one.model != model:
            continue
        item = (one.rubric, one.id)
        score = one.verdict.score
        if score is None:
            incomplete.add(item)
            continue
        found[one.name][item] = score
        shares[item].append(rubrics[one.rubric].criterion(one.criterion).share(score))
    whole = {item: fmean(values) for item, values in shares.items() if item not in incomplete}
    if whole:
        found[f"{suite}/{OVERALL}"] = whole
    return dict(found)


def wins(suite: str, judged: Judged) -> dict[str, Table]:
    """The outcome of each pair that has one, under the name of the win rate."""
    outcomes = {(pair.rubric, pair.id): pair.won for pair in judged.pairs if pair.won is not None}
    return {f"{suite}/{WIN_RATE}": outcomes} if outcomes else {}


def figures(
    suite: str, rubrics: Mapping[str, Rubric], judged: Judged, model: str
) -> dict[str, float]:
    """The mean of every table; the target's have the win rate too."""
    found = tables(suite, rubrics, judged, model)
    if model == "target":
        found |= wins(suite, judged)
    return {name: fmean(table.values()) for name, table in found.items()}


def comparisons(suite: str, rubrics: Mapping[str, Rubric], judged: Judged) -> list[dict[str, Any]]:
    """Each difference between the two models beside the smallest one that the items can show."""
    found = []
    before = tables(suite, rubrics, judged, "baseline")
    after = tables(suite, rubrics, judged, "target")
    for name in after:
        items = [item for item in after[name] if item in before.get(name, {})]
        differences = [after[name][item] - before[name][item] for item in items]
        if len(differences) > 1:
            smallest = minimum_detectable(differences)
            found.append(
                {
                    "name": name,
                    "items": len(items),
                    "difference": fmean(differences),
                    "minimum_detectable": smallest,
                    "is_below": abs(fmean(differences)) < smallest,
                }
            )
    return found


def minimum_detectable(differences: list[float]) -> float:
    """The true mean difference that a two-sided test at 5 % finds in 80 % of such samples.

    (z₀.₉₇₅ + z₀.₈)·s/√n = 2.80 standard errors of the paired differences, which hold what the judge
    adds of its own.
    """
    z = scipy.stats.norm.ppf(1 - (1 - CONFIDENCE) / 2) + scipy.stats.norm.ppf(POWER)
    return float(z * stdev(differences) / math.sqrt(len(differences)))
