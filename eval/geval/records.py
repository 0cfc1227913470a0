"""Records in a judge's folder: scores, pairs, and scores of human-rated texts, one per line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.geval.judge.reply import Preference
from eval.geval.judge.score import ReplyCounts, ScoreDistribution
from pacos.files import read_jsonl
from pacos.run_paths import JudgePaths

TARGET, BASELINE, TIE = "target", "baseline", "tie"
"""Outcomes of a pair."""
TARGET_SHARE = {TARGET: 1.0, BASELINE: 0.0, TIE: 0.5}
"""The target's share of a win, by outcome."""


@dataclass(frozen=True, slots=True)
class AnswerScore:
    """The score of one model's answer on one criterion."""

    model: str
    """Label of the model: target or baseline."""
    rubric: str
    id: str
    """Id of the prompt."""
    criterion: str
    length: int
    """Length of the answer in characters."""
    distribution: ScoreDistribution

    @property
    def metric(self) -> str:
        """Name of the metric that the score belongs to: RUBRIC/CRITERION."""
        return f"{self.rubric}/{self.criterion}"

    def to_json(self) -> dict[str, Any]:
        names = ("model", "rubric", "id", "criterion", "length")
        return {**{name: getattr(self, name) for name in names}, **self.distribution.to_json()}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> AnswerScore:
        names = ("model", "rubric", "id", "criterion", "length")
        values = {name: record[name] for name in names}
        return cls(**values, distribution=ScoreDistribution.from_json(record))


@dataclass(frozen=True, slots=True)
class PairComparison:
    """Both models' answers to one prompt, compared in both orders."""

    rubric: str
    id: str
    """Id of the prompt."""
    target_first: Preference | None
    """The judge's preference with the target's answer shown first; None if unreadable."""
    target_second: Preference | None
    target_length: int
    baseline_length: int
    counts: ReplyCounts

    @property
    def winners(self) -> tuple[str | None, str | None]:
        """The winner in each order."""
        forward = {Preference.first: TARGET, Preference.second: BASELINE, Preference.tie: TIE}
        reverse = {Preference.first: BASELINE, Preference.second: TARGET, Preference.tie: TIE}
        return (
            forward[self.target_first] if self.target_first else None,
            reverse[self.target_second] if self.target_second else None,
        )

    @property
    def is_consistent(self) -> bool | None:
        """True if both orders have the same winner; None if a reply is unreadable."""
        first, second = self.winners
        return None if first is None or second is None else first == second

    @property
    def outcome(self) -> str | None:
        """The winner in both orders, or a tie if they disagree; None if a reply is unreadable.

        A judge that always prefers the text shown first disagrees with itself on every pair, so
        position bias produces ties and not wins.
        """
        if self.is_consistent is None:
            return None
        return self.winners[0] if self.is_consistent else TIE

    @property
    def target_share(self) -> float | None:
        """1 for a win of the target, 0 for a win of the baseline, 1/2 for a tie."""
        return None if self.outcome is None else TARGET_SHARE[self.outcome]

    def to_json(self) -> dict[str, Any]:
        preferences = {"target_first": self.target_first, "target_second": self.target_second}
        return {
            "rubric": self.rubric,
            "id": self.id,
            **{order: one and one.value for order, one in preferences.items()},
            "outcome": self.outcome,
            "target_length": self.target_length,
            "baseline_length": self.baseline_length,
            **self.counts.to_json(),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> PairComparison:
        first, second = record["target_first"], record["target_second"]
        return cls(
            rubric=record["rubric"],
            id=record["id"],
            target_first=None if first is None else Preference(first),
            target_second=None if second is None else Preference(second),
            target_length=record["target_length"],
            baseline_length=record["baseline_length"],
            counts=ReplyCounts.from_json(record),
        )


@dataclass(frozen=True, slots=True)
class RatedTextScore:
    """The score of a human-rated text on one criterion, beside the human rating."""

    rubric: str
    criterion: str
    document: str
    system: str
    human: float
    """Mean human rating."""
    length: int
    """Length of the text in characters."""
    distribution: ScoreDistribution

    def to_json(self) -> dict[str, Any]:
        names = ("rubric", "criterion", "document", "system", "human", "length")
        return {**{name: getattr(self, name) for name in names}, **self.distribution.to_json()}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> RatedTextScore:
        names = ("rubric", "criterion", "document", "system", "human", "length")
        values = {name: record[name] for name in names}
        return cls(**values, distribution=ScoreDistribution.from_json(record))


@dataclass(frozen=True, slots=True)
class JudgeResults:
    """All results of one judge in a run."""

    scores: list[AnswerScore]
    pairs: list[PairComparison]
    rated: list[RatedTextScore]

    def distributions(self) -> list[ScoreDistribution]:
        """Return all scores, of models' answers and of human-rated texts."""
        return [
            *(score.distribution for score in self.scores),
            *(score.distribution for score in self.rated),
        ]

    def counts(self) -> ReplyCounts:
        """Return the counts of all replies with scores; pairs are not included."""
        return sum((one.counts for one in self.distributions()), ReplyCounts())


def read_judge_results(folder: Path) -> JudgeResults:
    """Read back a judge's folder."""
    files = JudgePaths(folder)
    return JudgeResults(
        [AnswerScore.from_json(record) for record in read_jsonl(files.scores)],
        [PairComparison.from_json(record) for record in read_jsonl(files.pairs)],
        [RatedTextScore.from_json(record) for record in read_jsonl(files.rated)],
    )
