"""Agreement of a judge with people: three correlations at three levels, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from eval.findings.significance import CONFIDENCE
from pacos.seeds import derived_seed

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RESAMPLES = 1000
LEAST_DOCUMENTS = 10
"""Fewest documents for a bootstrap: with fewer, resamples are too much alike for a valid interval,
and it is reported as -1 to 1."""

LEVELS = ("dataset", "summary", "system")
"""Levels of correlation, as SummEval and UniEval define them: over all texts; within each document
over its systems, then averaged over documents; over the systems' means."""


@dataclass(frozen=True, slots=True)
class ScoredPoint:
    """One text with the judge's score and the human rating."""

    document: str
    """Texts of one document are not independent: the bootstrap resamples documents."""
    system: str
    judge: float
    human: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """The correlations at one level."""

    level: str
    units: int
    """Number of texts, documents or systems that were correlated."""
    skipped: int
    """Documents left out because the judge or the people gave all their texts the same score
    (summary level)."""
    pearson: Estimate
    spearman: Estimate
    kendall: Estimate
    """Kendall's tau-b."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def correlations(judge: Floats, human: Floats) -> Floats:
    """Return [3] Pearson, Spearman and Kendall's tau-b; NaN if either side is constant."""
    if len(judge) < 2 or np.ptp(judge) == 0 or np.ptp(human) == 0:
        return np.full(3, np.nan)
    ranks = scipy.stats.rankdata(judge), scipy.stats.rankdata(human)
    # `corrcoef` and not `scipy.stats.pearsonr`, whose p-value costs more than the coefficient:
    # the bootstrap computes each of these 1,000 times.
    return np.array(
        [
            np.corrcoef(judge, human)[0, 1],
            np.corrcoef(*ranks)[0, 1],
            scipy.stats.kendalltau(judge, human).statistic,
        ]
    )


def agreements(points: Sequence[ScoredPoint], seed: int) -> list[Agreement]:
    """Return the correlations at every level at which they are defined."""
    if not points:
        return []
    documents = _codes([point.document for point in points])
    systems = _codes([point.system for point in points])
    judge = np.array([point.judge for point in points], dtype=float)
    human = np.array([point.human for point in points], dtype=float)
    measures: dict[str, Callable[[Ints], Floats]] = {
        "dataset": lambda rows: correlations(judge[rows], human[rows]),
        "summary": _summary_level(documents, judge, human),
        "system": lambda rows: _system_level(systems[rows], judge[rows], human[rows]),
    }
    by_document = [
        np.flatnonzero(documents == code) for code in range(documents.max(initial=-1) + 1)
    ]
    levels = []
    for level in LEVELS:
        values = measures[level](np.arange(len(points)))
        # One system only, or one text per document: the level has nothing to correlate.
        if not np.isfinite(values).all():
            continue
        random = np.random.default_rng(derived_seed(seed, "agreement", level))
        bounds = _interval(measures[level], by_document, random)
        estimates = [Estimate(*map(float, three)) for three in zip(values, *bounds, strict=True)]
        skipped = sum(
            bool(np.ptp(judge[rows]) == 0 or np.ptp(human[rows]) == 0) for rows in by_document
        )
        units = {"dataset": len(points), "summary": len(by_document) - skipped}
        levels.append(
            Agreement(
                level,
                units.get(level, len(set(systems))),
                skipped if level == "summary" else 0,
                *estimates,
            )
        )
    return levels


def _codes(names: Sequence[str]) -> Ints:
    """Number the names from 0 in order of appearance."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], dtype=np.int64)


def _summary_level(documents: Ints, judge: Floats, human: Floats) -> Callable[[Ints], Floats]:
    """Return the measure of the summary level.

    A document's correlations do not depend on the resample, so each is computed once, and a
    resample averages those of the documents it drew: 1,000 resamples cost one pass.
    """
    by_document = [np.flatnonzero(documents == code) for code in range(documents.max() + 1)]
    table = np.array([correlations(judge[rows], human[rows]) for rows in by_document])
    sizes = [len(rows) for rows in by_document]

    def mean(rows: Ints) -> Floats:
        times = np.bincount(documents[rows], minlength=len(by_document)) / sizes
        is_defined = np.isfinite(table[:, 0]) & (times > 0)
        if not is_defined.any():
            return np.full(3, np.nan)
        return np.average(table[is_defined], axis=0, weights=times[is_defined])

    return mean


def _system_level(systems: Ints, judge: Floats, human: Floats) -> Floats:
    counts = np.bincount(systems)
    # A resample can miss a system altogether.
    present = counts > 0
    means = [np.bincount(systems, side)[present] / counts[present] for side in (judge, human)]
    return correlations(*means)


def _interval(
    measure: Callable[[Ints], Floats], by_document: Sequence[Ints], random: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return the percentile interval over documents drawn with replacement."""
    documents = len(by_document)
    if documents < LEAST_DOCUMENTS:
        return np.full(3, -1.0), np.full(3, 1.0)
    resampled = [
        measure(
            np.concatenate([by_document[one] for one in random.integers(0, documents, documents)])
        )
        for _ in range(RESAMPLES)
    ]
    tail = (1 - CONFIDENCE) / 2
    # A resample in which one side is constant has no correlation.
    low, high = np.nanquantile(np.array(resampled), [tail, 1 - tail], axis=0)
    return low, high


def length_correlation(scores: Sequence[float], lengths: Sequence[float]) -> float | None:
    """Return Spearman's correlation of scores with text lengths; None if undefined."""
    rho = float(correlations(np.array(scores, dtype=float), np.array(lengths, dtype=float))[1])
    return None if math.isnan(rho) else rho
