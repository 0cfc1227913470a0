"""The report's part on a judge: who it was, what its scores are worth, and what people said."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pacos.files import read_json, read_jsonl
from pacos.run_paths import JudgePaths


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the judge agrees with people who rated the same texts, by one criterion."""

    name: str
    texts: int
    figures: tuple[str, str, str]
    """Pearson, Spearman and Kendall over all texts, each with its interval."""


@dataclass(frozen=True, slots=True)
class Correction:
    """A figure as the judge has it, and as people would."""

    name: str
    rated: int
    items: int
    judge: float
    people: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class JudgeFacts:
    """The last judge of an evaluation."""

    name: str
    scores: int
    ways: str
    replies: int
    failures: float
    """Share of replies without a score."""
    strict: float
    """Share of replies that were the score alone."""
    warnings: list[str]
    agreements: list[Agreement]
    corrections: list[Correction]
    ratings: int
    """Of people, on this run's own items."""
    by_chance: str | None
    """Spearman's correlation with them, over items drawn by chance."""


def read_judge(suite: Path) -> JudgeFacts | None:
    """Read the certificate of the judge that ended last; None if there was none."""
    files = JudgePaths.last_of(suite)
    if files is None:
        return None
    facts = read_json(files.certificate)
    replies = facts["replies"]
    people = read_json(files.people) if files.people.is_file() else {}
    by_chance = people.get("agreement", {}).get("by_chance", {}).get("spearman")
    return JudgeFacts(
        name=facts["judge"],
        scores=facts["scores"],
        ways=", ".join(
            f"{count} missing" if way == "none" else f"{count} by {way}"
            for way, count in facts["scores_by"].items()
        ),
        replies=replies["replies"],
        failures=replies["failure_rate"],
        strict=replies["strict_rate"],
        warnings=facts["warnings"],
        agreements=[one for one in map(_agreement, facts["agreement"]) if one is not None],
        corrections=[_correction(one) for one in people.get("corrected", ())],
        ratings=people.get("ratings", 0),
        by_chance=None if by_chance is None else _with_interval(by_chance),
    )


def read_scores(suite: Path) -> defaultdict[tuple[str, str, str], dict[str, float]]:
    """The last judge's scores by criterion, of each answer: model, rubric, id of the prompt."""
    found: defaultdict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    files = JudgePaths.last_of(suite)
    for one in read_jsonl(files.scores) if files else ():
        if one["score"] is not None:
            found[one["model"], one["rubric"], one["id"]][one["criterion"]] = one["score"]
    return found


def _agreement(record: Mapping[str, Any]) -> Agreement | None:
    for level in record["levels"]:
        if level["level"] == "dataset":
            return Agreement(
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
