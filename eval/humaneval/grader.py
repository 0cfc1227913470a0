"""Grading all answers at once, as a filter of the harness."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.config import EvalConfig
from eval.configs.humaneval import TASK
from eval.humaneval.pass_at_k import interval, pass_at_each_k
from eval.humaneval.prompts import completion_program, reply_program
from eval.humaneval.verdicts import VerdictFile
from eval.sandbox.verdict import Outcome, ProgramVerdict
from pacos.benchmarks.items import CodeProblem

log = logging.getLogger(__name__)

Doc = Mapping[str, Any]
"""A problem, as a line of the benchmark's file."""

GradedAnswers = list[list[str]]
"""Each answer to a problem: the program that it makes, and the verdict on it as text. Lists of
strings, because the harness writes them into its sample files."""


class Grader:
    """Runs the programs that answers make.

    The harness calls it as a filter over all answers of a task, so all are generated, and on disk,
    before the first program runs.

    Args:
        config: config of the evaluation.
        path: file of verdicts, which a later life continues.
        facts: dictionary that the facts about the scores are added to.
    """

    def __init__(self, config: EvalConfig, path: Path, facts: dict[str, Any]) -> None:
        self._config, self._path, self._facts = config, path, facts
        self._program = reply_program if config.suite.chat_template else completion_program

    def __repr__(self) -> str:
        # The harness writes the repr of a filter function into its results, where the default one
        # would hold a memory address, different in each run.
        return "answer to program, program to verdict"

    def __call__(
        self, answers: Sequence[Sequence[str]], docs: Sequence[Doc]
    ) -> list[GradedAnswers]:
        """Grade all answers, given by problem."""
        submissions = [
            (problem, self._program(problem, answer))
            for problem, own in zip(map(_problem, docs), answers, strict=True)
            for answer in own
        ]
        file = VerdictFile(self._path, self._config.humaneval.sandbox)
        verdicts = file.grade(submissions)
        # The harness expects one filtered answer per answer, grouped by problem as they came.
        lines = iter(
            [program, str(verdict)]
            for (_, program), verdict in zip(submissions, verdicts, strict=True)
        )
        graded = [[next(lines) for _ in own] for own in answers]
        self._record(graded, verdicts, file)
        return graded

    def _record(
        self,
        graded: Sequence[GradedAnswers],
        verdicts: Sequence[ProgramVerdict],
        file: VerdictFile,
    ) -> None:
        outcomes = Counter(verdict.outcome.value for verdict in verdicts)
        values = [pass_at_each_k(passed(one)) for one in graded]
        intervals = {
            name: interval([one[name] for one in values], name, self._config.seed)
            for name in values[0]
        }
        isolation = file.isolation.to_json()
        self._facts |= {**isolation, "outcomes": dict(outcomes), "intervals": intervals}
        summary = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        log.info("%s: %d programs: %s", TASK, len(verdicts), summary)
        for name, (low, high) in intervals.items():
            log.info("%s: %s: %.3f to %.3f (95 %%, over problems)", TASK, name, low, high)
        log.info("%s: isolation: %s", TASK, isolation["isolation"])


def passed(graded: GradedAnswers) -> list[bool]:
    """Return which of a problem's answers passed all tests."""
    return [verdict == Outcome.passed.value for _, verdict in graded]


def _problem(doc: Doc) -> CodeProblem:
    return CodeProblem(
        benchmark=TASK,
        id=doc["task_id"],
        prompt=doc["prompt"],
        solution=doc["canonical_solution"],
        tests=doc["test"],
        entry_point=doc["entry_point"],
    )
