"""The correlations, against published ones and against a plain reference."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from eval.geval.findings import agreement
from eval.geval.findings.agreement import Agreement, ScoredPoint, agreements, correlations

TOPICAL_CHAT = {
    "naturalness": (0.443666, 0.513986, 0.373973),
    "coherence": (0.595143, 0.612942, 0.465915),
    "engagingness": (0.55651, 0.604739, 0.455941),
    "groundedness": (0.536209, 0.574954, 0.451533),
    "understandability": (0.380038, 0.467807, 0.360741),
    "overall": (0.632796, 0.662583, 0.487272),
}
QAGS = {"qags_xsum": (0.461376, 0.48792, 0.399218), "qags_cnndm": (0.681681, 0.662255, 0.531636)}
"""UniEval's published correlations (its repository, reproduce/README.md): Pearson, Spearman,
Kendall at the level of single texts, as printed there, to six decimals."""


def predicted(data: Path, name: str, dimension: str) -> list[ScoredPoint]:
    records = json.loads((data / "unieval" / "predictions" / f"{name}_result.json").read_text())
    return [
        ScoredPoint(
            document=record["source"],
            system=str(record["system_id"]),
            judge=record["predict_scores"][dimension],
            human=record["scores"][dimension],
        )
        for record in records
    ]


def values(found: Agreement) -> tuple[float, ...]:
    return tuple(one.value for one in (found.pearson, found.spearman, found.kendall))


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "RESAMPLES", 40)


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize("dimension", TOPICAL_CHAT)
def test_topical_chat_as_published(shared_data: Path, dimension: str) -> None:
    dataset, *_ = agreements(predicted(shared_data, "topical_chat", dimension), seed=0)
    assert dataset.level == "dataset"
    assert dataset.units == 360
    assert tuple(round(value, 6) for value in values(dataset)) == TOPICAL_CHAT[dimension]


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize("name", QAGS)
def test_qags_as_published(shared_data: Path, name: str) -> None:
    (dataset,) = agreements(predicted(shared_data, name, "consistency"), seed=0)
    assert tuple(round(value, 6) for value in values(dataset)) == QAGS[name]


@pytest.mark.usefixtures("few_resamples")
def test_the_interval_of_a_published_correlation(shared_data: Path) -> None:
    points = predicted(shared_data, "topical_chat", "naturalness")
    dataset, summary, system = agreements(points, seed=0)
    assert (summary.units, summary.skipped, system.units) == (60, 0, 6)
    assert dataset.pearson.low < dataset.pearson.value < dataset.pearson.high
    assert 0.05 < dataset.pearson.high - dataset.pearson.low < 0.3
    assert dataset == agreements(points, seed=0)[0], "the same draws every time"


def made(documents: int = 12, systems: int = 5) -> list[ScoredPoint]:
    random = np.random.default_rng(3)
    return [
        ScoredPoint(
            f"d{document}", f"s{system}", float(human + random.integers(-1, 2)), float(human)
        )
        for document in range(documents)
        for system in range(systems)
        for human in [random.integers(1, 6) if document else 3]
    ]


@pytest.mark.usefixtures("few_resamples")
def test_levels_against_a_plain_reference() -> None:
    points = made()
    dataset, summary, system = agreements(points, seed=1)
    judge, human = [p.judge for p in points], [p.human for p in points]
    assert dataset.pearson.value == pytest.approx(scipy.stats.pearsonr(judge, human).statistic)
    assert dataset.spearman.value == pytest.approx(scipy.stats.spearmanr(judge, human).statistic)
    assert dataset.kendall.value == pytest.approx(scipy.stats.kendalltau(judge, human).statistic)

    by_document, by_system = defaultdict(list), defaultdict(list)
    for point in points:
        by_document[point.document].append((point.judge, point.human))
        by_system[point.system].append((point.judge, point.human))
    taus = [
        scipy.stats.kendalltau(*zip(*pairs, strict=True)).statistic
        for name, pairs in by_document.items()
        if len({one for one, _ in pairs}) > 1 and len({other for _, other in pairs}) > 1
    ]
    assert summary.kendall.value == pytest.approx(np.mean(taus))
    assert summary.units == len(taus)
    assert summary.skipped == 12 - len(taus) >= 1, "people gave the first document one score"
    means = [np.mean(pairs, axis=0) for pairs in by_system.values()]
    expected = scipy.stats.pearsonr(*zip(*means, strict=True)).statistic
    assert system.pearson.value == pytest.approx(expected)


def test_a_few_documents_have_no_interval() -> None:
    for level in agreements(made(documents=9), seed=1):
        assert (level.pearson.low, level.pearson.high) == (-1.0, 1.0)
    assert agreements(made(documents=10), seed=1)[0].pearson.high < 1.0


@pytest.mark.usefixtures("few_resamples")
def test_what_is_undefined_is_left_out() -> None:
    alone = [ScoredPoint("d", "s", 1.0, 1.0)]
    constant = [ScoredPoint(f"d{n}", "s", 2.0, float(n)) for n in range(5)]
    assert agreements(alone, seed=0) == []
    assert agreements(constant, seed=0) == []
    assert agreements([], seed=0) == []
    assert np.isnan(correlations(np.ones(3), np.arange(3.0))).all()
