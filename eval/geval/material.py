"""What a judge is to judge in a run, where its verdicts go, and what they will cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean

from eval.config import EvalConfig
from eval.configs.geval import Scoring
from eval.geval.answers import Answer, read_answers, read_rubrics
from eval.geval.judge.judge_prompts import Text, score_prompt
from eval.geval.rated import RatedText, read_rated
from eval.rubrics.rubric import Criterion, Rubric
from pacos.llm.config import EndpointConfig
from pacos.llm.ledger import Spent
from pacos.llm.request import estimated_tokens
from pacos.run_paths import RunPaths

STEPS_TOKENS = 200
"""Guessed for evaluation steps that are not written yet."""
REPLY_TOKENS = 4
"""Guessed for a reply with a score alone."""


@dataclass(frozen=True, slots=True)
class Material:
    """What is to be judged."""

    rubrics: Mapping[str, Rubric]
    answers: Mapping[str, list[Answer]]
    """By label of the model."""
    rated: Mapping[str, list[RatedText]]
    """By rubric."""

    @classmethod
    def read(cls, config: EvalConfig, run: RunPaths) -> Material:
        """Read rubrics, answers and rated texts.

        Raises:
            UserError: a file of rated texts has another form.
        """
        rubrics = {rubric.name: rubric for rubric in read_rubrics(config.suite)}
        places = {label: run.eval / config.suite.name / label for label in config.models()}
        return cls(
            rubrics,
            {label: read_answers(place) for label, place in places.items()},
            {
                name: read_rated(file, rubrics[name], config.limit)
                for name, file in config.geval.rated_files().items()
            },
        )

    def pairs(self) -> list[tuple[Answer, Answer]]:
        """Target's and baseline's answers to the same prompts."""
        others = {answer.item: answer for answer in self.answers.get("baseline", [])}
        return [(mine, others[mine.item]) for mine in self.answers["target"] if mine.item in others]

    def texts(self) -> list[tuple[Rubric, Text, int]]:
        """Every text, with its rubric and how many criteria it is scored by."""
        own = [
            (self.rubrics[one.rubric], one.text, len(self.rubrics[one.rubric].criteria))
            for answers in self.answers.values()
            for one in answers
        ]
        return own + [
            (self.rubrics[name], one.text, len(one.ratings))
            for name, texts in self.rated.items()
            for one in texts
        ]


def quote(config: EvalConfig, endpoint: EndpointConfig, material: Material, spent: Spent) -> str:
    """What judging will cost, for a person: prompts are measured, replies guessed.

    `spent` is what all judges of the run have cost so far.
    """
    texts = material.texts()
    scores = sum(criteria for _, _, criteria in texts)
    if not scores:
        return "nothing to judge"
    prompt = fmean(
        estimated_tokens(score_prompt(*_with_first(rubric), text)[0]["content"])
        for rubric, text, _ in texts
    )
    drawn = config.geval.samples
    times = drawn if config.geval.scoring is Scoring.samples else 1
    # Each pair is asked twice, with two outputs in a prompt that is hardly longer.
    requests = scores * times + 2 * len(material.pairs())
    prompts, replies = requests * (prompt + STEPS_TOKENS), requests * REPLY_TOKENS
    price = endpoint.price()
    cost = "at an unknown price (set judge.endpoint.prompt_price and completion_price)"
    if price is not None:
        cost = f"${price.usd(round(prompts), round(replies)):,.2f}"
    more = ""
    if times == 1:
        more = f"; up to {drawn} times as much if the service gives no probabilities of tokens"
    if spent.usd:
        more += f"; ${spent.usd:,.2f} of this run's judging is spent already"
    return f"{requests:,} requests, {prompts + replies:,.0f} tokens, {cost}{more}"


def _with_first(rubric: Rubric) -> tuple[Rubric, Criterion]:
    first = rubric.criteria[0]
    return rubric, replace(first, steps=first.steps or "")
