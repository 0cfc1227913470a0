"""What a judge's folder holds: scores, pairs and scores of rated texts, one record a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.geval.judge.reply import Preference
from eval.geval.judge.weighting import Tally, Verdict
from pacos.files import read_jsonl

SCORES, PAIRS, RATED = "scores.jsonl", "pairs.jsonl", "rated.jsonl"
CERTIFICATE = "certificate.json"
PEOPLE = "people.json"
"""What people's ratings say of this judge."""
REVIEW = "review.jsonl"
"""People's ratings, beside the folders of all judges, for all of which they count."""
TARGET, BASELINE, TIE = "target", "baseline", "tie"
"""Outcomes of a pair."""
WON = {TARGET: 1.0, BASELINE: 0.0, TIE: 0.5}
"""What an outcome counts for the target."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One model's answer by one criterion."""

    model: str
    """Label of the model: target or baseline."""
    rubric: str
    id: str
    criterion: str
    length: int
    """Characters of the answer."""
    verdict: Verdict

    @property
    def name(self) -> str:
        """Of the figure that it belongs to: rubric/criterion."""
        return f"{self.rubric}/{self.criterion}"

    def to_json(self) -> dict[str, Any]:
        names = ("model", "rubric", "id", "criterion", "length")
        return {**{name: getattr(self, name) for name in names}, **self.verdict.to_json()}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Scored:
        names = ("model", "rubric", "id", "criterion", "length")
        given = {name: record[name] for name in names}
        return cls(**given, verdict=Verdict.from_json(record))


@dataclass(frozen=True, slots=True)
class Pair:
    """Both models' answers to one prompt, shown in both orders."""

    rubric: str
    id: str
    target_first: Preference | None
    """What the judge said with the target's answer in front; None: nothing that can be read."""
    target_second: Preference | None
    target_length: int
    baseline_length: int
    tally: Tally

    @property
    def winners(self) -> tuple[str | None, str | None]:
        """Who won in each order."""
        names = {Preference.first: TARGET, Preference.second: BASELINE, Preference.tie: TIE}
        turned = {Preference.first: BASELINE, Preference.second: TARGET, Preference.tie: TIE}
        one, other = self.target_first, self.target_second
        return (names[one] if one else None), (turned[other] if other else None)

    @property
    def is_consistent(self) -> bool | None:
        """Whether both orders came to one verdict; None where one could not be read."""
        one, other = self.winners
        return None if one is None or other is None else one == other

    @property
    def outcome(self) -> str | None:
        """The winner in both orders, a tie where they disagree; None where one is missing."""
        if self.is_consistent is None:
            return None
        return self.winners[0] if self.is_consistent else TIE

    @property
    def won(self) -> float | None:
        """1 for the target, 0 for the baseline, 1/2 for a tie."""
        return None if self.outcome is None else WON[self.outcome]

    def to_json(self) -> dict[str, Any]:
        said = {"target_first": self.target_first, "target_second": self.target_second}
        return {
            "rubric": self.rubric,
            "id": self.id,
            **{order: one and one.value for order, one in said.items()},
            "outcome": self.outcome,
            "target_length": self.target_length,
            "baseline_length": self.baseline_length,
            **{name: getattr(self.tally, name) for name in Tally.__slots__},
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Pair:
        front, back = record["target_first"], record["target_second"]
        return cls(
            rubric=record["rubric"],
            id=record["id"],
            target_first=None if front is None else Preference(front),
            target_second=None if back is None else Preference(back),
            target_length=record["target_length"],
            baseline_length=record["baseline_length"],
            tally=Tally(**{name: record[name] for name in Tally.__slots__}),
        )


@dataclass(frozen=True, slots=True)
class Rated:
    """A text that people rated, by one criterion."""

    rubric: str
    criterion: str
    document: str
    system: str
    human: float
    length: int
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        names = ("rubric", "criterion", "document", "system", "human", "length")
        return {**{name: getattr(self, name) for name in names}, **self.verdict.to_json()}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Rated:
        names = ("rubric", "criterion", "document", "system", "human", "length")
        given = {name: record[name] for name in names}
        return cls(**given, verdict=Verdict.from_json(record))


@dataclass(frozen=True, slots=True)
class Judged:
    """Everything that one judge said in a run."""

    scores: list[Scored]
    pairs: list[Pair]
    rated: list[Rated]

    def verdicts(self) -> list[Verdict]:
        """All scores, of models' answers and of rated texts."""
        return [one.verdict for one in self.scores] + [one.verdict for one in self.rated]

    def tally(self) -> Tally:
        """Of all replies with scores."""
        return sum((verdict.tally for verdict in self.verdicts()), Tally())


def read_judged(folder: Path) -> Judged:
    """Read back a judge's folder."""
    return Judged(
        [Scored.from_json(record) for record in read_jsonl(folder / SCORES)],
        [Pair.from_json(record) for record in read_jsonl(folder / PAIRS)],
        [Rated.from_json(record) for record in read_jsonl(folder / RATED)],
    )
