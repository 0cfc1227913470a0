"""One life of judging: every answer by every criterion, pairs in both orders, rated texts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from eval.config import EvalConfig
from eval.geval.answers import Answer
from eval.geval.findings.certificate import certificate
from eval.geval.judge.judge import Judge
from eval.geval.judge.judge_prompts import Text
from eval.geval.judge.weighting import Tally, Verdict
from eval.geval.material import Material, quote
from eval.geval.rated import RatedText
from eval.geval.records import CERTIFICATE, PAIRS, RATED, SCORES, Judged, Pair, Rated, Scored
from eval.harness.asking import all_of, unless_stopped
from eval.harness.parts import whole_folder
from eval.rubrics.rubric import Rubric, write_rubric
from pacos.console import Counter, progress
from pacos.files import write_json, write_jsonl
from pacos.llm.budget import BudgetReached
from pacos.llm.service import Service, open_service
from pacos.run.stop import Stopped, StopRequest
from pacos.run_paths import RunPaths

log = logging.getLogger("eval.geval")


def judge_answers(config: EvalConfig, run: RunPaths, stop: StopRequest) -> str | None:
    """Judge all answers of a run; returns why it stopped before the end, if it did.

    Raises:
        UserError: the judge cannot be asked, or what it says is of no use.
    """
    folder = config.judged_folder(run.eval)
    assert folder is not None
    if folder.is_dir():
        log.info("judge: %s was asked before and is not asked again", folder.name)
        return None
    try:
        asyncio.run(_judge(config, folder, Material.read(config, run), stop))
    except (Stopped, BudgetReached) as error:
        return str(error)
    return None


async def _judge(config: EvalConfig, folder: Path, material: Material, stop: StopRequest) -> None:
    endpoint = config.judge.endpoint
    assert endpoint is not None
    wanted = sum(criteria for _, _, criteria in material.texts()) + len(material.pairs())
    # One ledger for all judges of a run: a request names its model.
    async with open_service(endpoint, folder.with_name("judging")) as service:
        log.info("quote: %s", quote(config, endpoint, material, service.spent))
        judge = Judge(endpoint, service, config.geval)
        rubrics = await unless_stopped(_with_steps(judge, material), stop, "writing steps")
        with progress("judging", wanted, "judgements") as bar:
            session = Session(judge, rubrics, _counting(bar, service))
            judged = await unless_stopped(session.judge(material), stop, "judging")
            judge.see_that_it_scores()
    with whole_folder(folder) as partial:
        write_jsonl(partial / SCORES, [one.to_json() for one in judged.scores])
        write_jsonl(partial / PAIRS, [one.to_json() for one in judged.pairs])
        write_jsonl(partial / RATED, [one.to_json() for one in judged.rated])
        for rubric in rubrics.values():
            write_rubric(rubric, partial)
        write_json(partial / CERTIFICATE, certificate(config, rubrics, judged, service.spent))


async def _with_steps(judge: Judge, material: Material) -> dict[str, Rubric]:
    missing = sum(len(rubric.lacking_steps()) for rubric in material.rubrics.values())
    with progress("writing steps", missing, "criteria", visible=missing > 0) as bar:
        filled = await all_of(
            [judge.with_steps(one, bar.advance) for one in material.rubrics.values()]
        )
    return {rubric.name: rubric for rubric in filled}


def _counting(bar: Counter, service: Service) -> Callable[[Tally], None]:
    failures = 0

    def count(tally: Tally) -> None:
        nonlocal failures
        failures += tally.failures
        usd = service.counts.usd
        cost = f"${usd:.2f}  " if usd else ""
        bar.advance(1, note=f"{cost}{failures} replies that cannot be read")

    return count


class Session:
    """Puts everything to one judge.

    Args:
        judge: who is asked.
        rubrics: with their evaluation steps, by name.
        count: told of each score and each pair.
    """

    def __init__(
        self, judge: Judge, rubrics: Mapping[str, Rubric], count: Callable[[Tally], None]
    ) -> None:
        self._judge = judge
        self._rubrics = rubrics
        self._count = count

    async def judge(self, material: Material) -> Judged:
        """What the judge says of everything, at once: the service's own limits set the pace."""
        scores, rated, pairs = await asyncio.gather(
            all_of(
                [
                    self._scored(label, answer, criterion.name)
                    for label, answers in material.answers.items()
                    for answer in answers
                    for criterion in self._rubrics[answer.rubric].criteria
                ]
            ),
            all_of(
                [
                    self._rated(name, text, criterion)
                    for name, texts in material.rated.items()
                    for text in texts
                    for criterion in text.ratings
                ]
            ),
            all_of([self._pair(mine, other) for mine, other in material.pairs()]),
        )
        return Judged(scores, pairs, rated)

    async def _score(self, rubric: str, criterion: str, text: Text) -> Verdict:
        known = self._rubrics[rubric]
        verdict = await self._judge.score(known, known.criterion(criterion), text)
        self._count(verdict.tally)
        return verdict

    async def _scored(self, label: str, answer: Answer, criterion: str) -> Scored:
        verdict = await self._score(answer.rubric, criterion, answer.text)
        return Scored(label, answer.rubric, answer.id, criterion, len(answer.output), verdict)

    async def _rated(self, rubric: str, rated: RatedText, criterion: str) -> Rated:
        return Rated(
            rubric=rubric,
            criterion=criterion,
            document=rated.document,
            system=rated.system,
            human=rated.ratings[criterion],
            length=len(rated.text.output),
            verdict=await self._score(rubric, criterion, rated.text),
        )

    async def _pair(self, target: Answer, baseline: Answer) -> Pair:
        rubric = self._rubrics[target.rubric]
        (front, tally), (back, further) = await asyncio.gather(
            self._judge.prefer(rubric, target.text, baseline.output),
            self._judge.prefer(rubric, baseline.text, target.output),
        )
        self._count(tally + further)
        return Pair(
            rubric=target.rubric,
            id=target.id,
            target_first=front,
            target_second=back,
            target_length=len(target.output),
            baseline_length=len(baseline.output),
            tally=tally + further,
        )
