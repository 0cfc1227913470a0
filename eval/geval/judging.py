"""One life of judging: every answer on every criterion, pairs in both orders, human-rated texts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from eval.config import EvalConfig
from eval.geval.answers import ModelAnswer
from eval.geval.findings.certificate import certificate
from eval.geval.human_ratings import HumanRatedText
from eval.geval.judge.judge import Judge
from eval.geval.judge.judge_prompts import JudgedText
from eval.geval.judge.score import ReplyCounts, ScoreDistribution
from eval.geval.records import (
    AnswerScore,
    JudgeResults,
    PairComparison,
    RatedTextScore,
)
from eval.geval.workload import Workload, quote
from eval.harness.service_calls import await_or_stop, gather_all
from eval.rubrics.rubric import Rubric, write_rubric
from pacos.console import ProgressMeter, progress
from pacos.files import atomic_folder, write_json, write_jsonl
from pacos.llm.budget import BudgetReached
from pacos.llm.service import Service, open_service
from pacos.run.stop import Stopped, StopRequest
from pacos.run_paths import JudgePaths, RunPaths

log = logging.getLogger("eval.geval")


def judge_answers(config: EvalConfig, run: RunPaths, stop: StopRequest) -> None:
    """Judge all answers of a run.

    Raises:
        Stopped: the run was asked to stop, or the budget is spent.
        UserError: the judge cannot be reached, or its replies are unusable.
    """
    folder = config.judged_folder(run.eval)
    assert folder is not None
    if folder.is_dir():
        log.info("judge: %s is complete and is not repeated", folder.name)
        return
    try:
        asyncio.run(_judge(config, folder, Workload.read(config, run), stop))
    except BudgetReached as error:
        raise Stopped(str(error)) from error


async def _judge(config: EvalConfig, folder: Path, workload: Workload, stop: StopRequest) -> None:
    endpoint = config.judge.endpoint
    assert endpoint is not None
    total = sum(criteria for _, _, criteria in workload.texts()) + len(workload.pairs())
    # All judges of a run share one ledger: a request names its model, so they cannot collide.
    async with open_service(endpoint, folder.with_name("judging")) as service:
        log.info("quote: %s", quote(config, endpoint, workload, service.spent))
        judge = Judge(endpoint, service, config.geval)
        rubrics = await await_or_stop(_with_steps(judge, workload), stop, "writing steps")
        with progress("judging", total, "judgements") as bar:
            session = JudgingSession(judge, rubrics, _counting(bar, service))
            results = await await_or_stop(session.judge(workload), stop, "judging")
            # With fewer than `PATIENCE` replies, nothing has checked the judge yet.
            judge.check_usable()
    # The folder appears once it is complete, and its existence means that this judge is done. The
    # ledger beside it keeps the replies of an interrupted life.
    with atomic_folder(folder) as partial:
        files = JudgePaths(partial)
        write_jsonl(files.scores, [score.to_json() for score in results.scores])
        write_jsonl(files.pairs, [pair.to_json() for pair in results.pairs])
        write_jsonl(files.rated, [score.to_json() for score in results.rated])
        # With the steps that the judge wrote, so that other runs can be judged by the same ones.
        for rubric in rubrics.values():
            write_rubric(rubric, partial)
        write_json(files.certificate, certificate(config, rubrics, results, service.spent))


async def _with_steps(judge: Judge, workload: Workload) -> dict[str, Rubric]:
    missing = sum(len(rubric.criteria_without_steps()) for rubric in workload.rubrics.values())
    with progress("writing steps", missing, "criteria", visible=missing > 0) as bar:
        rubrics = await gather_all(
            [judge.with_steps(rubric, bar.advance) for rubric in workload.rubrics.values()]
        )
    return {rubric.name: rubric for rubric in rubrics}


def _counting(bar: ProgressMeter, service: Service) -> Callable[[ReplyCounts], None]:
    failures = 0

    def count(counts: ReplyCounts) -> None:
        nonlocal failures
        failures += counts.failures
        usd = service.counts.usd
        cost = f"${usd:.2f}  " if usd else ""
        bar.advance(1, note=f"{cost}{failures} unreadable replies")

    return count


class JudgingSession:
    """Puts a whole workload to one judge.

    Args:
        judge: scores the texts.
        rubrics: rubrics with their evaluation steps, by name.
        count: called with the reply counts of each score and each pair.
    """

    def __init__(
        self, judge: Judge, rubrics: Mapping[str, Rubric], count: Callable[[ReplyCounts], None]
    ) -> None:
        self._judge = judge
        self._rubrics = rubrics
        self._count = count

    async def judge(self, workload: Workload) -> JudgeResults:
        """Judge everything concurrently; the service's own limits set the pace."""
        scores, rated, pairs = await asyncio.gather(
            gather_all(
                [
                    self._answer_score(label, answer, criterion.name)
                    for label, answers in workload.answers.items()
                    for answer in answers
                    for criterion in self._rubrics[answer.rubric].criteria
                ]
            ),
            gather_all(
                [
                    self._rated_text_score(name, text, criterion)
                    for name, texts in workload.rated.items()
                    for text in texts
                    for criterion in text.ratings
                ]
            ),
            gather_all([self._pair(target, baseline) for target, baseline in workload.pairs()]),
        )
        return JudgeResults(scores, pairs, rated)

    async def _score(self, rubric_name: str, criterion: str, text: JudgedText) -> ScoreDistribution:
        rubric = self._rubrics[rubric_name]
        distribution = await self._judge.score(rubric, rubric.criterion(criterion), text)
        self._count(distribution.counts)
        return distribution

    async def _answer_score(self, label: str, answer: ModelAnswer, criterion: str) -> AnswerScore:
        distribution = await self._score(answer.rubric, criterion, answer.text)
        return AnswerScore(
            label, answer.rubric, answer.id, criterion, len(answer.output), distribution
        )

    async def _rated_text_score(
        self, rubric: str, rated: HumanRatedText, criterion: str
    ) -> RatedTextScore:
        return RatedTextScore(
            rubric=rubric,
            criterion=criterion,
            document=rated.document,
            system=rated.system,
            human=rated.ratings[criterion],
            length=len(rated.text.output),
            distribution=await self._score(rubric, criterion, rated.text),
        )

    async def _pair(self, target: ModelAnswer, baseline: ModelAnswer) -> PairComparison:
        rubric = self._rubrics[target.rubric]
        (target_first, counts), (target_second, more) = await asyncio.gather(
            self._judge.prefer(rubric, target.text, baseline.output),
            self._judge.prefer(rubric, baseline.text, target.output),
        )
        self._count(counts + more)
        return PairComparison(
            rubric=target.rubric,
            id=target.id,
            target_first=target_first,
            target_second=target_second,
            target_length=len(target.output),
            baseline_length=len(baseline.output),
            counts=counts + more,
        )
