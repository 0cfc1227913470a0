"""The judge's workload in a run, and a quote of what it will cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean

from eval.config import EvalConfig
from eval.configs.geval import Scoring
from eval.geval.answers import ModelAnswer, read_answers
from eval.geval.human_ratings import HumanRatedText, read_human_ratings
from eval.geval.judge.judge_prompts import JudgedText, score_prompt
from eval.rubrics.rubric import Criterion, Rubric, read_rubrics
from pacos.llm.config import EndpointConfig
from pacos.llm.ledger import Spent
from pacos.llm.request import estimated_tokens
from pacos.run_paths import RunPaths

STEPS_TOKENS = 200
"""Assumed length of evaluation steps that are not written yet."""
REPLY_TOKENS = 4
"""Assumed length of a reply that is a bare score."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Everything a judge has to score in one run."""

    rubrics: Mapping[str, Rubric]
    answers: Mapping[str, list[ModelAnswer]]
    """Answers by label of the model."""
    rated: Mapping[str, list[HumanRatedText]]
    """Human-rated texts by rubric."""

    @classmethod
    def read(cls, config: EvalConfig, run: RunPaths) -> Workload:
        """Read rubrics, answers and human-rated texts.

        Raises:
            UserError: a file of human ratings has another format.
        """
        rubrics = {rubric.name: rubric for rubric in read_rubrics(config.suite)}
        folders = {label: run.eval / config.suite.name / label for label in config.models()}
        return cls(
            rubrics,
            {label: read_answers(folder) for label, folder in folders.items()},
            {
                name: read_human_ratings(file, rubrics[name], config.limit)
                for name, file in config.geval.rated_files().items()
            },
        )

    def pairs(self) -> list[tuple[ModelAnswer, ModelAnswer]]:
        """Return the target's and the baseline's answers to the same prompts."""
        baseline = {answer.item: answer for answer in self.answers.get("baseline", [])}
        return [
            (answer, baseline[answer.item])
            for answer in self.answers["target"]
            if answer.item in baseline
        ]

    def texts(self) -> list[tuple[Rubric, JudgedText, int]]:
        """Return every text with its rubric and the number of criteria it is scored on."""
        answered = [
            (self.rubrics[answer.rubric], answer.text, len(self.rubrics[answer.rubric].criteria))
            for answers in self.answers.values()
            for answer in answers
        ]
        return answered + [
            (self.rubrics[name], rated.text, len(rated.ratings))
            for name, texts in self.rated.items()
            for rated in texts
        ]


def quote(config: EvalConfig, endpoint: EndpointConfig, workload: Workload, spent: Spent) -> str:
    """Return one line on what judging will cost. Prompts are measured, replies assumed.

    Args:
        config: sets how scores are obtained.
        endpoint: the judge's service, with its prices.
        workload: what has to be scored.
        spent: cost of all judges of this run so far.
    """
    texts = workload.texts()
    scores = sum(criteria for _, _, criteria in texts)
    if not scores:
        return "nothing to judge"
    # One criterion stands for all of its rubric: their prompts differ by a sentence or two.
    prompt = fmean(
        estimated_tokens(score_prompt(*_first_criterion(rubric), text)[0]["content"])
        for rubric, text, _ in texts
    )
    samples = config.geval.samples
    replies_per_score = samples if config.geval.scoring is Scoring.samples else 1
    # Each pair is judged in both orders. Its prompt holds two outputs and no steps, so the mean
    # length of a score prompt is close enough.
    requests = scores * replies_per_score + 2 * len(workload.pairs())
    prompts, replies = requests * (prompt + STEPS_TOKENS), requests * REPLY_TOKENS
    price = endpoint.price()
    cost = "at an unknown price (set judge.endpoint.prompt_price and completion_price)"
    if price is not None:
        cost = f"${price.usd(round(prompts), round(replies)):,.2f}"
    notes = ""
    if replies_per_score == 1:
        notes = f"; up to {samples} times as much if the service returns no token probabilities"
    if spent.usd:
        notes += f"; ${spent.usd:,.2f} already spent on judging in this run"
    return f"{requests:,} requests, {prompts + replies:,.0f} tokens, {cost}{notes}"


def _first_criterion(rubric: Rubric) -> tuple[Rubric, Criterion]:
    """Return the rubric with its first criterion, whose missing steps count as empty."""
    first = rubric.criteria[0]
    return rubric, replace(first, steps=first.steps or "")
