"""From all answers to a verdict on each, as a filter of the harness."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.config import EvalConfig
from eval.configs.humaneval import TASK
from eval.humaneval.pass_at_k import KS, interval, pass_at_k
from eval.humaneval.prompts import completed, replied
from eval.humaneval.verdicts import Verdicts
from eval.sandbox.verdict import Outcome, Verdict
from pacos.benchmarks.items import CodeProblem

log = logging.getLogger(__name__)

Doc = Mapping[str, Any]
"""A problem as a line of the file."""

Judged = list[list[str]]
"""Of each answer to a problem, the program that it makes and what became of it."""


class Judge:
    """Runs the programs that answers make.

    Args:
        config: of the evaluation.
        kept: file of verdicts.
        facts: dictionary that what is to be known of the figures is added to.
    """

    def __init__(self, config: EvalConfig, kept: Path, facts: dict[str, Any]) -> None:
        self._config, self._kept, self._facts = config, kept, facts
        self._program = replied if config.suite.chat_template else completed

    def __repr__(self) -> str:
        return "answer to program, program to verdict"

    def __call__(self, answers: Sequence[Sequence[str]], docs: Sequence[Doc]) -> list[Judged]:
        """Judge all answers, given by problem."""
        tasks = [
            (problem, self._program(problem, answer))
            for problem, given in zip(map(_problem, docs), answers, strict=True)
            for answer in given
        ]
        verdicts = Verdicts(self._kept, self._config.humaneval.sandbox)
        found = verdicts.of(tasks)
        lines = iter([[program, str(one)] for (_, program), one in zip(tasks, found, strict=True)])
        judged = [[next(lines) for _ in given] for given in answers]
        self._record(judged, found, verdicts)
        return judged

    def _record(
        self, judged: Sequence[Judged], found: Sequence[Verdict], verdicts: Verdicts
    ) -> None:
        outcomes = Counter(one.outcome.value for one in found)
        values = [pass_at_each(one) for one in judged]
        intervals = {
            name: interval([one[name] for one in values], name, self._config.seed)
            for name in values[0]
        }
        isolation = verdicts.isolation.to_json()
        self._facts |= {**isolation, "outcomes": dict(outcomes), "intervals": intervals}
        told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        log.info("%s: of %d programs: %s", TASK, len(found), told)
        for name, (low, high) in intervals.items():
            log.info("%s: %s: %.3f to %.3f (95 %%, over problems)", TASK, name, low, high)
        log.info("%s: isolation: %s", TASK, isolation["isolation"])


def pass_at_each(judged: Judged) -> dict[str, float]:
    """pass@k of one problem, for each k that there are answers for."""
    right = sum(result == Outcome.passed.value for _, result in judged)
    return {f"pass@{k}": pass_at_k(len(judged), right, k) for k in KS if k <= len(judged)}


def _problem(doc: Doc) -> CodeProblem:
    return CodeProblem(
        benchmark=TASK,
        id=doc["task_id"],
        prompt=doc["prompt"],
        solution=doc["canonical_solution"],
        tests=doc["test"],
        entry_point=doc["entry_point"],
    )
