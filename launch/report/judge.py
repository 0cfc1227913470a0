"""The report's section on the judge: its scores, their reliability, and human ratings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pacos.files import read_json, read_jsonl
from pacos.run_paths import JudgePaths


@dataclass(frozen=True, slots=True)
class JudgeAgreement:
    """Agreement of the judge with people who rated the same texts, on one criterion."""

    name: str
    texts: int
    correlations: tuple[str, str, str]
    """Pearson, Spearman and Kendall over all texts, each with its interval."""


@dataclass(frozen=True, slots=True)
class Correction:
    """The judge's mean score on one metric, and the human mean estimated from ratings."""

    name: str
    rated: int
    """Items that people rated."""
    items: int
    judge: float
    people: float
    low: float
    """Lower end of the interval of `people`."""
    high: float


@dataclass(frozen=True, slots=True)
class JudgeSection:
    """The last judge of an evaluation."""

    name: str
    scores: int
    score_sources: str
    """Number of scores by source: token probabilities, samples, or the text of the reply."""
    replies: int
    failures: float
    """Share of replies without a score."""
    strict: float
    """Share of replies that consist of the score alone."""
    warnings: list[str]
    agreements: list[JudgeAgreement]
    corrections: list[Correction]
    ratings: int
    """Human ratings of this run's own items."""
    human_correlation: str | None
    """Spearman correlation with these ratings, over randomly drawn items."""


def read_judge(suite: Path) -> JudgeSection | None:
    """Read the certificate of the judge that finished last; return None without a judge."""
    files = JudgePaths.last_of(suite)
    if files is None:
        return None
    facts = read_json(files.certificate)
    replies = facts["replies"]
    people = read_json(files.people) if files.people.is_file() else {}
    by_chance = people.get("agreement", {}).get("by_chance", {}).get("spearman")
    return JudgeSection(
        name=facts["judge"],
        scores=facts["scores"],
        score_sources=", ".join(
            f"{count} missing" if source == "none" else f"{count} from {source}"
            for source, count in facts["scores_by"].items()
        ),
        replies=replies["replies"],
        failures=replies["failure_rate"],
        strict=replies["strict_rate"],
        warnings=facts["warnings"],
        agreements=[item for item in map(_agreement, facts["agreement"]) if item is not None],
        corrections=[_correction(item) for item in people.get("corrected", ())],
        ratings=people.get("ratings", 0),
        human_correlation=None if by_chance is None else _with_interval(by_chance),
    )


def read_scores(suite: Path) -> defaultdict[tuple[str, str, str], dict[str, float]]:
    """Return the last judge's scores by criterion, for each (model, rubric, prompt id)."""
    scores: defaultdict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    files = JudgePaths.last_of(suite)
    for line in read_jsonl(files.scores) if files else ():
        if line["score"] is not None:
            scores[line["model"], line["rubric"], line["id"]][line["criterion"]] = line["score"]
    return scores


def _agreement(record: Mapping[str, Any]) -> JudgeAgreement | None:
    for level in record["levels"]:
        # The one level that needs neither several systems nor several texts of a document.
        if level["level"] == "dataset":
            return JudgeAgreement(
                f"{record['rubric']}/{record['criterion']}",
                level["units"],
                (
                    _with_interval(level["pearson"]),
                    _with_interval(level["spearman"]),
                    _with_interval(level["kendall"]),
                ),
            )
    return None


def _correction(record: Mapping[str, Any]) -> Correction:
    people = record["people"]
    return Correction(
        name=record["name"],
        rated=record["rated"],
        items=record["items"],
        judge=record["judge"],
        people=people["value"],
        low=people["low"],
        high=people["high"],
    )


def _with_interval(estimate: Mapping[str, float]) -> str:
    return f"{estimate['value']:.2f} ({estimate['low']:.2f} to {estimate['high']:.2f})"
