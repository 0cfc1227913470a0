"""The report's section on evaluation: the comparison, and answers of both models side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.config import HELDOUT
from launch.report.judge import JudgeFacts, read_judge, read_scores
from launch.report.stages import StageFacts
from pacos.files import read_json, read_jsonl
from pacos.run_paths import EvalPaths

NLL = f"{HELDOUT}/nll"
ANSWERS = "answers.jsonl"
"""Answers of a model to the prompts of a suite's rubrics."""
SAMPLES = 6


@dataclass(frozen=True, slots=True)
class Interval:
    """Where an interval of differences lies in a drawing 100 wide with zero in the middle."""

    low: float
    high: float
    middle: float


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of comparison.json."""

    name: str
    items: int
    higher_is_better: bool
    before: float
    after: float
    difference: float
    interval: tuple[float, float]
    p: float
    """Of a line among several, after the correction for their number: what the verdict goes by."""
    verdict: str
    overall: bool
    """Whether the line speaks of everything and not of one task."""
    drawn: Interval
    """Drawn to one scale with the other lines of its unit: nats, or scores."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """comparison.json: the models, and every figure that both have."""

    before: str
    after: str
    limit: int | None
    percent: int
    """Confidence of the intervals."""
    resamples: int
    differences: list[Difference]

    @property
    def has_nll(self) -> bool:
        return any(difference.name == NLL for difference in self.differences)

    def count(self, verdict: str) -> int:
        """How many lines have this verdict."""
        return sum(difference.verdict == verdict for difference in self.differences)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one model wrote for an item, and whether it counts as right."""

    text: str
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class AnswerPair:
    """One item with the answers of both models."""

    task: str
    prompt: str
    expected: str
    before: Answer | None
    """None where only one model was judged."""
    after: Answer


@dataclass(frozen=True, slots=True)
class Results:
    """What an evaluation found."""

    comparison: Comparison | None
    scores: Mapping[str, float]
    """Figures of the judged model alone, for a run that compares with no other."""
    answers: list[AnswerPair]
    generated: int
    """Items that the answers are taken from."""
    judge: JudgeFacts | None
    """Who scored the answers, where a judge did."""


def read_results(stage: StageFacts) -> Results | None:
    """Read what is there of an evaluation; None if it has found nothing yet."""
    file = EvalPaths(stage.run.eval).comparison
    comparison = _comparison(read_json(file)) if file.is_file() else None
    scores = read_json(stage.run.result)["target"] if stage.run.result.is_file() else {}
    suite = stage.run.eval / stage.config.get("suite.name", "")
    pairs = [*_answer_pairs(suite), *_judged_pairs(suite)]
    if comparison is None and not scores and not pairs:
        return None
    shown = sorted(pairs, key=lambda pair: _digest(f"{pair.task}/{pair.prompt}"))[:SAMPLES]
    return Results(comparison, scores, shown, len(pairs), read_judge(suite))


def _comparison(record: Mapping[str, Any]) -> Comparison:
    lines = record["differences"]
    reach = {
        unit: max(
            (
                abs(end)
                for line in lines
                if (line["name"] == NLL) is unit
                for end in line["interval"]
            ),
            default=0.0,
        )
        for unit in (True, False)
    }
    differences = [_difference(line, record["suite"], reach[line["name"] == NLL]) for line in lines]
    return Comparison(
        before=record["before"],
        after=record["after"],
        limit=record["limit"],
        percent=round(100 * record["confidence"]),
        resamples=record["resamples"],
        differences=sorted(differences, key=lambda line: (not line.overall, line.name != NLL)),
    )


def _difference(line: Mapping[str, Any], suite: str, reach: float) -> Difference:
    def place(value: float) -> float:
        return 50 + 46 * value / reach if reach else 50

    low, high = line["interval"]
    return Difference(
        name=line["name"],
        items=line["items"],
        higher_is_better=line["higher_is_better"],
        before=line["before"],
        after=line["after"],
        difference=line["difference"],
        interval=(low, high),
        p=line["p"] if line["corrected_p"] is None else line["corrected_p"],
        verdict=line["verdict"],
        overall=line["name"].partition("/")[0] in (HELDOUT, suite),
        drawn=Interval(place(low), place(high), place(line["difference"])),
    )


def _answer_pairs(suite: Path) -> Iterator[AnswerPair]:
    """Generated answers of the judged model, with the baseline's to the same item."""
    before = _generated(suite / "baseline")
    for item, line in _generated(suite / "target").items():
        task, _ = item
        yield AnswerPair(
            task=task,
            prompt=line["arguments"]["gen_args_0"]["arg_0"],
            expected=str(line["target"]),
            before=_answer(before[item]) if item in before else None,
            after=_answer(line),
        )


def _judged_pairs(suite: Path) -> Iterator[AnswerPair]:
    """Answers to the prompts of rubrics, which have no right answer; scores are the judge's."""
    scores = read_scores(suite)
    answers = {
        model: {(one["rubric"], one["id"]): one for one in read_jsonl(suite / model / ANSWERS)}
        for model in ("baseline", "target")
    }
    shown = {
        model: {item: Answer(one["output"], scores[model, *item]) for item, one in own.items()}
        for model, own in answers.items()
    }
    for item, one in answers["target"].items():
        before, after = shown["baseline"].get(item), shown["target"][item]
        yield AnswerPair(one["rubric"], one["source"], "", before, after)


def _generated(folder: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """The lines of samples_<task>_<date>.jsonl that hold a text, by task and item."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for file in sorted(folder.glob("samples_*.jsonl")):
        task = file.stem.removeprefix("samples_").rpartition("_")[0]
        for line in read_jsonl(file):
            # Of a scored choice the harness keeps a pair: log-likelihood, and whether greedy.
            if isinstance(line["resps"][0][0], str):
                # A task with several filters has a line for each; their answer is the same.
                found.setdefault((task, line["doc_id"]), line)
    return found


def _answer(line: Mapping[str, Any]) -> Answer:
    return Answer(line["resps"][0][0], {name: line[name] for name in line["metrics"]})


def _digest(text: str) -> str:
    """Orders items in a way that knows nothing of their content."""
    return hashlib.sha256(text.encode()).hexdigest()
