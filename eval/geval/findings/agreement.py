"""How far a judge agrees with people: three correlations at three levels, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from pacos.seeds import derived_seed

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RESAMPLES = 1000
CONFIDENCE = 0.95
LEAST_DOCUMENTS = 10
"""With fewer, resamples are too much alike for an interval: it is then -1 to 1, all that can be."""

LEVELS = ("dataset", "summary", "system")
"""Over all texts; within each document over its systems, then the mean; over the systems' means
(SummEval's and UniEval's definitions)."""


@dataclass(frozen=True, slots=True)
class Point:
    """One text that a judge and people scored."""

    document: str
    """Texts of one document are not independent: the bootstrap draws documents."""
    system: str
    judge: float
    human: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """The correlations at one level."""

    level: str
    units: int
    """What is correlated: texts, documents, systems."""
    skipped: int
    """Documents left out because judge or people gave all their texts one score (summary)."""
    pearson: Estimate
    spearman: Estimate
    kendall: Estimate
    """Tau-b."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def correlations(judge: Floats, human: Floats) -> Floats:
    """[3] Pearson, Spearman and Kendall's tau-b; NaN where either side is constant."""
    if len(judge) < 2 or np.ptp(judge) == 0 or np.ptp(human) == 0:
        return np.full(3, np.nan)
    ranks = scipy.stats.rankdata(judge), scipy.stats.rankdata(human)
    return np.array(
        [
            np.corrcoef(judge, human)[0, 1],
            np.corrcoef(*ranks)[0, 1],
            scipy.stats.kendalltau(judge, human).statistic,
        ]
    )


def agreements(points: Sequence[Point], seed: int) -> list[Agreement]:
    """The correlations at every level at which there are any."""
    if not points:
        return []
    documents = _codes([point.document for point in points])
    systems = _codes([point.system for point in points])
    judge = np.array([point.judge for point in points], dtype=float)
    human = np.array([point.human for point in points], dtype=float)
    measures: dict[str, Callable[[Ints], Floats]] = {
        "dataset": lambda kept: correlations(judge[kept], human[kept]),
        "summary": _summary_level(documents, judge, human),
        "system": lambda kept: _system_level(systems[kept], judge[kept], human[kept]),
    }
    rows = [np.flatnonzero(documents == one) for one in range(documents.max(initial=-1) + 1)]
    found = []
    for level in LEVELS:
        value = measures[level](np.arange(len(points)))
        if not np.isfinite(value).all():
            continue
        random = np.random.default_rng(derived_seed(seed, "agreement", level))
        ends = _interval(measures[level], rows, random)
        estimates = [Estimate(*map(float, three)) for three in zip(value, *ends, strict=True)]
        skipped = sum(bool(np.ptp(judge[own]) == 0 or np.ptp(human[own]) == 0) for own in rows)
        units = {"dataset": len(points), "summary": len(rows) - skipped}
        found.append(
            Agreement(
                level,
                units.get(level, len(set(systems))),
                skipped if level == "summary" else 0,
                *estimates,
            )
        )
    return found


def _codes(names: Sequence[str]) -> Ints:
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], dtype=np.int64)


def _summary_level(documents: Ints, judge: Floats, human: Floats) -> Callable[[Ints], Floats]:
    """Each document's correlations are computed once; a resample averages those it has."""
    own = [np.flatnonzero(documents == one) for one in range(documents.max(initial=-1) + 1)]
    table = np.array([correlations(judge[rows], human[rows]) for rows in own])

    def mean(kept: Ints) -> Floats:
        times = np.bincount(documents[kept], minlength=len(own)) / [len(rows) for rows in own]
        defined = np.isfinite(table[:, 0]) & (times > 0)
        if not defined.any():
            return np.full(3, np.nan)
        return np.average(table[defined], axis=0, weights=times[defined])

    return mean


def _system_level(systems: Ints, judge: Floats, human: Floats) -> Floats:
    counts = np.bincount(systems)
    there = counts > 0
    means = [np.bincount(systems, side)[there] / counts[there] for side in (judge, human)]
    return correlations(*means)


def _interval(
    measure: Callable[[Ints], Floats], rows: Sequence[Ints], random: np.random.Generator
) -> tuple[Floats, Floats]:
    """Percentile interval over documents drawn with replacement."""
    if len(rows) < LEAST_DOCUMENTS:
        return np.full(3, -1.0), np.full(3, 1.0)
    drawn = [
        measure(np.concatenate([rows[one] for one in random.integers(0, len(rows), len(rows))]))
        for _ in range(RESAMPLES)
    ]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(np.array(drawn), [tail, 1 - tail], axis=0)
    return low, high


def length_correlation(scores: Sequence[float], lengths: Sequence[float]) -> float | None:
    """Spearman's correlation of scores with the lengths of what was scored."""
    found = float(correlations(np.array(scores, dtype=float), np.array(lengths, dtype=float))[1])
    return None if math.isnan(found) else found
