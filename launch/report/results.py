"""The report's section on evaluation: the comparison, and both models' answers side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.config import HELDOUT
from launch.report.judge import JudgeSection, read_judge, read_scores
from launch.report.stages import StageFacts, shuffling_key
from pacos.files import read_json, read_jsonl
from pacos.run_paths import GEVAL_ANSWERS, EvalPaths

NLL = f"{HELDOUT}/nll"
"""Line of comparison.json with the mean loss on held-out rows."""
ANSWERS_SHOWN = 6


@dataclass(frozen=True, slots=True)
class IntervalDrawing:
    """Positions of an interval in a drawing 100 units wide, with zero in the middle."""

    low: float
    high: float
    middle: float


@dataclass(frozen=True, slots=True)
class ComparisonLine:
    """One line of comparison.json: a metric of both models."""

    name: str
    items: int
    higher_is_better: bool
    before: float
    after: float
    difference: float
    interval: tuple[float, float]
    p: float
    """The p value that the verdict rests on: corrected for the number of task lines."""
    verdict: str
    overall: bool
    """True for a line over the whole suite or all held-out rows, not over one task."""
    drawing: IntervalDrawing
    """Its interval, on one scale with the other lines of the same unit: nats, or scores."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The content of comparison.json: both models, and every metric that both have."""

    before: str
    after: str
    limit: int | None
    percent: int
    """Confidence level of the intervals."""
    resamples: int
    lines: list[ComparisonLine]

    @property
    def has_nll(self) -> bool:
        return any(line.name == NLL for line in self.lines)

    def count(self, verdict: str) -> int:
        """Return the number of lines with this verdict."""
        return sum(line.verdict == verdict for line in self.lines)


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """A model's answer to an item, with its scores by metric or criterion."""

    text: str
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class AnswerPair:
    """One item with the answers of both models."""

    task: str
    prompt: str
    expected: str
    """The reference answer; empty if the item has none."""
    before: ModelAnswer | None
    """None if only one model was evaluated."""
    after: ModelAnswer


@dataclass(frozen=True, slots=True)
class ResultsSection:
    """The results of an evaluation."""

    comparison: Comparison | None
    scores: Mapping[str, float]
    """Scores of the target, for a run without a baseline."""
    answers: list[AnswerPair]
    """The items shown."""
    generated: int
    """Number of items that they are chosen from."""
    judge: JudgeSection | None


def read_results(stage: StageFacts) -> ResultsSection | None:
    """Read the results of an evaluation; return None if it has none yet."""
    file = EvalPaths(stage.run.eval).comparison
    comparison = _comparison(read_json(file)) if file.is_file() else None
    scores = read_json(stage.run.result)["target"] if stage.run.result.is_file() else {}
    suite = stage.run.eval / stage.config.get("suite.name", "")
    pairs = [*_answer_pairs(suite), *_judged_pairs(suite)]
    if comparison is None and not scores and not pairs:
        return None
    shuffled = sorted(pairs, key=lambda pair: shuffling_key(f"{pair.task}/{pair.prompt}"))
    shown = shuffled[:ANSWERS_SHOWN]
    return ResultsSection(comparison, scores, shown, len(pairs), read_judge(suite))


def _comparison(record: Mapping[str, Any]) -> Comparison:
    records = record["differences"]
    # Nats and scores have different magnitudes, so each has its own scale in the drawings.
    reach = {
        is_nll: max(
            (
                abs(end)
                for line in records
                if (line["name"] == NLL) is is_nll
                for end in line["interval"]
            ),
            default=0.0,
        )
        for is_nll in (True, False)
    }
    lines = [_line(line, record["suite"], reach[line["name"] == NLL]) for line in records]
    return Comparison(
        before=record["before"],
        after=record["after"],
        limit=record["limit"],
        percent=round(100 * record["confidence"]),
        resamples=record["resamples"],
        lines=sorted(lines, key=lambda line: (not line.overall, line.name != NLL)),
    )


def _line(line: Mapping[str, Any], suite: str, reach: float) -> ComparisonLine:
    """Return a line for the page; `reach` is the interval end that fills half of the drawing."""

    def position(value: float) -> float:
        # 46 of the 50 units on each side, which leaves room for the circle.
        return 50 + 46 * value / reach if reach else 50

    low, high = line["interval"]
    return ComparisonLine(
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
        drawing=IntervalDrawing(position(low), position(high), position(line["difference"])),
    )


def _answer_pairs(suite: Path) -> Iterator[AnswerPair]:
    """Yield the target's generated answers, with those of the baseline to the same items."""
    before = _generated(suite / "baseline")
    for item, line in _generated(suite / "target").items():
        task, _ = item
        yield AnswerPair(
            task=task,
            # The harness's layout of samples: first argument of the item's first request.
            prompt=line["arguments"]["gen_args_0"]["arg_0"],
            expected=str(line["target"]),
            before=_answer(before[item]) if item in before else None,
            after=_answer(line),
        )


def _judged_pairs(suite: Path) -> Iterator[AnswerPair]:
    """Yield answers to the prompts of rubrics, with the judge's scores; no reference exists."""
    scores = read_scores(suite)
    records = {
        model: {
            (line["rubric"], line["id"]): line for line in read_jsonl(suite / model / GEVAL_ANSWERS)
        }
        for model in ("baseline", "target")
    }
    answers = {
        model: {
            item: ModelAnswer(line["output"], scores[model, *item]) for item, line in own.items()
        }
        for model, own in records.items()
    }
    for item, line in records["target"].items():
        before, after = answers["baseline"].get(item), answers["target"][item]
        yield AnswerPair(line["rubric"], line["source"], "", before, after)


def _generated(folder: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the lines of samples_<task>_<date>.jsonl with generated text, by task and item."""
    lines: dict[tuple[str, int], dict[str, Any]] = {}
    for file in sorted(folder.glob("samples_*.jsonl")):
        task = file.stem.removeprefix("samples_").rpartition("_")[0]
        for line in read_jsonl(file):
            # For a multiple-choice item the harness stores (log-likelihood, is greedy) instead.
            if isinstance(line["resps"][0][0], str):
                # A task with several filters has one line for each, with the same answer.
                lines.setdefault((task, line["doc_id"]), line)
    return lines


def _answer(line: Mapping[str, Any]) -> ModelAnswer:
    return ModelAnswer(line["resps"][0][0], {name: line[name] for name in line["metrics"]})
